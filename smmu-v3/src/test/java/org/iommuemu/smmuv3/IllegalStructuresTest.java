package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SteIllegal() and CdIllegal() clause by clause: a structure that breaks just that rule, and one beside it that is legal. */
class IllegalStructuresTest {
    private static final SmmuFeatures FEATURES = SmmuFeatures.smmuv3_2();
    private static final SmmuFeatures WIDE = SmmuFeatures.smmuv3_3();
    private static final SmmuFeatures V3_0 = SmmuFeatures.smmuv3_0();
    private static final SmmuFeatures NARROW = SmmuFeatures.aem();

    private static final int BYPASS = 4;
    private static final int STAGE_1 = 5;
    private static final int STAGE_2 = 6;
    private static final int NESTED = 7;

    private static SmmuFeatures stalls(SmmuFeatures.StallModel model) {
        return SmmuFeatures.builder().stallModel(model).build();
    }

    private static SmmuFeatures updates(SmmuFeatures.HardwareUpdate update) {
        return SmmuFeatures.builder().hardwareUpdate(update).build();
    }

    private static Structure ste(int config) {
        // S2T0SZ 24, S2SL0 1, S2PS 48 bits, S2AA64
        return new Structure(new long[8])
                .with(0)
                .with(3, 1, config)
                .with(165, 160, 24)
                .with(167, 166, 1)
                .with(178, 176, 5)
                .with(179);
    }

    private static String rule(SmmuFeatures features, Structure ste) {
        return SteIllegal.rule(new StreamTableEntry(ste.words()), features);
    }

    private static void ste(String rule, SmmuFeatures features, Structure illegal, Structure legal) {
        assertEquals(rule, rule(features, illegal));
        assertNull(rule(features, legal));
    }

    // STE: stages, ATS, STRW

    @Test
    void steStageThatIsNotImplemented() {
        SmmuFeatures stage1Only = SmmuFeatures.qemuVirt();
        SmmuFeatures stage2Only = SmmuFeatures.builder()
                .without(SmmuFeature.S1P, SmmuFeature.HYP, SmmuFeature.ASID16, SmmuFeature.CD2L, SmmuFeature.HAD)
                .ssidSize(0)
                .build();
        ste("Config enables stage 2, SMMU_IDR0.S2P == 0", stage1Only, ste(STAGE_2), ste(STAGE_1));
        ste("Config enables stage 2, SMMU_IDR0.S2P == 0", stage1Only, ste(NESTED), ste(BYPASS));
        ste("Config enables stage 1, SMMU_IDR0.S1P == 0", stage2Only, ste(STAGE_1), ste(STAGE_2));
    }

    @Test
    void steSplitStageAtsNeedsBothStagesAndNoStalls() {
        Structure split = ste(NESTED).with(93, 92, 2);
        ste("EATS == 0b10 without both stages", FEATURES, ste(STAGE_1).with(93, 92, 2), split);
        ste(
                "EATS == 0b10 without both stages",
                FEATURES,
                ste(STAGE_2).with(93, 92, 2),
                ste(BYPASS).with(93, 92, 2));
        ste("EATS == 0b10 with S2S == 1", FEATURES, split.with(185), split);
        SmmuFeatures never = SmmuFeatures.builder().with(SmmuFeature.NS1ATS).build();
        ste("EATS == 0b10, SMMU_IDR0.NS1ATS == 1", never, split, ste(NESTED).with(93, 92, 1));
        SmmuFeatures none = SmmuFeatures.builder()
                .without(SmmuFeature.ATS, SmmuFeature.PRI)
                .priqLog2Size(0)
                .build();
        assertNull(rule(none, ste(STAGE_1).with(93, 92, 2)), "ignored without ATS");
    }

