package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;

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

    /** Chunks of a region, of which there may be one window only. */
    private static final int REGION_CHUNKS = 32;

    private static final int REGION_SIZE = REGION_CHUNKS << CHUNK_SHIFT;

    private static final byte[] ZEROS = new byte[CHUNK_SIZE];

    private static final VarHandle SHORTS =
            MethodHandles.byteBufferViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle INTS = MethodHandles.byteBufferViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle LONGS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);
    private static final VarHandle MIDDLES = MethodHandles.arrayElementVarHandle(Window[][][].class);
    private static final VarHandle LEAVES = MethodHandles.arrayElementVarHandle(Window[][].class);
    private static final VarHandle CHUNKS = MethodHandles.arrayElementVarHandle(Window[].class);

    static {
        // HotSpot's C2 inlines no method with a class in its signature that is not loaded yet. The accesses behind a
        // buffer's have one that nothing needs before: whether it was there in time was a matter of luck, and reads of
        // descriptors took twice as long where it was not. Reflection loads what signatures name.
        Buffer.class.getDeclaredMethods();
    }

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
     * @param bytes whole chunks, little-endian
     */
    private record Backing(long base, ByteBuffer bytes) {
        boolean holds(long address) {
            return address >= base && address - base < bytes.capacity();
        }
    }

    /**
     * 64 KiB or 2 MiB of RAM, aligned: a walk whose tables are close together finds it once. Immutable; its bytes are the
     * RAM's.
     */
    public static final class Window {
        private final long start;
        private final int size;
        private final long mask;

        /**
         * Little-endian; may hold more than the window. The JDK's direct buffers all are this, of one class that reads: the
         * compiler need not ask for it, as it has to with a ByteBuffer.
         */
        private final MappedByteBuffer bytes;

        /** What an address in here is to be reduced by, as an {@code int}, to be an index into {@link #bytes}. */
        private final int origin;

        /** Whether it was all RAM when it was first touched; RAM never goes away. */
        private final boolean whole;

        private Window(long start, int size, ByteBuffer bytes, int offset, boolean whole) {
            this.start = start;
            this.size = size;
            mask = -size;
            this.bytes = (MappedByteBuffer) bytes;
            this.origin = (int) start - offset;
            this.whole = whole;
        }

        private int index(long address) {
            return (int) address - origin;
        }

        /** Whether an aligned access at an address is in here. */
        public boolean holds(long address) {
            return (address & mask) == start;
        }

        /**
         * As {@link PhysicalMemory#read64}, at an address in here, but the read does not acquire: one whose address comes
         * from what was read here is ordered behind it by that, as on all processors that have a JVM; others need a fence.
         */
        public long read64Plain(long address) {
            return bytes.getLong(index(address));
        }
    }

    /**
     * Address bits 51:40, 39:30, 29:16. Entries go from null to an array or chunk once, under the monitor, published with
     * release and read with acquire, so whoever sees a chunk sees its zeroed bytes.
     */
    private final Window[][][] chunks = new Window[1 << ROOT_BITS][][];

    /** Written under the monitor. */
    private volatile long touched;

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
        if (touched != 0) {
            throw new IllegalStateException("RAM was touched before it was backed");
        }
        List<Backing> sorted = new ArrayList<>(List.of(backings));
        sorted.add(new Backing(base, bytes.duplicate().order(ByteOrder.LITTLE_ENDIAN)));
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

    /** Bytes of RAM that were touched, in chunks of 64 KiB. Not more than twice as much host memory stands behind them. */
    public long touchedBytes() {
        return touched;
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
        Window window = find(address);
        if (window == null) {
            return 0;
        }
        byte value = window.bytes.get(window.index(address));
        VarHandle.acquireFence(); // There is no VarHandle for single bytes of a buffer.
        return value & 0xff;
    }

    /** Reads 16 bits at a 2-byte aligned address in RAM, zero-extended. */
    public int read16(long address) {
        Window window = find(address);
        return window == null ? 0 : (short) SHORTS.getAcquire(window.bytes, window.index(address)) & 0xffff;
    }

    /** Reads 32 bits at a 4-byte aligned address in RAM. */
    public int read32(long address) {
        Window window = find(address);
        return window == null ? 0 : (int) INTS.getAcquire(window.bytes, window.index(address));
    }

    /** Reads 64 bits at an 8-byte aligned address in RAM. */
    public long read64(long address) {
        Window window = find(address);
        return window == null ? 0 : (long) LONGS.getAcquire(window.bytes, window.index(address));
    }

    /** Writes the low 8 bits of a value at an address in RAM. */
    public void write8(long address, int value) {
        Window window = touch(address);
        VarHandle.releaseFence();
        window.bytes.put(window.index(address), (byte) value);
    }

    /** Writes the low 16 bits of a value at a 2-byte aligned address in RAM. */
    public void write16(long address, int value) {
        Window window = touch(address);
        SHORTS.setRelease(window.bytes, window.index(address), (short) value);
    }

    /** Writes 32 bits at a 4-byte aligned address in RAM. */
    public void write32(long address, int value) {
        Window window = touch(address);
        INTS.setRelease(window.bytes, window.index(address), value);
    }

    /** Writes 64 bits at an 8-byte aligned address in RAM. */
    public void write64(long address, long value) {
        Window window = touch(address);
        LONGS.setRelease(window.bytes, window.index(address), value);
    }

    /**
     * Atomically replaces 64 bits at an 8-byte aligned address in RAM if they have the expected value; a full fence.
     *
     * @return the value that was there, which is {@code expected} exactly if the new value was stored
     */
    public long compareAndExchange64(long address, long expected, long value) {
        Window window = touch(address);
        return (long) LONGS.compareAndExchange(window.bytes, window.index(address), expected, value);
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
            int part = Math.min(length - done, inChunk(address + done));
            Window window = find(address + done);
            if (window == null) {
                Arrays.fill(target, offset + done, offset + done + part, (byte) 0);
            } else {
                window.bytes.get(window.index(address + done), target, offset + done, part);
            }
            done += part;
        }
    }

    /** Copies bytes into RAM. */
    public void write(long address, byte[] source, int offset, int length) {
        Objects.checkFromIndexSize(offset, length, source.length);
        for (int done = 0; done < length; ) {
            int part = Math.min(length - done, inChunk(address + done));
            Window window = touch(address + done);
            window.bytes.put(window.index(address + done), source, offset + done, part);
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
            int part = (int) Math.min(length - done, inChunk(address + done));
            Window window = find(address + done);
            if (window != null) {
                window.bytes.put(window.index(address + done), ZEROS, 0, part);
            }
            done += part;
        }
    }

    /** How many bytes there are from an address to the end of its chunk. */
    private static int inChunk(long address) {
        return CHUNK_SIZE - ((int) address & CHUNK_MASK);
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

    private Window touch(long address) {
        Window window = find(address);
        return window == null ? create(address) : window;
    }

    private synchronized Window create(long address) {
        if (!isRam(address, 1)) {
            throw new IllegalArgumentException("no RAM at 0x%x".formatted(address));
        }
        Window[][] middle = chunks[rootIndex(address)];
        if (middle == null) {
            middle = new Window[1 << MIDDLE_BITS][];
            MIDDLES.setRelease(chunks, rootIndex(address), middle);
        }
        Window[] leaf = middle[middleIndex(address)];
        if (leaf == null) {
            leaf = new Window[1 << LEAF_BITS];
            LEAVES.setRelease(middle, middleIndex(address), leaf);
        }
        int slot = leafIndex(address);
        Window window = leaf[slot];
        if (window == null) { // Else another thread was first.
            window = windowOf(address, leaf, slot & -REGION_CHUNKS);
            CHUNKS.setRelease(leaf, slot, window);
            touched += CHUNK_SIZE;
        }
        return window;
    }

    /**
     * The window for a chunk that was not touched yet: its region's if there is one, else a new one.
     *
     * @param leaf the windows around
     * @param region where in them the chunk's region begins
     */
    private Window windowOf(long address, Window[] leaf, int region) {
        Window first = Arrays.stream(leaf, region, region + REGION_CHUNKS)
                .filter(Objects::nonNull)
                .findAny()
                .orElse(null);
        if (first != null && first.size == REGION_SIZE) {
            return first;
        }
        int size = first == null && isOneWindow(address & -REGION_SIZE, leaf, region) ? REGION_SIZE : CHUNK_SIZE;
        long start = address & -size;
        Backing backing = backing(address);
        return backing == null
                ? new Window(
                        start,
                        size,
                        ByteBuffer.allocateDirect(size).order(ByteOrder.LITTLE_ENDIAN),
                        0,
                        isRam(start, size))
                : new Window(start, size, backing.bytes, (int) (start - backing.base), isRam(start, size));
    }

    /**
     * Whether an untouched region is to be one window. Who reads everywhere has to load the description of each window, and
     * misses the processor's caches with that; so there are few where RAM is touched densely. All of the region below was
     * touched, so that no more memory is wasted than is used; or it costs nothing, as the bytes are there already.
     */
    private boolean isOneWindow(long start, Window[] leaf, int region) {
        Backing backing = backing(start);
        for (long chunk = start; chunk < start + REGION_SIZE; chunk += CHUNK_SIZE) {
            if (backing(chunk) != backing) {
                return false;
            }
        }
        boolean affordable = backing != null
                || region > 0
                        && Arrays.stream(leaf, region - REGION_CHUNKS, region).allMatch(Objects::nonNull);
        return affordable && isRam(start, REGION_SIZE);
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
