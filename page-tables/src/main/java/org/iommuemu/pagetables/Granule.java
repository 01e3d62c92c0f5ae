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
     * @param level 0 to 3
     */
    public int entryShift(int level) {
        return shift + (3 - level) * levelBits();
    }

    /**
     * The level at which a stage 1 walk starts.
     *
     * @param inputBits width of the input address
     */
    public int stage1StartLevel(int inputBits) {
        return 4 - (inputBits - shift + levelBits() - 1) / levelBits();
    }

    /** Whether a block descriptor exists at a level, without FEAT_LPA and FEAT_LPA2. */
    public boolean hasBlocks(int level) {
        return level == 2 || level == 1 && this == KIB_4;
    }

    /**
     * Whether a stage 2 walk may start at a level: at least one bit is left to it, and at most 16 tables are concatenated
     * (Arm ARM, D8.2.7).
     */
    public boolean isStage2StartLevel(int level, int inputBits) {
        int bits = inputBits - entryShift(level);
        return level >= 0 && level <= 3 && bits >= 1 && bits <= levelBits() + 4;
    }
}
