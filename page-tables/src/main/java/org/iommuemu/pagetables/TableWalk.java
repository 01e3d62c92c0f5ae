package org.iommuemu.pagetables;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.IntConsumer;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;

/**
 * One translation table as a unit sees it: where it is and how to walk it, decoded once when a context is. Immutable, for
 * any thread; a walk reads RAM and allocates nothing (Arm ARM, D8.2 to D8.6, aarch64/translation pseudocode). Whatever
 * the configuration decides is a mask, a shift or a small array here, so that the loop over the levels decides nothing.
 *
 * <p><b>Hardware update</b> (IHI 0070, 3.13; Arm ARM, D8.5). With {@link Builder#accessFlagUpdate} and
 * {@link Builder#dirtyState} a walk that does not fault changes the leaf that it uses, and only that: by one atomic
 * compare-and-exchange of the descriptor that it has read. If software or another walk was faster, nothing is stored and
 * the walk starts again from the root, so that an update never undoes a change by software, never revives an entry that
 * software has made invalid, and never goes to a table that software has meanwhile taken away. Software that changes
 * live descriptors with compare-and-exchange likewise loses no update; software that simply writes may lose the flags,
 * as on silicon. With stage 2, writing the stage 1 descriptor is a write at stage 2: it needs the permission and makes
 * that page dirty. Stage 1 is updated before its output passes through stage 2, whose fault does not take that back.
 */
