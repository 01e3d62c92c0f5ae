package org.iommuemu.smmuv3;

import org.iommuemu.mmio.PhysicalMemory;

/** Structures in memory, addressed by bit numbers as the specification draws them: STE[143:128] is the S2VMID. */
final class Bits {
    private Bits() {}

    /** Bits {@code high:low} of a structure, right-aligned. They lie in one 64-bit word. */
    static long get(long[] words, int high, int low) {
        return words[low >>> 6] >>> low & -1L >>> 63 - (high - low);
    }

    /** A field that holds an address: bits {@code high:low} of a word, at their place. */
    static long address(long word, int high, int low) {
        return word & -1L >>> 63 - high & -1L << low;
    }

    /** SH0, SH1 and S2SH0: 0b01 is Reserved and behaves as 0b00, Non-shareable (5.2, 5.4). */
    static int shareability(int encoded) {
        return encoded == 1 ? 0 : encoded;
    }

    /** An address with its bits below 2^{@code log2Size} cleared, as a table's base is (6.3.24, 3.3.2). */
    static long alignDown(long address, int log2Size) {
        return log2Size >= 64 ? 0 : address & -1L << log2Size;
    }

    /** The little-endian words of a structure; null if nothing answers at its address: an external abort. */
    static long[] read(PhysicalMemory memory, long address, int words) {
        if (!memory.isRam(address, words * 8L)) {
            return null;
        }
        long[] read = new long[words];
        for (int i = 0; i < words; i++) {
            read[i] = memory.read64(address + 8L * i);
        }
        return read;
    }
}
