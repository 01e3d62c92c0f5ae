package org.iommuemu.pagetables;

import java.lang.invoke.VarHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.iommuemu.mmio.PhysicalMemory;

/**
 * The software side of a translation table: builds and changes it in RAM, as a kernel's io-pgtable code or a hypervisor's
 * P2M does. Uses the largest blocks that fit, splits them where part of one is changed, frees tables that become empty,
 * and keeps to break-before-make (Arm ARM, D8.16.1): a live entry is made invalid and invalidated in the TLBs before it
 * gets a new value.
 *
 * <p><b>Threads.</b> Any number of threads may work on ranges that do not overlap. They share a lock while they write
 * leaves and install tables, which they do by compare-and-set, as two may need the same table. What would pull an entry
 * away under another thread takes the lock for itself, from the break to the make: splitting, and taking out tables that
 * have become empty, which are looked at again then. A table is freed when no entry leads to it, no thread is below it and
 * the TLBs are invalidated. Descriptors that hardware may update at the same time are changed by compare-and-exchange.
 */
public final class TableWriter {
    /**
     * Invalidates TLBs after an entry was made invalid; returns when no access uses it any more. Must not change the table,
     * nor wait for another thread that uses the same writer: that one may be waiting for this invalidation.
     */
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

    /**
     * How descriptors are written.
     *
     * @param stage2 the format: where dirty state is, above all
     * @param ds 52-bit addresses with 4 and 16 KiB granules; 64 KiB granules have them when the output size is larger
     *     than 48 bits
     * @param contiguous the Contiguous hint is set where a group of leaves fits
     * @param tableAttributes bits 63:59 of every table descriptor, {@link Descriptor#NS_TABLE} for example
     */
    public record Options(boolean stage2, boolean ds, boolean contiguous, long tableAttributes) {
        /** Stage 1, nothing else. */
        public static final Options STAGE1 = new Options(false, false, false, 0);
        /** Stage 2, nothing else. */
        public static final Options STAGE2 = new Options(true, false, false, 0);

        /** Refuses table attributes that are none. */
        public Options {
            if ((tableAttributes & (1L << 59) - 1) != 0) {
                throw new IllegalArgumentException("table attributes 0x%x".formatted(tableAttributes));
            }
        }
    }

    /** Is told of mapped runs, see {@link #runs}. */
    @FunctionalInterface
    public interface Run {
        /**
         * A run.
         *
         * @param input first input address
         * @param output first output address
         * @param size in bytes
         * @param attributes of the leaf descriptors, without type and address
         */
        void run(long input, long output, long size, long attributes);
    }

    /** Is told what was dirty, see {@link #harvestDirty}. */
    @FunctionalInterface
    public interface Dirty {
        /**
         * A page, block or contiguous group.
         *
         * @param input first input address
         * @param size in bytes
         */
        void dirty(long input, long size);
    }

    /** Does something about a leaf. */
    private interface Leaf {
        /**
         * One leaf, or what was one until it was broken.
         *
         * @param entry where it is
         * @param input first input address that it maps
         */
        void visit(long entry, long descriptor, int level, long input);
    }

    /** Leaf bits that may change while the leaf is live: permissions, flags and what software keeps there (D8.16.1). */
    private static final long LIVE = Descriptor.AP_UNPRIVILEGED
            | Descriptor.AP_READ_ONLY
            | Descriptor.AF
            | Descriptor.DBM
            | Descriptor.PXN
            | Descriptor.UXN
            | 0xfL << 55;

    /** AP[2] or S2AP[1]. */
    private static final long DIRTY_BIT = 1L << 7;

    // What clearing a range came to.
    private static final int CLEARED = 1;
    private static final int EMPTIED = 2;

    private final PhysicalMemory memory;
    private final PageAllocator allocator;
    private final Geometry geometry;
    private final Options options;
    private final Granule granule;
    private final AddressFormat format;
    private final long notAttributes;
    private final Invalidation invalidation;
    private final long root;
    private final AtomicInteger tables = new AtomicInteger();
    private final ReentrantReadWriteLock.ReadLock shared;
    private final ReentrantReadWriteLock.WriteLock exclusive;

