package org.iommuemu.smmuv3;

import org.iommuemu.pagetables.Granule;

/** SteIllegal(): which Stream Table Entries are ILLEGAL (IHI 0070, 5.2.2), in the order in which they are told there. */
final class SteIllegal {
    private final StreamTableEntry ste;
    private final SmmuFeatures features;

    private SteIllegal(StreamTableEntry ste, SmmuFeatures features) {
        this.ste = ste;
        this.features = features;
    }

    /** Why a valid STE that does not abort is ILLEGAL: the rule it breaks; null if it is legal. */
    static String rule(StreamTableEntry ste, SmmuFeatures features) {
        SteIllegal check = new SteIllegal(ste, features);
        String rule = check.stages();
        if (rule == null && features.has(SmmuFeature.ATS) && (ste.stage1() || ste.stage2())) {
            rule = check.ats();
        }
        if (rule == null && ste.usesStrw(features) && (ste.strw() & 1) != 0) {
            rule = "STRW is Reserved";
        }
        if (rule == null && ste.stage1()) {
            rule = check.stage1();
        }
        if (rule == null && ste.stage2()) {
            rule = check.stage2();
        }
        return rule == null ? check.identifiers() : rule;
    }

    private String stages() {
        if (ste.stage1() && !features.has(SmmuFeature.S1P)) {
            return "Config enables stage 1, SMMU_IDR0.S1P == 0";
        }
        return ste.stage2() && !features.has(SmmuFeature.S2P) ? "Config enables stage 2, SMMU_IDR0.S2P == 0" : null;
    }

    private String ats() {
        int eats = ste.eatsField();
        if (eats == 2) {
            if (!(ste.stage1() && ste.stage2())) {
                return "EATS == 0b10 without both stages";
            }
            if (ste.s2S()) {
                return "EATS == 0b10 with S2S == 1";
            }
            if (features.has(SmmuFeature.NS1ATS)) {
                return "EATS == 0b10, SMMU_IDR0.NS1ATS == 1";
            }
        }
        boolean checksS2S = ste.stage2() || features.chooses(SmmuOption.EATS_CHECKS_S2S_ALWAYS);
        return eats == 1 && ste.s2S() && checksS2S ? "EATS == 0b01 with S2S == 1" : null;
    }

    private String stage1() {
        if (ste.s1Stalld() && features.stallModel() != SmmuFeatures.StallModel.STALL_AND_TERMINATE) {
            return "S1STALLD == 1, SMMU_IDR0.STALL_MODEL != 0b00";
        }
        if (features.ssidSize() > 0) {
            if (ste.s1CDMax() > features.ssidSize()) {
                return "S1CDMax > SMMU_IDR1.SSIDSIZE";
            }
            if (ste.s1CDMax() > 0 && ste.twoLevelContextTable() && !features.has(SmmuFeature.CD2L)) {
                return "S1Fmt is two-level, SMMU_IDR0.CD2L == 0";
            }
        }
        return ste.s1ContextPtr() >>> contextPointerBits(ste, features) != 0
                ? "S1ContextPtr is beyond the address size"
                : null;
    }

    private String stage2() {
        boolean aa64 = ste.s2Aa64();
        if (!aa64 && ste.s2Fwb(features)) {
            return "S2FWB == 1 with VMSAv8-32";
        }
        if (ste.s2S() && features.stallModel() == SmmuFeatures.StallModel.TERMINATE) {
            return "S2S == 1, SMMU_IDR0.STALL_MODEL == 0b01";
        }
        if (!ste.s2S() && features.stallModel() == SmmuFeatures.StallModel.STALL) {
            return "S2S == 0, SMMU_IDR0.STALL_MODEL == 0b10";
        }
        if (!features.has(aa64 ? SmmuFeature.VMSAV8_64 : SmmuFeature.VMSAV8_32)) {
            return "S2AA64 selects tables that SMMU_IDR0.TTF does not have";
        }
        if ((ste.s2Ha() || ste.s2Hd()) && (!aa64 || features.hardwareUpdate() == SmmuFeatures.HardwareUpdate.NONE)) {
            return "S2HA or S2HD without hardware update";
        }
        if (ste.s2Hd() && features.hardwareUpdate() == SmmuFeatures.HardwareUpdate.ACCESS_FLAG) {
            return "S2HD == 1, SMMU_IDR0.HTTU == 0b01";
        }
        if (aa64 && (ste.s2Tg() == null || !features.supports(ste.s2Tg()))) {
            return "S2TG is Reserved or not supported";
        }
        if (ttbOutOfRange()) {
            return "S2TTB is beyond the effective S2PS";
        }
        if (aa64 && t0SzInvalid() && !clamps(features)) {
            return "S2T0SZ is out of range";
        }
        if (walkConfigInconsistent()) {
            return "S2SL0 does not go with S2TG and S2T0SZ";
        }
        return features.supportsEndianness(ste.s2Endi()) ? null : "S2ENDI does not go with SMMU_IDR0.TTENDIAN";
    }

