package org.iommuemu.pagetables;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.TlbReplacement;
import org.iommuemu.mmio.Translation;

/**
 * A set-associative cache of translations for any number of threads, without locks on a hit.
 *
 * <p>An entry belongs to a space (16 bits: a VMID, or a context of the IPMMU) and, unless it is global, to an ASID (16
 * bits, and {@link #ASID_SET}) of it, and covers the whole block that its table entry maps. Invalidating an address, an
 * ASID, a space or all costs the same however much is cached: an address is looked for in the sets where it can be, the
 * others bump a generation that entries were tagged with, and what is stale is reclaimed when its place is needed.
 *
 * <p><b>Filling against invalidating.</b> A thread takes {@link #epoch} before it walks and hands it to {@link #fill};
 * every invalidation moves the epoch on first, so a walk that an invalidation overtook is not cached. The access itself
 * may still use what it walked: it was under way.
 */
public final class Tlb {
    /** What {@link #lookUp} returns when nothing is cached: no translation looks like this. */
    public static final long MISS = 0;

    /** What {@link #epoch} never is: with it {@link #fill} caches nothing. */
    public static final long NO_EPOCH = -1;

    // An entry is four longs: whether it is being written (63), version (62:32), generation (31:0); input page address
    // (51:0
    // shifted by 12, sign of the upper half kept) with log2 of the size in bits 5:0; owner; value.
    private static final int LOG2_ENTRY = 2;
    private static final int ENTRY = 1 << LOG2_ENTRY;
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle INTS = MethodHandles.arrayElementVarHandle(int[].class);
    private static final long LOCKED = 1L << 63;
    private static final long VERSION = 1L << 32;
    private static final long GLOBAL = 1L << 32;

    /**
     * Beside the bits of an ASID: it is of another set of ASIDs. Entries of an ASID answer in both sets, global ones only in
     * that which they were made in; invalidations concern both (IHI 0070, 3.17).
     */
    public static final int ASID_SET = 1 << 16;

    // Generations, in one array: by ASID, by space, and of all.
    private static final int ASIDS = 1024;
    private static final int SPACES = 256;
    private static final int ALL = ASIDS + SPACES;

    private final TlbGeometry geometry;
    private final int ways;
    private final int log2Stride;
    /** Bits of an index into {@link #entries} that say which set. */
    private final int setMask;

    private final AtomicLong epoch = new AtomicLong();
    /** Bit n: an entry of size 2^n has been cached at some time. Only grows; there are few sizes. Written under the monitor. */
    private volatile long sizes;

    /** Generations only grow, so the sum of those that concern an entry is equal only while none has changed. */
    private final int[] generations = new int[ALL + 1];

    /** See {@link #largestBlockCut}. Only grows. */
    private final AtomicInteger largestBlockCut = new AtomicInteger();

    /** Allocated by the first fill: a unit that nothing goes through costs nothing. */
    private volatile long[] entries;

    /** Made by the first fill, before {@link #entries} is published. */
    private TlbReplacement replacement;

    /** An empty TLB. */
    public Tlb(TlbGeometry geometry) {
        this.geometry = geometry;
        ways = geometry.ways();
        // Sets begin at multiples of a power of two; what is left over is never filled.
        log2Stride = LOG2_ENTRY + 32 - Integer.numberOfLeadingZeros(ways - 1);
        setMask = geometry.sets() - 1 << log2Stride;
    }

    /**
     * An empty TLB with pseudo-LRU replacement.
     *
     * @param sets a power of two
     * @param ways entries per set
     */
    public Tlb(int sets, int ways) {
        this(TlbGeometry.of(sets, ways));
    }

    /**
     * Looks an address up.
     *
     * @param space the VMID or context
     * @param asid the ASID; does not matter for global entries
     * @return what {@link #fill} was given, its page adjusted to the address; or {@link #MISS}
     */
    public long lookUp(int space, int asid, long input) {
        long[] table = entries;
        if (table == null) {
            return MISS;
        }
        // Most hits are of the smallest size, and in front of their set: these by themselves, as short as can be.
        int log2Size = Long.numberOfTrailingZeros(sizes);
        long key = key(input, log2Size);
        int slot = firstSlot(space, input, log2Size);
        long stamp = (long) LONGS.getAcquire(table, slot);
        if ((long) LONGS.getOpaque(table, slot + 1) == key) {
            long owner = (long) LONGS.getOpaque(table, slot + 2);
            long value = (long) LONGS.getOpaque(table, slot + 3);
            if (owns(owner, space, asid) && isWhole(stamp, table, slot) && isCurrent(stamp, owner, space, asid)) {
                replacement.used(slot >>> log2Stride, 0);
                return of(value, input, log2Size);
            }
        }
        return search(table, space, asid, input);
    }

