package org.iommuemu.probe.devicetree;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** Writes a flattened device tree of version 16 or 17, well-formed or not. */
public final class TreeBuilder {
    private final ByteArrayOutputStream reservations = new ByteArrayOutputStream();
    private final ByteArrayOutputStream structure = new ByteArrayOutputStream();
    private final ByteArrayOutputStream strings = new ByteArrayOutputStream();
    private final Map<String, Integer> offsets = new LinkedHashMap<>();

    /** A tree whose root is open. */
    public static TreeBuilder tree() {
        return new TreeBuilder().begin("");
    }

    public TreeBuilder reserve(long base, long size) {
        reservations.writeBytes(
                ByteBuffer.allocate(16).putLong(base).putLong(size).array());
        return this;
    }

    public TreeBuilder token(int... words) {
        for (int word : words) {
            structure.writeBytes(ByteBuffer.allocate(4).putInt(word).array());
        }
        return this;
    }

    public TreeBuilder begin(String name) {
        token(1);
        return padded((name + "\0").getBytes(StandardCharsets.ISO_8859_1));
    }

    public TreeBuilder end() {
        return token(2);
    }

    public TreeBuilder bytes(String name, byte... value) {
        token(3, value.length, offsets.computeIfAbsent(name, n -> {
            int offset = strings.size();
            strings.writeBytes((n + "\0").getBytes(StandardCharsets.ISO_8859_1));
            return offset;
        }));
        return padded(value);
    }

    public TreeBuilder cells(String name, int... cells) {
        ByteBuffer value = ByteBuffer.allocate(4 * cells.length);
        for (int cell : cells) {
            value.putInt(cell);
        }
        return bytes(name, value.array());
    }

    public TreeBuilder strings(String name, String... values) {
        return bytes(name, (String.join("\0", values) + "\0").getBytes(StandardCharsets.UTF_8));
    }

    private TreeBuilder padded(byte[] bytes) {
        structure.writeBytes(bytes);
        structure.writeBytes(new byte[-bytes.length & 3]);
        return this;
    }

    /** The blob as it stands: no END_NODE or END is added. */
    public byte[] unfinished(int version) {
        int header = 40; // of 36 bytes in version 16, but the next block is aligned to 8
        int structureAt = header + reservations.size() + 16;
        int stringsAt = structureAt + structure.size();
        ByteBuffer blob = ByteBuffer.allocate(stringsAt + strings.size());
        blob.putInt(0xd00dfeed).putInt(blob.capacity()).putInt(structureAt).putInt(stringsAt);
        blob.putInt(header).putInt(version).putInt(16).putInt(0);
        blob.putInt(strings.size()).putInt(version == 16 ? 0 : structure.size());
        blob.position(header).put(reservations.toByteArray());
        blob.position(structureAt).put(structure.toByteArray()).put(strings.toByteArray());
        return blob.array();
    }

    /** The blob after the end of the root. */
    public byte[] blob() {
        return end().token(9).unfinished(17);
    }

    /** The tree "t" after the end of the root. */
    public DeviceTree parse() {
        return DeviceTree.parse("t", blob());
    }
}
