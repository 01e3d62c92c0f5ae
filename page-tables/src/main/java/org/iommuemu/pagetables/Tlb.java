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

    // An entry is four longs: whether it is being written (63), version (62:32) and generation (31:0); input page
    // address (51:0 shifted by 12, sign of the upper half kept) with log2 of the size in bits 5:0; owner; value.
    // First come the front entries of all sets, then the second ones, and so on: most hits are in front, and what they
    // touch is as little as can be.
    static final int LOG2_ENTRY = 2;
    /** Log2 of the smallest page there is. */
    private static final int SMALLEST = 12;

    private static final long PAGE = 0x000f_ffff_ffff_f000L;
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);
    private static final VarHandle INTS = MethodHandles.arrayElementVarHandle(int[].class);
    private static final long LOCKED = 1L << 63;
    private static final long VERSION = 1L << 32;
    private static final long GLOBAL = 1L << 32;
    /**
     * Beside the owner: the entry was hit or filled since the bits of its set were last cleared, see {@link #use}. Next to
     * what a hit compares anyhow, this costs it nothing.
     */
    static final long USED = 1L << 33;

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
    private final boolean pseudoLru;
    /** From one entry of a set to the next. */
    private final int span;

    private final AtomicLong epoch = new AtomicLong();
    /** Bit n: an entry of size 2^n has been cached at some time. Only grows; there are few sizes. Written under the monitor. */
    private volatile long sizes;

    /** Generations only grow, so the sum of those that concern an entry is equal only while none has changed. */
    final int[] generations = new int[ALL + 1];

    /** See {@link #largestBlockCut}. Only grows. */
    private final AtomicInteger largestBlockCut = new AtomicInteger();

    /** Allocated by the first fill: a unit that nothing goes through costs nothing. */
    private volatile long[] entries;

    /** Made by the first fill, before {@link #entries} is published. Null for pseudo-LRU, which is in the entries. */
    private TlbReplacement replacement;

    /** An empty TLB. */
    public Tlb(TlbGeometry geometry) {
        this.geometry = geometry;
        ways = geometry.ways();
        pseudoLru = geometry.replacement() == TlbGeometry.Replacement.PSEUDO_LRU && ways > 1;
        span = geometry.sets() << LOG2_ENTRY;
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
        long found = lookUpPage(
                table,
                generations,
                setMask(),
                salt(space),
                owner(space, asid, false) | USED,
                owner(space, asid, true) | USED,
                spaceIndex(space),
                asidIndex(space, asid),
                input);
        return found != MISS ? found : search(table, space, asid, input);
    }

    /**
     * Most hits are of pages of 4 KiB, and in front of their set: these by themselves, as short as can be. Parameters are
     * what a {@link TlbView} remembers.
     */
    static long lookUpPage(
            long[] table,
            int[] generations,
            int setMask,
            int salt,
            long local,
            long global,
            int spaceIndex,
            int asidIndex,
            long input) {
        int slot = firstSlot(setMask, salt, input, SMALLEST);
        long stamp = (long) LONGS.getAcquire(table, slot);
        if ((long) LONGS.getOpaque(table, slot + 1) != key(input, SMALLEST)) {
            return MISS;
        }
        long owner = (long) LONGS.getOpaque(table, slot + 2);
        long value = (long) LONGS.getOpaque(table, slot + 3);
        int current = generation(generations, spaceIndex);
        if (owner == local) {
            current += (int) INTS.getAcquire(generations, asidIndex);
        } else if (owner != global) {
            return MISS;
        }
        return (int) stamp == current && isWhole(stamp, table, slot) ? value : MISS;
    }

    long search(long[] table, int space, int asid, long input) {
        for (long left = sizes; left != 0; left &= left - 1) {
            int log2Size = Long.numberOfTrailingZeros(left);
            long key = key(input, log2Size);
            int slot = firstSlot(setMask(), salt(space), input, log2Size);
            for (int way = 0; way < ways; way++, slot += span) {
                long stamp = (long) LONGS.getAcquire(table, slot);
                if ((long) LONGS.getOpaque(table, slot + 1) == key) {
                    long owner = (long) LONGS.getOpaque(table, slot + 2);
                    long value = (long) LONGS.getOpaque(table, slot + 3);
                    if (isCurrent(stamp, owner, space, asid) && isWhole(stamp, table, slot)) {
                        if ((owner & USED) == 0) {
                            use(table, slot, owner);
                        }
                        return value + (input & (1L << log2Size) - 1 & PAGE);
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

    /** Whether an entry belongs to a space and an ASID of it, or is global there, and nothing has invalidated it. */
    private boolean isCurrent(long stamp, long owner, int space, int asid) {
        long mayBeUsed = owner | USED;
        return mayBeUsed == (owner(space, asid, false) | USED)
                ? (int) stamp == generation(space, asid, false)
                : mayBeUsed == (owner(space, asid, true) | USED) && (int) stamp == generation(space, asid, true);
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
        long[] table = allocated();
        int log2Size = Translation.log2Size(value);
        boolean global = !WalkResult.isNotGlobal(value);
        // Read before the epoch is compared below: an invalidation that comes later makes the entry stale.
        int entryGeneration = generation(space, asid, global);
        long key = key(input, log2Size);
        int slot = choose(table, firstSlot(setMask(), salt(space), input, log2Size), key, space, asid);
        if (slot < 0) {
            return;
        }
        long stamp = (long) LONGS.getAcquire(table, slot);
        if (stamp < 0 || !LONGS.compareAndSet(table, slot, stamp, stamp | LOCKED)) {
            return; // Another thread is writing here; caching is never a duty.
        }
        // The CAS orders its load before what follows, but its store only with this fence (Arm's CASAL does not).
        VarHandle.storeStoreFence();
        long offset = (1L << log2Size) - 1 & PAGE;
        if ((sizes & 1L << log2Size) == 0) {
            addSize(log2Size);
        }
        // After the entry is locked: an invalidation that is not seen here will find it locked, and wait.
        if (epoch.get() != before) {
            LONGS.setRelease(table, slot, stamp); // What was here stays.
            return;
        }
        LONGS.setOpaque(table, slot + 1, key);
        LONGS.setOpaque(table, slot + 2, owner(space, asid, global) | USED);
        LONGS.setOpaque(table, slot + 3, value - (input & offset));
        LONGS.setRelease(table, slot, next(stamp) & -VERSION | entryGeneration & VERSION - 1);
        if (pseudoLru) {
            othersUnusedIfAllUsed(table, slot);
        }
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

    /**
     * Whether a translation of another size is cached for a part of what this one covers: both would answer there, until
     * software invalidates (IHI 0070, 3.17). Looks at all that is cached.
     *
     * @param space the VMID or context
     * @param asid the ASID
     * @param value bits of {@link WalkResult}, a success
     */
    public boolean conflicts(int space, int asid, long input, long value) {
        long[] table = entries;
        int log2Size = Translation.log2Size(value);
        for (int slot = 0; table != null && slot < table.length; slot += 1 << LOG2_ENTRY) {
            long stamp = (long) LONGS.getAcquire(table, slot);
            long key = (long) LONGS.getOpaque(table, slot + 1);
            long owner = (long) LONGS.getOpaque(table, slot + 2);
            int cached = (int) key & 0x3f;
            if (key != 0
                    && cached != log2Size
                    && (key ^ input) >>> Math.max(cached, log2Size) == 0
                    && isCurrent(stamp, owner, space, asid)
                    && isWhole(stamp, table, slot)) {
                return true;
            }
        }
        return false;
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
            int slot = firstSlot(setMask(), salt(space), input, log2Size);
            for (int way = 0; way < ways; way++, slot += span) {
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
            long owner = (long) LONGS.getOpaque(table, slot + 2) & ~USED;
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
        for (int way = 0, slot = first; way < ways; way++, slot += span) {
            long owner = (long) LONGS.getOpaque(table, slot + 2) & ~USED;
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
        if (pseudoLru) {
            int slot = first;
            for (int last = first + (ways - 1) * span; slot < last && isUsed(table, slot); slot += span) {}
            return slot;
        }
        int way = replacement.victim(0);
        return way < 0 ? -1 : first + way * span;
    }

    /**
     * Marks an entry as used. A hint that nothing depends on: if the entry has become another meanwhile, that one is marked,
     * or none.
     */
    private void use(long[] table, int slot, long owner) {
        if (pseudoLru && LONGS.weakCompareAndSetPlain(table, slot + 2, owner, owner | USED)) {
            othersUnusedIfAllUsed(table, slot);
        }
    }

    /** Pseudo-LRU: when all entries of a set are used, then only the last one is from now on. */
    private void othersUnusedIfAllUsed(long[] table, int slot) {
        int first = slot & span - 1;
        for (int way = 0, other = first; way < ways; way++, other += span) {
            if (!isUsed(table, other)) {
                return;
            }
        }
        for (int way = 0, other = first; way < ways; way++, other += span) {
            long owner = (long) LONGS.getOpaque(table, other + 2);
            if (other != slot) {
                LONGS.weakCompareAndSetPlain(table, other + 2, owner, owner & ~USED);
            }
        }
    }

    private static boolean isUsed(long[] table, int slot) {
        return ((long) LONGS.getOpaque(table, slot + 2) & USED) != 0;
    }

    /** {@link #entries}, made if need be. */
    long[] allocated() {
        long[] table = entries;
        return table == null ? allocate() : table;
    }

    private synchronized long[] allocate() {
        if (entries == null) {
            replacement = pseudoLru ? null : new TlbReplacement(geometry);
            entries = new long[span * ways];
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
        int shared = generation(generations, spaceIndex(space));
        return global ? shared : shared + (int) INTS.getAcquire(generations, asidIndex(space, asid));
    }

    private static int generation(int[] generations, int spaceIndex) {
        return (int) INTS.getAcquire(generations, ALL) + (int) INTS.getAcquire(generations, spaceIndex);
    }

    static int spaceIndex(int space) {
        return ASIDS + (space & SPACES - 1);
    }

    static int asidIndex(int space, int asid) {
        return space * 64 + asid & ASIDS - 1;
    }

    /** Bits 15:0 the space; 31:16 the ASID, or of a global entry the set of ASIDs. */
    static long owner(int space, int asid, boolean global) {
        return space | (global ? GLOBAL | asid & ASID_SET : (asid & 0xffffL) << 16);
    }

    private static boolean owns(long owner, int space, int asid) {
        return owner == owner(space, asid, false) || owner == owner(space, asid, true);
    }

    /** Never 0, as log2Size is not. */
    private static long key(long input, int log2Size) {
        return input & -1L << log2Size | log2Size;
    }

    /** What a space does to the place of an address. */
    static int salt(int space) {
        return space * 0x9e3779b1;
    }

    /** Where in {@link #entries} sets begin. */
    int setMask() {
        return span - (1 << LOG2_ENTRY);
    }

    /**
     * Where in {@link #entries} the set of an address begins: the page number, what is above it folded onto it by the bits
     * of one and of two table levels, as few steps between an address and a load as will do. Space 0 adds nothing, and by
     * a branch, which a processor guesses: it loads the entry before it knows the space, which comes from a chain of loads.
     */
    private static int firstSlot(int setMask, int salt, long input, int log2Size) {
        long scaled = input >>> log2Size - LOG2_ENTRY;
        int hash = (int) (scaled ^ scaled >>> 9 ^ scaled >>> 18);
        if (salt != 0) {
            hash ^= salt;
        }
        return hash & setMask;
    }
}
