package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.IommuMapEntry;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.pci.PciAddress;
import org.iommuemu.probe.pci.StreamIds;

/**
 * A DMA master that the tree puts behind IOMMUs: a device with {@code iommus}, or the functions behind a host bridge's
 * {@code iommu-map} that go to one IOMMU, the first and the last of each entry.
 *
 * @param node the device, or the host bridge
 * @param specifiers where its DMA goes, as IOMMU and cells
 * @param functions of a host bridge: for each specifier the function that it is of
 */
record Master(DeviceTreeNode node, List<Specifier> specifiers, List<PciAddress> functions) {
    /**
     * The available masters behind available IOMMUs, in tree order. What a device has behind IOMMUs without a model is one
     * of its own, {@link #hasModel}.
     */
    static List<Master> of(DeviceTree tree) {
        List<Master> masters = new ArrayList<>();
        Map<DeviceTreeNode, Integer> domains = StreamIds.domains(tree);
        for (DeviceTreeNode node : tree.nodes()) {
            if (!node.available()) {
                continue;
            }
            if (node.has("iommus")) {
                add(masters, node, node.iommus());
            }
            if (GrantDmaDriver.hasOlderBinding(node)) {
                add(masters, node, List.of(GrantDmaDriver.olderSpecifier(node)));
            }
            if (node.has("iommu-map")) {
                functions(node, domains.getOrDefault(node, 0)).forEach((iommu, found) -> {
                    if (iommu.available()) {
                        masters.add(new Master(node, List.copyOf(found.keySet()), List.copyOf(found.values())));
                    }
                });
            }
        }
        return masters;
    }

    private static void add(List<Master> masters, DeviceTreeNode node, List<Specifier> specifiers) {
        specifiers.stream()
                .filter(s -> s.node().available())
                .collect(Collectors.partitioningBy(s -> IommuKind.of(s.node()).isPresent()))
                .values()
                .stream()
                .filter(some -> !some.isEmpty())
                .forEach(some -> masters.add(new Master(node, some, List.of())));
    }

    /** Whether there is a model of the IOMMUs; otherwise none of them ever comes up. */
    boolean hasModel() {
        return IommuKind.of(specifiers.get(0).node()).isPresent();
    }

    /** Whether it is kept for a guest: domain 0 does not get it (Xen dt_device_for_passthrough, handle_device). */
    boolean isForPassthrough() {
        return node.has("xen,passthrough");
    }

    /** By IOMMU and specifier there: the first function that has it. */
    private static Map<DeviceTreeNode, Map<Specifier, PciAddress>> functions(DeviceTreeNode bridge, int domain) {
        Map<DeviceTreeNode, Map<Specifier, PciAddress>> byIommu = new LinkedHashMap<>();
        for (IommuMapEntry entry : bridge.iommuMap()) {
            long first = entry.requesterIdBase();
            for (long requesterId : new long[] {first, first + entry.length() - 1}) {
                // A mask may send a requester ID to another entry, or to none.
                bridge.mapRequesterId((int) requesterId)
                        .ifPresent(s -> byIommu.computeIfAbsent(s.node(), n -> new LinkedHashMap<>())
                                .putIfAbsent(s, PciAddress.of(domain, (int) requesterId)));
            }
        }
        return byIommu;
    }

    /** The devices that it is to the framework: itself, or each function by itself; with the specifiers of each. */
    Map<Device, List<Specifier>> devices() {
        Map<Device, List<Specifier>> devices = new LinkedHashMap<>();
        for (int i = 0; i < functions.size(); i++) {
            devices.put(new Device(node, node.path() + " " + functions.get(i)), List.of(specifiers.get(i)));
        }
        if (functions.isEmpty()) {
            devices.put(new Device(node), specifiers);
        }
        return devices;
    }
}