    /**
     * An empty table, as {@link Options#STAGE2} has it; of stage 1 too, unless {@link #harvestDirty} is used.
     *
     * @param invalidation called whenever a live entry was made invalid
     * @throws MappingException if there is no RAM for the first table
     */
    public TableWriter(PhysicalMemory memory, PageAllocator allocator, Geometry geometry, Invalidation invalidation) {
        this(memory, allocator, geometry, Options.STAGE2, invalidation);
    }

    /**
     * An empty table.
     *
     * @param invalidation called whenever a live entry was made invalid
     * @throws MappingException if there is no RAM for the first table
     */
    public TableWriter(
            PhysicalMemory memory,
            PageAllocator allocator,
            Geometry geometry,
            Options options,
            Invalidation invalidation) {
        this.memory = memory;
        this.allocator = allocator;
        this.geometry = geometry;
        this.options = options;
        this.granule = geometry.granule();
        this.invalidation = invalidation;
        format = AddressFormat.of(granule, granule == Granule.KIB_64 ? geometry.outputBits() > 48 : options.ds());
        notAttributes =
                format.low() | format.high() | 0xf000 | Descriptor.TABLE | Descriptor.VALID | Descriptor.CONTIGUOUS;
        ReentrantReadWriteLock lock = new ReentrantReadWriteLock();
        shared = lock.readLock();
        exclusive = lock.writeLock();
        root = allocate(geometry.rootBytes());
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
        return tables.get();
    }

    /**
     * Maps a range that is not mapped.
     *
     * @param input first input address
     * @param output first output address
     * @param size in bytes
     * @param attributes bits of the leaf descriptors, see {@link Descriptor}; type, address and Contiguous hint are
     *     filled in, whatever is there
     * @throws MappingException and leaves the table as it was, see {@link MappingException.Reason}
     */
    public void map(long input, long output, long size, long attributes) {
        check(input, size);
        if ((output & granule.bytes() - 1) != 0) {
            throw new MappingException(MappingException.Reason.MISALIGNED, input, size);
        }
        if (output < 0 || output + size - 1 >>> Math.min(geometry.outputBits(), format.width()) != 0) {
            throw new MappingException(MappingException.Reason.OUTPUT_SIZE, input, size);
        }
        Mapping mapping = new Mapping(input, input + size, output - input, attributes & ~notAttributes);
        MappingException.Reason failure;
        shared.lock();
        try {
            failure = mapping.fill(root, geometry.startLevel(), input + size);
        } finally {
            shared.unlock();
        }
        if (failure != null) {
            // Where memory ran out, the tables on the way there may be new and empty: one page more finds them.
            boolean newTables = failure == MappingException.Reason.OUT_OF_MEMORY;
            shared.lock();
            remove(input, mapping.at, mapping.at + (newTables ? granule.bytes() : 0), newTables);
            throw new MappingException(failure, input, size);
        }
    }

    /** A map under way. */
    private final class Mapping {
        /** The next input address to be mapped. */
        long at;

        private final long end;
        private final long toOutput;
        private final long attributes;

        Mapping(long at, long end, long toOutput, long attributes) {
            this.at = at;
            this.end = end;
            this.toOutput = toOutput;
            this.attributes = attributes;
        }

        /** Goes on until a table is full, or all is mapped; returns what is in the way, or null. */
        MappingException.Reason fill(long table, int level, long to) {
            int shift = granule.entryShift(level);
            long bytes = 1L << shift;
            boolean leaves = level == 3 || (format.blocks() >>> shift & 1) != 0;
            while (at < to) {
                long entry = entry(table, level, at);
                long descriptor = memory.read64(entry);
                if (descriptor == 0 && leaves && fits(bytes)) {
                    long group = group(entry, level, bytes);
                    long hint = group > 1 ? Descriptor.CONTIGUOUS : 0;
                    for (long i = 0; i < group; i++, at += bytes) {
                        memory.write64(entry + 8 * i, leaf(at + toOutput, level) | attributes | hint);
                    }
                    continue;
                }
                if (descriptor == 0) {
                    descriptor = addTable(entry);
                    if (descriptor == 0) {
                        return MappingException.Reason.OUT_OF_MEMORY;
                    }
                }
                if (isLeaf(descriptor, level)) {
                    return MappingException.Reason.OVERLAP;
                }
                // A table that was there has mappings, or unmap would have freed it. If they are in the way, one of
                // them will be met.
                MappingException.Reason failure =
                        fill(format.address(descriptor), level + 1, Math.min(to, (at & -bytes) + bytes));
                if (failure != null) {
                    return failure;
                }
            }
            return null;
        }

