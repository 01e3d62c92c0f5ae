package org.iommuemu.smmuv3;

import java.util.Arrays;
import java.util.function.IntConsumer;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;

/**
 * A Stream Table Entry: 64 bytes, and what its bits mean (IHI 0070, 5.2). Which of them are ILLEGAL is in
 * {@link SteIllegal}. Not read, because nothing of a model depends on them: attributes of the SMMU's own accesses (S1CIR,
 * S1COR, S1CSH, S2IR0, S2OR0), PARTID, PMG, NSCFG of a Non-secure stream, DRE and DCP (ports issue no destructive reads
 * and no directed prefetches).
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

    /**
     * Whether CONT of either, log2 of the number of STEs around an STE that are identical, covers the other, which it is not
     * identical with.
     */
    boolean conflicts(int streamId, StreamTableEntry other, int otherStreamId) {
        return streamId != otherStreamId
                && (streamId ^ otherStreamId) >>> Math.max(cont(), other.cont()) == 0
                && !Arrays.equals(words, other.words);
    }

    private int cont() {
        return bits(80, 77);
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
        return Bits.address(words[0], 55, 6);
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

    /** Whether partition IDs of CDs are virtual: both stages, and S1MPAM (5.2, VMSPtr). */
    boolean usesVms(SmmuFeatures features) {
        return features.has(SmmuFeature.MPAM) && stage1() && stage2() && bit(90);
    }

    /** Where the Virtual Machine Structure is. */
    long vmsPtr() {
        return Bits.address(words[5], 55, 12);
    }

    boolean s1Stalld() {
        return bit(91);
    }

    int strw() {
        return bits(95, 94);
    }

    /** STRW matters to stage 1 alone, and where EL2 is supported (5.2.2, IgnoreSTESTRW()). */
    boolean usesStrw(SmmuFeatures features) {
        return stage1() && !stage2() && features.has(SmmuFeature.HYP);
    }

    /** STRW == 0b10 is EL2, with or without SMMU_CR2.E2H; 0b00, and an ignored STRW, is EL1. */
    StreamWorld streamWorld(SmmuFeatures features, boolean e2h) {
        if (!usesStrw(features) || strw() != 2) {
            return StreamWorld.NS_EL1;
        }
        return e2h ? StreamWorld.NS_EL2_E2H : StreamWorld.NS_EL2;
    }

    /** Whether translations are tagged with S2VMID (5.2.2, IgnoreSTES2VMID()). */
    boolean usesVmid(SmmuFeatures features) {
        boolean translates = !aborts() && (stage1() || stage2());
        return translates && features.has(SmmuFeature.S2P) && !(usesStrw(features) && strw() != 0);
    }

    // Both stages

    /** Automatic responses to page requests have their PASID. */
    boolean ppar() {
        return bit(82);
    }

    /** Events may be merged (7.3.1). */
    boolean mev() {
        return bit(83);
    }

    /** EATS as it is stored. */
    int eatsField() {
        return bits(93, 92);
    }

    /** Neither Translation Requests nor Translated transactions. */
    static final int EATS_NONE = 0;
    /** Full ATS. */
    static final int EATS_FULL = 1;
    /** Split-stage ATS: the endpoint gets IPAs. */
    static final int EATS_SPLIT_STAGE = 2;

    /**
     * The effective EATS of a legal STE: {@link #EATS_NONE}, {@link #EATS_FULL} or {@link #EATS_SPLIT_STAGE}. 0b11 would
     * need a Device Permission Table, which there never is.
     *
     * @param atschk SMMU_CR0.ATSCHK, without which nothing is split
     */
    int eats(boolean atschk) {
        boolean translates = !aborts() && (stage1() || stage2());
        return switch (eatsField()) {
            case 1 -> translates ? EATS_FULL : EATS_NONE;
            case 2 -> translates && atschk ? EATS_SPLIT_STAGE : EATS_NONE;
            default -> EATS_NONE;
        };
    }

    /** What the STE overrides, where SMMU_IDR1.ATTR_TYPES_OVR and ATTR_PERMS_OVR say that it can. */
    Overrides overrides(SmmuFeatures features) {
        return Overrides.of(
                features, bits(113, 112), bits(115, 114), bit(100), bits(99, 96), bits(104, 101), bits(109, 108));
    }

    // Stage 2

    /** S2FWB where there is such a thing. */
    boolean s2Fwb(SmmuFeatures features) {
        return features.has(SmmuFeature.FWB) && bit(89);
    }

    int s2Vmid() {
        return bits(143, 128);
    }

    int s2T0Sz() {
        return bits(165, 160);
    }

    private int s2Sl0() {
        return bits(167, 166);
    }

    private int s2Sh0() {
        return Bits.shareability(bits(173, 172));
    }

    /** S2TG; null if Reserved. VMSAv8-32 has 4 KiB only. */
    Granule s2Tg() {
        if (!s2Aa64()) {
            return Granule.KIB_4;
        }
        return switch (bits(175, 174)) {
            case 0 -> Granule.KIB_4;
            case 1 -> Granule.KIB_64;
            case 2 -> Granule.KIB_16;
            default -> null;
        };
    }

    /** The effective S2PS: 40 bits with VMSAv8-32. */
    int s2OutputBits(SmmuFeatures features) {
        return s2Aa64() ? features.effectiveAddressSize(bits(178, 176)) : 40;
    }

    boolean s2Aa64() {
        return bit(179);
    }

    boolean s2Endi() {
        return bit(180);
    }

    private boolean s2Affd() {
        return bit(181);
    }

    private boolean s2Ptw() {
        return bit(182);
    }

    boolean s2Hd() {
        return bit(183);
    }

    boolean s2Ha() {
        return bit(184);
    }

    boolean s2S() {
        return bit(185);
    }

    boolean s2R() {
        return bit(186);
    }

    /** S2DS where it means something: 52-bit addresses with 4 and 16 KiB granules. */
    boolean s2Ds(SmmuFeatures features) {
        return features.has(SmmuFeature.DS) && s2Aa64() && s2Tg() != Granule.KIB_64 && bit(195);
    }

    long s2Ttb(SmmuFeatures features) {
        return Bits.address(words[3], features.architecture() == 0 ? 47 : 51, 4);
    }

    /** The width of an IPA: S2T0SZ, which VMSAv8-32 has with a sign, in 4 bits. */
    int s2InputBits(SmmuFeatures features) {
        if (!s2Aa64()) {
            return 32 - (bits(163, 160) << 28 >> 28);
        }
        return 64 - SteIllegal.clamp(features, s2T0Sz(), 64 - SteIllegal.ias(features), 39);
    }

    /** The level at which a stage 2 walk starts, from {S2SL0_2, S2SL0}; {@link #NO_LEVEL} if Reserved (Arm ARM, D8.2.7). */
    int s2StartLevel(SmmuFeatures features) {
        int sl0 = s2Sl0();
        if (!s2Aa64()) {
            return sl0 <= 1 ? 2 - sl0 : NO_LEVEL;
        }
        boolean ds = s2Ds(features);
        return switch (s2Tg()) {
            case KIB_4 ->
                ds && bit(194)
                        ? sl0 == 0 ? -1 : NO_LEVEL
                        : sl0 == 3 ? features.has(SmmuFeature.STT) ? 3 : NO_LEVEL : 2 - sl0;
            case KIB_16 -> sl0 == 3 && !ds ? NO_LEVEL : 3 - sl0;
            case KIB_64 -> sl0 == 3 ? NO_LEVEL : 3 - sl0;
        };
    }

    /** What is not a level. */
    static final int NO_LEVEL = 4;

    /**
     * The stage 2 walk of a legal STE.
     *
     * @param tlb of stage 2 alone, by VMID
     * @param accesses hears of descriptors that are read; or null
     */
    TableWalk stage2Walk(PhysicalMemory memory, SmmuFeatures features, Tlb tlb, IntConsumer accesses) {
        TableWalk.Builder walk = TableWalk.stage2(
                        memory,
                        s2Tg(),
                        s2Ttb(features),
                        s2InputBits(features),
                        s2OutputBits(features),
                        s2StartLevel(features))
                .bigEndian(s2Endi())
                .accessFlagFaults(!s2Affd())
                .accessFlagUpdate(s2Ha())
                .dirtyState(s2Hd())
                .xnx(features.has(SmmuFeature.XNX))
                .aarch32(!s2Aa64())
                .busBits(features.oas())
                .lpa(features.oas() > 48)
                .forceWriteBack(s2Fwb(features))
                .protectedTableWalk(s2Ptw())
                .cached(tlb, s2Vmid())
                .counting(accesses);
        return (s2Ds(features) ? walk.ds(s2Sh0()) : walk).build();
    }
}
