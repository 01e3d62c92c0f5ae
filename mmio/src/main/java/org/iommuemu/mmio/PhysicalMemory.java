package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Guest RAM: sparse, little-endian, up to 2<sup>52</sup> bytes of address space, memory proportional to what is touched.
 *
 * <p>RAM exists where {@link #addRam} put it; everywhere else there is nothing, and a model that wants to read there sees
 * an external abort: it asks {@link #isRam} first. Reading RAM that was never written gives 0 and allocates nothing.
 * Where {@link #back} says so, the bytes of RAM are those of a buffer that other software may share.
 *
 * <p><b>Concurrency.</b> Every naturally aligned access of 8, 16, 32 or 64 bits is single-copy atomic, reads acquire and
 * writes release, as coherent Normal memory looks to an observer with load-acquire and store-release instructions. A
 * store followed by a load of another location is not ordered; software and hardware that need that use a full fence or
 * {@link #compareAndExchange64}. Bulk operations are not atomic as a whole and order nothing beyond their own bytes.
 */
public final class PhysicalMemory {
    /** Width of a physical address in bits (Arm: 52 with FEAT_LPA). */
    public static final int ADDRESS_BITS = 52;

    private static final int CHUNK_SHIFT = 16;
    private static final int CHUNK_SIZE = 1 << CHUNK_SHIFT;
    private static final int CHUNK_MASK = CHUNK_SIZE - 1;
    private static final int LEAF_BITS = 14;
    private static final int MIDDLE_BITS = 10;
    private static final int ROOT_BITS = ADDRESS_BITS - CHUNK_SHIFT - LEAF_BITS - MIDDLE_BITS;

    private static final byte[] ZEROS = new byte[CHUNK_SIZE];

    private static final VarHandle SHORTS =
            MethodHandles.byteBufferViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONGS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle MIDDLES = MethodHandles.arrayElementVarHandle(Window[][][].class);
    private static final VarHandle LEAVES = MethodHandles.arrayElementVarHandle(Window[][].class);
    private static final VarHandle CHUNKS = MethodHandles.arrayElementVarHandle(Window[].class);

    /**
     * A range of RAM.
     *
     * @param base first byte
     * @param size in bytes, not 0
     */
    public record Range(long base, long size) {
        /** The first byte behind the range. */
        public long end() {
            return base + size;
        }
    }

    /**
     * Bytes from elsewhere that are the RAM of a range.
     *
     * @param base first byte, on a chunk's boundary
     * @param bytes whole chunks
     */
    private record Backing(long base, ByteBuffer bytes) {
        boolean holds(long address) {
            return address >= base && address - base < bytes.capacity();
        }

        ByteBuffer chunk(long address) {
            return bytes.slice((int) ((address & -CHUNK_SIZE) - base), CHUNK_SIZE);
        }
    }

    /** 64 KiB of RAM, aligned: a walk whose tables are close together finds it once. Immutable; its bytes are the RAM's. */
    public static final class Window {
        private final long number;
        private final ByteBuffer bytes;

        /** Whether it was all RAM when it was first touched; RAM never goes away. */
        private final boolean whole;

        private Window(long number, ByteBuffer bytes, boolean whole) {
            this.number = number;
            this.bytes = bytes.order(ByteOrder.LITTLE_ENDIAN);
            this.whole = whole;
        }

        /** Whether an aligned access at an address is in here. */
        public boolean holds(long address) {
            return address >>> CHUNK_SHIFT == number;
        }

        /**
         * As {@link PhysicalMemory#read64}, at an address in here, but the read does not acquire: one whose address comes
         * from what was read here is ordered behind it by that, as on all processors that have a JVM; others need a fence.
         */
        public long read64Plain(long address) {
            return bytes.getLong((int) address & CHUNK_MASK);
        }
    }

    /**
     * Address bits 51:40, 39:30, 29:16. Entries go from null to an array or chunk once, published with release (by
     * compare-and-set) and read with acquire, so whoever sees a chunk sees its zeroed bytes.
     */
    private final Window[][][] chunks = new Window[1 << ROOT_BITS][][];

    private final AtomicLong touched = new AtomicLong();

    /** Sorted by address; replaced, never changed. */
    private volatile Range[] ranges = {};

    /** What {@link #back} gave, sorted by address; replaced, never changed. */
    private volatile Backing[] backings = {};

    /**
     * Adds RAM. Ranges that touch or overlap what is there are merged, as two banks that meet are one to software.
     *
     * @param base first byte
     * @param size in bytes
     * @throws IllegalArgumentException if the range is empty or does not lie below 2^52
     */
    public synchronized void addRam(long base, long size) {
        if (base < 0 || size <= 0 || base + size < 0 || base + size > 1L << ADDRESS_BITS) {
            throw new IllegalArgumentException(
                    "RAM at 0x%x of 0x%x bytes does not fit below 2^%d".formatted(base, size, ADDRESS_BITS));
        }
        List<Range> sorted = new ArrayList<>(List.of(ranges));
        sorted.add(new Range(base, size));
        sorted.sort(Comparator.comparingLong(Range::base));
        List<Range> merged = new ArrayList<>();
        for (Range next : sorted) {
            Range last = merged.isEmpty() ? null : merged.get(merged.size() - 1);
            if (last != null && next.base <= last.end()) {
                merged.set(merged.size() - 1, new Range(last.base, Math.max(last.end(), next.end()) - last.base));
            } else {
                merged.add(next);
            }
        }
        ranges = merged.toArray(Range[]::new);
    }

    /** Multiple that {@link #back} wants addresses and sizes to be of, in bytes. */
    public static final int BACKING_ALIGNMENT = CHUNK_SIZE;

    /**
     * Lets the bytes of RAM be those of a buffer, a mapping that is shared with other software for instance. RAM still is
     * where {@link #addRam} put it only; this says where its bytes are.
     *
     * @param base first byte; a multiple of {@link #BACKING_ALIGNMENT}, as is the buffer's capacity
     * @param bytes a direct buffer, aligned to 8 bytes
     * @throws IllegalArgumentException if it is not aligned so or overlaps what has been backed
     * @throws IllegalStateException if RAM was touched before
     */
    public synchronized void back(long base, ByteBuffer bytes) {
        if (!bytes.isDirect()
                || bytes.alignmentOffset(0, 8) != 0
                || base % CHUNK_SIZE != 0
                || bytes.capacity() % CHUNK_SIZE != 0
                || bytes.capacity() == 0) {
            throw new IllegalArgumentException("backing at 0x%x of 0x%x bytes".formatted(base, bytes.capacity()));
        }
        if (touched.get() != 0) {
            throw new IllegalStateException("RAM was touched before it was backed");
        }
        List<Backing> sorted = new ArrayList<>(List.of(backings));
        sorted.add(new Backing(base, bytes));
        sorted.sort(Comparator.comparingLong(Backing::base));
        for (int i = 1; i < sorted.size(); i++) {
            if (sorted.get(i - 1).holds(sorted.get(i).base)) {
                throw new IllegalArgumentException("RAM at 0x%x is backed twice".formatted(sorted.get(i).base));
            }
        }
        backings = sorted.toArray(Backing[]::new);
    }

    /** Whose bytes an address has; null if they are the memory's own. */
    private Backing backing(long address) {
        Backing[] sorted = backings;
        int low = 0;
        int high = sorted.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (sorted[middle].base <= address) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low > 0 && sorted[low - 1].holds(address) ? sorted[low - 1] : null;
    }

    /** The RAM there is, in ascending order, no two of them adjacent. */
    public List<Range> ranges() {
        return List.of(ranges);
    }

    /**
     * Whether all bytes of an access lie in RAM.
     *
     * @param address first byte
     * @param length in bytes, at least 1
     */
    public boolean isRam(long address, long length) {
        Range[] sorted = ranges;
        int low = 0;
        int high = sorted.length - 1;
        while (low <= high) {
            int middle = (low + high) >>> 1;
            Range range = sorted[middle];
            if (address < range.base) {
                high = middle - 1;
            } else if (address >= range.end()) {
                low = middle + 1;
            } else {
                return length <= range.end() - address;
            }
        }
        return false;
    }

    /** Bytes of host memory that hold touched RAM. */
    public long touchedBytes() {
        return touched.get();
    }

    /**
     * The touched RAM around an address, for a reader that stays near it.
     *
     * @param address of any alignment
     * @return null if nothing there was ever written, or it was not wholly RAM when it was
     */
    public Window window(long address) {
        Window window = address >>> ADDRESS_BITS == 0 ? find(address) : null;
        return window != null && window.whole ? window : null;
    }

    /** Reads 8 bits at an address in RAM, zero-extended. */
    public int read8(long address) {
        ByteBuffer chunk = chunk(address);
        if (chunk == null) {
            return 0;
        }
        byte value = chunk.get((int) address & CHUNK_MASK);
        VarHandle.acquireFence(); // There is no VarHandle for single bytes of a buffer.
        return value & 0xff;
    }

    /** Reads 16 bits at a 2-byte aligned address in RAM, zero-extended. */
    public int read16(long address) {
        ByteBuffer chunk = chunk(address);
        return chunk == null ? 0 : (short) SHORTS.getAcquire(chunk, (int) address & CHUNK_MASK) & 0xffff;
    }

    /** Reads 32 bits at a 4-byte aligned address in RAM. */
    public int read32(long address) {
        ByteBuffer chunk = chunk(address);
        return chunk == null ? 0 : (int) INTS.getAcquire(chunk, (int) address & CHUNK_MASK);
    }

    /** Reads 64 bits at an 8-byte aligned address in RAM. */
    public long read64(long address) {
        ByteBuffer chunk = chunk(address);
        return chunk == null ? 0 : (long) LONGS.getAcquire(chunk, (int) address & CHUNK_MASK);
    }

    /** Writes the low 8 bits of a value at an address in RAM. */
    public void write8(long address, int value) {
        ByteBuffer chunk = touch(address);
        VarHandle.releaseFence();
        chunk.put((int) address & CHUNK_MASK, (byte) value);
    }

    /** Writes the low 16 bits of a value at a 2-byte aligned address in RAM. */
    public void write16(long address, int value) {
        SHORTS.setRelease(touch(address), (int) address & CHUNK_MASK, (short) value);
    }

    /** Writes 32 bits at a 4-byte aligned address in RAM. */
    public void write32(long address, int value) {
        INTS.setRelease(touch(address), (int) address & CHUNK_MASK, value);
    }

    /** Writes 64 bits at an 8-byte aligned address in RAM. */
    public void write64(long address, long value) {
        LONGS.setRelease(touch(address), (int) address & CHUNK_MASK, value);
    }

    /**
     * Atomically replaces 64 bits at an 8-byte aligned address in RAM if they have the expected value; a full fence.
     *
     * @return the value that was there, which is {@code expected} exactly if the new value was stored
     */
    public long compareAndExchange64(long address, long expected, long value) {
        return (long) LONGS.compareAndExchange(touch(address), (int) address & CHUNK_MASK, expected, value);
    }

    /**
     * As {@link #compareAndExchange64}, telling only whether the new value was stored.
     *
     * @return whether the new value was stored
     */
    public boolean compareAndSet64(long address, long expected, long value) {
        return compareAndExchange64(address, expected, value) == expected;
    }

    /** Copies bytes out of RAM. */
    public void read(long address, byte[] target, int offset, int length) {
        Objects.checkFromIndexSize(offset, length, target.length);
        for (int done = 0; done < length; ) {
            int index = (int) (address + done) & CHUNK_MASK;
            int part = Math.min(length - done, CHUNK_SIZE - index);
            ByteBuffer chunk = chunk(address + done);
            if (chunk == null) {
                Arrays.fill(target, offset + done, offset + done + part, (byte) 0);
            } else {
                chunk.get(index, target, offset + done, part);
            }
            done += part;
        }
    }

    /** Copies bytes into RAM. */
    public void write(long address, byte[] source, int offset, int length) {
        Objects.checkFromIndexSize(offset, length, source.length);
        for (int done = 0; done < length; ) {
            int index = (int) (address + done) & CHUNK_MASK;
            int part = Math.min(length - done, CHUNK_SIZE - index);
            touch(address + done).put(index, source, offset + done, part);
            done += part;
        }
    }

    /** Copies bytes within RAM; the ranges may overlap. */
    public void copy(long from, long to, long length) {
        // Towards lower addresses forwards, towards higher ones backwards, so that no byte is overwritten unread.
        byte[] buffer = new byte[(int) Math.min(length, CHUNK_SIZE)];
        boolean forwards = Long.compareUnsigned(to, from) <= 0;
        for (long done = 0; done < length; ) {
            int part = (int) Math.min(length - done, buffer.length);
            long at = forwards ? done : length - done - part;
            read(from + at, buffer, 0, part);
            write(to + at, buffer, 0, part);
            done += part;
        }
    }

    /** Writes zeros; RAM that was never touched stays untouched. */
    public void zero(long address, long length) {
        for (long done = 0; done < length; ) {
            int index = (int) (address + done) & CHUNK_MASK;
            int part = (int) Math.min(length - done, CHUNK_SIZE - index);
            ByteBuffer chunk = chunk(address + done);
            if (chunk != null) {
                chunk.put(index, ZEROS, 0, part);
            }
            done += part;
        }
    }

    private ByteBuffer chunk(long address) {
        Window window = find(address);
        return window == null ? null : window.bytes;
    }

    private Window find(long address) {
        Window window = null;
        Window[][] middle = (Window[][]) MIDDLES.getAcquire(chunks, rootIndex(address));
        if (middle != null) {
            Window[] leaf = (Window[]) LEAVES.getAcquire(middle, middleIndex(address));
            window = leaf == null ? null : (Window) CHUNKS.getAcquire(leaf, leafIndex(address));
        }
        // Whoever shares a backing may have written there, although nobody did here.
        return window == null && backing(address) != null && isRam(address, 1) ? create(address) : window;
    }

    private ByteBuffer touch(long address) {
        ByteBuffer chunk = chunk(address);
        return chunk == null ? create(address).bytes : chunk;
    }

    private Window create(long address) {
        if (!isRam(address, 1)) {
            throw new IllegalArgumentException("no RAM at 0x%x".formatted(address));
        }
        int root = rootIndex(address);
        if (MIDDLES.getAcquire(chunks, root) == null) {
            MIDDLES.compareAndSet(chunks, root, (Window[][]) null, new Window[1 << MIDDLE_BITS][]);
        }
        Window[][] middle = (Window[][]) MIDDLES.getAcquire(chunks, root);
        if (LEAVES.getAcquire(middle, middleIndex(address)) == null) {
            LEAVES.compareAndSet(middle, middleIndex(address), (Window[]) null, new Window[1 << LEAF_BITS]);
        }
        Window[] leaf = (Window[]) LEAVES.getAcquire(middle, middleIndex(address));
        boolean whole = isRam(address & -CHUNK_SIZE, CHUNK_SIZE);
        Backing backing = backing(address);
        ByteBuffer bytes = backing != null ? backing.chunk(address) : ByteBuffer.allocateDirect(CHUNK_SIZE);
        Window fresh = new Window(address >>> CHUNK_SHIFT, bytes, whole);
        Window first = (Window) CHUNKS.compareAndExchange(leaf, leafIndex(address), (Window) null, fresh);
        if (first != null) {
            return first;
        }
        touched.addAndGet(CHUNK_SIZE);
        return fresh;
    }

    private static int rootIndex(long address) {
        // An address beyond 2^52 indexes past the end: it was not checked with isRam, a bug of the caller.
        return Math.toIntExact(address >>> CHUNK_SHIFT + LEAF_BITS + MIDDLE_BITS);
    }

    private static int middleIndex(long address) {
        return (int) (address >>> CHUNK_SHIFT + LEAF_BITS) & (1 << MIDDLE_BITS) - 1;
    }

    private static int leafIndex(long address) {
        return (int) (address >>> CHUNK_SHIFT) & (1 << LEAF_BITS) - 1;
    }
}