        private boolean fits(long bytes) {
            return ((at | at + toOutput) & bytes - 1) == 0 && end - at >= bytes;
        }

        /** How many entries from one on can be mapped as a contiguous group; 1 if they cannot. */
        private long group(long entry, int level, long bytes) {
            int bits = options.contiguous() ? granule.contiguousBits(level) : 0;
            if (bits == 0 || !fits(bytes << bits)) {
                return 1;
            }
            for (long i = 1; i < 1L << bits; i++) {
                if (memory.read64(entry + 8 * i) != 0) {
                    return 1;
                }
            }
            return 1L << bits;
        }
    }

    /**
     * Puts a new table where nothing is, unless another thread has just done so.
     *
     * @return the descriptor that is there now; 0 if there is no RAM
     */
    private long addTable(long entry) {
        long table = allocate(granule.bytes());
        if (table == PageAllocator.NONE) {
            return 0;
        }
        long descriptor = tableDescriptor(table);
        long seen = memory.compareAndExchange64(entry, 0, descriptor);
        if (seen != 0) {
            free(table, granule.bytes());
            return seen;
        }
        tables.incrementAndGet();
        return descriptor;
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
        lockSplit(input, input + size);
        remove(input, input + size, input + size, false);
    }

    /**
     * Clears the leaves of a range, which are whole, and takes out tables that are empty. Called with the shared lock,
     * which it gives back.
     *
     * @param until the range where tables may be empty ends here
     * @param newTables some may be empty that this thread has added, not only those that this clears
     */
    private void remove(long from, long to, long until, boolean newTables) {
        int done;
        try {
            done = clear(root, geometry.startLevel(), from, to);
        } finally {
            shared.unlock();
        }
        if (newTables || (done & EMPTIED) != 0) {
            List<Long> emptied = new ArrayList<>();
            // From when an entry leads to a table no more until it is invalidated, nobody may put a new table there.
            exclusive.lock();
            try {
                prune(root, geometry.startLevel(), from, until, emptied);
                if (!emptied.isEmpty() || done != 0) {
                    invalidation.invalidate(from, Math.max(to, until) - from);
                }
            } finally {
                exclusive.unlock();
            }
            tables.addAndGet(-emptied.size());
            emptied.forEach(table -> free(table, granule.bytes()));
        } else if (done != 0) {
            invalidation.invalidate(from, to - from);
        }
    }

    private int clear(long table, int level, long from, long to) {
        int done = 0;
        long bytes = 1L << granule.entryShift(level);
        for (long at = from; at < to; at = (at & -bytes) + bytes) {
            long entry = entry(table, level, at);
            long descriptor = memory.read64(entry);
            if (descriptor == 0) {
                continue;
            }
            if (isLeaf(descriptor, level)) {
                memory.write64(entry, 0);
                done |= CLEARED;
                continue;
            }
            long below = format.address(descriptor);
            int doneBelow = clear(below, level + 1, at, Math.min(to, (at & -bytes) + bytes));
            done |= doneBelow;
            // If tables below will go, then perhaps this one too.
            if ((doneBelow & CLEARED) != 0 && (doneBelow & EMPTIED) == 0) {
                // Of two threads that clear the last two entries, one at least must see both gone.
                VarHandle.fullFence();
                done |= isEmpty(below) ? EMPTIED : 0;
            }
        }
        return done;
    }

    private void prune(long table, int level, long from, long to, List<Long> emptied) {
        long bytes = 1L << granule.entryShift(level);
        for (long at = from; level < 3 && at < to; at = (at & -bytes) + bytes) {
            long entry = entry(table, level, at);
            long descriptor = memory.read64(entry);
            if (descriptor == 0 || isLeaf(descriptor, level)) {
                continue;
            }
            long below = format.address(descriptor);
            prune(below, level + 1, at, Math.min(to, (at & -bytes) + bytes), emptied);
            if (isEmpty(below)) {
                memory.write64(entry, 0);
                emptied.add(below);
            }
        }
    }

