package org.iommuemu.probe.devicetree;

import static org.iommuemu.probe.devicetree.BlobTest.assertFails;
import static org.iommuemu.probe.devicetree.TreeBuilder.tree;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The iommu and pci-iommu bindings. */
class IommuBindingTest {
    private static TreeBuilder board() {
        return tree().begin("smmu")
                .cells("phandle", 1)
                .cells("#iommu-cells", 1)
                .end()
                .begin("whole")
                .cells("phandle", 2)
                .cells("#iommu-cells", 0)
                .end()
                .begin("none")
                .cells("phandle", 3)
                .end()
                .begin("damaged")
                .cells("phandle", 4)
                .cells("#iommu-cells", -1)
                .end();
    }

    private static DeviceTreeNode device(TreeBuilder board) {
        return board.parse().node("/dev").orElseThrow();
    }

    private static DeviceTreeNode master(int... iommus) {
        return device(board().begin("dev").cells("iommus", iommus).end());
    }

    private static DeviceTreeNode host(int mask, int... map) {
        return device(board().begin("dev")
                .cells("iommu-map-mask", mask)
                .cells("iommu-map", map)
                .end());
    }

    @Test
    void eachIommuTakesAsManyCellsAsItSays() {
        List<Specifier> iommus = master(1, 16, 2, 0, 1, 17).iommus();

        assertEquals(
                List.of(List.of(16), List.of(), List.of(17)),
                iommus.stream().map(Specifier::args).toList());
        assertEquals("/whole", iommus.get(1).node().path());
        assertEquals(List.of(), board().parse().root().iommus());
    }

    @Test
    void damagedReferencesAreErrorsOfTheMaster() {
        assertFails("t: /dev: iommus: phandle 0x63 names no node", master(99)::iommus);
        assertFails("t: /dev: iommus: phandle 0xffffffff names no node", master(-1)::iommus);
        assertFails("t: /none: #iommu-cells: is missing", master(3)::iommus);
        assertFails("t: /damaged: #iommu-cells: 4294967295 is more than 16", master(4)::iommus);
        assertFails("t: /dev: iommus: ends in cell 1, where #iommu-cells of /smmu asks for 1 cells", master(1)::iommus);
    }

    @Test
    void aRequesterIdGoesToTheFirstEntryThatHasItAfterTheMask() {
        DeviceTreeNode host = host(0xfff8, 0, 1, 0x10000, 0x100, 0x80, 2, 0, 0x100, 0x8000, 2, 0x40, 0x8000);
        DeviceTreeNode smmu = host.iommuMap().get(0).iommu();

        assertEquals(new IommuMapEntry(0, smmu, 0x10000, 0x100), host.iommuMap().get(0));
        assertEquals(Optional.of(new Specifier(smmu, List.of(0x10000))), host.mapRequesterId(7));
        assertEquals(Optional.of(new Specifier(smmu, List.of(0x100f8))), host.mapRequesterId(0xff));
        assertEquals(List.of(0x80), host.mapRequesterId(0x100).orElseThrow().args());
        assertEquals(Optional.empty(), host.mapRequesterId(0x180));
        assertEquals(
                List.of(0x40 + 0x7ff8),
                host.mapRequesterId(0xffff).orElseThrow().args());
        assertEquals(Optional.empty(), smmu.mapRequesterId(0));
    }

    @Test
    void anEntryMayReachTheLastIdAndNoFurther() {
        DeviceTreeNode last = host(-1, -8, 1, 0, 8);
        assertEquals(List.of(7), last.mapRequesterId(-1).orElseThrow().args());

        assertFails("t: /dev: iommu-map: entry 0xfffffff8 0x0 0x9 goes past 32 bits", host(-1, -8, 1, 0, 9)::iommuMap);
        assertFails("t: /dev: iommu-map: entry 0x0 0xffffffff 0x2 goes past 32 bits", host(-1, 0, 1, -1, 2)::iommuMap);
        assertFails(
                "t: /dev: iommu-map: has 12 bytes, which is not a multiple of 4 cells", host(-1, 0, 1, 0)::iommuMap);
        assertFails("t: /dev: iommu-map: phandle 0x0 names no node", host(-1, 0, 0, 0, 1)::iommuMap);
    }
}
