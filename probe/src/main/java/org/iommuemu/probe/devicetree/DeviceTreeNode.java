package org.iommuemu.probe.devicetree;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.BiFunction;

/**
 * One node of a {@link DeviceTree}. Two nodes are equal only if they are the same one. A method that reads a property
 * throws {@link DeviceTreeException} if the property, or one that it depends on, is malformed.
 */
public final class DeviceTreeNode {
    /** PCI's three, and one to spare. More is a damaged tree. */
    static final int MAX_ADDRESS_CELLS = 4;

    private final DeviceTree tree;
    private final DeviceTreeNode parent;
    private final String name;

    // Filled while the blob is read, never changed after close(). Most nodes are leaves: no map of their own.
    private Map<String, DeviceTreeNode> childrenByName = Map.of();
    private Map<String, Property> properties = Map.of();
    private List<DeviceTreeNode> children;

    // Computed at first use; whichever thread comes first computes the same immutable value.
    private volatile List<long[]> ranges;
    private volatile Map<List<Integer>, Interrupts.Route> interruptRoutes;

    DeviceTreeNode(DeviceTree tree, DeviceTreeNode parent, String name, int offset) {
        this.tree = tree;
        this.parent = parent;
        this.name = parent == null ? "" : name;
        if (parent == null) {
            return;
        }
        if (name.isEmpty()) {
            throw parent.malformed("offset 0x%x: a child node has no name", offset);
        }
        if (parent.childrenByName.isEmpty()) {
            parent.childrenByName = new LinkedHashMap<>();
        }
        if (parent.childrenByName.putIfAbsent(name, this) != null) {
            throw malformed("offset 0x%x: a second node of this name", offset);
        }
    }

    void add(Property property) {
        if (properties.isEmpty()) {
            properties = new LinkedHashMap<>();
        }
        if (properties.putIfAbsent(property.name(), property) != null) {
            throw property.error("a second property of this name");
        }
    }

    void close() {
        children = List.copyOf(childrenByName.values());
    }

    /** Returns the name with its unit address, such as {@code "iommu@e67b0000"}; the root's is {@code ""}. */
    public String name() {
        return name;
    }

    /** Returns the full path, such as {@code "/soc/iommu@e67b0000"}; the root's is {@code "/"}. */
    public String path() {
        if (parent == null) {
            return "/";
        }
        Deque<String> names = new ArrayDeque<>();
        for (DeviceTreeNode node = this; node.parent != null; node = node.parent) {
            names.push(node.name);
        }
        return "/" + String.join("/", names);
    }

    /** Returns the node around this one; {@code null} at the root. */
    public DeviceTreeNode parent() {
        return parent;
    }

    /** Returns the nodes in this one, in the tree's order; immutable. */
    public List<DeviceTreeNode> children() {
        return children;
    }

    /** Returns whether the node is in use: it has no {@code status}, or that is "okay" or "ok" (2.3.4). */
    public boolean available() {
        return property("status")
                .map(Property::string)
                .map(status -> status.equals("okay") || status.equals("ok"))
                .orElse(true);
    }

    /** Returns the strings of {@code compatible}, most specific first; none without the property (2.3.1). */
    public List<String> compatible() {
        return property("compatible").map(Property::strings).orElse(List.of());
    }

    /** Returns whether {@code compatible} is exactly one of the node's compatible strings. */
    public boolean isCompatible(String compatible) {
        return compatible().contains(compatible);
    }

    /** Returns whether the node has a property of that name. */
    public boolean has(String property) {
        return properties.containsKey(property);
    }

    /** Returns the property of that name. */
    public Optional<Property> property(String property) {
        return Optional.ofNullable(properties.get(property));
    }

    /** Returns every property, in the tree's order; immutable. */
    public List<Property> properties() {
        return List.copyOf(properties.values());
    }

    /** Returns how many cells an address of this node's children has, 0 to 4; 2 without the property (2.3.5). */
    public int addressCells() {
        return has("#address-cells") ? count("#address-cells", MAX_ADDRESS_CELLS) : 2;
    }

    /** Returns how many cells a size in this node's children has, 0 to 4; 1 without the property (2.3.5). */
    public int sizeCells() {
        return has("#size-cells") ? count("#size-cells", MAX_ADDRESS_CELLS) : 1;
    }

    /**
     * Returns {@code reg} in CPU physical addresses, translated by the {@code ranges} of every bus up to the root
     * (2.3.6, 2.3.8). Empty without {@code reg}, and where addresses are not the CPU's: below a bus without
     * {@code ranges} (I2C, the CPUs) or with addresses of more than two cells (PCI).
     *
     * @throws DeviceTreeException also if an address is outside of all {@code ranges} of a bus, or goes past
     *     2<sup>64</sup>
     */
    public List<AddressRange> reg() {
        return Addresses.reg(this);
    }

    /**
     * Returns the interrupts that the device raises, in the order of {@code interrupts-extended} or else of
     * {@code interrupts}, each followed through every {@code interrupt-map} to its controller (2.4). Empty entries are
     * left out.
     */
    public List<InterruptSpecifier> interrupts() {
        return Interrupts.of(this).stream().filter(Objects::nonNull).toList();
    }

    /**
     * Returns the interrupt that {@code interrupt-names} gives that name; empty if there is no such name.
     *
     * @throws DeviceTreeException also if there are more names than interrupts
     */
    public Optional<InterruptSpecifier> interrupt(String interruptName) {
        Property names = properties.get("interrupt-names");
        int index = names == null ? -1 : names.strings().indexOf(interruptName);
        if (index < 0) {
            return Optional.empty();
        }
        List<InterruptSpecifier> interrupts = Interrupts.of(this);
        if (index >= interrupts.size()) {
            throw names.error("name %d has no interrupt, there are only %d", index, interrupts.size());
        }
        return Optional.ofNullable(interrupts.get(index));
    }