    /**
     * Gives a mapped range other attributes. Permissions change while the leaves are live; anything else, and whatever
     * is in a contiguous group, is broken first, so that an access meanwhile is a Translation fault. Dirty state is part
     * of the attributes: harvest it before, where it matters.
     *
     * @param input first input address
     * @param size in bytes
     * @param attributes bits of the leaf descriptors; type, address and Contiguous hint stay as they are
     * @throws MappingException and translates as before if the range is not one, is not mapped throughout, or a block
     *     cannot be split because no RAM is left
     */
    public void protect(long input, long size, long attributes) {
        check(input, size);
        long[] mapped = new long[1];
        runs(input, size, (from, output, length, old) -> mapped[0] += length);
        if (mapped[0] != size) {
            throw new MappingException(MappingException.Reason.NOT_MAPPED, input, size);
        }
        long wanted = attributes & ~notAttributes;
        boolean[] mustBreak = new boolean[1];
        lockSplit(input, input + size);
        try {
            forLeaves(
                    input,
                    input + size,
                    (entry, old, level, at) -> mustBreak[0] |=
                            ((old ^ wanted) & ~(notAttributes | LIVE) | old & Descriptor.CONTIGUOUS) != 0);
            if (mustBreak[0]) {
                forLeaves(input, input + size, (entry, old, level, at) -> change(entry, Descriptor.VALID, 0));
                invalidation.invalidate(input, size);
            }
            forLeaves(
                    input,
                    input + size,
                    (entry, old, level, at) -> change(entry, ~notAttributes, wanted | Descriptor.VALID));
        } finally {
            shared.unlock();
        }
        if (!mustBreak[0]) {
            invalidation.invalidate(input, size);
        }
    }

    /**
     * Makes what is writable-dirty in a range writable-clean again and tells it: leaves with {@link Descriptor#DBM} that
     * are writable. Blocks at the ends are split. When this returns, the next write by hardware makes its page dirty
     * again; until then data may still be written by accesses under way, so read the pages after this has returned, not
     * in {@code action}. One dirty page makes a contiguous group dirty.
     *
     * @param input first input address
     * @param size in bytes
     * @param action must not change the table
     * @throws MappingException if the range is not one, or a block cannot be split because no RAM is left; nothing is
     *     clean then that was not
     */
    public void harvestDirty(long input, long size, Dirty action) {
        check(input, size);
        boolean[] any = new boolean[1];
        lockSplit(input, input + size);
        try {
            forLeaves(input, input + size, (entry, descriptor, level, at) -> {
                int bits = (descriptor & Descriptor.CONTIGUOUS) != 0 ? granule.contiguousBits(level) : 0;
                long group = 1L << granule.entryShift(level) + bits;
                if ((at & group - 1) != 0) {
                    return; // With the first of its group.
                }
                boolean dirty = false;
                for (long i = 0; i < 1L << bits; i++) {
                    dirty |= clean(entry + 8 * i);
                }
                if (dirty) {
                    any[0] = true;
                    action.dirty(at, group);
                }
            });
        } finally {
            shared.unlock();
        }
        if (any[0]) {
            invalidation.invalidate(input, size);
        }
    }

    private boolean clean(long entry) {
        long clean = options.stage2() ? 0 : DIRTY_BIT;
        for (; ; ) {
            long descriptor = memory.read64(entry);
            if ((descriptor & Descriptor.DBM) == 0 || (descriptor & DIRTY_BIT) == clean) {
                return false;
            }
            if (memory.compareAndSet64(entry, descriptor, descriptor ^ DIRTY_BIT)) {
                return true;
            }
        }
    }

    /**
     * Tells the runs of a range: as long as possible, with outputs that follow one another and equal attributes.
     *
     * @param input first input address
     * @param size in bytes
     * @param action called in ascending order; must not change the table
     * @throws MappingException if the range is not one
     */
    public void runs(long input, long size, Run action) {
        check(input, size);
        Runs runs = new Runs(input, input + size, action);
        shared.lock();
        try {
            forLeaves(input, input + size, runs);
            runs.end();
        } finally {
            shared.unlock();
        }
    }

