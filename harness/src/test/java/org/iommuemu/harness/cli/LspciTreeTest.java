package org.iommuemu.harness.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.stream.Collectors;
import org.iommuemu.harness.Tools;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LspciTreeTest {
    /** Ours has groups and names in it, which move columns and nothing else. */
    @ParameterizedTest
    @ValueSource(strings = {"virt-linux-6.1.lspci", "virt-linux-7.2.lspci"})
    void theTreeIsThatOfLspci(String dump, @TempDir Path folder) throws Exception {
        Tools.need("lspci");
        String file = Path.of("..", "boards", "pci", dump).toString();
        String theirs = Tools.run(folder, "lspci", "-F", file, "-t");
        StringWriter out = new StringWriter();
        Main.commandLine().setOut(new PrintWriter(out, true)).execute("groups", file);
        String ours = out.toString()
                .lines()
                .filter(line -> line.matches("[-| ].*\\{.*"))
                .map(line -> line.replaceAll("\\{[-0-9]+\\}", "").replaceAll("(?<=\\.[0-7])  .*", ""))
                .collect(Collectors.joining("\n"));
        assertEquals(theirs.replaceAll("(?m)^[ |]+|\n$", ""), ours.replaceAll("(?m)^[ |]+", ""));
    }
}
