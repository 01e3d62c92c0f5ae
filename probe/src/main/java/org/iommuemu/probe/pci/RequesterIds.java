package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.TreeSet;

/** Under which requester IDs the DMA of a function reaches the IOMMU (Linux pci_for_each_dma_alias). */
final class RequesterIds {
    private RequesterIds() {}

    /** All of them, 16 bits each, its own among them. */
    static SortedSet<Integer> of(PciTopology topology, PciFunction function) {
        SortedSet<Integer> ids = new TreeSet<>();
        int bus = function.address().bus() << 8;
        ids.add(function.address().requesterId());
        devfns(topology, function).forEach(devfn -> ids.add(bus | devfn));
        phantoms(function).forEach(devfn -> ids.add(bus | devfn));
        for (PciFunction bridge : owners(topology, function)) {
            ids.add(
                    takesAsExpressBridge(topology, bridge)
                            ? bridge.buses().orElseThrow().secondary() << 8
                            : bridge.address().requesterId());
        }
        return ids;
    }

    /** The devfns on its own bus that quirks and the text form add. */
    static Set<Integer> devfns(PciTopology topology, PciFunction function) {
        Set<Integer> devfns = topology.quirks().aliases(topology.id(function), function.address());
        devfns.addAll(function.aliases());
        return devfns;
    }

    /** Its phantom functions: unclaimed function numbers that its requests use for more tags (2.2.6.2, 7.5.3.3). */
    private static List<Integer> phantoms(PciFunction function) {
        List<Integer> devfns = new ArrayList<>();
        int bits = function.phantomBits();
        for (int i = 1; i < 1 << bits; i++) {
            devfns.add(function.address().devfn() | i << 3 - bits);
        }
        return devfns;
    }

    /**
     * The bridges that may put their own requester ID in place of a function's, up to the IOMMU: those with a conventional
     * bus on either side (PCI Express to PCI/PCI-X Bridge Specification 1.0, 2.3).
     */
    static List<PciFunction> owners(PciTopology topology, PciFunction function) {
        return topology.path(function)
                .takeWhile(bridge -> !topology.quirks().translatesHere(bridge.id()))
                .filter(bridge -> !bridge.type().isPort())
                .filter(bridge -> bridge.type() == PcieType.PCIE_TO_PCI_BRIDGE
                        || bridge.type() == PcieType.PCI_TO_PCIE_BRIDGE
                        || bridge.type() == PcieType.CONVENTIONAL)
                .toList();
    }

    /** Whether a bridge uses its secondary bus, device 0, function 0, as PCI Express to PCI bridges do. */
    private static boolean takesAsExpressBridge(PciTopology topology, PciFunction bridge) {
        if (bridge.type() == PcieType.PCIE_TO_PCI_BRIDGE) {
            return true;
        }
        return bridge.type() == PcieType.CONVENTIONAL
                && topology.quirks().hidesItsExpressSide(bridge.id())
                && topology.upstream(bridge)
                        .map(PciFunction::type)
                        .filter(type -> type != PcieType.CONVENTIONAL && type != PcieType.PCIE_TO_PCI_BRIDGE)
                        .isPresent();
    }
}
