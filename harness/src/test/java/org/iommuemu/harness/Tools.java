package org.iommuemu.harness;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

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
}
