package org.iommuemu.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** The command line, as far as it measures nothing. */
class BenchCommandTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... args) {
        CommandLine commandLine = BenchCommand.commandLine();
        commandLine.setOut(new PrintWriter(out, true));
        commandLine.setErr(new PrintWriter(err, true));
        return commandLine.execute(args);
    }

    private List<String> listed(String... args) {
        assertEquals(0, run(args), err::toString);
        return out.toString().lines().toList();
    }

    @Test
    void listHasEveryNameOnce() {
        List<String> names = listed("--list");
        assertEquals(names.size(), names.stream().distinct().count());
        assertTrue(names.contains("MicroTlb.hit"));
        assertTrue(names.contains("Map.mapAndUnmap pages=1000000 size=mixed"));
        assertTrue(names.stream().noneMatch(name -> name.contains("reference")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"MicroTlb.hit", "microtlb", "Micro.*hit", "^MicroTlb"})
    void filterIsPartOfANameOrARegularExpression(String filter) {
        assertEquals(List.of("MicroTlb.hit"), listed("--list", filter));
    }

    @Test
    void filterSelectsParameters() {
        assertEquals(List.of("Invalidation.asid entries=1000"), listed("--list", "asid entries=1000$"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"NoSuchBenchmark", "(", "reference"})
    void filterThatMatchesNothingIsOneError(String filter) {
        assertEquals(2, run(filter));
        assertEquals(1, err.toString().lines().count(), err::toString);
        assertTrue(err.toString().startsWith("iommu-emu: no benchmark has '" + filter + "' in its name"));
        assertEquals("", out.toString());
    }

    @Test
    void wrongOptionIsBadUsage() {
        assertEquals(2, run("--fast"));
        assertTrue(err.toString().contains("--fast"));
    }

    @Test
    void fileThatCannotBeWrittenIsSaidBeforeAnythingIsMeasured(@TempDir Path directory) throws Exception {
        Path file = Files.createFile(directory.resolve("file"));
        for (String[] args : new String[][] {
            {"--json", directory.resolve("no/such/folder.json").toString(), "MicroTlb"},
            {"--report", file.toString(), "MicroTlb"}
        }) {
            assertEquals(2, run(args));
            assertFalse(err.toString().contains("["), err::toString);
        }
    }
}