    /** Returns the IOMMU specifiers of {@code iommus} (the iommu binding); none without the property. */
    public List<Specifier> iommus() {
        return phandlesWithArgs("iommus", "#iommu-cells");
    }

    /**
     * Returns a property that lists phandles, each followed by as many arguments as the node that it names says.
     * Empty entries (phandle zero) are left out.
     *
     * @param property such as {@code "msi-parent"}; the result is empty if the node has no such property
     * @param cellsProperty the property with the number of arguments, such as {@code "#msi-cells"}
     */
    private List<Specifier> phandlesWithArgs(String property, String cellsProperty) {
        return property(property).map(p -> p.specifiers(cellsProperty)).orElse(List.of()).stream()
                .filter(Objects::nonNull)
                .toList();
    }

    /** Returns the entries of {@code iommu-map} (the pci-iommu binding); none without the property. */
    public List<IommuMapEntry> iommuMap() {
        Property map = properties.get("iommu-map");
        if (map == null) {
            return List.of();
        }
        List<IommuMapEntry> entries = new ArrayList<>();
        for (long[] row : map.rows(1, 1, 1, 1)) {
            if (Math.max(row[0], row[2]) + row[3] > 1L << Integer.SIZE) {
                throw map.error("entry 0x%x 0x%x 0x%x goes past 32 bits", row[0], row[2], row[3]);
            }
            entries.add(new IommuMapEntry(row[0], map.phandle(entries.size() * 4 + 1), row[2], row[3]));
        }
        return Collections.unmodifiableList(entries);
    }

    /**
     * Returns the entries of {@code iommu-addresses} (the reserved-memory binding), each a device's phandle and a range of
     * addresses as that device uses them, in the cells of its bus; none without the property.
     *
     * @param <T> what an entry becomes
     */
    public <T> List<T> iommuAddresses(BiFunction<DeviceTreeNode, AddressRange, T> entry) {
        Property property = properties.get("iommu-addresses");
        List<T> entries = new ArrayList<>();
        for (int at = 0; property != null && at < property.cells(); ) {
            DeviceTreeNode device = property.phandle(at);
            DeviceTreeNode bus = device.parent == null ? device : device.parent;
            int size = at + 1 + bus.addressCells();
            int end = size + bus.sizeCells();
            if (end > property.cells()) {
                throw property.error("ends in cell %d, in the middle of an entry", property.cells());
            }
            long base = property.number(at + 1, size - at - 1);
            long bytes = property.number(size, end - size);
            if (AddressRange.wraps(base, bytes)) {
                throw property.error("0x%x bytes at 0x%x go past 64 bits", bytes, base);
            }
            entries.add(entry.apply(device, new AddressRange(base, bytes)));
            at = end;
        }
        return entries;
    }

    /**
     * Returns the IOMMU and the ID there of one requester ID below this PCI host bridge: the first entry of
     * {@link #iommuMap()} that has the requester ID, after {@code iommu-map-mask}. Empty if none has it, in which case
     * no IOMMU translates that device.
     *
     * @param rid the requester ID, an unsigned number
     */
    public Optional<Specifier> mapRequesterId(int rid) {
        int mask = property("iommu-map-mask").map(Property::u32).orElse(-1);
        long masked = Integer.toUnsignedLong(rid & mask);
        for (IommuMapEntry entry : iommuMap()) {
            long index = masked - entry.requesterIdBase();
            if (index >= 0 && index < entry.length()) {
                return Optional.of(new Specifier(entry.iommu(), List.of((int) (entry.iommuBase() + index))));
            }
        }
        return Optional.empty();
    }

    /** Returns the path, for a log. */
    @Override
    public String toString() {
        return DeviceTreeException.printable(path());
    }

    DeviceTree tree() {
        return tree;
    }

    /** The child of that name, or the only one that has it before the unit address; {@code null} if there is none. */
    DeviceTreeNode child(String wanted) {
        DeviceTreeNode exact = childrenByName.get(wanted);
        if (exact != null || wanted.indexOf('@') >= 0) {
            return exact;
        }
        DeviceTreeNode found = null;
        for (DeviceTreeNode child : children) {
            if (child.name.startsWith(wanted) && child.name.startsWith("@", wanted.length())) {
                if (found != null) {
                    return null;
                }
                found = child;
            }
        }
        return found;
    }

    /** The value of a {@code #...-cells} property, which the node must have. */
    int count(String cellsProperty, int max) {
        Property property = properties.get(cellsProperty);
        if (property == null) {
            throw error(cellsProperty, "is missing");
        }
        int count = property.u32();
        if (count < 0 || count > max) {
            throw property.error("%s is more than %d", Integer.toUnsignedString(count), max);
        }
        return count;
    }

    /** The rows of {@code ranges}, which the node must have: child address, parent address, size. */
    List<long[]> ranges() {
        if (ranges == null) {
            ranges = Addresses.ranges(this, properties.get("ranges"));
        }
        return ranges;
    }

    /** The entries of {@code interrupt-map}, which the node must have, by what they match. */
    Map<List<Integer>, Interrupts.Route> interruptRoutes() {
        if (interruptRoutes == null) {
            interruptRoutes = Interrupts.routes(this, properties.get("interrupt-map"));
        }
        return interruptRoutes;
    }

    DeviceTreeException malformed(String what, Object... args) {
        return new DeviceTreeException(String.format(what, args), tree.name(), path());
    }

    DeviceTreeException error(String property, String what, Object... args) {
        return new DeviceTreeException(String.format(what, args), tree.name(), path(), property);
    }
}
