package org.iommuemu.pagetables;

import java.util.SplittableRandom;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PlainWalk.Stage;

/**
 * Descriptors, and addresses to go with them, that are random but mostly plausible, so that walks of all depths end in all
 * ways.
 */
public final class RandomTables {
    private static final long[] BANKS = {0x4000_0000L, 1L << 36, 1L << 44, 5L << 49};
    private static final long[] BANK_SIZES = {1L << 30, 1L << 34, 1L << 40, 1L << 40};

    private final SplittableRandom random;

    /** Out of a hundred descriptors, how many permit everything. */
    private int permissive;

    public RandomTables(SplittableRandom random) {
        this.random = random;
    }

    /** @param percent of descriptors that permit everything; those of long ways have to, if one is to get through */
    public void permissive(int percent) {
        permissive = percent;
    }

    /** Adds the RAM that addresses lie in, as far as it is below 2^bits. */
    public static void addRam(PhysicalMemory memory, int bits) {
        for (int i = 0; i < BANKS.length; i++) {
            if (BANKS[i] < 1L << bits) {
                memory.addRam(BANKS[i], BANK_SIZES[i]);
            }
        }
    }

    /** Whether an address lies in that RAM. */
    public static boolean inRam(long address, int bits) {
        boolean inBank = false;
        for (int i = 0; i < BANKS.length; i++) {
            inBank |= BANKS[i] < 1L << bits && address >= BANKS[i] && address < BANKS[i] + BANK_SIZES[i];
        }
        return inBank;
    }

    /** Mostly an address in RAM that fits, with few different offsets, so that memory stays small. */
    public long address(int bits, int lowZeros) {
        int kind = random.nextInt(40);
        if (kind == 0) {
            return random.nextLong() >>> 12 + random.nextInt(20);
        }
        if (kind == 1) {
            return BANKS[2] << random.nextInt(4);
        }
        int bank = random.nextInt(BANKS.length);
        while (BANKS[bank] >= 1L << bits && bank > 0) {
            bank--;
        }
        if (bits < 31) {
            return (long) random.nextInt(8) << 12;
        }
        long offset = (long) random.nextInt(4) << (random.nextBoolean() ? 12 : 21) | (long) random.nextInt(4) << 16;
        if (random.nextInt(4) == 0) {
            offset |= random.nextInt(16) << 4;
        }
        return BANKS[bank] + (offset >>> lowZeros << lowZeros);
    }

    /** An input address, mostly one that the table translates. */
    public long input(Stage s) {
        int kind = random.nextInt(30);
        if (kind == 0) {
            return random.nextLong();
        }
        long inside = 0;
        for (int low = s.pageBits; low < s.inputBits; low += s.pageBits - 3) {
            // Every index: first, second or last.
            long index = random.nextInt(3);
            inside |= (index == 2 ? -1L : index) << low;
        }
        inside ^= random.nextInt(1 << s.pageBits);
        inside &= (1L << s.inputBits) - 1;
        if (kind == 1) {
            inside ^= 1L << s.inputBits + random.nextInt(64 - s.inputBits);
        }
        return s.upper ? inside | -1L << s.inputBits : inside;
    }

    /** A descriptor for a level. */
    public long descriptor(Stage s, int level) {
        int kind = random.nextInt(100);
        boolean permits = random.nextInt(100) < permissive;
        if (kind < 2 && !permits) {
            return legalAttributes(s, random.nextLong());
        }
        // All that is not type or address is random; then what would end most walks early is made rare.
        long descriptor = random.nextLong() & ~0x0000_ffff_ffff_f003L;
        int rare = random.nextInt(12);
        if (rare != 0 && !(s.ha && random.nextInt(3) == 0)) {
            descriptor |= 1L << 10;
        }
        if (rare != 1 && s.nonSecureOnly) {
            descriptor |= 1L << 63 | 1L << 5;
        }
        if (random.nextInt(3) != 0) {
            // Readable by all: at stage 1 AP[1], at stage 2 S2AP[0]; and no table that takes it back.
            descriptor |= 1L << 6;
            descriptor &= ~(1L << 61);
        }
        if (permits) {
            // AF; read and write, for all; no attributes of tables; executable; stage 2: write-back, with S2FWB, too.
            descriptor = descriptor & ~(0x1fL << 59 | 3L << 53 | 3L << 6) | 1L << 10;
            descriptor |= s.second ? 3L << 6 | 0x3cL & (s.forceWriteBack ? 0x18 : 0x3c) : 1L << 6;
            descriptor &= s.second && s.forceWriteBack ? ~0x24L : -1L;
        }
        descriptor = legalAttributes(s, descriptor);
        boolean table = level < 3
                && (random.nextInt(3) != 0
                        || level < 0
                        || level == 0 && random.nextBoolean()
                        || s.pageBits != 12 && level == 1 && random.nextBoolean());
        int shift = s.pageBits + (3 - level) * (s.pageBits - 3);
        int bits = Math.min(s.over != null ? s.over.inputBits : s.outputBits, s.outputBits);
        long address = address(s.lpa || s.ds ? bits : Math.min(bits, s.addressBits), table ? s.pageBits : shift);
        if (!table && level < 3 && kind < 50) {
            address = address >>> shift << shift;
        }
        if (s.ds) {
            descriptor &= ~(3L << 48 | 3L << 8);
            descriptor |= address & 0x0003_ffff_ffff_f000L | (address >>> 50 & 3) << 8;
        } else {
            descriptor |= address & 0x0000_ffff_ffff_f000L;
            descriptor |= s.lpa ? (address >>> 48 & 0xf) << 12 : 0;
        }
        boolean wrongType = kind < 5 && !permits;
        return descriptor | (wrongType ? random.nextInt(4) : table || level == 3 ? 3 : 1);
    }

    /** Without encodings that the architecture reserves: what they do is not defined. */
    private long legalAttributes(Stage s, long descriptor) {
        long legal = descriptor;
        if (!s.ds && (legal >>> 8 & 3) == 1) {
            legal |= 1L << 9;
        }
        if (s.second && s.forceWriteBack) {
            if ((legal >>> 2 & 7) == 4) {
                legal |= 1L << 2;
            }
        } else if (s.second && ((legal >>> 4 & 3) != 0 && (legal >>> 2 & 3) == 0 || random.nextInt(3) == 0)) {
            legal |= 0x3cL;
        }
        return legal;
    }
}