    @Test
    void steFullAtsNeedsNoStallsAtStage2() {
        Structure full = ste(STAGE_2).with(93, 92, 1);
        ste("EATS == 0b01 with S2S == 1", FEATURES, full.with(185), full);
        Structure withoutStage2 = ste(STAGE_1).with(93, 92, 1).with(185);
        assertNull(rule(FEATURES, withoutStage2));
        SmmuFeatures always =
                V3_0.toBuilder().with(SmmuOption.EATS_CHECKS_S2S_ALWAYS).build();
        ste("EATS == 0b01 with S2S == 1", always, withoutStage2, withoutStage2.with(93, 92, 0));
    }

    @ParameterizedTest
    @CsvSource({"1, 5, false", "3, 5, false", "0, 5, true", "2, 5, true", "3, 7, true", "3, 6, true", "3, 4, true"})
    void steStrw(int strw, int config, boolean legal) {
        assertEquals(
                legal ? null : "STRW is Reserved", rule(FEATURES, ste(config).with(95, 94, strw)));
        assertNull(rule(SmmuFeatures.qemuVirt(), ste(STAGE_1).with(95, 94, strw)), "RES0 without HYP");
    }

    // STE: stage 1

    @Test
    void steS1Stalld() {
        SmmuFeatures never = stalls(SmmuFeatures.StallModel.TERMINATE);
        String rule = "S1STALLD == 1, SMMU_IDR0.STALL_MODEL != 0b00";
        ste(rule, never, ste(STAGE_1).with(91), ste(STAGE_2).with(91));
        ste(rule, stalls(SmmuFeatures.StallModel.STALL), ste(STAGE_1).with(91), ste(STAGE_1));
        assertNull(rule(FEATURES, ste(STAGE_1).with(91)));
    }

    @Test
    void steContextTable() {
        ste(
                "S1CDMax > SMMU_IDR1.SSIDSIZE",
                FEATURES,
                ste(STAGE_1).with(63, 59, 17),
                ste(STAGE_1).with(63, 59, 16));
        assertNull(rule(FEATURES, ste(STAGE_2).with(63, 59, 17)), "ignored without stage 1");
        SmmuFeatures linear = SmmuFeatures.builder().without(SmmuFeature.CD2L).build();
        Structure twoLevel = ste(STAGE_1).with(63, 59, 4).with(5, 4, 1);
        ste("S1Fmt is two-level, SMMU_IDR0.CD2L == 0", linear, twoLevel, twoLevel.with(63, 59, 0));
        ste("S1Fmt is two-level, SMMU_IDR0.CD2L == 0", linear, twoLevel.with(5, 4, 2), twoLevel.with(5, 4, 3));
    }

    @Test
    void steS1ContextPtr() {
        String rule = "S1ContextPtr is beyond the address size";
        ste(rule, FEATURES, ste(STAGE_1).with(51, 48, 1), ste(STAGE_1).with(47, 47, 1));
        ste(rule, FEATURES, ste(NESTED).with(51, 48, 1), ste(STAGE_2).with(51, 48, 1));
        SmmuFeatures stage2Checks = SmmuFeatures.builder()
                .with(SmmuOption.STAGE_2_CHECKS_CONTEXT_POINTERS)
                .build();
        ste(rule, stage2Checks, ste(STAGE_1).with(51, 48, 1), ste(NESTED).with(51, 48, 1));
        // With VMSAv8-32 an IPA has 40 bits at least.
        SmmuFeatures small = NARROW.toBuilder().oas(36).build();
        ste(rule, small, ste(STAGE_1).with(38), ste(NESTED).with(165, 160, 28).with(38));
    }

    // STE: stage 2

    @Test
    void steS2Fwb() {
        Structure narrow = ste(STAGE_2).with(179, 179, 0).with(165, 160, 0);
        SmmuFeatures both = SmmuFeatures.builder().with(SmmuFeature.VMSAV8_32).build();
        ste("S2FWB == 1 with VMSAv8-32", both, narrow.with(89), narrow);
        assertNull(rule(both, ste(STAGE_2).with(89)));
        assertNull(
                rule(both.toBuilder().architecture(1).without(SmmuFeature.FWB).build(), narrow.with(89)), "RES0");
    }