    private long search(long[] table, int space, int asid, long input) {
        for (long left = sizes; left != 0; left &= left - 1) {
            int log2Size = Long.numberOfTrailingZeros(left);
            long key = key(input, log2Size);
            int slot = firstSlot(space, input, log2Size);
            for (int way = 0; way < ways; way++, slot += ENTRY) {
                long stamp = (long) LONGS.getAcquire(table, slot);
                if ((long) LONGS.getOpaque(table, slot + 1) == key) {
                    long owner = (long) LONGS.getOpaque(table, slot + 2);
                    long value = (long) LONGS.getOpaque(table, slot + 3);
                    if (owns(owner, space, asid)
                            && isWhole(stamp, table, slot)
                            && isCurrent(stamp, owner, space, asid)) {
                        replacement.used(slot >>> log2Stride, way);
                        return of(value, input, log2Size);
                    }
                }
            }
        }
        return MISS;
    }

    /** Whether what was read since the stamp belongs together: nobody was writing, and nobody has written since. */
    private static boolean isWhole(long stamp, long[] table, int slot) {
        // The stamp must not be read again before the words it vouches for.
        VarHandle.loadLoadFence();
        return stamp >= 0 && (long) LONGS.getOpaque(table, slot) == stamp;
    }

    /** Whether an entry is of the generation that look-ups want. */
    private boolean isCurrent(long stamp, long owner, int space, int asid) {
        return (int) stamp == generation(space, asid, owner != owner(space, asid, false));
    }

    /** The value of an entry, which is for the first page that it maps, for an address in any. */
    private static long of(long value, long input, int log2Size) {
        return log2Size == 12 ? value : value + (input & (1L << log2Size) - 1 & 0x000f_ffff_ffff_f000L);
    }

    /** Taken before a walk whose result is to be cached. */
    public long epoch() {
        return epoch.get();
    }

    /**
     * Caches a successful translation, unless something was invalidated since {@code before}.
     *
     * @param asid the ASID; kept only if the translation is not global
     * @param value bits of {@link WalkResult}, a success
     * @param before {@link #epoch} before the walk
     */
    public void fill(int space, int asid, long input, long value, long before) {
        if (geometry.replacement() == TlbGeometry.Replacement.NEVER_CACHE) {
            return;
        }
        long[] table = entries;
        if (table == null) {
            table = allocate();
        }
        int log2Size = Translation.log2Size(value);
        boolean global = !WalkResult.isNotGlobal(value);
        // Read before the epoch is compared below: an invalidation that comes later makes the entry stale.
        int entryGeneration = generation(space, asid, global);
        long key = key(input, log2Size);
        int slot = choose(table, firstSlot(space, input, log2Size), key, space, asid);
        if (slot < 0) {
            return;
        }
        long stamp = (long) LONGS.getAcquire(table, slot);
        if (stamp < 0 || !LONGS.compareAndSet(table, slot, stamp, stamp | LOCKED)) {
            return; // Another thread is writing here; caching is never a duty.
        }
        // The CAS orders its load before what follows, but its store only with this fence (Arm's CASAL does not).
        VarHandle.storeStoreFence();
        long offset = (1L << log2Size) - 1 & 0x000f_ffff_ffff_f000L;
        if ((sizes & 1L << log2Size) == 0) {
            addSize(log2Size);
        }
        // After the entry is locked: an invalidation that is not seen here will find it locked, and wait.
        if (epoch.get() != before) {
            LONGS.setRelease(table, slot, stamp); // What was here stays.
            return;
        }
        LONGS.setOpaque(table, slot + 1, key);
        LONGS.setOpaque(table, slot + 2, owner(space, asid, global));
        LONGS.setOpaque(table, slot + 3, value - (input & offset));
        LONGS.setRelease(table, slot, next(stamp) & -VERSION | entryGeneration & VERSION - 1);
        replacement.used(slot >>> log2Stride, (slot & (1 << log2Stride) - 1) >>> LOG2_ENTRY);
    }

    /**
     * Log2 of the size of the largest stage 1 block that a stage 2 with this TLB has ever cut into smaller translations; 0
     * if it has cut none. Who invalidates an address in such a block means all of it (Arm ARM, D8.16), after the address
     * itself: a translation that was cut later was not cached.
     */
    public int largestBlockCut() {
        return largestBlockCut.get();
    }

    /** A stage 1 block has been cut, before what came of it is cached. */
    void cut(int log2Size) {
        if (largestBlockCut.get() < log2Size) {
            largestBlockCut.accumulateAndGet(log2Size, Math::max);
        }
    }

    /** Invalidates everything. */
    public void invalidateAll() {
        epoch.incrementAndGet();
        INTS.getAndAdd(generations, ALL, 1);
    }

    /** Invalidates a space. */
    public void invalidateSpace(int space) {
        epoch.incrementAndGet();
        INTS.getAndAdd(generations, spaceIndex(space), 1);
    }

    /** Invalidates what belongs to one ASID of a space; global entries stay. */
    public void invalidateAsid(int space, int asid) {
        epoch.incrementAndGet();
        INTS.getAndAdd(generations, asidIndex(space, asid), 1);
    }

