package org.iommuemu.probe.devicetree;

import static org.iommuemu.probe.devicetree.BlobTest.assertFails;
import static org.iommuemu.probe.devicetree.TreeBuilder.tree;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Devicetree Specification v0.4, 2.4. */
class InterruptTest {
    private static final int GIC = 1;
    private static final int COMBINER = 2;

    /** A root whose interrupts go to a GIC, which comes after a controller of two cells. */
    private static TreeBuilder board() {
        return tree().cells("interrupt-parent", GIC)
                .begin("mbigen")
                .strings("compatible", "hisilicon,mbigen-v2")
                .bytes("interrupt-controller")
                .cells("#interrupt-cells", 2)
                .cells("phandle", COMBINER)
                .end()
                .begin("gic")
                .strings("compatible", "arm,gic-v3")
                .bytes("interrupt-controller")
                .cells("#interrupt-cells", 3)
                .cells("phandle", GIC)
                .cells("interrupts", 1, 9, 4)
                .end();
    }

    private static List<List<Integer>> cells(DeviceTreeNode node) {
        return node.interrupts().stream().map(InterruptSpecifier::cells).toList();
    }

    private static List<Integer> numbers(DeviceTree tree, String path) {
        return tree.node(path).orElseThrow().interrupts().stream()
                .map(tree::interruptNumber)
                .toList();
    }

    @Test
    void interruptsGoToTheInheritedInterruptParent() {
        DeviceTree tree = board().begin("soc")
                .begin("smmu")
                .cells("interrupts", 0, 74, 1, 0, 75, 4)
                .strings("interrupt-names", "eventq", "gerror", "more")
                .end()
                .end()
                .parse();
        DeviceTreeNode smmu = tree.node("/soc/smmu").orElseThrow();

        assertEquals(List.of(List.of(0, 74, 1), List.of(0, 75, 4)), cells(smmu));
        assertEquals("/gic", smmu.interrupts().get(0).controller().path());
        assertEquals(Optional.of(smmu.interrupts().get(1)), smmu.interrupt("gerror"));
        assertEquals(Optional.empty(), smmu.interrupt("priq"));
        assertFails(
                "t: /soc/smmu: interrupt-names: name 2 has no interrupt, there are only 2",
                () -> smmu.interrupt("more"));
        assertEquals(List.of(106, 107), numbers(tree, "/soc/smmu"));
        assertEquals(List.of(25), numbers(tree, "/gic"));
        assertEquals(List.of(), tree.root().interrupts());
    }

    @Test
    void interruptsExtendedWinsAndItsEmptyEntriesKeepTheirNames() {
        DeviceTreeNode node = board().begin("n")
                .cells("interrupts", 0, 1, 4)
                .cells("interrupts-extended", GIC, 0, 2, 4, 0, COMBINER, 640, 1)
                .strings("interrupt-names", "a", "b", "c")
                .end()
                .parse()
                .node("/n")
                .orElseThrow();

        assertEquals(List.of(List.of(0, 2, 4), List.of(640, 1)), cells(node));
        assertEquals(Optional.empty(), node.interrupt("b"));
        assertEquals(List.of(640, 1), node.interrupt("c").orElseThrow().cells());
    }

    /** A PCI host bridge: the map matches the device's number and its pin. */
    private static TreeBuilder pci(int... map) {
        return board().begin("pcie")
                .cells("#address-cells", 3)
                .cells("#size-cells", 2)
                .cells("#interrupt-cells", 1)
                .cells("interrupt-map-mask", 0xf800, 0, 0, 7)
                .cells("interrupt-map", map)
                .begin("dev@1")
                .cells("reg", 0x80900, 0, 0, 0, 0)
                .cells("interrupts", 2)
                .end()
                .end();
    }

    @Test
    void anInterruptMapLeadsOnByMaskedAddressAndPin() {
        DeviceTree tree = pci(
                        0, 0, 0, 2, GIC, 0, 10, 4, //
                        0x800, 0, 0, 1, GIC, 0, 11, 4, //
                        0x800, 0, 0, 2, GIC, 0, 12, 4, //
                        0x800, 0, 0, 2, GIC, 0, 13, 4)
                .parse();

        assertEquals(List.of(List.of(0, 12, 4)), cells(tree.node("/pcie/dev").orElseThrow()));
        assertEquals(List.of(44), numbers(tree, "/pcie/dev"));
    }

