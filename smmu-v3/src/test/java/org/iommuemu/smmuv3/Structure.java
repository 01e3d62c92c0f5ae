package org.iommuemu.smmuv3;

/** An STE or CD in the making: bits are numbered as the specification draws them. */
record Structure(long... words) {
    Structure with(int high, int low, long value) {
        long[] changed = words.clone();
        long mask = -1L >>> 63 - (high - low) << (low & 63);
        changed[low >>> 6] = changed[low >>> 6] & ~mask | value << (low & 63) & mask;
        return new Structure(changed);
    }

    Structure with(int bit) {
        return with(bit, bit, 1);
    }

    Structure without(int bit) {
        return with(bit, bit, 0);
    }
}