    @Test
    void steS2S() {
        SmmuFeatures never = stalls(SmmuFeatures.StallModel.TERMINATE);
        ste(
                "S2S == 1, SMMU_IDR0.STALL_MODEL == 0b01",
                never,
                ste(STAGE_2).with(185),
                ste(STAGE_1).with(185));
        SmmuFeatures always = stalls(SmmuFeatures.StallModel.STALL);
        ste(
                "S2S == 0, SMMU_IDR0.STALL_MODEL == 0b10",
                always,
                ste(STAGE_2),
                ste(STAGE_2).with(185));
        assertNull(rule(FEATURES, ste(STAGE_2).with(185)));
    }

    @Test
    void steS2Aa64() {
        String rule = "S2AA64 selects tables that SMMU_IDR0.TTF does not have";
        Structure narrow = ste(STAGE_2).with(179, 179, 0).with(165, 160, 0);
        ste(rule, FEATURES, narrow, ste(STAGE_2));
        assertNull(rule(NARROW, narrow));
        assertNull(rule(FEATURES, ste(STAGE_1).with(179, 179, 0)));
    }

    @Test
    void steHardwareUpdate() {
        SmmuFeatures none = updates(SmmuFeatures.HardwareUpdate.NONE);
        SmmuFeatures access = updates(SmmuFeatures.HardwareUpdate.ACCESS_FLAG);
        ste(
                "S2HA or S2HD without hardware update",
                none,
                ste(STAGE_2).with(184),
                ste(STAGE_1).with(184));
        ste("S2HA or S2HD without hardware update", none, ste(STAGE_2).with(183), ste(STAGE_2));
        ste(
                "S2HD == 1, SMMU_IDR0.HTTU == 0b01",
                access,
                ste(STAGE_2).with(184).with(183),
                ste(STAGE_2).with(184));
        assertNull(rule(FEATURES, ste(STAGE_2).with(184).with(183)));
        Structure narrow = ste(STAGE_2).with(179, 179, 0).with(165, 160, 0);
        ste("S2HA or S2HD without hardware update", NARROW, narrow.with(184), narrow);
    }

    @Test
    void steS2Tg() {
        Structure pages16 = ste(STAGE_2).with(175, 174, 2);
        ste("S2TG is Reserved or not supported", FEATURES, ste(STAGE_2).with(175, 174, 3), pages16);
        SmmuFeatures without =
                SmmuFeatures.builder().without(SmmuFeature.GRAN16K).build();
        ste("S2TG is Reserved or not supported", without, pages16, ste(STAGE_2).with(175, 174, 1));
    }

    @Test
    void steS2Ttb() {
        String rule = "S2TTB is beyond the effective S2PS";
        ste(rule, FEATURES, ste(STAGE_2).with(243, 240, 1), ste(STAGE_1).with(243, 240, 1));
        Structure fourGib = ste(STAGE_2).with(178, 176, 0);
        ste(rule, FEATURES, fourGib.with(224), fourGib.with(223));
        assertNull(rule(V3_0, ste(STAGE_2).with(243, 240, 1)), "RES0 in SMMUv3.0");
        // 52 bits need 64 KiB or S2DS.
        Structure wide = ste(STAGE_2).with(178, 176, 6).with(243, 240, 1);
        ste(rule, WIDE, wide, wide.with(175, 174, 1));
        assertNull(rule(WIDE, wide.with(195)));
    }

