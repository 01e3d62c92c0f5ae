package org.iommuemu.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.StringReader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import javax.xml.parsers.DocumentBuilderFactory;
import org.iommuemu.nativecode.ReferenceLoops;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.xml.sax.InputSource;

/** Every benchmark method runs once, as JMH runs it. What it measures is nobody's business here. */
class BenchmarksRunTest {
    private static final Set<String> ran = new TreeSet<>();
    private static Report report;

    /** Once with the first value of each parameter, and where values choose a way through the code with those. */
    @BeforeAll
    static void runEachOnce() throws RunnerException {
        // Others on this machine may run benchmarks; nothing is timed here.
        System.setProperty("jmh.ignoreLock", "true");
        Options once = new OptionsBuilder()
                .mode(Mode.SingleShotTime)
                .forks(0)
                .warmupIterations(0)
                .measurementIterations(1)
                .build();
        Set<String> seen = new HashSet<>();
        List<Row> rows = new ArrayList<>();
        for (Suite.Batch batch : Suite.batches(name -> true)) {
            Map<String, String> small = new LinkedHashMap<>(batch.parameters());
            small.replace("mebibytes", "1");
            small.replace("entries", "1000000", "10000");
            small.replace("entries", "100000", "10000");
            small.replace("streams", "1048576", "131072");
            small.replace("pages", "1000000", "1000");
            Suite.Batch smaller = new Suite.Batch(batch.type(), small, batch.methods(), batch.wanted());
            if (seen.add(smaller.name())) {
                var results = Suite.run(smaller, once);
                results.keySet().forEach(method -> ran.add(batch.type() + "." + method));
                rows.addAll(Row.of(smaller, results));
            }
        }
        report = Report.of(rows);
    }

    private static Set<String> declared() {
        return Suite.declared().stream()
                .map(BenchmarkListEntry::getUsername)
                .collect(Collectors.toCollection(TreeSet::new));
    }

    private static boolean isInC(String name) {
        return Suite.isInC(name.substring(name.lastIndexOf('.') + 1));
    }

    private static void assumeReferences() {
        String reason = ReferenceLoops.unavailable().orElse("");
        assumeTrue(reason.isEmpty(), reason);
    }

    @Test
    void everyBenchmarkRuns() {
        Set<String> expected = declared();
        expected.removeIf(BenchmarksRunTest::isInC);
        assertFalse(expected.isEmpty());
        Set<String> inJava = new TreeSet<>(ran);
        inJava.removeIf(BenchmarksRunTest::isInC);
        assertEquals(expected, inJava);
    }

    @Test
    void everyBenchmarkInCRuns() {
        assumeReferences();
        assertEquals(declared(), ran);
    }

    @Test
    void whatIsComparedWithExists() {
        Set<String> names = declared();
        for (String name : names) {
            String type = name.substring(0, name.lastIndexOf('.'));
            Figure figure = Suite.figure(type, name.substring(type.length() + 1));
            if (!isInC(name) && figure.flatIn().isEmpty() && !figure.against().isEmpty()) {
                assertTrue(names.contains(type + "." + figure.against()), name);
            }
        }
    }

    @Test
    void everyBarIsJudged() {
        assumeReferences();
        for (Row row : report.benchmarks()) {
            if (row.bar() != null) {
                // Whether the other thread got enough time is the machine's business.
                assertTrue(row.met() != null || row.note().contains("not judged"), row.name());
                assertFalse(row.rule().isEmpty(), row.name());
            }
        }
        assertTrue(report.benchmarks().stream().filter(row -> row.bar() != null).count() > 20);
    }

    @Test
    void tableHasALineForEveryBenchmark() {
        List<String> lines = report.table().lines().toList();
        assertEquals(report.benchmarks().size() + 2, lines.size());
        for (Row row : report.benchmarks()) {
            assertTrue(lines.stream().anyMatch(line -> line.startsWith(row.name() + " ")), row.name());
        }
    }

    @Test
    void jsonHasTheFieldsThatArePromised() throws IOException {
        JsonNode root = new ObjectMapper().readTree(report.json());
        assertEquals(Set.of("machine", "jdk", "benchmarks"), fields(root));
        assertTrue(root.get("machine").isTextual());
        assertTrue(root.get("jdk").asText().contains(Runtime.version().toString()));
        assertEquals(report.benchmarks().size(), root.get("benchmarks").size());
        for (JsonNode benchmark : root.get("benchmarks")) {
            assertEquals(
                    Set.of("name", "ns", "error", "bytesPerOp", "referenceNs", "ratio", "bar", "met"),
                    fields(benchmark));
            assertTrue(benchmark.get("name").isTextual());
            assertTrue(benchmark.get("ns").isNumber());
            for (String number : List.of("error", "bytesPerOp", "referenceNs", "ratio", "bar")) {
                assertTrue(
                        benchmark.get(number).isNumber()
                                || benchmark.get(number).isNull(),
                        number);
            }
            assertTrue(benchmark.get("met").isBoolean() || benchmark.get("met").isNull());
        }
    }

    private static Set<String> fields(JsonNode node) {
        Set<String> names = new HashSet<>();
        node.fieldNames().forEachRemaining(names::add);
        return names;
    }

    @Test
    void reportIsMarkdownAndWellFormedSvg(@TempDir Path directory) throws Exception {
        Path below = directory.resolve("new");
        report.write(below);
        List<String> page = Files.readAllLines(below.resolve("benchmarks.md"));
        assertEquals(
                report.benchmarks().size() + 2,
                page.stream().filter(line -> line.startsWith("| ")).count());
        for (String chart : List.of("bars.svg", "sizes.svg")) {
            String svg = Files.readString(below.resolve(chart));
            assertEquals(
                    "svg",
                    DocumentBuilderFactory.newInstance()
                            .newDocumentBuilder()
                            .parse(new InputSource(new StringReader(svg)))
                            .getDocumentElement()
                            .getTagName());
            assertFalse(svg.contains("NaN"), svg);
        }
    }

    @Test
    void sizesAreComparedWithTheSmallestFigure() {
        List<Row> sizes = report.benchmarks().stream()
                .filter(row -> row.name().startsWith("Invalidation.all "))
                .toList();
        assertEquals(2, sizes.size());
        for (Row row : sizes) {
            double smallest = sizes.stream().mapToDouble(Row::best).min().orElseThrow();
            assertEquals(smallest, row.referenceNs());
            assertEquals(row.best() / smallest, row.ratio());
            assertEquals(row.ratio() <= 2, row.met());
        }
    }
}
