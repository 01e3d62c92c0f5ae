package org.iommuemu.smmuv3;

/** The MemAttr encoding of STE and GBPA, which is that of stage 2 descriptors (IHI 0070, 5.2 and 6.3.14). */
final class MemoryType {
    private MemoryType() {}

    /** A MemAttr value as a MAIR byte. */
    static int mair(int memAttr) {
        int outer = memAttr >>> 2 & 3;
        return outer == 0 ? (memAttr & 3) << 2 : cacheability(outer) << 4 | cacheability(memAttr & 3);
    }

    private static int cacheability(int encoded) {
        return switch (encoded) {
            case 2 -> 0xb;
            case 3 -> 0xf;
            default -> 0x4;
        };
    }
}
