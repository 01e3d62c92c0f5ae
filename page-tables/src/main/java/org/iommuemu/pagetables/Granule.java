package org.iommuemu.pagetables;

/** Translation granule: the size of a page and of a table (Arm ARM, D8.2). */
public enum Granule {
    /** 4 KiB: levels resolve 9 bits. */
    KIB_4(12),
    /** 16 KiB: levels resolve 11 bits. */
    KIB_16(14),
    /** 64 KiB: levels resolve 13 bits. */
    KIB_64(16);

    private final int shift;

    Granule(int shift) {
        this.shift = shift;
    }

    /** Log2 of the page size in bytes. */
    public int shift() {
        return shift;
    }

    /** Page size in bytes. */
    public long bytes() {
        return 1L << shift;
    }

    /** Input address bits that one level resolves. */
    public int levelBits() {
        return shift - 3;
    }

    /**
     * Log2 of what one entry of a level maps, in bytes.
     *
     * @param level -1 to 3
     */
    public int entryShift(int level) {
        return shift + (3 - level) * levelBits();
    }

    /**
     * The level at which a stage 1 walk starts: -1 where 4 KiB pages have an input of more than 48 bits.
     *
     * @param inputBits width of the input address
     */
    public int stage1StartLevel(int inputBits) {
        return 4 - (inputBits - shift + levelBits() - 1) / levelBits();
    }

    /** Whether a block descriptor exists at a level, without FEAT_LPA and FEAT_LPA2. */
    public boolean hasBlocks(int level) {
        return hasBlocks(level, false);
    }

    /**
     * Whether a block descriptor exists at a level.
     *
     * @param wide descriptors hold 52 bits of address: FEAT_LPA with 64 KiB, FEAT_LPA2 (DS) with 4 and 16 KiB
     */
    public boolean hasBlocks(int level, boolean wide) {
        int first = this == KIB_4 ? 1 : 2;
        return level >= (wide ? first - 1 : first) && level <= 2;
    }

    /**
     * Log2 of how many entries the Contiguous hint joins; 0 where the bit means nothing (ContiguousSize()).
     *
     * @param level -1 to 3
     */
    public int contiguousBits(int level) {
        return switch (this) {
            case KIB_4 -> level >= 1 ? 4 : 0;
            case KIB_16 -> level == 3 ? 7 : level == 2 ? 5 : 0;
            case KIB_64 -> level >= 2 ? 5 : 0;
        };
    }

    /**
     * Whether a stage 2 walk may start at a level: at least one bit is left to it, and at most 16 tables are concatenated
     * (Arm ARM, D8.2.7). Level -1 is for 4 KiB pages and an IPA of more than 48 bits.
     */
    public boolean isStage2StartLevel(int level, int inputBits) {
        int bits = inputBits - entryShift(level);
        return level >= (this == KIB_4 ? -1 : 0) && level <= 3 && bits >= 1 && bits <= levelBits() + 4;
    }
}
