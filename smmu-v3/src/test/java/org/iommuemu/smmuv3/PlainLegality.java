package org.iommuemu.smmuv3;

/** Which structures are ILLEGAL, in the order of the pseudocode of IHI 0070, 5.2.2 and 5.4.2; Non-secure. */
final class PlainLegality {
    private final PlainRegisters r;

    PlainLegality(PlainRegisters registers) {
        r = registers;
    }

    /** The width of addresses that IPS or S2PS gives. */
    int outputBits(long encoded) {
        int bits = Plain.addressSize((int) encoded);
        if (r.v3_0() && bits > 48) {
            bits = 48;
        }
        return bits < r.oas() ? bits : r.oas();
    }

    /** TG0 and S2TG: 12, 14 or 16; 0 is Reserved. */
    static int pageBits0(long encoded) {
        return encoded == 0 ? 12 : encoded == 1 ? 16 : encoded == 2 ? 14 : 0;
    }

    /** TG1. */
    static int pageBits1(long encoded) {
        return encoded == 1 ? 14 : encoded == 2 ? 12 : encoded == 3 ? 16 : 0;
    }

    private boolean supported(int pageBits) {
        return pageBits != 0 && r.granule(pageBits);
    }

    static boolean stage1(long[] ste) {
        return Plain.bits(ste, 3, 3) == 1 && Plain.bits(ste, 1, 1) == 1;
    }

    static boolean stage2(long[] ste) {
        return Plain.bits(ste, 3, 3) == 1 && Plain.bits(ste, 2, 2) == 1;
    }

    boolean strwIgnored(long[] ste) {
        return !r.stage1() || !r.hyp() || stage2(ste) || Plain.bits(ste, 3, 1) == 0b100;
    }

    boolean steIllegal(long[] ste) {
        boolean stage1 = stage1(ste);
        boolean stage2 = stage2(ste);
        long config = Plain.bits(ste, 3, 1);
        if (Plain.bits(ste, 0, 0) == 0) {
            return true;
        }
        if (config < 4) {
            return false;
        }
        if (stage1 && !r.stage1()) {
            return true;
        }
        if (stage2 && !r.stage2()) {
            return true;
        }
        boolean s2s = Plain.bits(ste, 185, 185) == 1;
        if (r.ats() && config != 0b100) {
            long eats = Plain.bits(ste, 93, 92);
            if (eats == 0b10 && (config != 0b111 || s2s || r.ns1Ats())) {
                return true;
            }
            if (eats == 0b01 && s2s && stage2) {
                return true;
            }
        }
        if (!strwIgnored(ste) && Plain.bits(ste, 94, 94) == 1) {
            return true;
        }
        if (stage1 && stage1Illegal(ste)) {
            return true;
        }
        if (stage2 && stage2Illegal(ste, s2s)) {
            return true;
        }
        boolean vmidIgnored = !r.stage2() || config == 0b100 || Plain.bits(ste, 95, 94) != 0 && !strwIgnored(ste);
        return !vmidIgnored && !r.vmid16() && Plain.bits(ste, 143, 136) != 0;
    }

    private boolean stage1Illegal(long[] ste) {
        if (Plain.bits(ste, 91, 91) == 1 && r.stallModel() != 0b00) {
            return true;
        }
        long cdMax = Plain.bits(ste, 63, 59);
        if (r.ssidSize() != 0 && cdMax > r.ssidSize()) {
            return true;
        }
        long fmt = Plain.bits(ste, 5, 4);
        if (r.ssidSize() != 0 && cdMax != 0 && !r.cd2l() && (fmt == 0b01 || fmt == 0b10)) {
            return true;
        }
        // 3.4.3: of an IPA, C_BAD_STE is one of two behaviours that an implementation may have, and the model's.
        return !Plain.fits(s1ContextPtr(ste), r.oas());
    }

    static long s1ContextPtr(long[] ste) {
        return Plain.bits(ste, 55, 6) * Plain.power(6);
    }

    private boolean stage2Illegal(long[] ste, boolean s2s) {
        if (s2s && r.stallModel() == 0b01) {
            return true;
        }
        if (!s2s && r.stallModel() == 0b10) {
            return true;
        }
        if (Plain.bits(ste, 179, 179) == 0) {
            return true; // VMSAv8-32 LPAE.
        }
        boolean ha = Plain.bits(ste, 184, 184) == 1;
        boolean hd = Plain.bits(ste, 183, 183) == 1;
        if ((ha || hd) && r.httu() == 0b00) {
            return true;
        }
        if (hd && r.httu() == 0b01) {
            return true;
        }
        int pageBits = pageBits0(Plain.bits(ste, 175, 174));
        if (!supported(pageBits)) {
            return true;
        }
        boolean ds = s2Ds(ste);
        int outputBits = outputBits(Plain.bits(ste, 178, 176));
        if (outputBits > 48 && pageBits != 16 && !ds) {
            outputBits = 48;
        }
        if (!Plain.fits(s2Ttb(ste), outputBits)) {
            return true;
        }
        int size = (int) Plain.bits(ste, 165, 160);
        int most = !r.stt() ? 39 : pageBits == 16 ? 47 : 48;
        int least = pageBits == 16 || ds ? 12 : 16;
        if (r.v3_0()) {
            least = 0;
        }
        if (least < 64 - r.oas()) {
            least = 64 - r.oas();
        }
        if (size < least || size > most) {
            return true;
        }
        if (walkIsInconsistent(64 - size, ds, Plain.bits(ste, 194, 194), Plain.bits(ste, 167, 166), pageBits)) {
            return true;
        }
        return endianIllegal(Plain.bits(ste, 180, 180) == 1);
    }

