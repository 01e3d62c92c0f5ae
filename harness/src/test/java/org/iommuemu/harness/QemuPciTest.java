package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.iommuemu.probe.pci.GroupRun;
import org.iommuemu.probe.pci.Groups;
import org.iommuemu.probe.pci.Judgement;
import org.iommuemu.probe.pci.PciFile;
import org.iommuemu.probe.pci.PciTopology;
import org.iommuemu.probe.pci.StreamIds;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The machine of boards/pci/dump-linux, read here and now from whatever QEMU there is. */
class QemuPciTest {
    private static final List<String> DEVICES = List.of(
            "pcie-root-port,id=rp1,chassis=1,addr=01.0,multifunction=on",
            "pcie-root-port,id=rp2,chassis=2,addr=01.1",
            "pcie-root-port,id=rp3,chassis=3,addr=02.0",
            "pcie-root-port,id=rp4,chassis=4,addr=03.0,disable-acs=on",
            "x3130-upstream,id=up,bus=rp1",
            "xio3130-downstream,id=dp0,bus=up,chassis=5,addr=00.0",
            "xio3130-downstream,id=dp1,bus=up,chassis=6,addr=01.0",
            "e1000e,bus=dp0",
            "virtio-rng-pci,bus=dp1,disable-legacy=on",
            "nvme-subsys,id=sub",
            "nvme,bus=rp2,serial=x,subsys=sub,sriov_max_vfs=3,sriov_vq_flexible=6,sriov_vi_flexible=3",
            "pcie-pci-bridge,id=pci,bus=rp3",
            "e1000,bus=pci,addr=01.0",
            "e1000,bus=pci,addr=02.0",
            "e1000e,bus=rp4,addr=00.0,multifunction=on",
            "e1000e,bus=rp4,addr=00.1",
            "nec-usb-xhci,addr=04.0,multifunction=on",
            "virtio-rng-pci,addr=04.1");

    private static Groups groups(Path dump, Judgement judgement) throws IOException {
        PciTopology topology = PciFile.read(dump);
        assertEquals(List.of(), topology.warnings());
        return GroupRun.right(topology, judgement, StreamIds.unknown(topology));
    }

    @Test
    @Timeout(120)
    void aMachineThatRunsNoCodeHasTheGroupsThatLinuxSawOnIt(@TempDir Path folder) throws Exception {
        Tools.need("qemu-system-aarch64");
        Path dump = folder.resolve("qemu.lspci");
        try (QemuPci qemu = new QemuPci(DEVICES)) {
            qemu.enumerate(0);
            Files.writeString(dump, qemu.dump(0));
        }
        Map<Judgement, String> linux =
                Map.of(Judgement.AS_FOUND, "virt-linux-6.1.lspci", Judgement.ACS_ON, "virt-linux-7.2.lspci");
        for (Map.Entry<Judgement, String> one : linux.entrySet()) {
            assertEquals(
                    groups(BootTest.BOARDS.resolve("pci").resolve(one.getValue()), Judgement.AS_FOUND),
                    groups(dump, one.getKey()),
                    one::toString);
        }
    }
}