    @Test
    void anInterruptMapCanLeadToAnotherWithItsOwnAddresses() {
        DeviceTree tree = board().begin("inner")
                .cells("phandle", 8)
                .cells("#address-cells", 1)
                .cells("#interrupt-cells", 1)
                .cells("interrupt-map", 0x77, 3, GIC, 0, 20, 4)
                .end()
                .begin("outer")
                .cells("#address-cells", 0)
                .cells("#interrupt-cells", 1)
                .cells("interrupt-map", 5, 8, 0x77, 3)
                .begin("n")
                .cells("interrupts", 5)
                .end()
                .end()
                .parse();

        assertEquals(List.of(List.of(0, 20, 4)), cells(tree.node("/outer/n").orElseThrow()));
    }

    @Test
    void damagedMapsAreErrorsOfTheDeviceThatUsesThem() {
        assertFails(
                "t: /pcie/dev@1: interrupts: <0x2> is in no entry of interrupt-map of /pcie",
                () -> pci().parse().node("/pcie/dev").orElseThrow().interrupts());
        assertFails("t: /pcie: interrupt-map: ends inside of the entry at cell 0", () -> pci(0x800, 0, 0, 2)
                .parse()
                .node("/pcie/dev")
                .orElseThrow()
                .interrupts());
        assertFails("t: /pcie: interrupt-map: ends inside of the entry at cell 0, for /gic", () -> pci(
                        0x800, 0, 0, 2, GIC, 0, 1)
                .parse()
                .node("/pcie/dev")
                .orElseThrow()
                .interrupts());
        assertFails("t: /pcie: interrupt-map: phandle 0x63 names no node", () -> pci(0x800, 0, 0, 2, 99, 0, 1)
                .parse()
                .node("/pcie/dev")
                .orElseThrow()
                .interrupts());
    }

    @Test
    void circlesEnd() {
        DeviceTree maps = tree().cells("#address-cells", 0)
                .cells("#interrupt-cells", 1)
                .cells("phandle", 3)
                .cells("interrupt-map", 1, 3, 1)
                .begin("n")
                .cells("interrupts", 1)
                .end()
                .parse();
        assertFails(
                "t: /n: interrupts: interrupt-map goes in circles, through /",
                () -> maps.nodes().get(1).interrupts());

        // From b to its tree parent, which names b.
        DeviceTree parents = tree().begin("a")
                .cells("interrupt-parent", 2)
                .begin("b")
                .cells("phandle", 2)
                .cells("interrupts", 1)
                .end()
                .end()
                .parse();
        assertFails(
                "t: /a/b: interrupt-parent: goes in circles, through /a/b",
                () -> parents.nodes().get(2).interrupts());
    }

    @Test
    void damagedInterruptsAreErrorsOnlyWhenUsed() {
        DeviceTree tree = board().begin("a")
                .cells("interrupts", 0, 1)
                .end()
                .begin("b")
                .cells("interrupt-parent", 77)
                .cells("interrupts", 0)
                .end()
                .begin("c")
                .cells("interrupts-extended", GIC, 0, 1)
                .end()
                .begin("d")
                .cells("phandle", 9)
                .cells("#interrupt-cells", 0)
                .begin("e")
                .cells("interrupts", 0)
                .end()
                .end()
                .begin("good")
                .cells("interrupts", 0, 1, 4)
                .end()
                .parse();

        assertFails(
                "t: /a: interrupts: 2 cells are not a multiple of the 3 of /gic",
                tree.node("/a").orElseThrow()::interrupts);
        assertFails(
                "t: /b: interrupt-parent: phandle 0x4d names no node",
                tree.node("/b").orElseThrow()::interrupts);
        assertFails(
                "t: /c: interrupts-extended: ends in cell 3, where #interrupt-cells of /gic asks for 3 cells",
                tree.node("/c").orElseThrow()::interrupts);
        assertFails(
                "t: /d/e: interrupts: 1 cells are not a multiple of the 0 of /d",
                tree.node("/d/e").orElseThrow()::interrupts);
        assertFails(
                "t: /n: interrupts: the node has no interrupt parent",
                tree().begin("n").cells("interrupts", 1).end().parse().nodes().get(1)::interrupts);
        assertEquals(List.of(33), numbers(tree, "/good"));
    }