    private boolean endianIllegal(boolean big) {
        return r.ttEndian() == 0b10 && big || r.ttEndian() == 0b11 && !big;
    }

    boolean s2Ds(long[] ste) {
        return r.ds() && Plain.bits(ste, 195, 195) == 1 && Plain.bits(ste, 175, 174) != 0b01;
    }

    long s2Ttb(long[] ste) {
        return Plain.bits(ste, r.v3_0() ? 239 : 243, 196) * Plain.power(4);
    }

    /** The level at which stage 2 starts, by SL2 and SL0 (Arm ARM, D8.2); 9 is Reserved. */
    static int s2StartLevel(long sl2, long sl0, boolean ds, int pageBits) {
        if (pageBits == 12) {
            if (ds && sl2 == 1) {
                return sl0 == 0 ? -1 : 9;
            }
            return sl0 == 3 ? 3 : 2 - (int) sl0;
        }
        if (sl0 == 3 && (pageBits == 16 || !ds)) {
            return 9;
        }
        return 3 - (int) sl0;
    }

    private boolean walkIsInconsistent(int inputBits, boolean ds, long sl2, long sl0, int pageBits) {
        int level = s2StartLevel(sl2, sl0, ds, pageBits);
        if (level == 9) {
            return true;
        }
        // AArch64.S2InvalidSL()
        if (pageBits == 12 && level == 0 && r.oas() < 44
                || pageBits == 12 && level == 3 && !r.stt()
                || pageBits == 14 && level == 1 && r.oas() < 42
                || pageBits == 16 && level == 1 && r.oas() < 44) {
            return true;
        }
        // At least one bit is resolved at the first level; at most a whole table and four bits of concatenated ones.
        int below = pageBits + (3 - level) * (pageBits - 3);
        return inputBits < below + 1 || inputBits > below + (pageBits - 3) + 4;
    }

    // Context descriptors

    enum World {
        EL1,
        EL2,
        EL2_E2H
    }

    World world(long[] ste) {
        if (strwIgnored(ste) || Plain.bits(ste, 95, 94) == 0b00) {
            return World.EL1;
        }
        return r.e2h() ? World.EL2_E2H : World.EL2;
    }

    static boolean epd0(long[] cd, World world) {
        return world != World.EL2 && Plain.bits(cd, 14, 14) == 1;
    }

    /** TTB1 is not reached in EL2. */
    static boolean epd1(long[] cd, World world) {
        return world == World.EL2 || Plain.bits(cd, 30, 30) == 1;
    }

    boolean cdIllegal(long[] ste, long[] cd) {
        World world = world(ste);
        boolean s = Plain.bits(cd, 44, 44) == 1;
        boolean ha = Plain.bits(cd, 43, 43) == 1;
        boolean hd = Plain.bits(cd, 42, 42) == 1;
        if (Plain.bits(cd, 31, 31) == 0) {
            return true;
        }
        if (Plain.bits(ste, 91, 91) == 1 && s) {
            return true;
        }
        if (r.termModel() && Plain.bits(cd, 46, 46) == 0) {
            return true;
        }
        if (r.stallModel() == 0b01 && s || r.stallModel() == 0b10 && !s) {
            return true;
        }
        boolean any = !epd0(cd, world) || !epd1(cd, world);
        if (any && endianIllegal(Plain.bits(cd, 15, 15) == 1)) {
            return true;
        }
        if (Plain.bits(cd, 41, 41) == 0) {
            return true; // VMSAv8-32 LPAE.
        }
        if ((ha || hd) && r.httu() == 0b00 || hd && r.httu() == 0b01) {
            return true;
        }
        if (world != World.EL2 && !r.asid16() && Plain.bits(cd, 63, 56) != 0) {
            return true;
        }
        int outputBits = outputBits(Plain.bits(cd, 34, 32));
        return !epd0(cd, world)
                        && tableIllegal(
                                pageBits0(Plain.bits(cd, 7, 6)), Plain.bits(cd, 5, 0), ttb0(cd), cdDs(cd), outputBits)
                || !epd1(cd, world)
                        && tableIllegal(
                                pageBits1(Plain.bits(cd, 23, 22)),
                                Plain.bits(cd, 21, 16),
                                ttb1(cd),
                                cdDs(cd),
                                outputBits);
    }

    boolean cdDs(long[] cd) {
        return r.ds() && Plain.bits(cd, 186, 186) == 1;
    }

    long ttb0(long[] cd) {
        return Plain.bits(cd, r.v3_0() ? 111 : 115, 68) * Plain.power(4);
    }

    long ttb1(long[] cd) {
        return Plain.bits(cd, r.v3_0() ? 175 : 179, 132) * Plain.power(4);
    }

    private boolean tableIllegal(int pageBits, long size, long ttb, boolean ds, int ipsBits) {
        int most = !r.stt() ? 39 : pageBits == 16 ? 47 : 48;
        int least = r.va52() && (pageBits == 16 || ds) ? 12 : 16;
        int outputBits = ipsBits > 48 && pageBits != 16 && !ds ? 48 : ipsBits;
        return size < least || size > most || !supported(pageBits) || !Plain.fits(ttb, outputBits);
    }
}
