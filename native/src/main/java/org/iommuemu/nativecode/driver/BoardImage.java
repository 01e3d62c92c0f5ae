package org.iommuemu.nativecode.driver;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.InterruptSpecifier;
import org.iommuemu.probe.devicetree.Property;
import org.iommuemu.probe.devicetree.Specifier;

/**
 * A {@code struct iommu_emu_board} with all that it points to, as bytes that can stand anywhere: where C has pointers it has
 * offsets from its start, and a list of where those are.
 */
final class BoardImage {
    private ByteBuffer bytes = ByteBuffer.allocate(1 << 14).order(ByteOrder.nativeOrder());
    private int size;
    private final List<Integer> pointers = new ArrayList<>();
    private final Map<DeviceTreeNode, Integer> numbers = new IdentityHashMap<>();
    private final int board;
    private final int ram;

    /** The image of a tree, with room for the pointers to RAM. */
    BoardImage(DeviceTree tree, List<SharedRam.Bank> banks) {
        List<DeviceTreeNode> nodes = tree.nodes();
        nodes.forEach(node -> numbers.put(node, numbers.size()));
        board = reserve(Abi.BOARD_SIZE);
        int devices = reserve(nodes.size() * Abi.DEVICE_SIZE);
        ram = reserve(banks.size() * Abi.RAM_SIZE);
        for (int i = 0; i < banks.size(); i++) {
            bytes.putLong(ram + i * Abi.RAM_SIZE, banks.get(i).base());
            bytes.putLong(ram + i * Abi.RAM_SIZE + 8, banks.get(i).size());
        }
        byte[] blob = tree.blob();
        pointer(board, string(tree.name()));
        bytes.putInt(board + 8, nodes.size());
        bytes.putInt(board + 12, banks.size());
        pointer(board + 16, devices);
        pointer(board + 24, ram);
        pointer(board + 32, bytes(blob));
        bytes.putLong(board + 40, blob.length);
        for (int i = 0; i < nodes.size(); i++) {
            device(devices + i * Abi.DEVICE_SIZE, nodes.get(i), tree);
        }
    }

    /** The index of a node in the board's devices. */
    int number(DeviceTreeNode node) {
        return numbers.get(node);
    }

    /** Where the board is, as an offset. */
    int board() {
        return board;
    }

    /** Size in bytes, a multiple of 8. */
    int size() {
        return size;
    }

    /** Where the pointers are, as offsets. */
    List<Integer> pointers() {
        return pointers;
    }

    /** The bytes. */
    byte[] toBytes() {
        return Arrays.copyOf(bytes.array(), size);
    }

    /**
     * Puts the image where a driver in this process can use it.
     *
     * @param target direct, of {@link #size} bytes
     * @param address where the target is
     * @param ramPointers by bank: where its first byte is
     */
    void copyTo(ByteBuffer target, long address, long[] ramPointers) {
        target.order(ByteOrder.nativeOrder()).put(0, bytes.array(), 0, size);
        for (int at : pointers) {
            target.putLong(at, target.getLong(at) + address);
        }
        for (int i = 0; i < ramPointers.length; i++) {
            target.putLong(ram + i * Abi.RAM_SIZE + Abi.RAM_POINTER, ramPointers[i]);
        }
    }