    @ParameterizedTest
    @CsvSource({
        // S2TG, S2DS, S2T0SZ, {S2SL0_2, S2SL0}, legal by range
        "0, 0, 16, 2, true",
        "0, 0, 15, 2, false",
        "0, 0, 48, 3, true",
        "0, 0, 49, 3, false",
        "0, 1, 12, 4, true",
        "0, 1, 11, 4, false",
        "1, 0, 12, 2, true",
        "1, 0, 11, 2, false",
        "1, 0, 47, 0, true",
        "1, 0, 48, 0, false",
        "2, 1, 12, 3, true",
        "2, 0, 12, 3, false",
    })
    void steS2T0Sz(int tg, int ds, int t0Sz, int sl0, boolean legal) {
        Structure ste = ste(STAGE_2)
                .with(175, 174, tg)
                .with(195, 195, ds)
                .with(165, 160, t0Sz)
                .with(167, 166, sl0 & 3)
                .with(194, 194, sl0 >> 2);
        assertEquals(legal ? null : "S2T0SZ is out of range", rule(WIDE, ste));
    }

    @Test
    void steS2T0SzIsBoundedByTheOutputAddressSizeAndSmallTables() {
        SmmuFeatures old = SmmuFeatures.smmuv3_1();
        ste(
                "S2T0SZ is out of range",
                old,
                ste(STAGE_2).with(165, 160, 40),
                ste(STAGE_2).with(165, 160, 33));
        SmmuFeatures forty = SmmuFeatures.builder().oas(40).build();
        ste("S2T0SZ is out of range", forty, ste(STAGE_2).with(165, 160, 23), ste(STAGE_2));
        SmmuFeatures clamps = V3_0.toBuilder().with(SmmuOption.CLAMPS_TXSZ).build();
        Structure small = ste(STAGE_2).with(165, 160, 45).with(167, 166, 0);
        ste("S2T0SZ is out of range", V3_0, small, small.with(165, 160, 39));
        assertNull(rule(clamps, small));
    }

    @ParameterizedTest
    @CsvSource({
        // S2TG, S2DS, S2T0SZ, {S2SL0_2, S2SL0}, OAS, legal
        "0, 0, 24, 1, 48, true",
        "0, 0, 24, 0, 48, false", // 40 bits need more than 16 tables at level 2
        "0, 0, 30, 0, 48, true", // 34 bits: 16 tables at level 2
        "0, 0, 29, 0, 48, false",
        "0, 0, 24, 2, 48, true",
        "0, 0, 25, 2, 48, false", // no bit is left to level 0
        "0, 0, 21, 1, 42, false", // 43 bits: 16 tables are enough up to 43, but IPAs have 42 bits
        "0, 0, 22, 1, 42, true",
        "0, 0, 24, 2, 42, false", // level 0 needs an OAS of 44 bits
        "0, 0, 16, 3, 48, false",
        "0, 0, 44, 3, 48, true", // level 3: small tables
        "1, 0, 24, 1, 48, true",
        "1, 0, 24, 2, 42, false",
        "1, 0, 24, 3, 48, false",
        "2, 0, 24, 2, 48, true",
        "2, 0, 24, 2, 40, false",
        "2, 0, 16, 3, 48, false",
        "2, 1, 12, 3, 52, true",
        "2, 1, 16, 3, 48, true", // AArch64.S2InvalidSL() asks for S2DS only
        "0, 1, 12, 4, 52, true",
        "0, 1, 16, 4, 48, false",
        "0, 1, 12, 5, 52, false",
        "0, 0, 24, 5, 52, true", // S2SL0_2 means nothing without S2DS
    })
    void steS2Sl0(int tg, int ds, int t0Sz, int sl0, int oas, boolean legal) {
        SmmuFeatures features = WIDE.toBuilder().oas(oas).build();
        Structure ste = ste(STAGE_2)
                .with(175, 174, tg)
                .with(195, 195, ds)
                .with(165, 160, t0Sz)
                .with(167, 166, sl0 & 3)
                .with(194, 194, sl0 >> 2);
        String rule = rule(features, ste);
        assertEquals(legal, rule == null, rule);
    }

