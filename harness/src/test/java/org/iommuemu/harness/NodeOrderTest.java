package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.junit.jupiter.api.Test;

/** Boards whose nodes stand in another order: what comes of the boot is the same. */
class NodeOrderTest {
    /** What must not depend on the order, each list sorted. */
    record Outcome(
            String rc,
            boolean ioVirtualisation,
            String dispatch,
            List<String> up,
            List<String> masters,
            List<String> paths) {
        static Outcome of(BootReport report) {
            return new Outcome(
                    report.rc(),
                    report.ioVirtualisation(),
                    report.dispatch(),
                    report.iommus().stream()
                            .map(iommu -> iommu.path() + " " + iommu.kind() + " " + iommu.up())
                            .sorted()
                            .toList(),
                    report.masters().stream()
                            .sorted(Comparator.comparing(BootReport.MasterResult::path))
                            .map(Object::toString)
                            .toList(),
                    report.unmap() == null
                            ? List.of()
                            : report.unmap().paths().stream()
                                    .map(Object::toString)
                                    .sorted()
                                    .toList());
        }
    }

    static BootReport boot(DeviceTree tree) {
        return BootRun.run(tree, BootOptions.DEFAULT, new BootTest.Lines());
    }

    /** An SMMUv3, a root, two caches and the grant table, and a master behind each: 120 orders of the IOMMUs, all of them. */
    @Test
    void everyOrderOfTheIommusGivesTheSameOutcome() {
        Outcome expected = null;
        for (List<Integer> order : permutations(IntStream.range(0, 5).boxed().toList())) {
            BootReport report = boot(board(order));
            if (expected == null) {
                expected = Outcome.of(report);
                assertEquals("mixed", report.dispatch());
                assertEquals(
                        List.of(true, true, true, true),
                        report.masters().stream()
                                .map(BootReport.MasterResult::ok)
                                .toList());
                assertTrue(report.unmap().ok());
            }
            assertEquals(expected, Outcome.of(report), order::toString);
        }
    }

    private static List<List<Integer>> permutations(List<Integer> of) {
        if (of.isEmpty()) {
            return List.of(List.of());
        }
        List<List<Integer>> all = new ArrayList<>();
        for (Integer first : of) {
            List<Integer> rest = new ArrayList<>(of);
            rest.remove(first);
            for (List<Integer> tail : permutations(rest)) {
                List<Integer> order = new ArrayList<>(List.of(first));
                order.addAll(tail);
                all.add(order);
            }
        }
        return all;
    }

    private static DeviceTree board(List<Integer> order) {
        TreeBuilder tree = TreeBuilder.tree()
                .strings("compatible", "renesas,r8a77965")
                .cells("#address-cells", 1)
                .cells("#size-cells", 1)
                .cells("interrupt-parent", 8)
                .begin("memory@40000000")
                .strings("device_type", "memory")
                .cells("reg", 0x40000000, 0x4000000)
                .end()
                .begin("interrupt-controller")
                .strings("compatible", "arm,gic-400")
                .cells("#interrupt-cells", 3)
                .cells("#address-cells", 0)
                .cells("phandle", 8)
                .cells("interrupt-controller")
                .end()
                .begin("prr@fff00044")
                .strings("compatible", "renesas,prr")
                .cells("reg", 0xfff00044, 4)
                .end();
        for (int iommu : order) {
            switch (iommu) {
                case 0 ->
                    tree.begin("iommu@2b400000")
                            .strings("compatible", "arm,smmu-v3")
                            .cells("reg", 0x2b400000, 0x20000)
                            .cells("interrupts", 0, 10, 1, 0, 11, 1)
                            .strings("interrupt-names", "eventq", "gerror");
                case 1 ->
                    tree.begin("iommu@e67b0000")
                            .strings("compatible", "renesas,ipmmu-r8a77965")
                            .cells("reg", 0xe67b0000, 0x1000)
                            .cells("interrupts", 0, 196, 4);
                case 2, 3 ->
                    tree.begin("iommu@e674" + iommu + "000")
                            .strings("compatible", "renesas,ipmmu-r8a77965")
                            .cells("reg", 0xe6740000 + iommu * 0x1000, 0x1000)
                            .cells("renesas,ipmmu-main", 2, iommu);
                default -> tree.begin("iommu").strings("compatible", "xen,grant-dma");
            }
            tree.cells("#iommu-cells", 1).cells("phandle", iommu + 1).end();
        }
        for (int iommu : new int[] {0, 2, 3, 4}) {
            tree.begin("master@" + iommu).cells("iommus", iommu + 1, 7).end();
        }
        return tree.parse();
    }
}