    private void device(int at, DeviceTreeNode node, DeviceTree tree) {
        pointer(at, string(node.path()));
        bytes.putInt(at + 8, node.parent() == null ? Abi.NO_DEVICE : numbers.get(node.parent()));
        bytes.putInt(at + 12, orElse(0, () -> node.property("phandle")
                .or(() -> node.property("linux,phandle"))
                .map(Property::u32)
                .orElse(0)));
        bytes.putInt(at + 16, orElse(false, node::available) ? 1 : 0);

        List<String> compatible = orElse(List.of(), node::compatible);
        bytes.putInt(at + 20, compatible.size());
        int strings = reserve(8 * compatible.size());
        pointer(at + 24, strings);
        for (int i = 0; i < compatible.size(); i++) {
            pointer(strings + 8 * i, string(compatible.get(i)));
        }

        List<AddressRange> reg = orElse(List.of(), node::reg);
        bytes.putInt(at + 32, reg.size());
        int ranges = reserve(Abi.RANGE_SIZE * reg.size());
        pointer(at + 40, ranges);
        for (int i = 0; i < reg.size(); i++) {
            bytes.putLong(ranges + i * Abi.RANGE_SIZE, reg.get(i).base());
            bytes.putLong(ranges + i * Abi.RANGE_SIZE + 8, reg.get(i).size());
        }

        List<Integer> interrupts = orElse(List.of(), () -> interrupts(node, tree));
        List<String> names = orElse(
                List.of(),
                () -> node.property("interrupt-names").map(Property::strings).orElse(List.of()));
        bytes.putInt(at + 36, interrupts.size());
        int lines = reserve(Abi.INTERRUPT_SIZE * interrupts.size());
        pointer(at + 48, lines);
        for (int i = 0; i < interrupts.size(); i++) {
            pointer(lines + i * Abi.INTERRUPT_SIZE, string(i < names.size() ? names.get(i) : ""));
            bytes.putInt(lines + i * Abi.INTERRUPT_SIZE + 8, interrupts.get(i));
        }

        List<Specifier> streams = orElse(List.of(), node::iommus);
        bytes.putInt(at + 56, streams.size());
        int table = reserve(Abi.STREAM_SIZE * streams.size());
        pointer(at + 64, table);
        for (int i = 0; i < streams.size(); i++) {
            List<Integer> args = streams.get(i).args();
            bytes.putInt(table + i * Abi.STREAM_SIZE, numbers.get(streams.get(i).node()));
            bytes.putInt(table + i * Abi.STREAM_SIZE + 4, args.isEmpty() ? 0 : args.get(0));
        }

        List<Property> properties = node.properties();
        bytes.putInt(at + 60, properties.size());
        int values = reserve(Abi.PROPERTY_SIZE * properties.size());
        pointer(at + 72, values);
        for (int i = 0; i < properties.size(); i++) {
            pointer(values + i * Abi.PROPERTY_SIZE, string(properties.get(i).name()));
            pointer(values + i * Abi.PROPERTY_SIZE + 8, bytes(properties.get(i).bytes()));
            bytes.putLong(values + i * Abi.PROPERTY_SIZE + 16, properties.get(i).length());
        }
    }

    private static List<Integer> interrupts(DeviceTreeNode node, DeviceTree tree) {
        List<Integer> numbers = new ArrayList<>();
        for (InterruptSpecifier interrupt : node.interrupts()) {
            numbers.add(tree.interruptNumber(interrupt));
        }
        return numbers;
    }

    /** Some real trees have nodes whose wiring leads nowhere; whoever needs it will miss it. */
    private static <T> T orElse(T otherwise, Supplier<T> property) {
        try {
            return property.get();
        } catch (DeviceTreeException e) {
            return otherwise;
        }
    }

    private int reserve(int length) {
        int at = size;
        size = Math.addExact(size, length + 7 & -8);
        if (size > bytes.capacity()) {
            byte[] longer = Arrays.copyOf(bytes.array(), Math.max(size, 2 * bytes.capacity()));
            bytes = ByteBuffer.wrap(longer).order(ByteOrder.nativeOrder());
        }
        return at;
    }

    private void pointer(int at, int target) {
        pointers.add(at);
        bytes.putLong(at, target);
    }

    private int bytes(byte[] content) {
        int at = reserve(content.length);
        bytes.put(at, content);
        return at;
    }

    private int string(String text) {
        return bytes(
                Arrays.copyOf(text.getBytes(StandardCharsets.UTF_8), text.getBytes(StandardCharsets.UTF_8).length + 1));
    }
}