    /**
     * Invalidates what covers an address in a space: entries of one ASID, and global ones.
     *
     * @param asid or -1 for all
     */
    public void invalidateAddress(int space, int asid, long input) {
        epoch.incrementAndGet();
        long[] table = entries;
        if (table == null) {
            return;
        }
        for (long left = sizes; left != 0; left &= left - 1) {
            int log2Size = Long.numberOfTrailingZeros(left);
            long key = key(input, log2Size);
            int slot = firstSlot(space, input, log2Size);
            for (int end = slot + ways * ENTRY; slot < end; slot += ENTRY) {
                erase(table, slot, key, space, asid);
            }
        }
    }

    private void erase(long[] table, int slot, long key, int space, int asid) {
        for (; ; ) {
            long stamp = (long) LONGS.getVolatile(table, slot);
            if (stamp < 0) {
                Thread.onSpinWait(); // A fill is a few stores long, and may be one that took the epoch before us.
                continue;
            }
            long owner = (long) LONGS.getOpaque(table, slot + 2);
            boolean concerned = (long) LONGS.getOpaque(table, slot + 1) == key
                    && (asid < 0 || (owner & GLOBAL) != 0 ? (owner & 0xffff) == space : owns(owner, space, asid));
            if (!concerned) {
                VarHandle.loadLoadFence();
                if ((long) LONGS.getOpaque(table, slot) == stamp) {
                    return;
                }
            } else if (LONGS.compareAndSet(table, slot, stamp, stamp | LOCKED)) {
                VarHandle.storeStoreFence(); // As in fill.
                LONGS.setOpaque(table, slot + 1, 0L);
                LONGS.setRelease(table, slot, next(stamp));
                return;
            }
        }
    }

    /** The entry to replace: the one that has this translation already, else a stale one, else whichever gives way; or -1. */
    private int choose(long[] table, int first, long key, int space, int asid) {
        int free = -1;
        for (int slot = first, end = first + ways * ENTRY; slot < end; slot += ENTRY) {
            long owner = (long) LONGS.getOpaque(table, slot + 2);
            long current = (long) LONGS.getOpaque(table, slot + 1);
            if (current == key && owns(owner, space, asid)) {
                return slot;
            }
            int owned = generation((int) owner & 0xffff, (int) (owner >>> 16) & 0xffff, (owner & GLOBAL) != 0);
            if (free < 0 && (current == 0 || (int) (long) LONGS.getOpaque(table, slot) != owned)) {
                free = slot; // The first: hits find what is in front sooner.
            }
        }
        if (free >= 0) {
            return free;
        }
        int way = replacement.victim(first >>> log2Stride);
        return way < 0 ? -1 : first + way * ENTRY;
    }

    private synchronized long[] allocate() {
        if (entries == null) {
            replacement = new TlbReplacement(geometry);
            entries = new long[geometry.sets() << log2Stride];
        }
        return entries;
    }

    private synchronized void addSize(int log2Size) {
        sizes |= 1L << log2Size;
    }

    /** The version behind that of a stamp, unlocked. */
    private static long next(long stamp) {
        return stamp + VERSION & ~LOCKED;
    }

    private int generation(int space, int asid, boolean global) {
        int[] all = generations;
        int sum = (int) INTS.getAcquire(all, ALL) + (int) INTS.getAcquire(all, spaceIndex(space));
        return global ? sum : sum + (int) INTS.getAcquire(all, asidIndex(space, asid));
    }

    private static int spaceIndex(int space) {
        return ASIDS + (space & SPACES - 1);
    }

    private static int asidIndex(int space, int asid) {
        return space * 64 + asid & ASIDS - 1;
    }

    /** Bits 15:0 the space; 31:16 the ASID, or of a global entry the set of ASIDs. */
    private static long owner(int space, int asid, boolean global) {
        return space | (global ? GLOBAL | asid & ASID_SET : (asid & 0xffffL) << 16);
    }

    private static boolean owns(long owner, int space, int asid) {
        return owner == owner(space, asid, false) || owner == owner(space, asid, true);
    }

    /** Never 0, as log2Size is not. */
    private static long key(long input, int log2Size) {
        return input & -1L << log2Size | log2Size;
    }

    /**
     * Where in {@link #entries} the set of an address begins: the page number, what is above it folded onto it by the bits
     * of one and of two table levels, as few steps between an address and a load as will do. Space 0 adds nothing, and by
     * a branch, which a processor guesses: it loads the entry before it knows the space, which comes from a chain of loads.
     */
    private int firstSlot(int space, long input, int log2Size) {
        long scaled = input >>> log2Size - log2Stride;
        int hash = (int) (scaled ^ scaled >>> 9 ^ scaled >>> 18);
        if (space != 0) {
            hash ^= space * 0x9e3779b1;
        }
        return hash & setMask;
    }
}
