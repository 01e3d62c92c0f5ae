package org.iommuemu.smmuv3;

import org.iommuemu.pagetables.Granule;

/** CdIllegal(): which Context Descriptors are ILLEGAL (IHI 0070, 5.4.2), in the order in which they are told there. */
final class CdIllegal {
    private final StreamTableEntry ste;
    private final ContextDescriptor cd;
    private final StreamWorld world;
    private final SmmuFeatures features;

    private CdIllegal(StreamTableEntry ste, ContextDescriptor cd, StreamWorld world, SmmuFeatures features) {
        this.ste = ste;
        this.cd = cd;
        this.world = world;
        this.features = features;
    }

    /**
     * Why a CD is ILLEGAL: the rule it breaks; null if it is legal.
     *
     * @param ste the legal STE that it was found through
     */
    static String rule(StreamTableEntry ste, ContextDescriptor cd, StreamWorld world, SmmuFeatures features) {
        if (!cd.valid()) {
            return "V == 0";
        }
        CdIllegal check = new CdIllegal(ste, cd, world, features);
        String rule = check.faultModel();
        if (rule == null) {
            rule = check.format();
        }
        for (int n = 0; n < 2 && rule == null; n++) {
            rule = cd.isDisabled(n, world) ? null : check.size(n);
        }
        for (int n = 0; n < 2 && rule == null; n++) {
            rule = cd.isDisabled(n, world) ? null : check.table(n);
        }
        return rule;
    }

    private String faultModel() {
        if (ste.s1Stalld() && cd.s()) {
            return "S == 1 with STE.S1STALLD == 1";
        }
        if (features.has(SmmuFeature.TERM_MODEL) && !cd.a()) {
            return "A == 0, SMMU_IDR0.TERM_MODEL == 1";
        }
        if (cd.s() && features.stallModel() == SmmuFeatures.StallModel.TERMINATE) {
            return "S == 1, SMMU_IDR0.STALL_MODEL == 0b01";
        }
        return !cd.s() && features.stallModel() == SmmuFeatures.StallModel.STALL
                ? "S == 0, SMMU_IDR0.STALL_MODEL == 0b10"
                : null;
    }

    private String format() {
        boolean walks = !cd.isDisabled(0, world) || !cd.isDisabled(1, world);
        if (walks && !features.supportsEndianness(cd.endi())) {
            return "ENDI does not go with SMMU_IDR0.TTENDIAN";
        }
        if (!features.has(cd.aa64() ? SmmuFeature.VMSAV8_64 : SmmuFeature.VMSAV8_32)) {
            return "AA64 selects tables that SMMU_IDR0.TTF does not have";
        }
        if (!cd.aa64() && world == StreamWorld.NS_EL2_E2H) {
            return "AA64 == 0 in StreamWorld NS-EL2-E2H";
        }
        if (cd.aa64() && ste.stage2() && !ste.s2Aa64()) {
            return "AA64 == 1 over a VMSAv8-32 stage 2";
        }
        if (cd.aa64() && (cd.ha() || cd.hd()) && features.hardwareUpdate() == SmmuFeatures.HardwareUpdate.NONE) {
            return "HA or HD, SMMU_IDR0.HTTU == 0b00";
        }
        if (cd.aa64() && cd.hd() && features.hardwareUpdate() == SmmuFeatures.HardwareUpdate.ACCESS_FLAG) {
            return "HD == 1, SMMU_IDR0.HTTU == 0b01";
        }
        return world != StreamWorld.NS_EL2 && !features.has(SmmuFeature.ASID16) && cd.asid() >>> 8 != 0
                ? "ASID[15:8] != 0, SMMU_IDR0.ASID16 == 0"
                : null;
    }

    /** CDTxSZInvalid() */
    private String size(int n) {
        if (!cd.aa64() || SteIllegal.clamps(features)) {
            return null;
        }
        boolean wide = features.vax() > 48 && (cd.tg(n) == Granule.KIB_64 || cd.ds(n, features));
        return cd.tSz(n) < (wide ? 12 : 16) || cd.tSz(n) > SteIllegal.maxTxSz(features, cd.tg(n))
                ? "T" + n + "SZ is out of range"
                : null;
    }

    private String table(int n) {
        if (cd.tg(n) == null || cd.aa64() && !features.supports(cd.tg(n))) {
            return "TG" + n + " is Reserved or not supported";
        }
        boolean wide = !cd.aa64() || cd.tg(n) == Granule.KIB_64 || cd.ds(n, features);
        int range = wide ? cd.outputBits(features) : Math.min(48, cd.outputBits(features));
        return cd.ttb(n, features) >>> range != 0 ? "TTB" + n + " is beyond the effective IPS" : null;
    }
}