    @ParameterizedTest
    @CsvSource({"0, 1, true", "8, 1, true", "7, 0, true", "7, 1, false", "8, 0, false", "14, 0, true", "0, 2, false"})
    void steS2Sl0OfVmsav8_32(int t0Sz, int sl0, boolean legal) {
        Structure ste = ste(STAGE_2).with(179, 179, 0).with(165, 160, t0Sz).with(167, 166, sl0);
        assertEquals(legal ? null : "S2SL0 does not go with S2TG and S2T0SZ", rule(NARROW, ste));
    }

    @Test
    void steS2Endi() {
        String rule = "S2ENDI does not go with SMMU_IDR0.TTENDIAN";
        SmmuFeatures little = SmmuFeatures.builder()
                .tableEndianness(SmmuFeatures.TableEndianness.LITTLE)
                .build();
        SmmuFeatures big = SmmuFeatures.builder()
                .tableEndianness(SmmuFeatures.TableEndianness.BIG)
                .build();
        ste(rule, little, ste(STAGE_2).with(180), ste(STAGE_2));
        ste(rule, big, ste(STAGE_2), ste(STAGE_2).with(180));
        assertNull(rule(FEATURES, ste(STAGE_2).with(180)));
    }

    // STE: identifiers

    @Test
    void steS2Vmid() {
        SmmuFeatures small = SmmuFeatures.builder().without(SmmuFeature.VMID16).build();
        Structure high = ste(STAGE_2).with(143, 128, 0x100);
        ste("S2VMID[15:8] != 0, SMMU_IDR0.VMID16 == 0", small, high, high.with(143, 128, 0xff));
        Structure el2 = ste(STAGE_1).with(143, 128, 0x100).with(95, 94, 2);
        ste("S2VMID[15:8] != 0, SMMU_IDR0.VMID16 == 0", small, el2.with(95, 94, 0), el2);
        assertNull(rule(FEATURES, high));
    }

    @Test
    void steVmsPtr() {
        SmmuFeatures partitions = SmmuFeatures.builder().with(SmmuFeature.MPAM).build();
        Structure beyond = ste(NESTED).with(371, 368, 1).with(90);
        ste("VMSPtr is beyond the output address size", partitions, beyond, beyond.with(90, 90, 0));
        assertNull(rule(partitions, beyond.with(3, 1, STAGE_1)));
        assertNull(rule(FEATURES, beyond), "RES0 without MPAM");
    }

    // CD

    private static Structure cd() {
        return new Structure(Arrays.copyOf(TestBoard.cd(0, 0x4000_0000L), 8));
    }

    private static String rule(Structure ste, Structure cd, StreamWorld world, SmmuFeatures features) {
        return CdIllegal.rule(new StreamTableEntry(ste.words()), new ContextDescriptor(cd.words()), world, features);
    }

    private static String cdRule(SmmuFeatures features, Structure cd) {
        return rule(ste(STAGE_1), cd, StreamWorld.NS_EL1, features);
    }

    private static void cd(String rule, SmmuFeatures features, Structure illegal, Structure legal) {
        assertEquals(rule, cdRule(features, illegal));
        assertNull(cdRule(features, legal));
    }

    @Test
    void cdValid() {
        cd("V == 0", FEATURES, cd().with(31, 31, 0), cd());
    }

    @Test
    void cdFaultModel() {
        Structure stalls = cd().with(44);
        assertEquals(
                "S == 1 with STE.S1STALLD == 1", rule(ste(STAGE_1).with(91), stalls, StreamWorld.NS_EL1, FEATURES));
        assertNull(rule(ste(STAGE_1).with(91), cd(), StreamWorld.NS_EL1, FEATURES));
        assertNull(cdRule(FEATURES, stalls));
        SmmuFeatures aborts =
                SmmuFeatures.builder().with(SmmuFeature.TERM_MODEL).build();
        cd("A == 0, SMMU_IDR0.TERM_MODEL == 1", aborts, cd().with(46, 46, 0), cd());
        assertNull(cdRule(FEATURES, cd().with(46, 46, 0)));
        SmmuFeatures never = stalls(SmmuFeatures.StallModel.TERMINATE);
        cd("S == 1, SMMU_IDR0.STALL_MODEL == 0b01", never, stalls, cd());
        SmmuFeatures always = stalls(SmmuFeatures.StallModel.STALL);
        cd("S == 0, SMMU_IDR0.STALL_MODEL == 0b10", always, cd(), stalls);
    }