    private boolean ttbOutOfRange() {
        boolean wide = !ste.s2Aa64() || ste.s2Tg() == Granule.KIB_64 || ste.s2Ds(features);
        int range = wide ? ste.s2OutputBits(features) : Math.min(48, ste.s2OutputBits(features));
        return ste.s2Ttb(features) >>> range != 0;
    }

    /** STES2T0SZInvalid() */
    private boolean t0SzInvalid() {
        int min = 64 - ias(features);
        if (features.architecture() > 0) {
            boolean wide = ste.s2Tg() == Granule.KIB_64 || ste.s2Ds(features);
            min = Math.max(wide ? 12 : 16, min);
        }
        return ste.s2T0Sz() < min || ste.s2T0Sz() > maxTxSz(features, ste.s2Tg());
    }

    /** STEWalkConfigInconsistentAA64(), AA32() (Arm ARM, D8.2.7: AArch64.S2InvalidSL(), AArch64.S2InconsistentSL()). */
    private boolean walkConfigInconsistent() {
        int level = ste.s2StartLevel(features);
        return level == StreamTableEntry.NO_LEVEL
                || !ste.s2Tg().isStage2StartLevel(level, ste.s2InputBits(features))
                || ste.s2Aa64() && startsTooHigh(level);
    }

    /** A start level that only addresses need which the SMMU does not have; with 52-bit ones in view, none is too high. */
    private boolean startsTooHigh(int level) {
        int oas = features.oas();
        return switch (ste.s2Tg()) {
            case KIB_4 -> level == 0 && oas < 44;
            case KIB_16 -> level == 1 && oas < 42;
            case KIB_64 -> level == 1 && oas < 44;
        };
    }

    private String identifiers() {
        if (ste.usesVmid(features) && !features.has(SmmuFeature.VMID16) && ste.s2Vmid() >>> 8 != 0) {
            return "S2VMID[15:8] != 0, SMMU_IDR0.VMID16 == 0";
        }
        return ste.usesVms(features) && ste.vmsPtr() >>> features.oas() != 0
                ? "VMSPtr is beyond the output address size"
                : null;
    }

    // Shared with CdIllegal

    /** The width of the widest IPA (3.4). */
    static int ias(SmmuFeatures features) {
        return features.has(SmmuFeature.VMSAV8_32) ? Math.max(40, features.oas()) : features.oas();
    }

    /** The width of what S1ContextPtr and L1CD.L2Ptr may be: any, if stage 2 checks (3.4.3). */
    static int contextPointerBits(StreamTableEntry ste, SmmuFeatures features) {
        if (!ste.stage2()) {
            return features.oas();
        }
        return features.chooses(SmmuOption.STAGE_2_CHECKS_CONTEXT_POINTERS) ? 63 : ias(features);
    }

    /** The largest TxSZ. */
    static int maxTxSz(SmmuFeatures features, Granule granule) {
        return !features.has(SmmuFeature.STT) ? 39 : granule == Granule.KIB_64 ? 47 : 48;
    }

    /** SMMUv3.0 may take a TxSZ that is out of range for the nearest that is not (5.2, 5.4). */
    static boolean clamps(SmmuFeatures features) {
        return features.chooses(SmmuOption.CLAMPS_TXSZ);
    }

    static int clamp(SmmuFeatures features, int txSz, int min, int max) {
        return clamps(features) ? Math.max(min, Math.min(max, txSz)) : txSz;
    }
}
