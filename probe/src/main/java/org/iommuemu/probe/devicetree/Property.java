package org.iommuemu.probe.devicetree;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One property of a node: a name and bytes, which the caller reads as the type that the property's binding gives it
 * (Devicetree Specification v0.4, 2.2.4). Every method that finds bytes of another shape throws
 * {@link DeviceTreeException}.
 */
public final class Property {
    /** No provider takes more arguments; Linux has the same limit (MAX_PHANDLE_ARGS). */
    static final int MAX_ARGS = 16;

    private final DeviceTreeNode node;
    private final String name;
    private final ByteBuffer blob;
    private final int offset;
    private final int length;

    /** @param blob the whole tree, big-endian, at least {@code offset + length} bytes */
    Property(DeviceTreeNode node, String name, ByteBuffer blob, int offset, int length) {
        this.node = node;
        this.name = name;
        this.blob = blob;
        this.offset = offset;
        this.length = length;
    }

    /** Returns the name, such as {@code "reg"}. */
    public String name() {
        return name;
    }

    /** Returns a copy of the value. */
    public byte[] bytes() {
        byte[] value = new byte[length];
        blob.get(offset, value);
        return value;
    }

    /** Returns how many bytes the value has. */
    public int length() {
        return length;
    }

    /** Returns the value of a property that is one 32-bit cell. */
    public int u32() {
        requireLength(Integer.BYTES);
        return blob.getInt(offset);
    }

    /** Returns the value of a property that is one 64-bit number (two cells). */
    public long u64() {
        requireLength(Long.BYTES);
        return blob.getLong(offset);
    }

    /** Returns how many 32-bit cells the value has. */
    public int cells() {
        if (length % Integer.BYTES != 0) {
            throw error("has %d bytes, which is not a whole number of cells", length);
        }
        return length / Integer.BYTES;
    }

    /** Returns cell {@code index}, counted from zero. */
    public int cell(int index) {
        if (index < 0 || index >= cells()) {
            throw error("has no cell %d, only %d", index, cells());
        }
        return blob.getInt(offset + index * Integer.BYTES);
    }

    /** Returns the first string of the value, decoded as UTF-8. */
    public String string() {
        List<String> strings = strings();
        if (strings.isEmpty()) {
            throw error("is empty where a string is expected");
        }
        return strings.get(0);
    }

    /** Returns the strings of the value, each ended by a NUL and decoded as UTF-8; none if the value is empty. */
    public List<String> strings() {
        byte[] value = bytes();
        List<String> strings = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < length; i++) {
            if (value[i] == 0) {
                strings.add(new String(value, start, i - start, StandardCharsets.UTF_8));
                start = i + 1;
            }
        }
        if (start != length) {
            throw error("has a string without its final NUL");
        }
        return List.copyOf(strings);
    }

    /** Returns the name and the length, for a log. */
    @Override
    public String toString() {
        return DeviceTreeException.printable(name) + " (" + length + " bytes)";
    }

    DeviceTreeNode node() {
        return node;
    }

    /** The cells from {@code first} to before {@code end}; those after the value's last are zero. */
    List<Integer> cellRange(int first, int end) {
        List<Integer> cells = new ArrayList<>(end - first);
        for (int i = first; i < end; i++) {
            cells.add(i < cells() ? cell(i) : 0);
        }
        return cells;
    }

    /** The node that the phandle in cell {@code index} names. */
    DeviceTreeNode phandle(int index) {
        int phandle = cell(index);
        return node.tree().byPhandle(phandle).orElseThrow(() -> error("phandle 0x%x names no node", phandle));
    }

    /** The value as phandles with arguments, an entry of phandle zero as {@code null} so that the others keep their index. */
    List<Specifier> specifiers(String cellsProperty) {
        List<Specifier> specifiers = new ArrayList<>();
        for (int i = 0; i < cells(); ) {
            if (cell(i) == 0) {
                specifiers.add(null);
                i++;
                continue;
            }
            DeviceTreeNode provider = phandle(i);
            int args = provider.count(cellsProperty, MAX_ARGS);
            if (args > cells() - i - 1) {
                throw error(
                        "ends in cell %d, where %s of %s asks for %d cells", cells(), cellsProperty, provider, args);
            }
            specifiers.add(new Specifier(provider, cellRange(i + 1, i + 1 + args)));
            i += 1 + args;
        }
        return specifiers;
    }

    /** The value as rows of numbers, each number as many cells wide as {@code widths} says. */
    List<long[]> rows(int... widths) {
        int stride = Arrays.stream(widths).sum();
        if (stride == 0 ? length != 0 : cells() % stride != 0) {
            throw error("has %d bytes, which is not a multiple of %d cells", length, stride);
        }
        List<long[]> rows = new ArrayList<>();
        for (int at = 0; at < cells(); ) {
            long[] row = new long[widths.length];
            for (int i = 0; i < widths.length; at += widths[i++]) {
                row[i] = number(at, widths[i]);
            }
            rows.add(row);
        }
        return rows;
    }

    /** The number in {@code width} cells from {@code first} on. */
    long number(int first, int width) {
        long number = 0;
        for (int i = first; i < first + width; i++) {
            if (number >>> Integer.SIZE != 0) {
                throw error("has a number of more than 64 bits in cell %d", first);
            }
            number = number << Integer.SIZE | Integer.toUnsignedLong(cell(i));
        }
        return number;
    }

    private void requireLength(int expected) {
        if (length != expected) {
            throw error("has %d bytes where %d are expected", length, expected);
        }
    }

    DeviceTreeException error(String what, Object... args) {
        return node.error(name, what, args);
    }
}
