package org.iommuemu.pagetables;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory;

/**
 * The software side of a translation table: builds and changes it in RAM, as a kernel's io-pgtable code or a hypervisor's
 * P2M does. Uses the largest blocks that fit, splits them where part of one is unmapped, frees tables that become empty,
 * and keeps to break-before-make (Arm ARM, D8.16.1): a live entry is made invalid and invalidated in the TLBs before it
 * gets a new value. One thread at a time.
 */
public final class TableWriter {
    /** Invalidates TLBs after an entry was made invalid; returns when no access uses it any more. */
    @FunctionalInterface
    public interface Invalidation {
        /**
         * Invalidates what TLBs hold for a range.
         *
         * @param input first input address
         * @param size in bytes
         */
        void invalidate(long input, long size);
    }

    /**
     * The shape of a table.
     *
     * @param granule page size
     * @param startLevel level of the first table, see {@link Granule#isStage2StartLevel} where tables are concatenated
     * @param inputBits width of the input address
     * @param outputBits width of the output address
     */
    public record Geometry(Granule granule, int startLevel, int inputBits, int outputBits) {
        /** Size of the first table, or of the concatenated ones together, in bytes. */
        public long rootBytes() {
            return Math.max(granule.bytes(), 8L << inputBits - granule.entryShift(startLevel));
        }
    }

    /** Width of the addresses that a descriptor holds, without FEAT_LPA and FEAT_LPA2. */
    private static final int DESCRIPTOR_BITS = 48;

    private static final long ADDRESS = 0x0000_ffff_ffff_f000L;
    private static final long NOT_ATTRIBUTES = ADDRESS | Descriptor.TABLE | Descriptor.VALID;

    private final PhysicalMemory memory;
    private final PageAllocator allocator;
    private final Geometry geometry;
    private final Granule granule;
    private final Invalidation invalidation;
    private final long root;
    private int tables;

    /**
     * An empty table.
     *
     * @param invalidation called whenever a live entry was made invalid
     * @throws MappingException if there is no RAM for the first table
     */
    public TableWriter(PhysicalMemory memory, PageAllocator allocator, Geometry geometry, Invalidation invalidation) {
        this.memory = memory;
        this.allocator = allocator;
        this.geometry = geometry;
        this.granule = geometry.granule();
        this.invalidation = invalidation;
        root = allocator.allocate(geometry.rootBytes());
        if (root == PageAllocator.NONE) {
            throw new MappingException(MappingException.Reason.OUT_OF_MEMORY, 0, 0);
        }
    }

    /** Physical address of the first table. */
    public long root() {
        return root;
    }

    /** The table's shape. */
    public Geometry geometry() {
        return geometry;
    }

    /** How many tables there are below the first. */
    public int tables() {
        return tables;
    }

    /**
     * Maps a range that is not mapped.
     *
     * @param input first input address
     * @param output first output address
     * @param size in bytes
     * @param attributes bits of the leaf descriptors, see {@link Descriptor}; type and address are filled in, whatever
     *     is there
     * @throws MappingException and leaves the table as it was, see {@link MappingException.Reason}
     */
    public void map(long input, long output, long size, long attributes) {
        check(input, size);
        if ((output & granule.bytes() - 1) != 0) {
            throw new MappingException(MappingException.Reason.MISALIGNED, input, size);
        }
        if (output < 0 || output + size - 1 >>> Math.min(geometry.outputBits(), DESCRIPTOR_BITS) != 0) {
            throw new MappingException(MappingException.Reason.OUTPUT_SIZE, input, size);
        }
        long done = 0;
        try {
            while (done < size) {
                done += mapOne(input + done, output + done, size - done, attributes);
            }
        } catch (MappingException e) {
            // Where memory ran out, the tables on the way there may be new and empty: one page more takes them along.
            long undo = done + (e.reason() == MappingException.Reason.OUT_OF_MEMORY ? granule.bytes() : 0);
            if (undo > 0) {
                unmap(input, undo);
            }
            throw new MappingException(e.reason(), input, size);
        }
    }

    /**
     * Unmaps a range, mapped or not, and invalidates it.
     *
     * @param input first input address
     * @param size in bytes
     * @throws MappingException if the range is not one, or a block cannot be split because no RAM is left
     */
    public void unmap(long input, long size) {
        check(input, size);
        // Splitting may fail, and only the blocks at the two ends can need it: do it before anything is unmapped.
        split(input);
        split(input + size);
        List<Long> emptied = new ArrayList<>();
        if (unmap(root, geometry.startLevel(), input, input + size, emptied)) {
            invalidation.invalidate(input, size);
            // Only now does no walk read them any more.
            emptied.forEach(table -> allocator.free(table, granule.bytes()));
            tables -= emptied.size();
        }
    }

    /**
     * Where an input address leads.
     *
     * @return the output address, or -1 if it is not mapped
     */
    public long resolve(long input) {
        if (input < 0 || input >>> geometry.inputBits() != 0) {
            return -1;
        }
        long table = root;
        for (int level = geometry.startLevel(); ; level++) {
            long descriptor = memory.read64(entry(table, level, input));
            if ((descriptor & Descriptor.VALID) == 0) {
                return -1;
            }
            if (isLeaf(descriptor, level)) {
                long offset = (1L << granule.entryShift(level)) - 1;
                return descriptor & ADDRESS & ~offset | input & offset;
            }
            table = address(descriptor);
        }
    }

    /** Frees all tables. No unit may walk them any more. */
    public void destroy() {
        free(root, geometry.startLevel());
        allocator.free(root, geometry.rootBytes());
    }

