package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Checks that need a tool of the machine. Without it they are skipped and say so; in CI that is an error. */
class ToolsTest {
    @Test
    void everyBoardOfOursIsWhatDtcMakesOfItsSource(@TempDir Path folder) throws Exception {
        Tools.need("dtc");
        Tools.run(folder, BootTest.BOARDS.resolve("compile").toString(), "--check");
    }

    @Test
    void theTreeOfQemusVirtMachineBoots(@TempDir Path folder) throws Exception {
        Tools.need("qemu-system-aarch64");
        Path blob = folder.resolve("virt.dtb");
        Tools.run(folder, "qemu-system-aarch64", "-machine", "virt,iommu=smmuv3,dumpdtb=" + blob);
        BootReport report = BootRun.run(DeviceTree.read(blob), BootOptions.DEFAULT, new BootTest.Lines());
        assertEquals("OK", report.rc());
        assertEquals("0x9050000", report.iommus().get(0).base());
        assertEquals("[0, 65535]", report.masters().get(0).ids().toString());
        assertTrue(report.masters().stream().allMatch(BootReport.MasterResult::ok), report::toString);
    }
}
