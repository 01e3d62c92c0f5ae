package org.iommuemu.probe.devicetree;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/** A flattened device tree (Devicetree Specification v0.4): format versions 16 and 17, at most 8 MiB. Immutable. */
public final class DeviceTree {
    private final String name;
    private final byte[] blob;
    private final List<AddressRange> memoryReservations;
    private final List<DeviceTreeNode> nodes;
    private final Map<Integer, DeviceTreeNode> phandles = new HashMap<>();
    private Interrupts.Numbers interruptNumbers;

    private DeviceTree(String name, byte[] blob) {
        this.name = Objects.requireNonNull(name);
        this.blob = blob;
        BlobReader reader = new BlobReader(this, blob);
        memoryReservations = reader.memoryReservations();
        nodes = reader.nodes();
        for (DeviceTreeNode node : nodes) {
            // "linux,phandle" is what trees had before ePAPR; dtc can still write it.
            node.property("phandle").or(() -> node.property("linux,phandle")).ifPresent(this::addPhandle);
        }
        Interrupts.refuseCircles(this);
    }

    private void addPhandle(Property property) {
        int phandle = property.u32();
        if (phandle == 0 || phandle == -1) {
            throw property.error("0x%x is not a phandle", phandle);
        }
        DeviceTreeNode other = phandles.putIfAbsent(phandle, property.node());
        if (other != null) {
            throw property.error("0x%x is the phandle of %s too", phandle, other);
        }
    }

    /**
     * Reads a tree from a file.
     *
     * @param file its path, as given, is the tree's name in errors
     * @throws IOException if the file cannot be read
     * @throws DeviceTreeException if it is no tree that {@link #parse} takes
     */
    public static DeviceTree read(Path file) throws IOException {
        try (InputStream in = Files.newInputStream(file)) {
            return new DeviceTree(file.toString(), in.readNBytes(BlobReader.MAX_SIZE));
        }
    }

    /**
     * Reads a tree from memory.
     *
     * @param name the tree's name in errors
     * @param blob the tree, and possibly more bytes after its end; copied
     * @throws DeviceTreeException if the blob is not a well-formed tree, nests nodes more than 64 deep (the root is
     *     one), has a name of more than 255 bytes, or gives two siblings or two properties of a node the same
     *     name, or two nodes the same phandle, or has an interrupt-parent that goes in circles
     */
    public static DeviceTree parse(String name, byte[] blob) {
        return new DeviceTree(name, Arrays.copyOf(blob, Math.min(blob.length, BlobReader.MAX_SIZE)));
    }

    /** Returns the name under which errors speak of this tree. */
    public String name() {
        return name;
    }

    /** Returns the blob that was read, for software that reads it itself; a copy. */
    public byte[] blob() {
        return blob.clone();
    }

    /** Returns the root node. */
    public DeviceTreeNode root() {
        return nodes.get(0);
    }

    /** Returns every node in the blob's order: depth first, the root first; immutable. */
    public List<DeviceTreeNode> nodes() {
        return nodes;
    }

    /**
     * Returns the node at a path: {@code "/soc/iommu@e67b0000"}, or an alias and possibly a path below it,
     * {@code "serial0/child"} (2.2.3, 3.3). A unit address may be left out where only one sibling has the name.
     */
    public Optional<DeviceTreeNode> node(String path) {
        String absolute = path;
        if (!path.startsWith("/")) {
            int slash = path.indexOf('/');
            String alias = slash < 0 ? path : path.substring(0, slash);
            absolute = node("/aliases")
                    .flatMap(n -> n.property(alias))
                    .map(Property::string)
                    .orElse("");
            if (!absolute.startsWith("/")) {
                return Optional.empty();
            }
            absolute += path.substring(alias.length());
        }
        DeviceTreeNode node = root();
        for (String part : absolute.split("/")) {
            if (!part.isEmpty() && node != null) {
                node = node.child(part);
            }
        }
        return Optional.ofNullable(node);
    }

    /** Returns the node with that {@code phandle} (2.3.3). */
    public Optional<DeviceTreeNode> byPhandle(int phandle) {
        return Optional.ofNullable(phandles.get(phandle));
    }

    /** Returns the first node, in the tree's order and available or not, that is {@code compatible}. */
    public Optional<DeviceTreeNode> compatibleNode(String compatible) {
        return nodes.stream().filter(node -> node.isCompatible(compatible)).findFirst();
    }

    /** Returns the entries of the memory reservation block (5.3); immutable. */
    public List<AddressRange> memoryReservations() {
        return memoryReservations;
    }

    /**
     * Returns the RAM: {@code reg} of every available node with {@code device_type = "memory"} (3.4), in the tree's
     * order. Entries of size zero, which boot loaders are to fill in, are left out.
     */
    public List<AddressRange> memory() {
        return available(nodes.stream()
                .filter(node -> node.property("device_type")
                        .map(type -> type.string().equals("memory"))
                        .orElse(false))
                .toList());
    }

    /**
     * Returns the memory with a special use: {@code reg} of every available child of {@code /reserved-memory} (3.5).
     * Children that only ask for a {@code size} have no place yet and are not in the list.
     */
    public List<AddressRange> reservedMemory() {
        return available(node("/reserved-memory").map(DeviceTreeNode::children).orElse(List.of()));
    }

    private static List<AddressRange> available(List<DeviceTreeNode> nodes) {
        List<AddressRange> ranges = new ArrayList<>();
        for (DeviceTreeNode node : nodes) {
            if (node.available()) {
                ranges.addAll(node.reg());
            }
        }
        ranges.removeIf(range -> range.size() == 0);
        return List.copyOf(ranges);
    }

    /**
     * Returns the number of an interrupt in one flat space, which follows from the tree alone: whoever holds the same
     * tree gets the same number. An interrupt of the tree's first GIC has its INTID: 16 + n for a PPI, 32 + n for an
     * SPI, 1056 + n and 4096 + n for the extended ones of GICv3. Any other controller's have numbers from 8192 on, in
     * the order in which the tree's nodes use them. How the interrupt is triggered makes no difference.
     *
     * <p>The first GIC is the first available one that is its own interrupt parent, or has none; a GIC that hands its
     * interrupts on to another one is not it, even if it comes earlier.
     *
     * @param spec an interrupt that some node of this tree uses, or any one of the first GIC
     * @throws DeviceTreeException if the GIC has no such interrupt, or no node uses it
     */
    public int interruptNumber(InterruptSpecifier spec) {
        return interruptNumbers().of(spec);
    }

    private synchronized Interrupts.Numbers interruptNumbers() {
        if (interruptNumbers == null) {
            interruptNumbers = new Interrupts.Numbers(this);
        }
        return interruptNumbers;
    }
}