    private void check(long input, long size) {
        if (size <= 0 || ((input | size) & granule.bytes() - 1) != 0) {
            throw new MappingException(MappingException.Reason.MISALIGNED, input, size);
        }
        if (input < 0 || input + size < 0 || input + size - 1 >>> geometry.inputBits() != 0) {
            throw new MappingException(MappingException.Reason.INPUT_SIZE, input, size);
        }
    }

    /** Maps one block or page and tells how large it is. */
    private long mapOne(long input, long output, long left, long attributes) {
        long table = root;
        for (int level = geometry.startLevel(); ; level++) {
            long entry = entry(table, level, input);
            long descriptor = memory.read64(entry);
            long bytes = 1L << granule.entryShift(level);
            boolean fits = ((input | output) & bytes - 1) == 0 && left >= bytes;
            if (level == 3 || fits && granule.hasBlocks(level)) {
                if ((descriptor & Descriptor.VALID) == 0) {
                    memory.write64(entry, output | attributes & ~NOT_ATTRIBUTES | leafType(level));
                    return bytes;
                }
                if (isLeaf(descriptor, level)) {
                    throw new MappingException(MappingException.Reason.OVERLAP, input, bytes);
                }
                // A table is there: it has mappings, or unmap would have freed it. Below, one of them will be met.
            } else if ((descriptor & Descriptor.VALID) != 0 && isLeaf(descriptor, level)) {
                throw new MappingException(MappingException.Reason.OVERLAP, input, bytes);
            }
            table = (descriptor & Descriptor.VALID) != 0 ? address(descriptor) : addTable(entry, 0, level, input);
        }
    }

    /** Makes sure that an address is not in the middle of a block. */
    private void split(long input) {
        if (input >>> geometry.inputBits() != 0) {
            return;
        }
        long table = root;
        for (int level = geometry.startLevel(); level < 3; level++) {
            long entry = entry(table, level, input);
            long descriptor = memory.read64(entry);
            long bytes = 1L << granule.entryShift(level);
            if ((descriptor & Descriptor.VALID) == 0 || (input & bytes - 1) == 0) {
                return;
            }
            table = isLeaf(descriptor, level) ? addTable(entry, descriptor, level, input) : address(descriptor);
        }
    }

    /**
     * Puts a table where there was nothing or a block.
     *
     * @param old the block descriptor that the table's entries continue, or 0
     */
    private long addTable(long entry, long old, int level, long input) {
        long table = allocator.allocate(granule.bytes());
        if (table == PageAllocator.NONE) {
            throw new MappingException(MappingException.Reason.OUT_OF_MEMORY, 0, 0);
        }
        tables++;
        if (old != 0) {
            long step = 1L << granule.entryShift(level + 1);
            long descriptor = old & ~Descriptor.TABLE | leafType(level + 1);
            for (long at = 0; at < granule.bytes(); at += 8, descriptor += step) {
                memory.write64(table + at, descriptor);
            }
            memory.write64(entry, 0);
            long bytes = 1L << granule.entryShift(level);
            invalidation.invalidate(input & -bytes, bytes);
        }
        memory.write64(entry, table | Descriptor.VALID | Descriptor.TABLE);
        return table;
    }

    /**
     * Clears the leaves of a range, and the entries of tables that have become empty.
     *
     * @param emptied gets the tables to free
     * @return whether any entry was cleared
     */
    private boolean unmap(long table, int level, long from, long to, List<Long> emptied) {
        boolean changed = false;
        long bytes = 1L << granule.entryShift(level);
        for (long at = from; at < to; at = (at & -bytes) + bytes) {
            long entry = entry(table, level, at);
            long descriptor = memory.read64(entry);
            if ((descriptor & Descriptor.VALID) == 0) {
                continue;
            }
            if (isLeaf(descriptor, level)) {
                memory.write64(entry, 0);
                changed = true;
            } else {
                long below = address(descriptor);
                changed |= unmap(below, level + 1, at, Math.min(to, (at & -bytes) + bytes), emptied);
                if (isEmpty(below)) {
                    memory.write64(entry, 0);
                    emptied.add(below);
                    changed = true;
                }
            }
        }
        return changed;
    }

    private boolean isEmpty(long table) {
        for (long at = 0; at < granule.bytes(); at += 8) {
            if (memory.read64(table + at) != 0) {
                return false;
            }
        }
        return true;
    }

    private void free(long table, int level) {
        long bytes = level == geometry.startLevel() ? geometry.rootBytes() : granule.bytes();
        for (long at = 0; at < bytes; at += 8) {
            long descriptor = memory.read64(table + at);
            if ((descriptor & Descriptor.VALID) != 0 && !isLeaf(descriptor, level)) {
                free(address(descriptor), level + 1);
                allocator.free(address(descriptor), granule.bytes());
                tables--;
            }
        }
    }

    private long entry(long table, int level, long input) {
        int shift = granule.entryShift(level);
        int bits = level == geometry.startLevel() ? geometry.inputBits() - shift : granule.levelBits();
        return table + ((input >>> shift & (1L << bits) - 1) << 3);
    }

    private long address(long descriptor) {
        return descriptor & ADDRESS & -granule.bytes();
    }

    private static boolean isLeaf(long descriptor, int level) {
        return level == 3 || (descriptor & Descriptor.TABLE) == 0;
    }

    private static long leafType(int level) {
        return level == 3 ? Descriptor.VALID | Descriptor.TABLE : Descriptor.VALID;
    }
}
