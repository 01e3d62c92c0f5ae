package org.iommuemu.smmuv3;

import java.util.SplittableRandom;
import org.iommuemu.pagetables.PlainWalk;
import org.iommuemu.pagetables.RandomTables;

/**
 * Stream table entries, context descriptors and the tables that lead to them: random, legal in most cases, and otherwise
 * with one rule broken.
 */
final class RandomStructures {
    /** Fields of an STE that decide something, high and low bit each. */
    private static final int[][] STE_FIELDS = {
        {0, 0},
        {3, 1},
        {5, 4},
        {55, 48},
        {55, 6},
        {63, 59},
        {65, 64},
        {89, 89},
        {91, 91},
        {93, 92},
        {95, 94},
        {99, 96},
        {100, 100},
        {104, 101},
        {109, 108},
        {113, 112},
        {115, 114},
        {143, 128},
        {165, 160},
        {167, 166},
        {175, 174},
        {178, 176},
        {179, 179},
        {180, 180},
        {181, 181},
        {182, 182},
        {183, 183},
        {184, 184},
        {186, 186},
        {194, 194},
        {195, 195},
        {243, 196}
    };

    private static final int[][] CD_FIELDS = {
        {5, 0}, {7, 6}, {14, 14}, {15, 15}, {21, 16}, {23, 22}, {30, 30}, {31, 31}, {34, 32}, {35, 35}, {36, 36},
        {38, 38}, {39, 39}, {40, 40}, {41, 41}, {42, 42}, {43, 43}, {45, 45}, {46, 46}, {63, 48}, {65, 65}, {66, 66},
        {115, 68}, {123, 123}, {129, 129}, {130, 130}, {179, 132}, {186, 186}, {223, 192}
    };

    private final SplittableRandom random;
    private final RandomTables tables;
    private final PlainRegisters r;
    private final PlainLegality legality;

    RandomStructures(SplittableRandom random, RandomTables tables, PlainRegisters registers) {
        this.random = random;
        this.tables = tables;
        r = registers;
        legality = new PlainLegality(registers);
        tableBits = r.oas();
    }

    /** Width of the addresses at which CDs and stage 1 tables are likely found: less than OAS where stage 2 is narrow. */
    private int tableBits;

    private boolean stallsDisabled;

    private boolean oneIn(int n) {
        return random.nextInt(n) == 0;
    }

    /** Structures of each kind lie apart, and apart from tables, so that one is mostly not what another was read as. */
    long address(int kind, int bits, int lowZeros) {
        long address = tables.address(bits, lowZeros);
        if (RandomTables.inRam(address, Math.min(bits, r.oas()))) {
            return address + kind * 0x1000_0000L;
        }
        return oneIn(5) ? address : address(kind, bits, lowZeros);
    }

    static void set(long[] words, int high, int low, long value) {
        for (int bit = low; bit <= high; bit++) {
            long mask = 1L << bit % 64;
            words[bit / 64] = (value >>> bit - low & 1) != 0 ? words[bit / 64] | mask : words[bit / 64] & ~mask;
        }
    }

    private long[] noise() {
        return random.longs(8).toArray();
    }

    private long[] broken(long[] words, int[][] fields) {
        if (oneIn(8)) {
            int[] field = fields[random.nextInt(fields.length)];
            set(words, field[0], field[1], random.nextLong());
        }
        return words;
    }

    /** What a structure of a kind may hold. */
    long[] structure(PlainSmmu.Structure kind) {
        return switch (kind) {
            case L1STD -> l1std();
            case STE -> broken(ste(), STE_FIELDS);
            case L1CD -> l1cd();
            case CD -> broken(cd(), CD_FIELDS);
        };
    }

    private long[] l1std() {
        long span = oneIn(8) ? random.nextInt(32) : r.split() + 1 - (oneIn(4) ? random.nextInt(3) : 0);
        long l2Ptr = oneIn(30) ? random.nextLong() : address(1, r.oas(), 6);
        return new long[] {l2Ptr & 0x000f_ffff_ffff_ffc0L | span};
    }

    private long[] l1cd() {
        long l2Ptr = oneIn(30) ? random.nextLong() : address(3, tableBits, 12);
        return new long[] {l2Ptr & 0x000f_ffff_ffff_f000L | (oneIn(20) ? 0 : 1)};
    }

