package org.iommuemu.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.iommuemu.nativecode.ReferenceLoops;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormat;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;

/** Every benchmark method runs once, as JMH runs it. What it measures is nobody's business here. */
class BenchmarksRunTest {
    private static Collection<RunResult> results;

    @BeforeAll
    static void runEachOnce() throws RunnerException {
        // Others on this machine may run benchmarks; nothing is timed here.
        System.setProperty("jmh.ignoreLock", "true");
        results = BenchmarkTable.run(new OptionsBuilder()
                .mode(Mode.SingleShotTime)
                .forks(0)
                .warmupIterations(0)
                .measurementIterations(1)
                .verbosity(VerboseMode.SILENT)
                .build());
    }

    private static Set<String> declared() {
        OutputFormat silent = OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT);
        return BenchmarkList.defaultList().getAll(silent, List.of()).stream()
                .map(BenchmarkListEntry::getUsername)
                .collect(Collectors.toSet());
    }

    private static Set<String> ran() {
        return results.stream().map(result -> result.getParams().getBenchmark()).collect(Collectors.toSet());
    }

    private static void assumeReferences() {
        String reason = ReferenceLoops.unavailable().orElse("");
        assumeTrue(reason.isEmpty(), reason);
    }

    @Test
    void everyBenchmarkRuns() {
        Set<String> expected = declared();
        expected.removeIf(name -> name.endsWith(".reference"));
        assertFalse(expected.isEmpty());
        Set<String> ran = ran();
        ran.removeIf(name -> name.endsWith(".reference"));
        assertEquals(expected, ran);
    }

    @Test
    void everyReferenceRuns() {
        assumeReferences();
        assertEquals(declared(), ran());
    }

    @Test
    void everyClassHasAReference() {
        Set<String> names = declared();
        for (String name : names) {
            String reference = name.substring(0, name.lastIndexOf('.')) + ".reference";
            assertTrue(names.contains(reference), reference);
        }
    }

    @Test
    void tableHasALineForEveryBenchmark() {
        List<String> lines = BenchmarkTable.format(results).lines().toList();
        long expected = results.stream()
                .filter(result -> !result.getParams().getBenchmark().endsWith(".reference"))
                .count();
        assertEquals(
                expected,
                lines.stream().filter(line -> line.matches("\\w+\\.\\w+ .*")).count(),
                String.join("\n", lines));
        assertTrue(lines.stream().anyMatch(line -> line.startsWith("Tlb.lookUp pages=4096 ")));
    }

    @Test
    void tableComparesEveryBenchmarkWithItsReference() {
        assumeReferences();
        List<String> lines = BenchmarkTable.format(results).lines().skip(1).toList();
        for (String line : lines) {
            String[] columns = line.trim().split(" +");
            List<String> numbers = Arrays.asList(columns).subList(columns.length - 2, columns.length);
            assertFalse(numbers.contains("-"), line);
        }
    }
}
