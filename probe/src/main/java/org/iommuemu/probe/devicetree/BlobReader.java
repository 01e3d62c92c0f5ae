package org.iommuemu.probe.devicetree;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The format of the blob (Devicetree Specification v0.4, chapter 5): header, reservation block, structure block. */
final class BlobReader {
    /** Linux takes at most 2 MiB. The densest blob of this size takes some 300 MiB of heap. */
    static final int MAX_SIZE = 8 << 20;

    static final int MAX_DEPTH = 64;

    /** The specification allows 31. Without any limit, paths and overlapping names could be quadratic in the blob. */
    static final int MAX_NAME = 255;

    private static final int MAGIC = 0xd00dfeed;
    private static final int OLDEST_VERSION = 16;
    private static final int NEWEST_VERSION = 17;

    private static final int FDT_BEGIN_NODE = 1;
    private static final int FDT_END_NODE = 2;
    private static final int FDT_PROP = 3;
    private static final int FDT_NOP = 4;
    private static final int FDT_END = 9;

    private final DeviceTree tree;
    private final ByteBuffer blob;

    // 5.2: offsets in the blob
    private final int totalSize;
    private final int reservations;
    private final int structure;
    private final int structureEnd;
    private final int strings;
    private final int stringsEnd;
    private final Map<Integer, String> propertyNames = new HashMap<>();

    BlobReader(DeviceTree tree, byte[] bytes) {
        this.tree = tree;
        blob = ByteBuffer.wrap(bytes);
        if (bytes.length < 36) {
            throw error("header", "%d bytes are too few for a flattened device tree", bytes.length);
        }
        if (blob.getInt(0) != MAGIC) {
            throw error("header", "magic: 0x%08x is not 0x%08x", blob.getInt(0), MAGIC);
        }
        long version = word(20);
        long compatible = word(24);
        if (version < OLDEST_VERSION || compatible > NEWEST_VERSION || compatible > version) {
            throw error("header", "version: %d, compatible with %d, is not 16 or 17", version, compatible);
        }
        int headerSize = version >= 17 ? 40 : 36;
        long size = word(4);
        if (size > MAX_SIZE) {
            throw error("header", "totalsize: 0x%x is more than the supported 0x%x", size, MAX_SIZE);
        }
        if (size < headerSize || size > bytes.length) {
            throw error("header", "totalsize: 0x%x, but the blob has 0x%x bytes", size, bytes.length);
        }
        totalSize = (int) size;
        reservations = offset("off_mem_rsvmap", 16, 8, headerSize);
        structure = offset("off_dt_struct", 8, 4, headerSize);
        structureEnd = version >= 17 ? end("size_dt_struct", 36, structure) : totalSize;
        strings = offset("off_dt_strings", 12, 1, headerSize);
        stringsEnd = end("size_dt_strings", 32, strings);
    }

    private int offset(String field, int at, int alignment, int headerSize) {
        long offset = word(at);
        if (offset < headerSize || offset > totalSize || offset % alignment != 0) {
            throw error("header", "%s: 0x%x is misaligned or outside of the blob", field, offset);
        }
        return (int) offset;
    }

    private int end(String field, int at, int start) {
        if (word(at) > totalSize - start) {
            throw error("header", "%s: 0x%x bytes at 0x%x go past the blob's end", field, word(at), start);
        }
        return start + (int) word(at);
    }

    /** 5.3: pairs of address and size, up to a pair of zeros. */
    List<AddressRange> memoryReservations() {
        List<AddressRange> ranges = new ArrayList<>();
        for (int at = reservations; at <= totalSize - 16; at += 16) {
            long base = blob.getLong(at);
            long size = blob.getLong(at + 8);
            if (base == 0 && size == 0) {
                return List.copyOf(ranges);
            }
            if (AddressRange.wraps(base, size)) {
                throw error("memory reservations", "0x%x bytes at 0x%x go past 2^64", size, base);
            }
            ranges.add(new AddressRange(base, size));
        }
        throw error("memory reservations", "no end between offset 0x%x and the blob's end", reservations);
    }

