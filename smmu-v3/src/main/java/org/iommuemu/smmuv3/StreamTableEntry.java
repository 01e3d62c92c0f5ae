package org.iommuemu.smmuv3;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;

/**
 * A Stream Table Entry: 64 bytes, its bits and which of them are ILLEGAL (IHI 0070, 5.2).
 *
 * @param words little-endian
 */
record StreamTableEntry(long[] words) {
    static final int WORDS = 8;
    static final int LOG2_BYTES = 6;

    private int bits(int high, int low) {
        return (int) Bits.get(words, high, low);
    }

    private boolean bit(int bit) {
        return bits(bit, bit) != 0;
    }

    boolean valid() {
        return bit(0);
    }

    /** Config == 0b0xx; 0b001 to 0b011 are Reserved and behave as 0b000. */
    boolean aborts() {
        return (config() & 4) == 0;
    }

    /** Config == 0b1x1. */
    boolean stage1() {
        return (config() & 5) == 5;
    }

    /** Config == 0b11x. */
    boolean stage2() {
        return (config() & 6) == 6;
    }

    private int config() {
        return bits(3, 1);
    }

    // Stage 1

    /** S1Fmt: 0b01 or 0b10 is two-level; 0b11 is Reserved and behaves as 0b00. */
    boolean twoLevelContextTable() {
        return s1Fmt() == 1 || s1Fmt() == 2;
    }

    /** SubstreamID bits that index a level 2 table: of 4 KiB, 64 CDs, or of 64 KiB, 1024 CDs. */
    int contextTableSplit() {
        return s1Fmt() == 1 ? 6 : 10;
    }

    private int s1Fmt() {
        return bits(5, 4);
    }

    long s1ContextPtr() {
        return Bits.address(words[0], 51, 6);
    }

    int s1CDMax() {
        return bits(63, 59);
    }

    /** Accesses without a SubstreamID bypass stage 1. */
    static final int S1DSS_BYPASS = 1;
    /** Accesses without a SubstreamID use CD 0. */
    static final int S1DSS_SUBSTREAM0 = 2;

    int s1Dss() {
        return bits(65, 64);
    }

    private boolean s1Stalld() {
        return bit(91);
    }

    private int strw() {
        return bits(95, 94);
    }

    /** STRW matters to stage 1 alone, and where EL2 is supported (5.2.2, IgnoreSTESTRW()). */
    private boolean usesStrw(SmmuFeatures features) {
        return stage1() && !stage2() && features.has(SmmuFeature.HYP);
    }

    /** STRW == 0b10 is EL2, with or without SMMU_CR2.E2H; 0b00, and an ignored STRW, is EL1. */
    StreamWorld streamWorld(SmmuFeatures features, boolean e2h) {
        if (!usesStrw(features) || strw() != 2) {
            return StreamWorld.NS_EL1;
        }
        return e2h ? StreamWorld.NS_EL2_E2H : StreamWorld.NS_EL2;
    }

    /** What the STE overrides, where SMMU_IDR1.ATTR_TYPES_OVR and ATTR_PERMS_OVR say that it can. */
    Configuration.Overrides overrides(SmmuFeatures features) {
        return features.has(SmmuFeature.ATTR_TYPES_OVR)
                ? new Configuration.Overrides(bits(113, 112), bits(115, 114), bit(100), bits(99, 96), bits(109, 108))
                : Configuration.Overrides.NONE;
    }

    // Stage 2

    int s2Vmid() {
        return bits(143, 128);
    }

    private int s2T0Sz() {
        return bits(165, 160);
    }

    private int s2Sl0() {
        return bits(167, 166);
    }

    private int s2Ps() {
        return bits(178, 176);
    }

    private boolean s2Aa64() {
        return bit(179);
    }

    private boolean s2Endi() {
        return bit(180);
    }

    private boolean s2Affd() {
        return bit(181);
    }

    private boolean s2Ptw() {
        return bit(182);
    }

    private boolean s2HdOrHa() {
        return bits(184, 183) != 0;
    }

    boolean s2S() {
        return bit(185);
    }

    boolean s2R() {
        return bit(186);
    }

    private long s2Ttb() {
        return Bits.address(words[3], 51, 4);
    }

    /** S2TG; null if Reserved. */
    private Granule s2Tg() {
        return switch (bits(175, 174)) {
            case 0 -> Granule.KIB_4;
            case 1 -> Granule.KIB_64;
            case 2 -> Granule.KIB_16;
            default -> null;
        };
    }