    @Test
    void cdEndi() {
        String rule = "ENDI does not go with SMMU_IDR0.TTENDIAN";
        SmmuFeatures little = SmmuFeatures.builder()
                .tableEndianness(SmmuFeatures.TableEndianness.LITTLE)
                .build();
        SmmuFeatures big = SmmuFeatures.builder()
                .tableEndianness(SmmuFeatures.TableEndianness.BIG)
                .build();
        cd(rule, little, cd().with(15), cd());
        cd(rule, big, cd(), cd().with(15));
        cd(rule, little, cd().with(15), cd().with(15).with(14)); // Nothing is walked.
        assertNull(cdRule(FEATURES, cd().with(15)));
    }

    @Test
    void cdAa64() {
        Structure narrow = cd().with(41, 41, 0).with(5, 0, 0);
        cd("AA64 selects tables that SMMU_IDR0.TTF does not have", FEATURES, narrow, cd());
        assertNull(cdRule(NARROW, narrow));
        assertEquals("AA64 == 0 in StreamWorld NS-EL2-E2H", rule(ste(STAGE_1), narrow, StreamWorld.NS_EL2_E2H, NARROW));
        assertNull(rule(ste(STAGE_1), narrow, StreamWorld.NS_EL2, NARROW));
        Structure narrowStage2 = ste(NESTED).with(179, 179, 0).with(165, 160, 0);
        assertEquals("AA64 == 1 over a VMSAv8-32 stage 2", rule(narrowStage2, cd(), StreamWorld.NS_EL1, NARROW));
        assertNull(rule(narrowStage2, narrow, StreamWorld.NS_EL1, NARROW));
    }

    @Test
    void cdHardwareUpdate() {
        SmmuFeatures none = updates(SmmuFeatures.HardwareUpdate.NONE);
        SmmuFeatures access = updates(SmmuFeatures.HardwareUpdate.ACCESS_FLAG);
        cd("HA or HD, SMMU_IDR0.HTTU == 0b00", none, cd().with(43), cd());
        cd("HA or HD, SMMU_IDR0.HTTU == 0b00", none, cd().with(42), cd());
        cd("HD == 1, SMMU_IDR0.HTTU == 0b01", access, cd().with(43).with(42), cd().with(43));
        assertNull(cdRule(FEATURES, cd().with(43).with(42)));
        assertNull(cdRule(NARROW, cd().with(41, 41, 0).with(43)), "ignored in VMSAv8-32");
    }

    @Test
    void cdAsid() {
        SmmuFeatures small = SmmuFeatures.builder().without(SmmuFeature.ASID16).build();
        Structure high = cd().with(63, 48, 0x100);
        cd("ASID[15:8] != 0, SMMU_IDR0.ASID16 == 0", small, high, cd().with(63, 48, 0xff));
        assertEquals("ASID[15:8] != 0, SMMU_IDR0.ASID16 == 0", rule(ste(STAGE_1), high, StreamWorld.NS_EL2_E2H, small));
        assertNull(rule(ste(STAGE_1), high, StreamWorld.NS_EL2, small), "EL2 has no ASIDs");
        assertNull(cdRule(FEATURES, high));
    }

