package org.iommuemu.pagetables;

import org.iommuemu.mmio.Translation;

/**
 * Memory attributes, as MAIR bytes, and how those of two stages combine (Arm ARM, D8.6; IHI 0070, 13.1.5). Shareability
 * is encoded as in descriptors: 0 non, 2 outer, 3 inner.
 */
public final class MemoryAttributes {
    /** Normal memory, write-back, allocating: combined with anything, it leaves that as it is. */
    public static final int WRITE_BACK = 0xff;

    /**
     * What only a stage 2 with S2FWB gives: write-back, whatever the stage before says, but with its hints. It is a MAIR
     * encoding that no unit of ours supports, and never leaves {@link #combine}.
     */
    static final int FORCED_WRITE_BACK = 0xf0;

    private static final int NON_CACHEABLE = 0x44;

    private MemoryAttributes() {}

    static boolean isDevice(int attributes) {
        return attributes >>> 4 == 0;
    }

    /** Device memory, and what is cached nowhere: Outer Shareable, whatever else says otherwise. */
    public static boolean isUncached(int attributes) {
        return isDevice(attributes) || attributes == NON_CACHEABLE;
    }

    /** The MemAttr of a stage 2 descriptor (Arm ARM, D8.6.5). */
    static int ofStage2(int memAttr) {
        return memAttr >>> 2 == 0 ? (memAttr & 3) << 2 : cacheability(memAttr >>> 2) << 4 | cacheability(memAttr & 3);
    }

    private static int cacheability(int encoded) {
        return switch (encoded) {
            case 2 -> 0xb;
            case 3 -> 0xf;
            default -> 0x4;
        };
    }

    /** The MemAttr of a stage 2 descriptor with S2FWB (FEAT_S2FWB): bit 2 leaves less to the stage before. */
    static int ofForcingStage2(int memAttr) {
        return switch (memAttr & 7) {
            case 7 -> WRITE_BACK;
            case 6 -> FORCED_WRITE_BACK;
            case 5, 4 -> NON_CACHEABLE;
            default -> (memAttr & 3) << 2;
        };
    }

    /** A translation with consistent attributes. */
    public static long translation(long page, int log2Size, int attributes, int shareability) {
        return Translation.of(page, log2Size, attributes, isUncached(attributes) ? 2 : shareability);
    }

    /**
     * Two stages together: the address of the second, the smaller block, the permissions of both, the stronger
     * attributes.
     *
     * @param first bits of {@link WalkResult}, a success, or what came in with an access
     * @param second bits of {@link WalkResult}, a success
     */
    public static long combine(long first, long second) {
        int log2Size = Math.min(Translation.log2Size(first), Translation.log2Size(second));
        int shareability = Math.max(Translation.shareability(first), Translation.shareability(second));
        if (Translation.shareability(first) == 2 || Translation.shareability(second) == 2) {
            shareability = 2;
        }
        int attributes = combine(Translation.attributes(first), Translation.attributes(second));
        return translation(Translation.address(second, 0), log2Size, attributes, shareability)
                | first & second & WalkResult.PERMISSIONS
                | first & WalkResult.NG;
    }

    private static int combine(int first, int second) {
        if (second == FORCED_WRITE_BACK) {
            return isDevice(first) ? WRITE_BACK : forceWriteBack(first >>> 4) << 4 | forceWriteBack(first & 0xf);
        }
        if (isDevice(first) || isDevice(second)) {
            return !isDevice(first) ? second : !isDevice(second) ? first : Math.min(first, second);
        }
        return combineCacheability(first >>> 4, second >>> 4) << 4 | combineCacheability(first & 0xf, second & 0xf);
    }

    private static int forceWriteBack(int first) {
        return first == 4 ? 0xf : first | 4;
    }

    /** Non-cacheable wins over write-through over write-back; allocation and transient hints are those of the first. */
    private static int combineCacheability(int first, int second) {
        if (first == 4 || second == 4) {
            return 4;
        }
        boolean writeThrough = (first & 4) == 0 || (second & 4) == 0;
        return writeThrough ? first & ~4 : first;
    }
}