    /** The level at which a stage 2 walk starts, from S2SL0. */
    private int s2StartLevel() {
        return (s2Tg() == Granule.KIB_4 ? 2 : 3) - s2Sl0();
    }

    /**
     * The stage 2 walk of a legal STE.
     *
     * @param tlb of stage 2 alone, by VMID
     */
    TableWalk stage2Walk(PhysicalMemory memory, SmmuFeatures features, Tlb tlb) {
        int outputBits = features.effectiveAddressSize(s2Ps());
        return TableWalk.stage2(memory, s2Tg(), s2Ttb(), 64 - s2T0Sz(), outputBits, s2StartLevel())
                .bigEndian(s2Endi())
                .accessFlagFaults(!s2Affd())
                .protectedTableWalk(s2Ptw())
                .cached(tlb, s2Vmid())
                .build();
    }

    // Legality

    /** Why a valid STE that does not abort is ILLEGAL: the rule it breaks; null if it is legal (5.2.2, SteIllegal()). */
    String illegal(SmmuFeatures features) {
        if (stage1() && !features.has(SmmuFeature.S1P)) {
            return "Config enables stage 1, SMMU_IDR0.S1P == 0";
        }
        if (stage2() && !features.has(SmmuFeature.S2P)) {
            return "Config enables stage 2, SMMU_IDR0.S2P == 0";
        }
        if (usesStrw(features) && (strw() & 1) != 0) {
            return "STRW is Reserved";
        }
        String rule = stage1() ? illegalStage1(features) : null;
        if (rule == null && stage2()) {
            rule = illegalStage2(features);
        }
        boolean usesVmid = features.has(SmmuFeature.S2P)
                && (stage1() || stage2())
                && streamWorld(features, false) == StreamWorld.NS_EL1;
        if (rule == null && usesVmid && !features.has(SmmuFeature.VMID16) && s2Vmid() >>> 8 != 0) {
            rule = "S2VMID[15:8] != 0, SMMU_IDR0.VMID16 == 0";
        }
        return rule;
    }

    private String illegalStage1(SmmuFeatures features) {
        if (features.ssidSize() > 0 && s1CDMax() > 0) {
            if (s1CDMax() > features.ssidSize()) {
                return "S1CDMax > SMMU_IDR1.SSIDSIZE";
            }
            if (twoLevelContextTable() && !features.has(SmmuFeature.CD2L)) {
                return "S1Fmt is two-level, SMMU_IDR0.CD2L == 0";
            }
        }
        if (s1ContextPtr() >>> features.oas() != 0) {
            return "S1ContextPtr is beyond the output address size";
        }
        if (s1Stalld()) {
            return "S1STALLD == 1, SMMU_IDR0.STALL_MODEL == 0b01";
        }
        return null;
    }

    private String illegalStage2(SmmuFeatures features) {
        if (!s2Aa64()) {
            return "S2AA64 == 0, SMMU_IDR0.TTF has no VMSAv8-32";
        }
        if (s2Tg() == null || !features.supports(s2Tg())) {
            return "S2TG is Reserved or not supported";
        }
        if (s2T0Sz() < Math.max(16, 64 - features.oas()) || s2T0Sz() > 39) {
            return "S2T0SZ is out of range";
        }
        if (s2Sl0() == 3 || !s2Tg().isStage2StartLevel(s2StartLevel(), 64 - s2T0Sz()) || startsTooHigh(features)) {
            return "S2SL0 does not go with S2TG and S2T0SZ";
        }
        if (s2Ttb() >>> features.effectiveAddressSize(s2Ps()) != 0) {
            return "S2TTB is beyond the effective S2PS";
        }
        if (!features.supportsEndianness(s2Endi())) {
            return "S2ENDI does not go with SMMU_IDR0.TTENDIAN";
        }
        if (s2HdOrHa()) {
            return "S2HA or S2HD, SMMU_IDR0.HTTU == 0";
        }
        return s2S() && features.stallModel() == SmmuFeatures.StallModel.TERMINATE
                ? "S2S == 1, SMMU_IDR0.STALL_MODEL == 0b01"
                : null;
    }

    /** The highest start level needs an address size that one concatenated level less cannot reach (Arm ARM, D8.2.7). */
    private boolean startsTooHigh(SmmuFeatures features) {
        return switch (s2Tg()) {
            case KIB_4 -> s2StartLevel() == 0 && features.oas() < 44;
            case KIB_16 -> s2StartLevel() == 1 && features.oas() < 42;
            case KIB_64 -> s2StartLevel() == 1 && features.oas() < 44;
        };
    }
}