    /** 5.4: every node, in the blob's order. A loop and not a recursion, so that depth is only a number. */
    List<DeviceTreeNode> nodes() {
        List<DeviceTreeNode> nodes = new ArrayList<>();
        DeviceTreeNode node = null;
        int depth = 0;
        int at = structure;
        while (true) {
            int tokenAt = at;
            int token = structureWord(at, node);
            at += 4;
            switch (token) {
                case FDT_BEGIN_NODE -> {
                    if (node == null && !nodes.isEmpty()) {
                        throw error("structure block", "offset 0x%x: a second root node", tokenAt);
                    }
                    if (++depth > MAX_DEPTH) {
                        throw node.malformed("offset 0x%x: nodes are nested more than %d deep", tokenAt, MAX_DEPTH);
                    }
                    String name = name(at, structureEnd, node, tokenAt);
                    at = aligned(at + name.length() + 1);
                    node = new DeviceTreeNode(tree, node, name, tokenAt);
                    nodes.add(node);
                }
                case FDT_END_NODE -> {
                    if (node == null) {
                        throw error("structure block", "offset 0x%x: END_NODE without a node", tokenAt);
                    }
                    node.close();
                    node = node.parent();
                    depth--;
                }
                case FDT_PROP -> {
                    if (node == null) {
                        throw error("structure block", "offset 0x%x: a property outside of any node", tokenAt);
                    }
                    long length = Integer.toUnsignedLong(structureWord(at, node));
                    String name = propertyName(structureWord(at + 4, node), node, tokenAt);
                    at += 8;
                    if (length > structureEnd - at) {
                        throw node.error(name, "offset 0x%x: 0x%x bytes go past the structure block", tokenAt, length);
                    }
                    node.add(new Property(node, name, blob, at, (int) length));
                    at = aligned(at + (int) length);
                }
                case FDT_NOP -> {}
                case FDT_END -> {
                    if (node != null || nodes.isEmpty()) {
                        throw error(where(node), "offset 0x%x: END before the end of the root node", tokenAt);
                    }
                    return List.copyOf(nodes);
                }
                default -> throw error(where(node), "offset 0x%x: unknown token 0x%x", tokenAt, token);
            }
        }
    }

    private int structureWord(int at, DeviceTreeNode node) {
        if (at > structureEnd - 4) {
            throw error(where(node), "the structure block ends at offset 0x%x without END", structureEnd);
        }
        return blob.getInt(at);
    }

    private String propertyName(int offset, DeviceTreeNode node, int tokenAt) {
        String known = propertyNames.get(offset);
        if (known != null) {
            return known;
        }
        if (Integer.compareUnsigned(offset, stringsEnd - strings) >= 0) {
            throw node.malformed(
                    "offset 0x%x: a property's name at 0x%x is outside of the strings block", tokenAt, offset);
        }
        String name = name(strings + offset, stringsEnd, node, tokenAt);
        propertyNames.put(offset, name);
        return name;
    }

    private String name(int start, int end, DeviceTreeNode node, int tokenAt) {
        for (int nul = start; nul < end && nul - start <= MAX_NAME; nul++) {
            if (blob.get(nul) == 0) {
                return new String(blob.array(), start, nul - start, StandardCharsets.ISO_8859_1);
            }
        }
        throw error(
                where(node), "offset 0x%x: a name does not end in %d bytes", tokenAt, Math.min(MAX_NAME, end - start));
    }

    private static int aligned(int offset) {
        return offset + 3 & ~3;
    }

    private long word(int at) {
        return Integer.toUnsignedLong(blob.getInt(at));
    }

    private static String where(DeviceTreeNode node) {
        return node == null ? "structure block" : node.path();
    }

    private DeviceTreeException error(String where, String what, Object... args) {
        return new DeviceTreeException(String.format(what, args), tree.name(), where);
    }
}
