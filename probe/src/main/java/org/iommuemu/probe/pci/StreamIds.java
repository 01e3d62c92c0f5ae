package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Property;
import org.iommuemu.probe.devicetree.Specifier;

/** Which IOMMU translates a function, and by which StreamIDs: {@code iommu-map} of its host bridge. */
public final class StreamIds {
    private static final int BUSES = 256;

    /**
     * One ID at one IOMMU.
     *
     * @param iommu the IOMMU's node
     * @param id the StreamID there, an unsigned number
     */
    public record Stream(DeviceTreeNode iommu, int id) {}

    private final Map<PciFunction, List<Stream>> streams;
    private final Map<DeviceTreeNode, List<PciFunction>> hosts;
    private final Set<PciFunction> translated;
    private final List<String> warnings;

    private StreamIds(
            Map<PciFunction, List<Stream>> streams,
            Map<DeviceTreeNode, List<PciFunction>> hosts,
            Set<PciFunction> translated,
            List<String> warnings) {
        this.streams = streams;
        this.hosts = hosts;
        this.translated = translated;
        this.warnings = warnings;
    }

    /** Nothing is known of StreamIDs: an IOMMU stands before every function whose line does not say otherwise. */
    public static StreamIds unknown(PciTopology topology) {
        Set<PciFunction> translated = new HashSet<>(topology.functions());
        translated.removeIf(f -> !f.translated());
        return new StreamIds(Map.of(), Map.of(), translated, List.of());
    }

    /**
     * Maps the requester IDs of every function. The host bridge of a function is the node with {@code device_type = "pci"}
     * of its domain ({@link #domains}) whose {@code bus-range} has its root bus.
     *
     * @throws org.iommuemu.probe.devicetree.DeviceTreeException if a property that this needs is malformed
     */
    public static StreamIds of(DeviceTree tree, PciTopology topology) {
        Map<DeviceTreeNode, Integer> domains = domains(tree);
        Map<PciFunction, List<Stream>> streams = new HashMap<>();
        Map<DeviceTreeNode, List<PciFunction>> hosts = new IdentityHashMap<>();
        Set<String> warnings = new LinkedHashSet<>();
        for (PciFunction function : topology.functions()) {
            PciTopology.Bus root = rootBus(topology, function);
            Optional<DeviceTreeNode> host = domains.entrySet().stream()
                    .filter(e ->
                            e.getValue() == root.domain() && buses(e.getKey()).contains(root.number()))
                    .map(Map.Entry::getKey)
                    .findFirst();
            if (host.isEmpty()) {
                warnings.add("%s: no host bridge has bus %s: what is there counts as behind no IOMMU"
                        .formatted(tree.name(), root));
                continue;
            }
            List<Stream> ids = new ArrayList<>();
            for (int requesterId : RequesterIds.of(topology, function)) {
                host.get()
                        .mapRequesterId(requesterId)
                        .filter(specifier -> specifier.node().available())
                        .ifPresent(specifier -> ids.add(stream(specifier)));
            }
            if (function.translated() && !ids.isEmpty()) {
                streams.put(function, List.copyOf(new LinkedHashSet<>(ids)));
                hosts.computeIfAbsent(host.get(), h -> new ArrayList<>()).add(function);
            }
        }
        return new StreamIds(streams, hosts, streams.keySet(), List.copyOf(warnings));
    }

    private static Stream stream(Specifier specifier) {
        return new Stream(specifier.node(), specifier.args().get(0));
    }

    private static PciTopology.Bus rootBus(PciTopology topology, PciFunction function) {
        PciFunction top = topology.path(function).reduce(function, (below, above) -> above);
        return PciTopology.Bus.of(top.address());
    }

    /**
     * The available host bridges of a tree, each with its PCI domain: {@code linux,pci-domain}, else counted in the tree's
     * order.
     */
    public static Map<DeviceTreeNode, Integer> domains(DeviceTree tree) {
        List<DeviceTreeNode> hosts =
                tree.nodes().stream().filter(StreamIds::isHostBridge).toList();
        Set<Integer> taken = new HashSet<>();
        hosts.forEach(host -> statedDomain(host).ifPresent(taken::add));
        Map<DeviceTreeNode, Integer> domains = new LinkedHashMap<>();
        int next = 0;
        for (DeviceTreeNode host : hosts) {
            while (taken.contains(next)) {
                next++;
            }
            int domain = statedDomain(host).orElse(next);
            taken.add(domain);
            domains.put(host, domain);
        }
        return domains;
    }

    private static boolean isHostBridge(DeviceTreeNode node) {
        return node.available()
                && node.property("device_type")
                        .map(Property::string)
                        .filter("pci"::equals)
                        .isPresent();
    }

    private static Optional<Integer> statedDomain(DeviceTreeNode host) {
        return host.property("linux,pci-domain").map(Property::u32);
    }

    private static BusRange buses(DeviceTreeNode host) {
        return host.property("bus-range")
                .filter(range -> range.cells() == 2)
                .map(range -> new BusRange(range.cell(0), range.cell(1)))
                .orElse(new BusRange(0, BUSES - 1));
    }

    /** Whether an IOMMU stands before a function; without one it has no group. */
    public boolean translates(PciFunction function) {
        return translated.contains(function);
    }

    /** The IDs of a function, one for each of its requester IDs at most; none where nothing is known. */
    public List<Stream> of(PciFunction function) {
        return streams.getOrDefault(function, List.of());
    }

    /** The functions behind a host bridge that an IOMMU translates, in the topology's order, with their IDs. */
    public Map<PciAddress, List<Specifier>> behind(DeviceTreeNode host) {
        Map<PciAddress, List<Specifier>> functions = new LinkedHashMap<>();
        for (PciFunction function : hosts.getOrDefault(host, List.of())) {
            functions.put(
                    function.address(),
                    of(function).stream()
                            .map(stream -> new Specifier(stream.iommu(), List.of(stream.id())))
                            .toList());
        }
        return functions;
    }

    /** What the tree leaves open, a sentence each. */
    public List<String> warnings() {
        return warnings;
    }

    /** Functions that an IOMMU cannot tell apart. */
    List<Bond> shared(PciTopology topology) {
        Map<Stream, PciFunction> users = new HashMap<>();
        List<Bond> bonds = new ArrayList<>();
        for (PciFunction function : topology.functions()) {
            for (Stream stream : of(function)) {
                PciFunction user = users.putIfAbsent(stream, function);
                if (user != null && user != function) {
                    bonds.add(new Bond(
                            Rule.STREAM_ID,
                            user,
                            function,
                            "both are StreamID 0x%x of %s"
                                    .formatted(Integer.toUnsignedLong(stream.id()), stream.iommu())));
                }
            }
        }
        return Collections.unmodifiableList(bonds);
    }
}
