package org.iommuemu.pagetables;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;

/**
 * One translation table as a unit sees it: where it is and how to walk it, decoded once when a context is. Immutable, for
 * any thread; a walk reads RAM and allocates nothing (Arm ARM, D8.2 to D8.5, aarch64/translation pseudocode).
 */
public final class TableWalk {
    private final PhysicalMemory memory;
    private final boolean stage2;
    private final Granule granule;
    private final int startLevel;
    private final int inputBits;
    private final int outputBits;
    private final long base;
    private final boolean upper;
    private final boolean bigEndian;
    private final boolean accessFlagFaults;
    private final boolean hierarchical;
    private final boolean onePrivilegeLevel;
    private final boolean wxn;
    private final boolean pan;
    private final boolean nonSecureOnly;
    private final long mair;
    private final TableWalk next;

    private TableWalk(Builder builder) {
        memory = builder.memory;
        stage2 = builder.stage2;
        granule = builder.granule;
        startLevel = builder.startLevel;
        inputBits = builder.inputBits;
        outputBits = builder.outputBits;
        upper = builder.upper;
        bigEndian = builder.bigEndian;
        accessFlagFaults = builder.accessFlagFaults;
        hierarchical = builder.hierarchical;
        onePrivilegeLevel = builder.onePrivilegeLevel;
        wxn = builder.wxn;
        pan = builder.pan;
        nonSecureOnly = builder.nonSecureOnly;
        mair = builder.mair;
        next = builder.next;
        // A table is aligned to its size, and with addresses of 52 bits to 64 bytes at least; lower bits are not part
        // of
        // the address (D8.2.5).
        int tableBits = inputBits - granule.entryShift(startLevel) + 3;
        base = builder.base & -1L << (outputBits > 48 ? Math.max(tableBits, 6) : tableBits);
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
        private long mair;
        private TableWalk next;

        private Builder(
                PhysicalMemory memory, boolean stage2, Granule granule, long base, int inputBits, int outputBits) {
            this.memory = memory;
            this.stage2 = stage2;
            this.granule = granule;
            this.base = base;
            this.inputBits = inputBits;
            this.outputBits = outputBits;
            this.startLevel = granule.stage1StartLevel(inputBits);
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

        /** Privileged and unprivileged accesses are alike: AP[1] and APTable[0] mean nothing (an EL2 regime). */
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

        /** All descriptors must be Non-secure, each for itself (IPMMU-VMSA, stage 1). */
        public Builder nonSecureOnly(boolean on) {
            nonSecureOnly = on;
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

        /** The walk. */
        public TableWalk build() {
            return new TableWalk(this);
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
     * @param access bits of {@link Access}
     * @return bits of {@link WalkResult}
     */
    public long walk(long input, int access) {
        long result = lookUp(input, access);
        if (WalkResult.isFault(result)) {
            return result;
        }
        if (!WalkResult.permits(result, access)) {
            return fault(WalkResult.Kind.PERMISSION, WalkResult.level(result, granule), input);
        }
        if (next == null) {
            return result;
        }
        long ipa = Translation.address(result, input);
        long second = next.walk(ipa, access);
        return WalkResult.isFault(second) ? second : combine(result, second);
    }

    private long lookUp(long input, int access) {
        if ((upper ? ~input : input) >>> inputBits != 0) {
            return fault(WalkResult.Kind.TRANSLATION, startLevel, input);
        }
        if (base >>> outputBits != 0) {
            return fault(WalkResult.Kind.ADDRESS_SIZE, startLevel, input);
        }
        long table = base;
        long restrictions = 0;
        int level = startLevel;
        int shift = granule.entryShift(level);
        long index = input >>> shift & (1L << inputBits - shift) - 1;
        for (; ; ) {
            long address = table | index << 3;
            if (next != null) {
                // Table walks are reads; with stage 2 they need read permission there (IHI 0070, 3.3.2).
                long second = next.walk(address, Access.READ);
                if (WalkResult.isFault(second)) {
                    return second | WalkResult.TABLE_WALK;
                }
                address = Translation.address(second, address);
            }
            if (!memory.isRam(address, 8)) {
                return WalkResult.fault(WalkResult.Kind.EXTERNAL_ABORT, level, address) | stageBit();
            }
            long descriptor = memory.read64(address);
            if (bigEndian) {
                descriptor = Long.reverseBytes(descriptor);
            }
            if ((descriptor & Descriptor.VALID) == 0) {
                return fault(WalkResult.Kind.TRANSLATION, level, input);
            }
            boolean pointsOn = (descriptor & Descriptor.TABLE) != 0;
            if (level == 3 ? !pointsOn : !pointsOn && !granule.hasBlocks(level)) {
                return fault(WalkResult.Kind.TRANSLATION, level, input);
            }
            if (level == 3 || !pointsOn) {
                return leaf(input, descriptor, restrictions, level);
            }
            table = descriptor & Descriptor.ADDRESS & -granule.bytes();
            if (table >>> outputBits != 0) {
                return fault(WalkResult.Kind.ADDRESS_SIZE, level, input);
            }
            if (nonSecureOnly && (descriptor & Descriptor.NS_TABLE) == 0) {
                return fault(WalkResult.Kind.SECURITY, level, input);
            }
            restrictions |= descriptor;
            level++;
            shift = granule.entryShift(level);
            index = input >>> shift & (1L << granule.levelBits()) - 1;
        }
    }

    private long leaf(long input, long descriptor, long restrictions, int level) {
        int shift = granule.entryShift(level);
        long output = descriptor & Descriptor.ADDRESS & -1L << shift;
        if (output >>> outputBits != 0) {
            return fault(WalkResult.Kind.ADDRESS_SIZE, level, input);
        }
        if (nonSecureOnly && (descriptor & Descriptor.NS) == 0) {
            return fault(WalkResult.Kind.SECURITY, level, input);
        }
        if (accessFlagFaults && (descriptor & Descriptor.AF) == 0) {
            return fault(WalkResult.Kind.ACCESS_FLAG, level, input);
        }
        long page = output | input & (1L << shift) - 1;
        int shareability = (int) (descriptor >>> Descriptor.SH_SHIFT) & 3;
        if (stage2) {
            int attributes = stage2Attributes((int) (descriptor >>> Descriptor.MEM_ATTR_SHIFT) & 0xf);
            return translation(page, shift, attributes, shareability) | stage2Permissions(descriptor);
        }
        int index = (int) (descriptor >>> Descriptor.ATTR_INDX_SHIFT) & 7;
        return translation(page, shift, (int) (mair >>> 8 * index) & 0xff, shareability)
                | stage1Permissions(descriptor, hierarchical ? restrictions : 0)
                | ((descriptor & Descriptor.NG) != 0 ? WalkResult.NG : 0);
    }

    private long stage1Permissions(long descriptor, long tables) {
        boolean writable = (descriptor & Descriptor.AP_READ_ONLY) == 0 && (tables & Descriptor.AP_TABLE_READ_ONLY) == 0;
        boolean uxn = (descriptor & Descriptor.UXN) != 0 || (tables & Descriptor.XN_TABLE) != 0;
        if (onePrivilegeLevel) {
            boolean executable = !uxn && !(wxn && writable);
            long all = WalkResult.UR | (writable ? WalkResult.UW : 0) | (executable ? WalkResult.UX : 0);
            return all | all << 3;
        }
        boolean unprivileged =
                (descriptor & Descriptor.AP_UNPRIVILEGED) != 0 && (tables & Descriptor.AP_TABLE_NO_UNPRIVILEGED) == 0;
        boolean pxn = (descriptor & Descriptor.PXN) != 0 || (tables & Descriptor.PXN_TABLE) != 0;
        long permissions = 0;
        if (unprivileged) {
            permissions |= WalkResult.UR | (writable ? WalkResult.UW : 0);
        }
        if (!pan || !unprivileged) {
            permissions |= WalkResult.PR | (writable ? WalkResult.PW : 0);
        }
        if (!uxn && !(wxn && unprivileged && writable)) {
            permissions |= WalkResult.UX;
        }
        // What unprivileged software can write is never privileged-executable (D8.4.3).
        if (!pxn && !(unprivileged && writable) && !(wxn && writable)) {
            permissions |= WalkResult.PX;
        }
        return permissions;
    }

    private static long stage2Permissions(long descriptor) {
        long permissions = 0;
        if ((descriptor & Descriptor.S2_READ) != 0) {
            permissions |= WalkResult.UR | WalkResult.PR;
        }
        if ((descriptor & Descriptor.S2_WRITE) != 0) {
            permissions |= WalkResult.UW | WalkResult.PW;
        }
        if ((descriptor & Descriptor.UXN) == 0) {
            permissions |= WalkResult.UX | WalkResult.PX;
        }
        return permissions;
    }

    /** Device memory and what is cached nowhere is Outer Shareable, whatever the descriptor says (D8.6). */
    private static long translation(long page, int log2Size, int attributes, int shareability) {
        boolean uncached = attributes >>> 4 == 0 || attributes == 0x44;
        return Translation.of(page, log2Size, attributes, uncached ? 2 : shareability);
    }

    /** A stage 2 MemAttr field as a MAIR byte (Arm ARM, D8.5.5). */
    private static int stage2Attributes(int memAttr) {
        if (memAttr >>> 2 == 0) {
            return (memAttr & 3) << 2;
        }
        return cacheability(memAttr >>> 2) << 4 | cacheability(memAttr & 3);
    }

    private static int cacheability(int encoded) {
        return switch (encoded) {
            case 2 -> 0xb;
            case 3 -> 0xf;
            default -> 0x4;
        };
    }

    /** Both stages together: the smaller block, the permissions of both, the weaker attributes (D8.6). */
    private static long combine(long first, long second) {
        int log2Size = Math.min(Translation.log2Size(first), Translation.log2Size(second));
        int shareability = Math.max(Translation.shareability(first), Translation.shareability(second));
        if (Translation.shareability(first) == 2 || Translation.shareability(second) == 2) {
            shareability = 2;
        }
        int attributes = combineAttributes(Translation.attributes(first), Translation.attributes(second));
        return translation(Translation.address(second, 0), log2Size, attributes, shareability)
                | first & second & WalkResult.PERMISSIONS
                | first & WalkResult.NG;
    }

    private static int combineAttributes(int first, int second) {
        boolean device = first >>> 4 == 0 || second >>> 4 == 0;
        if (device) {
            return first >>> 4 != 0 ? second : second >>> 4 != 0 ? first : Math.min(first, second);
        }
        return combineCacheability(first >>> 4, second >>> 4) << 4 | combineCacheability(first & 0xf, second & 0xf);
    }

    /** Non-cacheable wins over write-through over write-back; allocation and transient hints are those of stage 1. */
    private static int combineCacheability(int first, int second) {
        if (first == 4 || second == 4) {
            return 4;
        }
        boolean writeThrough = (first & 4) == 0 || (second & 4) == 0;
        return writeThrough ? first & ~4 : first;
    }

    /** @param input the input address, which is the IPA of a stage 2 */
    private long fault(WalkResult.Kind kind, int level, long input) {
        return WalkResult.fault(kind, level, input) | stageBit();
    }

    private long stageBit() {
        return stage2 ? WalkResult.STAGE2 : 0;
    }
}
