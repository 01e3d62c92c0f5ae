package org.iommuemu.pagetables;

/**
 * Where the descriptors of a granule hold addresses, and where blocks are (Arm ARM, D8.3).
 *
 * @param low address bits that are in their own place
 * @param high descriptor bits that hold address bits from elsewhere
 * @param highShift how far those are to be shifted to the left
 * @param blocks bit n: block descriptors may map 2<sup>n</sup> bytes
 */
record AddressFormat(long low, long high, int highShift, long blocks) {
    /**
     * The format of a granule.
     *
     * @param wide 52-bit addresses: FEAT_LPA with 64 KiB, FEAT_LPA2 (DS) with 4 and 16 KiB
     */
    static AddressFormat of(Granule granule, boolean wide) {
        long blocks = 0;
        for (int level = 0; level < 3; level++) {
            if (granule.hasBlocks(level, wide)) {
                blocks |= 1L << granule.entryShift(level);
            }
        }
        if (!wide) {
            return new AddressFormat(bits(47, granule.shift()), 0, 0, blocks);
        }
        // Bits 15:12 are address bits 51:48; or bits 9:8 are address bits 51:50.
        return granule == Granule.KIB_64
                ? new AddressFormat(bits(47, 16), bits(15, 12), 36, blocks)
                : new AddressFormat(bits(49, granule.shift()), bits(9, 8), 42, blocks);
    }

    private static long bits(int high, int low) {
        return (2L << high) - (1L << low);
    }

    /** The address in a descriptor. */
    long address(long descriptor) {
        return descriptor & low | (descriptor & high) << highShift;
    }

    /** An address, as a descriptor holds it. */
    long descriptor(long address) {
        return address & low | address >>> highShift & high;
    }

    /** The width of the largest address. */
    int width() {
        return high == 0 ? 48 : 52;
    }
}
