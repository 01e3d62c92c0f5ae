package org.iommuemu.pagetables;

/** Bits of VMSAv8-64 long descriptors (Arm ARM, D8.3). */
public final class Descriptor {
    /** Bit 0: the descriptor is valid. */
    public static final long VALID = 1;
    /** Bit 1: a table at levels 0 to 2, a page at level 3. */
    public static final long TABLE = 1L << 1;
    /** Bit 10: Access flag. */
    public static final long AF = 1L << 10;
    /** Bits 9:8: shareability, 2 outer, 3 inner. */
    public static final int SH_SHIFT = 8;

    /** Stage 1, bits 4:2: index of the attributes in MAIR. */
    public static final int ATTR_INDX_SHIFT = 2;
    /** Stage 1, bit 5: the output address is Non-secure. */
    public static final long NS = 1L << 5;
    /** Stage 1, bit 6, AP[1]: unprivileged access is allowed. */
    public static final long AP_UNPRIVILEGED = 1L << 6;
    /** Stage 1, bit 7, AP[2]: read-only. */
    public static final long AP_READ_ONLY = 1L << 7;
    /** Stage 1, bit 11: not global. */
    public static final long NG = 1L << 11;
    /** Bit 51, DBM: a leaf that is not writable is writable-clean, and hardware may make it writable. */
    public static final long DBM = 1L << 51;
    /** Bit 52, the Contiguous hint: the leaf is one of a group that maps one range alike. */
    public static final long CONTIGUOUS = 1L << 52;
    /** Bit 53: Privileged execute-never at stage 1; XN[0] at stage 2, with FEAT_XNX. */
    public static final long PXN = 1L << 53;
    /** Bit 54: Unprivileged execute-never at stage 1, XN[1] at stage 2. */
    public static final long UXN = 1L << 54;

    /** Table, bit 59: PXNTable. */
    public static final long PXN_TABLE = 1L << 59;
    /** Table, bit 60: XNTable. */
    public static final long XN_TABLE = 1L << 60;
    /** Table, bit 61, APTable[0]: no unprivileged access below. */
    public static final long AP_TABLE_NO_UNPRIVILEGED = 1L << 61;
    /** Table, bit 62, APTable[1]: no writes below. */
    public static final long AP_TABLE_READ_ONLY = 1L << 62;
    /** Table, bit 63: NSTable. */
    public static final long NS_TABLE = 1L << 63;

    /** Stage 2, bits 5:2: MemAttr. */
    public static final int MEM_ATTR_SHIFT = 2;
    /** Stage 2, MemAttr of Normal memory, inner and outer write-back. */
    public static final long MEM_ATTR_NORMAL = 0xfL << MEM_ATTR_SHIFT;
    /** Stage 2, MemAttr of Device-nGnRE memory. */
    public static final long MEM_ATTR_DEVICE = 1L << MEM_ATTR_SHIFT;
    /** Stage 2, bit 6, S2AP[0]: readable. */
    public static final long S2_READ = 1L << 6;
    /** Stage 2, bit 7, S2AP[1]: writable. */
    public static final long S2_WRITE = 1L << 7;

    /** Leaf attributes of inner-shareable write-back RAM that a stage 2 table lets be read and written. */
    public static final long STAGE2_RAM = AF | 3L << SH_SHIFT | MEM_ATTR_NORMAL | S2_READ | S2_WRITE;

    private Descriptor() {}
}