    /** Joins leaves to runs. */
    private final class Runs implements Leaf {
        private final long from;
        private final long to;
        private final Run action;
        private long start;
        private long output;
        private long size;
        private long attributes;

        Runs(long from, long to, Run action) {
            this.from = from;
            this.to = to;
            this.action = action;
        }

        @Override
        public void visit(long entry, long descriptor, int level, long input) {
            if ((descriptor & Descriptor.VALID) == 0) {
                return;
            }
            long bytes = 1L << granule.entryShift(level);
            long first = Math.max(from, input);
            long part = Math.min(to, input + bytes) - first;
            long target = (format.address(descriptor) & -bytes) + first - input;
            long with = descriptor & ~notAttributes;
            if (size > 0 && first == start + size && target == output + size && with == attributes) {
                size += part;
                return;
            }
            end();
            start = first;
            output = target;
            size = part;
            attributes = with;
        }

        void end() {
            if (size > 0) {
                action.run(start, output, size, attributes);
            }
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
        shared.lock();
        try {
            long table = root;
            for (int level = geometry.startLevel(); ; level++) {
                long descriptor = memory.read64(entry(table, level, input));
                if ((descriptor & Descriptor.VALID) == 0) {
                    return -1;
                }
                if (isLeaf(descriptor, level)) {
                    long offset = (1L << granule.entryShift(level)) - 1;
                    return format.address(descriptor) & ~offset | input & offset;
                }
                table = format.address(descriptor);
            }
        } finally {
            shared.unlock();
        }
    }

    /** Frees all tables. No unit may walk them any more, and no thread use the writer. */
    public void destroy() {
        freeBelow(root, geometry.startLevel());
        free(root, geometry.rootBytes());
    }

    private void check(long input, long size) {
        if (size <= 0 || ((input | size) & granule.bytes() - 1) != 0) {
            throw new MappingException(MappingException.Reason.MISALIGNED, input, size);
        }
        if (input < 0 || input + size < 0 || input + size - 1 >>> geometry.inputBits() != 0) {
            throw new MappingException(MappingException.Reason.INPUT_SIZE, input, size);
        }
    }

    /**
     * Takes the shared lock when no block or group goes across an end of a range: only those at the ends can need to be
     * split, and what may fail is done before anything else changes.
     */
    private void lockSplit(long from, long to) {
        shared.lock();
        if (split(from, false) || split(to, false)) {
            shared.unlock();
            exclusive.lock();
            try {
                split(from, true);
                split(to, true);
                shared.lock();
            } finally {
                exclusive.unlock();
            }
        }
    }

    /** Whether an address is in the middle of a block or group; if asked for, it is not any more. */
    private boolean split(long input, boolean now) {
        if (input >>> geometry.inputBits() != 0) {
            return false;
        }
        long table = root;
        for (int level = geometry.startLevel(); ; level++) {
            long entry = entry(table, level, input);
            long descriptor = memory.read64(entry);
            long bytes = 1L << granule.entryShift(level);
            if ((descriptor & Descriptor.VALID) == 0) {
                return false;
            }
            boolean leaf = isLeaf(descriptor, level);
            if (leaf && (descriptor & Descriptor.CONTIGUOUS) != 0) {
                int bits = granule.contiguousBits(level);
                if ((input & (bytes << bits) - 1) == 0) {
                    return false;
                }
                if (!now) {
                    return true;
                }
                splitGroup(input & -(bytes << bits), entry, level, bits);
            }
            if ((input & bytes - 1) == 0) {
                return false;
            }
            if (leaf) {
                if (!now) {
                    return true;
                }
                splitBlock(input & -bytes, entry, level);
                descriptor = memory.read64(entry);
            }
            table = format.address(descriptor);
        }
    }

