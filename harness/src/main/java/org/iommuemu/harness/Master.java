package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.IommuMapEntry;
import org.iommuemu.probe.devicetree.Specifier;

/**
 * A DMA master that the tree puts behind IOMMUs: a device with {@code iommus}, or the functions behind a host bridge's
 * {@code iommu-map} that go to one IOMMU, the first and the last of each entry.
 *
 * @param node the device, or the host bridge
 * @param specifiers where its DMA goes, as IOMMU and cells
 */
record Master(DeviceTreeNode node, List<Specifier> specifiers) {
    /** The available masters behind IOMMUs that there are models of, in tree order. */
    static List<Master> of(DeviceTree tree) {
        List<Master> masters = new ArrayList<>();
        for (DeviceTreeNode node : tree.nodes()) {
            if (!node.available()) {
                continue;
            }
            if (node.has("iommus")) {
                add(masters, node, node.iommus());
            }
            if (node.has("iommu-map")) {
                functions(node).values().forEach(found -> add(masters, node, List.copyOf(found)));
            }
        }
        return masters;
    }

    private static void add(List<Master> masters, DeviceTreeNode node, List<Specifier> specifiers) {
        List<Specifier> known = specifiers.stream()
                .filter(s -> IommuKind.of(s.node()).isPresent() && s.node().available())
                .toList();
        if (!known.isEmpty()) {
            masters.add(new Master(node, known));
        }
    }

    private static Map<DeviceTreeNode, Set<Specifier>> functions(DeviceTreeNode bridge) {
        Map<DeviceTreeNode, Set<Specifier>> byIommu = new LinkedHashMap<>();
        for (IommuMapEntry entry : bridge.iommuMap()) {
            long first = entry.requesterIdBase();
            for (long requesterId : new long[] {first, first + entry.length() - 1}) {
                // A mask may send a requester ID to another entry, or to none.
                bridge.mapRequesterId((int) requesterId)
                        .ifPresent(s -> byIommu.computeIfAbsent(s.node(), n -> new LinkedHashSet<>())
                                .add(s));
            }
        }
        return byIommu;
    }
}