public final class TableWalk {
    private static final VarHandle USUAL_LEAF;
    private static final VarHandle USUAL_BOTH;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            USUAL_LEAF = lookup.findVarHandle(TableWalk.class, "usualLeaf", long.class);
            USUAL_BOTH = lookup.findVarHandle(TableWalk.class, "usualBoth", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** Not a result: a descriptor has changed since it was read. */
    private static final long RETRY = 0;
    /** Not a result either: the descriptor is as it should be. */
    private static final long UPDATED = 1;
    /** Beside the bits of {@link Access}: made by a unit itself, for a table or a structure. */
    private static final int FOR_TABLE = 1 << 8;
    /**
     * Beside the bits of {@link Access}: the walk only looks. Hardware update, where it is on, changes no descriptor, and
     * faults and permissions are as if it had. Goes with {@link Tlb#NO_EPOCH}: what it finds must not be cached.
     */
    public static final int NO_UPDATE = 1 << 9;
    /** Beside the bits of {@link Access}: of two stages the first only, though its tables are read through the second. */
    public static final int FIRST_STAGE = 1 << 10;

    /** Bit 7 of a descriptor: AP[2] at stage 1, 1 if clean; S2AP[1] at stage 2, 1 if dirty. */
    private static final long DIRTY_BIT = 1L << 7;
    /** In {@link #types}: the shareability is the descriptor's. */
    private static final long SHAREABILITY_OF_DESCRIPTOR = 1;
    /** Where a result has its address. */
    private static final long RESULT_ADDRESS = 0x000f_ffff_ffff_f000L;
    /** Bits 54:51 and 11:2 of a leaf: all that is not its type and address. */
    private static final long LEAF_ATTRIBUTES = 0xfL << 51 | 0xffc;
    /** One leaf in so many may become the {@link #usualLeaf}. */
    private static final int LEAVES_PER_CHANGE = 64;

    private final PhysicalMemory memory;
    private final Granule granule;
    private final TableWalk next;
    /** Of a stage 2, where its translations are cached; null if they are not. */
    private final TlbView cache;
    /** Hears of reads of descriptors; null if nobody does. */
    private final IntConsumer reads;

    /** The RAM around the first table, where others mostly are, too. Set once, without order: it never is a wrong one. */
    private PhysicalMemory.Window home;

    /**
     * What most leaves of the last level come to: the result but for the address, and in the address's place the
     * {@link #attributes} of descriptors that come to it, if no table above restricts them; 0 at first. The address of the
     * next walk often depends on this one's result. A processor guesses that a comparison holds and goes on with the address
     * alone, where it would have to wait for look-ups of rights and types that all end in the same word. Read and written
     * without order: it is right for whoever has descriptors like these.
     */
    private long usualLeaf;

    /** What both stages mostly come to, but for the address, for the same reason. */
    private long usualBoth;

    // Where to go.
    private final long base;
    private final boolean baseTooLarge;
    private final long flip;
    private final int inputBits;
    private final int startShift;
    /** Offsets in a table, as masks: those of the first table, and of others. */
    private final long startMask;

    private final int pageShift;
    private final long levelMask;
    private final int levelBits;
    private final boolean bigEndian;
    // How descriptors are read: see AddressFormat.
    private final long low;
    private final long high;
    private final int highShift;
    private final long blocks;
    /** Address bits that must be 0. */
    private final long beyond;
    /** Of a table's descriptor those bits that leave no choice, and what they must be: type, security, address. */
    private final long tableMask;

    private final long tableValue;
    // Descriptor bits that must be 1, or else a fault.
    private final long leafSecurity;
    private final long accessFlag;
    // Descriptor bits that mean something; 0 where they do not.
    private final long contiguous;
    private final long notGlobal;
    private final long hierarchy;
    private final long attributes;
    /** Address bits above 11 that a page leaves as they are. */
    private final long pageOffset;

    // Hardware update.
    private final boolean accessFlagUpdate;
    private final long dbm;
    /** What {@link #DIRTY_BIT} is in a dirty descriptor. */
    private final long dirty;

    /** Permissions, by descriptor bits 54:53 (3:2) and 7:6 (1:0). */
    private final short[] rights = new short[16];
    /** Attributes and shareability as {@link Translation} has them, by AttrIndx or MemAttr. */
    private final long[] types;

    private final boolean protectedTableWalk;
    private final long stageBit;

    private TableWalk(Builder builder) {
        memory = builder.memory;
        granule = builder.granule;
        next = builder.next;
        cache = builder.cache;
        reads = builder.reads;
        bigEndian = builder.bigEndian;
        inputBits = builder.inputBits;
        flip = !builder.upper ? 0 : builder.aarch32 ? 0xffff_ffffL : -1;
        pageShift = granule.shift();
        levelBits = granule.levelBits();
        levelMask = (1L << levelBits) - 1 << 3;
        startShift = granule.entryShift(builder.startLevel);
        startMask = (1L << inputBits - startShift) - 1 << 3;
        boolean ds = builder.ds && granule != Granule.KIB_64;
        AddressFormat format = AddressFormat.of(granule, granule == Granule.KIB_64 ? builder.lpa : ds);
        long lost = builder.outputBits > builder.busBits ? (1L << builder.outputBits) - (1L << builder.busBits) : 0;
        low = format.low() & (1L << builder.addressBits) - 1 & ~lost;
        high = format.high();
        highShift = format.highShift();
        blocks = format.blocks();
        beyond = -1L << builder.outputBits;
        // A table is aligned to its size, and with addresses of 52 bits to 64 bytes at least; lower bits are not part
        // of the address (D8.2.5).
        int tableBits = inputBits - startShift + 3;
        base = builder.base & ~lost & -1L << (builder.outputBits > 48 || ds ? Math.max(tableBits, 6) : tableBits);
        baseTooLarge = (base & beyond) != 0;
        tableValue = 3 | (builder.nonSecureOnly ? Descriptor.NS_TABLE : 0);
        tableMask = tableValue | beyond & low | beyond >>> highShift & high;
        leafSecurity = builder.nonSecureOnly ? Descriptor.NS : 0;
        accessFlagUpdate = builder.accessFlagUpdate;
        accessFlag = builder.accessFlagFaults && !accessFlagUpdate ? Descriptor.AF : 0;
        dbm = builder.dirtyState && accessFlagUpdate ? Descriptor.DBM : 0;
        dirty = builder.stage2 ? DIRTY_BIT : 0;
        contiguous = builder.contiguous ? Descriptor.CONTIGUOUS : 0;
        notGlobal = builder.stage2 ? 0 : Descriptor.NG;
        hierarchy = builder.stage2 || !builder.hierarchical ? 0 : 0xfL << 59;
        attributes = LEAF_ATTRIBUTES & ~high;
        pageOffset = granule.bytes() - 1 & -4096;
        for (int i = 0; i < rights.length; i++) {
            rights[i] = (short) (builder.stage2 ? builder.stage2Rights(i) : builder.stage1Rights(i));
        }
        types = new long[builder.stage2 ? 16 : 8];
        for (int i = 0; i < types.length; i++) {
            int attributes = builder.stage2 ? builder.stage2Attributes(i) : (int) (builder.mair >>> 8 * i) & 0xff;
            boolean ofDescriptor = !MemoryAttributes.isUncached(attributes) && !ds;
            types[i] = MemoryAttributes.translation(0, 0, attributes, builder.shareability)
                    | (ofDescriptor ? SHAREABILITY_OF_DESCRIPTOR : 0);
        }
        protectedTableWalk = builder.protectedTableWalk;
        stageBit = builder.stage2 ? WalkResult.STAGE2 : 0;
    }

    /** How a table is walked. What is not set is off, or 0. */
    public static final class Builder {
        private final PhysicalMemory memory;
        private final boolean stage2;
        private final Granule granule;
        private final long base;
        private final int inputBits;
        private final int outputBits;
        private int startLevel;
        private boolean upper;
        private boolean bigEndian;
        private boolean accessFlagFaults = true;
        private boolean hierarchical = true;
        private boolean onePrivilegeLevel;
        private boolean wxn;
        private boolean pan;
        private boolean nonSecureOnly;
        private boolean lpa;
        private boolean ds;
        private int shareability;
        private int addressBits = PhysicalMemory.ADDRESS_BITS;
        private int busBits = PhysicalMemory.ADDRESS_BITS;
        private boolean contiguous = true;
        private boolean accessFlagUpdate;
        private boolean dirtyState;
        private boolean xnx;
        private boolean aarch32;
        private boolean uwxn;
        private boolean unprivileged = true;
        private boolean forceWriteBack;
        private boolean protectedTableWalk;
        private long mair;
        private TableWalk next;
        private TlbView cache;
        private IntConsumer reads;

        private Builder(
                PhysicalMemory memory, boolean stage2, Granule granule, long base, int inputBits, int outputBits) {
            this.memory = memory;
            this.stage2 = stage2;
            this.granule = granule;
            this.base = base;
            this.inputBits = inputBits;
            this.outputBits = outputBits;
            this.startLevel = granule.stage1StartLevel(inputBits);
            this.lpa = outputBits > 48;
        }

        /** The table translates the upper part of the address space: bits above the input size are ones (TTB1). */
        public Builder upper(boolean on) {
            upper = on;
            return this;
        }

        /** The level of the first table, where it does not follow from the input size. */
        public Builder startLevel(int level) {
            startLevel = level;
            return this;
        }

        /** Descriptors are big-endian. */
        public Builder bigEndian(boolean on) {
            bigEndian = on;
            return this;
        }

        /** Whether an Access flag of 0 faults (it does, unless told otherwise; AFFD). */
        public Builder accessFlagFaults(boolean on) {
            accessFlagFaults = on;
            return this;
        }

        /** Whether tables restrict what is below them (they do, unless told otherwise; HAD). */
        public Builder hierarchical(boolean on) {
            hierarchical = on;
            return this;
        }

        /** Privileged and unprivileged accesses are alike: AP[1], APTable[0] and PAN mean nothing (an EL2 regime). */
        public Builder onePrivilegeLevel(boolean on) {
            onePrivilegeLevel = on;
            return this;
        }

        /** What is writable is not executable. */
        public Builder wxn(boolean on) {
            wxn = on;
            return this;
        }

        /** Privileged data accesses to what unprivileged ones can reach are not permitted. */
        public Builder pan(boolean on) {
            pan = on;
            return this;
        }

        /**
         * VMSAv8-32: addresses have 32 bits, where {@link #upper} matters; what is not readable is not executable; at stage 1
         * bit 54 is for all accesses.
         */
        public Builder aarch32(boolean on) {
            aarch32 = on;
            return this;
        }

        /** VMSAv8-32: what unprivileged accesses can write is not privileged-executable (in VMSAv8-64 it never is). */
        public Builder uwxn(boolean on) {
            uwxn = on;
            return this;
        }

        /** Whether unprivileged accesses are permitted anything (they are, unless told otherwise; E0PD). */
        public Builder unprivileged(boolean on) {
            unprivileged = on;
            return this;
        }

        /** All descriptors must be Non-secure, each for itself (IPMMU-VMSA, stage 1). */
        public Builder nonSecureOnly(boolean on) {
            nonSecureOnly = on;
            return this;
        }

        /**
         * Whether descriptors of 64 KiB granules hold address bits 51:48 and blocks exist at level 1 (FEAT_LPA). They do,
         * unless told otherwise, if the output size is more than 48 bits; an implementation with 52-bit addresses has it
         * also where the output size is less. Means nothing to other granules.
         */
        public Builder lpa(boolean on) {
            lpa = on;
            return this;
        }

        /**
         * Descriptors of 4 and 16 KiB granules hold address bits 51:48, and blocks are one level larger (FEAT_LPA2 with
         * TCR.DS or VTCR.DS set). Means nothing to 64 KiB granules.
         *
         * @param shareability of all that is mapped, as the descriptors have no room for it: SH0, SH1 or S2SH0
         */
        public Builder ds(int shareability) {
            ds = true;
            this.shareability = shareability;
            return this;
        }

        /**
         * Descriptors have addresses of this many bits, and what is above in their address fields is ignored, where it
         * would be checked against the output size otherwise (VMSAv8-32 long descriptors of 40 bits, as in Armv7).
         */
        public Builder addressBits(int bits) {
            addressBits = bits;
            return this;
        }

        /**
         * Where the bus has fewer address bits than the output size, the upper ones are dropped without a fault (VMSAv8-32
         * with an SMMU_IDR5.OAS of less than 40 bits).
         */
        public Builder busBits(int bits) {
            busBits = bits;
            return this;
        }

        /**
         * Whether the Contiguous hint makes translations as large as the group (it does, unless told otherwise). Where
         * the group would be larger than the input size, the hint is ignored.
         */
        public Builder contiguous(boolean on) {
            contiguous = on;
            return this;
        }

        /** The walk sets Access flags, and none faults (HA). */
        public Builder accessFlagUpdate(boolean on) {
            accessFlagUpdate = on;
            return this;
        }

        /**
         * Writes make writable-clean leaves, which have {@link Descriptor#DBM}, writable (HD). Nothing without
         * {@link #accessFlagUpdate}. What was read is not writable in the result until it is dirty.
         */
        public Builder dirtyState(boolean on) {
            dirtyState = on;
            return this;
        }

        /** Stage 2 descriptors tell unprivileged and privileged execution apart: XN is bits 54:53 (FEAT_XNX). */
        public Builder xnx(boolean on) {
            xnx = on;
            return this;
        }

        /** Stage 2 decides memory types, where it wants to, alone (FEAT_S2FWB). */
        public Builder forceWriteBack(boolean on) {
            forceWriteBack = on;
            return this;
        }

        /** Stage 2: tables of stage 1 must not be in Device memory (S2PTW); a Permission fault at stage 2. */
        public Builder protectedTableWalk(boolean on) {
            protectedTableWalk = on;
            return this;
        }

        /** The eight memory attributes that AttrIndx selects, one byte each. */
        public Builder mair(long attributes) {
            mair = attributes;
            return this;
        }

        /** The stage 2 that the stage 1 table's addresses and its output pass through. */
        public Builder over(TableWalk stage2) {
            next = stage2;
            return this;
        }

        /**
         * Of a stage 2: where to keep what it translates for the stage 1 above it, so that the addresses of the same tables
         * need not be walked for again.
         *
         * @param in a TLB that is invalidated with this stage 2
         * @param as the space in it: the VMID
         */
        public Builder cached(Tlb in, int as) {
            cache = new TlbView(in, as, 0);
            return this;
        }

        /**
         * Who hears, after each walk, how many descriptors of this table it read. A walk that starts again, as a descriptor
         * has changed meanwhile, and what a stage 2 fault ended are not counted.
         */
        public Builder counting(IntConsumer descriptors) {
            reads = descriptors;
            return this;
        }

        /** The walk. */
        public TableWalk build() {
            return new TableWalk(this);
        }

        /** Permissions of stage 1 by AP[2:1], PXN and UXN (bits 0 to 3). */
        private long stage1Rights(int bits) {
            boolean writable = (bits & 2) == 0;
            boolean uxn = (bits & 8) != 0;
            if (onePrivilegeLevel) {
                boolean executable = !uxn && !(wxn && writable);
                long all = WalkResult.UR | (writable ? WalkResult.UW : 0) | (executable ? WalkResult.UX : 0);
                return all | all << 3;
            }
            boolean forAll = (bits & 1) != 0;
            boolean pxn = (bits & 4) != 0;
            long permissions = 0;
            if (forAll) {
                permissions |= WalkResult.UR | (writable ? WalkResult.UW : 0);
            }
            if (!pan || !forAll) {
                permissions |= WalkResult.PR | (writable ? WalkResult.PW : 0);
            }
            if (!uxn && !(wxn && forAll && writable) && (forAll || !aarch32)) {
                permissions |= WalkResult.UX;
            }
            // What unprivileged software can write is never privileged-executable (D8.4.3); in VMSAv8-32 by UWXN only.
            boolean neverPrivileged = aarch32 ? uxn || uwxn && forAll && writable : forAll && writable;
            if (!pxn && !neverPrivileged && !(wxn && writable)) {
                permissions |= WalkResult.PX;
            }
            return unprivileged ? permissions : permissions & ~(WalkResult.UR | WalkResult.UW | WalkResult.UX);
        }

        /** Permissions of stage 2 by S2AP[1:0] and XN[1:0], of which XN[0] is RES0 without FEAT_XNX (bits 0 to 3). */
        private long stage2Rights(int bits) {
            int xn = bits >>> 2 & (xnx ? 3 : 2);
            boolean executable = (bits & 1) != 0 || !aarch32;
            return ((bits & 1) != 0 ? WalkResult.UR | WalkResult.PR : 0)
                    | ((bits & 2) != 0 ? WalkResult.UW | WalkResult.PW : 0)
                    | (executable && xn <= 1 ? WalkResult.UX : 0)
                    | (executable && (xn == 0 || xn == 3) ? WalkResult.PX : 0);
        }

        private int stage2Attributes(int memAttr) {
            return forceWriteBack ? MemoryAttributes.ofForcingStage2(memAttr) : MemoryAttributes.ofStage2(memAttr);
        }
    }

    /**
     * A stage 1 table.
     *
     * @param base address of the first table; bits below its alignment are ignored
     * @param inputBits width of the input address, 64 - T0SZ
     * @param outputBits width of the output address in bits; larger addresses are Address size faults
     */
    public static Builder stage1(PhysicalMemory memory, Granule granule, long base, int inputBits, int outputBits) {
        return new Builder(memory, false, granule, base, inputBits, outputBits);
    }

    /**
     * A stage 2 table.
     *
     * @param base address of the first of the concatenated tables; bits below their alignment are ignored
     * @param inputBits width of the IPA, 64 - S2T0SZ
     * @param outputBits width of the output address in bits; larger addresses are Address size faults
     * @param startLevel see {@link Granule#isStage2StartLevel}
     */
    public static Builder stage2(
            PhysicalMemory memory, Granule granule, long base, int inputBits, int outputBits, int startLevel) {
        return new Builder(memory, true, granule, base, inputBits, outputBits).startLevel(startLevel);
    }

    /** The granule. */
    public Granule granule() {
        return granule;
    }

    /**
     * Translates an address, through both stages where there are two. Permissions of the leaf are in the result and are
     * checked here; a permission fault of a stage has no other effect.
     *
     * @param input address with all 64 bits; a top byte to be ignored has been made to agree with the rest
     * @param access bits of {@link Access}, {@link #NO_UPDATE}, {@link #FIRST_STAGE}
     * @return bits of {@link WalkResult}
     */
    public long walk(long input, int access) {
        return walk(input, access, stage2Epoch());
    }

    /**
     * As {@link #walk(long, int)}, for who may find out that this walk is not to be used any more (its configuration was
     * invalidated): nothing of stage 2 is cached unless its TLB's epoch is still the same.
     *
     * @param stage2Epoch {@link #stage2Epoch} before it was made sure of that, or {@link Tlb#NO_EPOCH} to cache nothing
     */
    public long walk(long input, int access, long stage2Epoch) {
        long result;
        do {
            result = descend(input, access, stage2Epoch);
        } while (result == RETRY);
        if (reads != null) {
            reads.accept(descriptorsRead(input, result));
        }
        if (next == null || WalkResult.isFault(result) || (access & FIRST_STAGE) != 0) {
            return result;
        }
        long second = next.through(Translation.address(result, input), access, stage2Epoch);
        if (WalkResult.isFault(second)) {
            return second;
        }
        if (next.cache != null && Translation.log2Size(second) < Translation.log2Size(result)) {
            next.cache.tlb().cut(Translation.log2Size(result));
        }
        long both = MemoryAttributes.combine(result, second) & ~RESULT_ADDRESS;
        long usual = (long) USUAL_BOTH.getOpaque(this);
        if (both == usual) {
            return second & RESULT_ADDRESS | usual; // Not both, which has to be waited for: see usualLeaf.
        }
        if (usual == 0 || mayBeUsual(second)) {
            USUAL_BOTH.setOpaque(this, both);
        }
        return second & RESULT_ADDRESS | both;
    }

    private int descriptorsRead(long input, long result) {
        boolean fault = WalkResult.isFault(result);
        boolean otherStage = fault && WalkResult.isStage2(result) != (stageBit != 0);
        if (otherStage || (input ^ flip) >>> inputBits != 0 || baseTooLarge) {
            return 0;
        }
        int last = fault ? WalkResult.level(result) : WalkResult.level(result, granule);
        return last - level(startShift) + 1;
    }

    /** The epoch of the TLB of the stage 2 below this table, if there are both. */
    public long stage2Epoch() {
        return next == null || next.cache == null
                ? Tlb.NO_EPOCH
                : next.cache.tlb().epoch();
    }

    /**
     * As {@link #walk}, for an access that the unit itself makes to a structure or table (a stage 2 walk for a CD, say),
     * which {@link Builder#protectedTableWalk} concerns.
     */
    public long walkForTable(long input, int access) {
        return walk(input, access | FOR_TABLE);
    }

    /** Translates an address of the stage above. What rarely happens is elsewhere, so that a hit needs few registers. */
    private long through(long ipa, int access, long epoch) {
        if (cache != null) {
            long cached = cache.lookUpFirst(ipa);
            if (answers(cached, access)) {
                return cached;
            }
        }
        return throughTables(ipa, access, epoch);
    }

    private long throughTables(long ipa, int access, long epoch) {
        if (cache == null) {
            return walk(ipa, access);
        }
        long cached = cache.lookUpRest(ipa);
        if (answers(cached, access)) {
            return cached;
        }
        long result = walk(ipa, access);
        if (!WalkResult.isFault(result)) {
            cache.fill(ipa, result, epoch);
        }
        return result;
    }

    /** Whether a translation from the cache will do; a miss permits nothing. */
    private boolean answers(long cached, int access) {
        return WalkResult.permits(cached, access) && !(refusesDevices(access) && isDevice(cached));
    }

    private boolean refusesDevices(int access) {
        return protectedTableWalk && (access & FOR_TABLE) != 0;
    }

    private static boolean isDevice(long translation) {
        return MemoryAttributes.isDevice(Translation.attributes(translation));
    }

    private long descend(long input, int access, long stage2Epoch) {
        int shift = startShift;
        if ((input ^ flip) >>> inputBits != 0) {
            return fault(WalkResult.Kind.TRANSLATION, shift, input);
        }
        if (baseTooLarge) {
            return fault(WalkResult.Kind.ADDRESS_SIZE, shift, input);
        }
        long table = base;
        long tables = 0;
        long index = input >>> shift - 3 & startMask;
        PhysicalMemory.Window near = home;
        for (; ; ) {
            long entry = table + index;
            long address = entry;
            if (next != null) {
                // Table walks are reads; with stage 2 they need read permission there (IHI 0070, 3.3.2).
                long second = next.through(entry, FOR_TABLE | access & NO_UPDATE, stage2Epoch);
                if (WalkResult.isFault(second)) {
                    return second | WalkResult.TABLE_WALK;
                }
                address = Translation.address(second, entry);
            }
            if (near == null || !near.holds(address)) {
                near = memory.window(address);
                if (home == null) {
                    home = near;
                }
                if (near == null && !memory.isRam(address, 8)) {
                    return fault(WalkResult.Kind.EXTERNAL_ABORT, shift, address);
                }
            }
            long descriptor = stored(near == null ? memory.read64(address) : near.read64Plain(address));
            if (shift != pageShift && (descriptor & tableMask) == tableValue) {
                table = address(descriptor);
                tables |= descriptor;
                shift -= levelBits;
                index = input >>> shift - 3 & levelMask;
                continue;
            }
            int type = (int) descriptor & 3;
            if (type == 3 ? shift == pageShift : type == 1 && (blocks >>> shift & 1) != 0) {
                VarHandle.acquireFence(); // Behind the reads, each of which had its address from the one before.
                long usual = (long) USUAL_LEAF.getOpaque(this);
                if (type == 3
                        && (usual & RESULT_ADDRESS) == attributes(descriptor)
                        && (tables & hierarchy) == 0
                        && WalkResult.permits(usual, access)) {
                    long output = address(descriptor);
                    if ((output & beyond) == 0) {
                        return output | (input & pageOffset | usual & ~RESULT_ADDRESS);
                    }
                }
                return leaf(input, access, stage2Epoch, shift, descriptor, tables, entry, address);
            } else if (type == 3) {
                boolean tooLarge = (address(descriptor) & beyond) != 0;
                return fault(tooLarge ? WalkResult.Kind.ADDRESS_SIZE : WalkResult.Kind.SECURITY, shift, input);
            } else {
                return fault(WalkResult.Kind.TRANSLATION, shift, input);
            }
        }
    }

    /**
     * Reads a leaf.
     *
     * @param tables all table descriptors on the way, ored
     * @param entry where the descriptor is, as stage 1 has it
     * @param address where it is in RAM
     */
    private long leaf(
            long input,
            int access,
            long stage2Epoch,
            int shift,
            long descriptor,
            long tables,
            long entry,
            long address) {
        long output = address(descriptor) & -1L << shift;
        if ((output & beyond) != 0) {
            return fault(WalkResult.Kind.ADDRESS_SIZE, shift, input);
        }
        if ((~descriptor & leafSecurity) != 0) {
            return fault(WalkResult.Kind.SECURITY, shift, input);
        }
        if ((~descriptor & accessFlag) != 0) {
            return fault(WalkResult.Kind.ACCESS_FLAG, shift, input);
        }
        // What is writable-clean counts as writable.
        long writable = (descriptor & dbm) != 0 ? descriptor & ~DIRTY_BIT | dirty : descriptor;
        long type = types[(int) (descriptor >>> 2) & types.length - 1];
        long permissions = rights[rightsIndex(writable, tables)];
        if (!WalkResult.permits(permissions, access) || refusesDevices(access) && isDevice(type)) {
            return fault(WalkResult.Kind.PERMISSION, shift, input);
        }
        if (accessFlagUpdate && (access & NO_UPDATE) == 0) {
            boolean write = (access & Access.WRITE) != 0;
            long updated = Descriptor.AF | (write ? writable : descriptor);
            if (updated != descriptor) {
                long outcome = update(stage2Epoch, entry, address, descriptor, updated);
                if (outcome != UPDATED) {
                    return outcome;
                }
            }
            if (!write && writable != descriptor) {
                permissions &= ~WalkResult.WRITES;
            }
        }
        int log2Size = (descriptor & contiguous) != 0 ? contiguousShift(shift, output ^ input) : shift;
        long offset = (1L << log2Size) - 1;
        if ((type & SHAREABILITY_OF_DESCRIPTOR) != 0) {
            type += ((descriptor >>> Descriptor.SH_SHIFT & 3) << 60) - SHAREABILITY_OF_DESCRIPTOR;
        }
        long rest = type | permissions | (descriptor & notGlobal) << 62 - 11 | log2Size;
        if (shift == pageShift
                && (descriptor & (contiguous | dbm)) == 0
                && (descriptor & Descriptor.AF) != 0
                && (tables & hierarchy) == 0
                && !(protectedTableWalk && isDevice(type))
                && (usualLeaf == 0 || mayBeUsual(output))) {
            USUAL_LEAF.setOpaque(this, rest | attributes(descriptor));
        }
        return (output & ~offset | input & offset) & -4096 | rest;
    }

    /** Whether what is memorised may change for a page: for few, or threads that take turns would wait for one another. */
    private boolean mayBeUsual(long page) {
        return (page >>> pageShift & LEAVES_PER_CHANGE - 1) == 0;
    }

    /** What decides what a leaf comes to, but for the access and the tables above it; only bits of {@link #RESULT_ADDRESS}. */
    private long attributes(long leaf) {
        return Long.rotateRight(leaf & attributes, 25);
    }

    /** A branch that always goes one way costs less than the bits that few formats have, between two dependent loads. */
    private long address(long descriptor) {
        long address = descriptor & low;
        return high == 0 ? address : address | (descriptor & high) << highShift;
    }

    /** Index into {@link #rights} of a leaf, restricted by the tables above it. */
    private int rightsIndex(long leaf, long tables) {
        int index = (int) (leaf >>> 6 & 3 | leaf >>> 51 & 0xc);
        int above = (int) ((tables & hierarchy) >>> 59);
        // PXNTable and XNTable to PXN and UXN; APTable[1] sets AP[2], APTable[0] clears AP[1].
        return (index | (above & 3) << 2 | above >>> 2 & 2) & ~(above >>> 2 & 1);
    }

    /** Replaces a leaf in RAM; returns {@link #UPDATED}, {@link #RETRY} or a fault of stage 2. */
    private long update(long stage2Epoch, long entry, long address, long descriptor, long updated) {
        if (next != null) {
            long second = next.through(entry, Access.WRITE | FOR_TABLE, stage2Epoch);
            if (WalkResult.isFault(second)) {
                return second | WalkResult.TABLE_WALK | WalkResult.TABLE_WRITE;
            }
            if (Translation.address(second, entry) != address) {
                return RETRY;
            }
        }
        return memory.compareAndSet64(address, stored(descriptor), stored(updated)) ? UPDATED : RETRY;
    }

    /** A descriptor in the table's byte order, or back. */
    private long stored(long descriptor) {
        return bigEndian ? Long.reverseBytes(descriptor) : descriptor;
    }

    /**
     * Log2 of the size of a group of contiguous entries, or of one entry if there are no groups. An entry that does not lie
     * in its group as the input does is misprogrammed, and CONSTRAINED UNPREDICTABLE (D8.7.1): it stands for itself.
     *
     * @param difference of output and input address
     */
    private int contiguousShift(int shift, long difference) {
        int group = shift + granule.contiguousBits(level(shift));
        return group <= inputBits && (difference & (1L << group) - (1L << shift)) == 0 ? group : shift;
    }

    private int level(int shift) {
        return 3 - (shift - pageShift) / levelBits;
    }

    /** @param address the input address, which is the IPA of a stage 2; of an external abort the descriptor's */
    private long fault(WalkResult.Kind kind, int shift, long address) {
        return WalkResult.fault(kind, level(shift), address) | stageBit;
    }
}