    @ParameterizedTest
    @CsvSource({
        // TG0, DS, T0SZ, legal
        "0, 0, 16, true",
        "0, 0, 15, false",
        "0, 1, 12, true",
        "0, 1, 11, false",
        "1, 0, 12, true",
        "1, 0, 11, false",
        "0, 0, 48, true",
        "0, 0, 49, false",
        "2, 0, 48, true",
        "1, 0, 47, true",
        "1, 0, 48, false",
    })
    void cdT0Sz(int tg, int ds, int t0Sz, boolean legal) {
        Structure cd = cd().with(7, 6, tg).with(186, 186, ds).with(5, 0, t0Sz);
        assertEquals(legal ? null : "T0SZ is out of range", cdRule(WIDE, cd));
    }

    @Test
    void cdTxSzOfSmallerSmmus() {
        cd("T0SZ is out of range", FEATURES, cd().with(7, 6, 1).with(5, 0, 15), cd().with(7, 6, 1));
        SmmuFeatures old = SmmuFeatures.smmuv3_1();
        cd("T0SZ is out of range", old, cd().with(5, 0, 40), cd().with(5, 0, 39));
        SmmuFeatures clamps = V3_0.toBuilder().with(SmmuOption.CLAMPS_TXSZ).build();
        cd("T0SZ is out of range", V3_0, cd().with(5, 0, 0), cd());
        assertNull(cdRule(clamps, cd().with(5, 0, 0)));
    }

    @Test
    void cdTable1IsCheckedUnlessDisabled() {
        Structure both = cd().with(30, 30, 0).with(21, 16, 16).with(23, 22, 2);
        assertNull(cdRule(FEATURES, both));
        cd(
                "T1SZ is out of range",
                FEATURES,
                both.with(21, 16, 0),
                both.with(21, 16, 0).with(30));
        cd(
                "TG1 is Reserved or not supported",
                FEATURES,
                both.with(23, 22, 0),
                both.with(23, 22, 0).with(30));
        cd(
                "TTB1 is beyond the effective IPS",
                FEATURES,
                both.with(179, 176, 1),
                both.with(179, 176, 1).with(30));
        assertNull(rule(ste(STAGE_1), both.with(21, 16, 0), StreamWorld.NS_EL2, FEATURES), "EL2 has no TTB1");
    }

    @Test
    void cdTable0IsCheckedUnlessDisabled() {
        cd(
                "T0SZ is out of range",
                FEATURES,
                cd().with(5, 0, 0),
                cd().with(5, 0, 0).with(14));
        cd(
                "TG0 is Reserved or not supported",
                FEATURES,
                cd().with(7, 6, 3),
                cd().with(7, 6, 3).with(14));
        assertEquals(
                "T0SZ is out of range",
                rule(ste(STAGE_1), cd().with(5, 0, 0).with(14), StreamWorld.NS_EL2, FEATURES),
                "EPD0 means nothing at EL2");
        SmmuFeatures without =
                SmmuFeatures.builder().without(SmmuFeature.GRAN16K).build();
        cd("TG0 is Reserved or not supported", without, cd().with(7, 6, 2), cd());
    }

    @Test
    void cdTtb() {
        String rule = "TTB0 is beyond the effective IPS";
        cd(rule, FEATURES, cd().with(115, 112, 1), cd().with(115, 112, 1).with(14));
        Structure fourGib = cd().with(34, 32, 0);
        cd(rule, FEATURES, fourGib.with(96), fourGib);
        assertNull(cdRule(FEATURES, cd().with(34, 32, 7)), "a Reserved IPS is the largest");
        assertNull(cdRule(V3_0, cd().with(115, 112, 1)), "RES0 in SMMUv3.0");
        Structure wide = cd().with(34, 32, 6).with(115, 112, 1);
        cd(rule, WIDE, wide, wide.with(7, 6, 1));
        assertNull(cdRule(WIDE, wide.with(186)));
        Structure narrow = cd().with(41, 41, 0).with(34, 32, 0);
        cd(rule, NARROW, narrow.with(104), narrow.with(103));
    }
}
