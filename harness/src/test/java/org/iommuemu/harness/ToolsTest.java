package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.TimeUnit;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Checks that need a tool of the machine. Without it they are skipped and say so; in CI that is an error. */
public class ToolsTest {
    /** Skips the test, visibly, unless the tool is on the path. */
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
        Path output = folder.resolve("output");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertTrue(process.waitFor(60, TimeUnit.SECONDS), "it hangs");
        String said = Files.readString(output);
        assertEquals(0, process.exitValue(), said);
        return said;
    }

    @Test
    void everyBoardOfOursIsWhatDtcMakesOfItsSource(@TempDir Path folder) throws Exception {
        need("dtc");
        run(folder, BootTest.BOARDS.resolve("compile").toString(), "--check");
    }

    @Test
    void theTreeOfQemusVirtMachineBoots(@TempDir Path folder) throws Exception {
        need("qemu-system-aarch64");
        Path blob = folder.resolve("virt.dtb");
        run(folder, "qemu-system-aarch64", "-machine", "virt,iommu=smmuv3,dumpdtb=" + blob);
        BootReport report = BootRun.run(DeviceTree.read(blob), BootOptions.DEFAULT, new BootTest.Lines());
        assertEquals("OK", report.rc());
        assertEquals("0x9050000", report.iommus().get(0).base());
        assertEquals("[0, 65535]", report.masters().get(0).ids().toString());
        assertTrue(report.masters().stream().allMatch(BootReport.MasterResult::ok), report::toString);
    }
}
