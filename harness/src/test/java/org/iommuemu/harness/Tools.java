package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;

/** Programs of the machine that tests use where they are there. */
public final class Tools {
    private Tools() {}

    /** Skips the test, and says so, without a program on the path. */
    public static void need(String tool) {
        boolean there = Arrays.stream(System.getenv("PATH").split(":"))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, tool)));
        if (!there) {
            System.out.println("[WARNING] skipped, as there is no " + tool);
        }
        assumeTrue(there, "there is no " + tool);
    }

    /** Runs a command in at most a minute and returns what it says; the folder is for its output. */
    public static String run(Path folder, String... command) throws IOException, InterruptedException {
        return run(0, folder, command);
    }

    /** The same of a command that ends with a status. */
    public static String run(int status, Path folder, String... command) throws IOException, InterruptedException {
        Path output = folder.resolve("output");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it hangs");
        String said = Files.readString(output);
        assertEquals(status, process.exitValue(), said);
        return said;
    }
}