    private long[] ste() {
        long[] ste = noise();
        set(ste, 0, 0, 1);
        int config = 4;
        if (!oneIn(10)) {
            config += r.stage1() && (!r.stage2() || !oneIn(4)) ? 1 : 0;
            config += r.stage2() && (config == 4 || !oneIn(2)) ? 2 : 0;
        }
        set(ste, 3, 1, oneIn(40) ? random.nextInt(8) : config);
        if (!r.cd2l()) {
            set(ste, 5, 4, 0);
        }
        set(ste, 63, 59, r.ssidSize() == 0 ? random.nextInt(32) : Math.min(r.ssidSize(), random.nextInt(22)));
        set(ste, 80, 77, 0); // CONT
        set(ste, 90, 90, 0); // S1MPAM
        stallsDisabled = r.stallModel() == 0 && oneIn(6);
        set(ste, 91, 91, stallsDisabled ? 1 : 0); // S1STALLD
        set(ste, 93, 92, 0); // EATS
        if (config == 5) {
            set(ste, 94, 94, 0);
        }
        if (!r.vmid16()) {
            set(ste, 143, 136, 0);
        }
        tableBits = r.oas();
        set(ste, 55, 6, address(2, tableBits, 6) >>> 6);
        if ((config & 2) != 0) {
            stage2(ste);
            tableBits = Math.min(tableBits, 64 - (int) Plain.bits(ste, 165, 160));
            set(ste, 55, 6, address(2, tableBits, 6) >>> 6);
        }
        if (!oneIn(5)) {
            set(ste, 65, 64, 2); // S1DSS
        }
        return ste;
    }

    private void stage2(long[] ste) {
        set(ste, 179, 179, 1);
        set(ste, 185, 185, r.stallModel() == 0 ? random.nextInt(5) / 4 : r.stallModel() / 2); // S2S
        set(ste, 186, 186, oneIn(6) ? 0 : 1);
        set(ste, 191, 187, 0);
        set(ste, 178, 176, 5 + random.nextInt(3));
        if (oneIn(4)) {
            set(ste, 178, 176, random.nextInt(8));
        }
        if (r.ttEndian() != 0) {
            set(ste, 180, 180, r.ttEndian() == 3 ? 1 : 0);
        }
        if (r.httu() < 2) {
            set(ste, 183, 183, 0);
        }
        if (r.httu() == 0) {
            set(ste, 184, 184, 0);
        }
        set(ste, 182, 182, oneIn(3) ? 1 : 0);
        // Shapes that go together are found by trying.
        for (int i = 0; i < 100; i++) {
            set(ste, 167, 160, random.nextInt(256));
            set(ste, 175, 174, random.nextInt(3));
            set(ste, 195, 194, random.nextInt(4));
            int bits = legality.outputBits(Plain.bits(ste, 178, 176));
            set(ste, 243, 196, tables.address(oneIn(2) ? Math.min(48, bits) : bits, 0) >>> 4);
            if (!legality.steIllegal(ste)) {
                return;
            }
        }
    }

    private long[] cd() {
        long[] cd = noise();
        set(cd, 14, 14, oneIn(12) ? 1 : 0);
        set(cd, 30, 30, oneIn(4) ? 1 : 0);
        set(cd, 31, 31, 1);
        set(cd, 34, 32, oneIn(4) ? random.nextInt(8) : 5 + random.nextInt(3));
        set(cd, 41, 41, 1);
        if (r.ttEndian() != 0) {
            set(cd, 15, 15, r.ttEndian() == 3 ? 1 : 0);
        }
        if (r.httu() < 2) {
            set(cd, 42, 42, 0);
        }
        if (r.httu() == 0) {
            set(cd, 43, 43, 0);
        }
        set(cd, 44, 44, r.stallModel() == 0 && !stallsDisabled ? random.nextInt(5) / 4 : r.stallModel() / 2); // S
        set(cd, 45, 45, oneIn(6) ? 0 : 1);
        set(cd, 46, 46, r.termModel() || !oneIn(4) ? 1 : 0);
        set(cd, 36, 36, oneIn(3) ? 1 : 0);
        set(cd, 66, 66, oneIn(6) ? 1 : 0); // E0PD0
        set(cd, 67, 67, 0); // HAFT
        set(cd, 130, 130, oneIn(6) ? 1 : 0);
        set(cd, 131, 131, 0); // AIE
        set(cd, 187, 187, 0); // PIE
        if (!r.asid16()) {
            set(cd, 63, 56, 0);
        }
        set(cd, 186, 186, oneIn(3) ? 1 : 0);
        long[] stage1Only = new long[8];
        set(stage1Only, 3, 0, 0b1011);
        for (int i = 0; i < 100; i++) {
            set(cd, 7, 0, random.nextInt(256));
            set(cd, 23, 16, random.nextInt(256));
            int bits = legality.outputBits(Plain.bits(cd, 34, 32));
            bits = Math.min(bits, tableBits);
            set(cd, 115, 68, tables.address(oneIn(2) ? Math.min(48, bits) : bits, 0) >>> 4);
            set(cd, 179, 132, tables.address(oneIn(2) ? Math.min(48, bits) : bits, 0) >>> 4);
            if (!legality.cdIllegal(stage1Only, cd)) {
                break;
            }
        }
        return cd;
    }

    /** An input address that a configuration probably translates. */
    long address(PlainWalk.Stage stage) {
        return tables.input(stage);
    }
}
