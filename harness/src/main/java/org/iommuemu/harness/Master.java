package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
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
 * {@code iommu-map} that go to one IOMMU.
 *
 * @param node the device, or the host bridge
 * @param specifiers where its DMA goes, as IOMMU and cells
 * @param functions of a host bridge, each with its own specifiers
 */
record Master(DeviceTreeNode node, List<Specifier> specifiers, Map<PciAddress, List<Specifier>> functions) {
    /**
     * The available masters behind available IOMMUs, in tree order. What a device has behind IOMMUs without a model is one
     * of its own, {@link #hasModel}.
     *
     * @param pci the PCI functions there are; empty for the first and the last that each entry of {@code iommu-map} is for
     */
    static List<Master> of(DeviceTree tree, Optional<StreamIds> pci) {
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
                Map<PciAddress, List<Specifier>> functions =
                        pci.map(ids -> ids.behind(node)).orElseGet(() -> ends(node, domains.getOrDefault(node, 0)));
                addFunctions(masters, node, functions);
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
                .forEach(some -> masters.add(new Master(node, some, Map.of())));
    }

    /** Whether there is a model of the IOMMUs; otherwise none of them ever comes up. */
    boolean hasModel() {
        return IommuKind.of(specifiers.get(0).node()).isPresent();
    }

    /** Whether it is kept for a guest: domain 0 does not get it (Xen dt_device_for_passthrough, handle_device). */
    boolean isForPassthrough() {
        return node.has("xen,passthrough");
    }

    private static void addFunctions(
            List<Master> masters, DeviceTreeNode bridge, Map<PciAddress, List<Specifier>> functions) {
        Map<DeviceTreeNode, Map<PciAddress, List<Specifier>>> byIommu = new LinkedHashMap<>();
        functions.forEach((address, specifiers) -> {
            DeviceTreeNode iommu = specifiers.get(0).node();
            if (iommu.available()) {
                byIommu.computeIfAbsent(iommu, n -> new LinkedHashMap<>()).put(address, specifiers);
            }
        });
        byIommu.values().forEach(some -> {
            List<Specifier> all =
                    some.values().stream().flatMap(List::stream).distinct().toList();
            masters.add(new Master(bridge, all, some));
        });
    }

    /** The first and the last function that each entry of a bridge's map is for; of those with one ID the first. */
    private static Map<PciAddress, List<Specifier>> ends(DeviceTreeNode bridge, int domain) {
        Map<PciAddress, List<Specifier>> functions = new LinkedHashMap<>();
        Set<Specifier> seen = new HashSet<>();
        for (IommuMapEntry entry : bridge.iommuMap()) {
            long first = entry.requesterIdBase();
            for (long requesterId : new long[] {first, first + entry.length() - 1}) {
                // A mask may send a requester ID to another entry, or to none.
                bridge.mapRequesterId((int) requesterId)
                        .filter(seen::add)
                        .ifPresent(s -> functions.put(PciAddress.of(domain, (int) requesterId), List.of(s)));
            }
        }
        return functions;
    }

    /** The devices that it is to the framework: itself, or each function by itself; with the specifiers of each. */
    Map<Device, List<Specifier>> devices() {
        Map<Device, List<Specifier>> devices = new LinkedHashMap<>();
        functions.forEach((address, own) -> devices.put(new Device(node, node.path() + " " + address), own));
        if (functions.isEmpty()) {
            devices.put(new Device(node), specifiers);
        }
        return devices;
    }
}