    /** Takes the hint from a contiguous group. What one of them was, all were: used, dirty. */
    private void splitGroup(long input, long entry, int level, int bits) {
        long first = entry & -(8L << bits);
        long all = -1;
        long any = 0;
        for (long i = 0; i < 1L << bits; i++) {
            long descriptor = change(first + 8 * i, Descriptor.VALID, 0);
            all &= descriptor;
            any |= descriptor;
        }
        invalidation.invalidate(input, 1L << granule.entryShift(level) + bits);
        long flags = any & Descriptor.AF;
        long dirtyBit = (any & Descriptor.DBM) != 0 ? DIRTY_BIT : 0;
        long dirty = dirtyBit & (options.stage2() ? any : all);
        for (long i = 0; i < 1L << bits; i++) {
            change(first + 8 * i, Descriptor.CONTIGUOUS | dirtyBit, Descriptor.VALID | flags | dirty);
        }
    }

    /** Puts a table of smaller leaves where there was a block. */
    private void splitBlock(long input, long entry, int level) {
        long table = allocate(granule.bytes());
        if (table == PageAllocator.NONE) {
            throw new MappingException(MappingException.Reason.OUT_OF_MEMORY, input, 1L << granule.entryShift(level));
        }
        tables.incrementAndGet();
        long old = change(entry, -1, 0);
        long step = 1L << granule.entryShift(level + 1);
        long output = format.address(old);
        for (long at = 0; at < granule.bytes(); at += 8, output += step) {
            memory.write64(table + at, leaf(output, level + 1) | old & ~notAttributes);
        }
        invalidation.invalidate(input, 1L << granule.entryShift(level));
        memory.write64(entry, tableDescriptor(table));
    }

    /** Replaces bits of a descriptor that hardware may update at the same time; returns what it was. */
    private long change(long entry, long clear, long set) {
        long old;
        do {
            old = memory.read64(entry);
        } while (!memory.compareAndSet64(entry, old, old & ~clear | set));
        return old;
    }

    private void forLeaves(long from, long to, Leaf action) {
        forLeaves(root, geometry.startLevel(), from, to, action);
    }

    private void forLeaves(long table, int level, long from, long to, Leaf action) {
        long bytes = 1L << granule.entryShift(level);
        for (long at = from; at < to; at = (at & -bytes) + bytes) {
            long entry = entry(table, level, at);
            long descriptor = memory.read64(entry);
            if (descriptor == 0) {
                continue;
            }
            if (isLeaf(descriptor, level)) {
                action.visit(entry, descriptor, level, at & -bytes);
            } else {
                forLeaves(format.address(descriptor), level + 1, at, Math.min(to, (at & -bytes) + bytes), action);
            }
        }
    }

    private boolean isEmpty(long table) {
        for (long at = 0; at < granule.bytes(); at += 8) {
            if (memory.read64(table + at) != 0) {
                return false;
            }
        }
        return true;
    }

    private void freeBelow(long table, int level) {
        long bytes = level == geometry.startLevel() ? geometry.rootBytes() : granule.bytes();
        for (long at = 0; at < bytes; at += 8) {
            long descriptor = memory.read64(table + at);
            if (descriptor != 0 && !isLeaf(descriptor, level)) {
                freeBelow(format.address(descriptor), level + 1);
                free(format.address(descriptor), granule.bytes());
                tables.decrementAndGet();
            }
        }
    }

    private long allocate(long size) {
        synchronized (allocator) {
            return allocator.allocate(size);
        }
    }

    private void free(long table, long size) {
        synchronized (allocator) {
            allocator.free(table, size);
        }
    }

    private long entry(long table, int level, long input) {
        int shift = granule.entryShift(level);
        int bits = level == geometry.startLevel() ? geometry.inputBits() - shift : granule.levelBits();
        return table + ((input >>> shift & (1L << bits) - 1) << 3);
    }

    private long tableDescriptor(long table) {
        return format.descriptor(table) | Descriptor.VALID | Descriptor.TABLE | options.tableAttributes();
    }

    private long leaf(long output, int level) {
        return format.descriptor(output) | Descriptor.VALID | (level == 3 ? Descriptor.TABLE : 0);
    }

    private static boolean isLeaf(long descriptor, int level) {
        return level == 3 || (descriptor & Descriptor.TABLE) == 0;
    }
}