    @Test
    void numbersBesidesTheGicFollowTheTreeAndNotTheQueries() {
        TreeBuilder builder = board().begin("x")
                .cells("interrupts-extended", COMBINER, 640, 4, COMBINER, 641, 4)
                .end()
                .begin("y")
                .cells("interrupts-extended", COMBINER, 642, 1, COMBINER, 640, 1)
                .end()
                .begin("agic")
                .strings("compatible", "nvidia,tegra210-agic")
                .cells("#interrupt-cells", 3)
                .cells("phandle", 4)
                .end()
                .begin("z")
                .cells("interrupts-extended", 4, 0, 1, 4)
                .end();
        DeviceTree tree = builder.parse();

        assertEquals(List.of(8195), numbers(tree, "/z"));
        assertEquals(List.of(8194, 8192), numbers(tree, "/y"));
        assertEquals(List.of(8192, 8193), numbers(tree, "/x"));
        InterruptSpecifier unused = new InterruptSpecifier(tree.node("/mbigen").orElseThrow(), List.of(7, 4));
        assertFails("t: /mbigen: interrupt: <0x7 0x4> is used by no node", () -> tree.interruptNumber(unused));
    }

    @Test
    void aGicThatHandsItsInterruptsOnIsNotTheFirst() {
        DeviceTree tree = tree().cells("interrupt-parent", GIC)
                .begin("agic")
                .strings("compatible", "nvidia,tegra210-agic")
                .cells("#interrupt-cells", 3)
                .cells("phandle", 4)
                .end()
                .begin("gic")
                .strings("compatible", "arm,gic-400")
                .cells("#interrupt-cells", 3)
                .cells("phandle", GIC)
                .end()
                .begin("n")
                .cells("interrupts-extended", 4, 0, 1, 4, GIC, 0, 1, 4)
                .end()
                .parse();

        assertEquals(List.of(8192, 33), numbers(tree, "/n"));
    }

    @Test
    void gicNumbersAreInterruptIds() {
        DeviceTree tree = board().parse();
        DeviceTreeNode gic = tree.node("/gic").orElseThrow();
        int[][] expected = {{0, 0, 32}, {0, 987, 1019}, {1, 15, 31}, {2, 0, 4096}, {2, 1023, 5119}, {3, 63, 1119}};
        for (int[] row : expected) {
            assertEquals(row[2], tree.interruptNumber(new InterruptSpecifier(gic, List.of(row[0], row[1], 4, 0))));
        }
        int[][] none = {{0, 988}, {1, 16}, {2, 1024}, {3, 64}, {4, 0}, {0, -1}};
        for (int[] row : none) {
            InterruptSpecifier spec = new InterruptSpecifier(gic, List.of(row[0], row[1], 4));
            assertFails(
                    String.format("t: /gic: interrupt: <0x%x 0x%x 0x4> is no interrupt of a GIC", row[0], row[1]),
                    () -> tree.interruptNumber(spec));
        }
    }

    @Test
    void anInterruptParentThatGoesInCirclesIsRefusedEvenIfNobodyUsesIt() {
        TreeBuilder tree = TreeBuilder.tree();
        for (int i = 1; i <= 3; i++) {
            tree.begin("pic" + i)
                    .cells("phandle", i)
                    .cells("interrupt-parent", i % 3 + 1)
                    .cells("#interrupt-cells", 1)
                    .end();
        }
        assertFails("t: /pic1: interrupt-parent: goes in circles", tree::parse);
    }

    @Test
    void aControllerThatIsItsOwnInterruptParentIsARoot() {
        TreeBuilder.tree()
                .begin("gic")
                .cells("phandle", 1)
                .cells("interrupt-parent", 1)
                .cells("#interrupt-cells", 1)
                .end()
                .parse();
    }
}
