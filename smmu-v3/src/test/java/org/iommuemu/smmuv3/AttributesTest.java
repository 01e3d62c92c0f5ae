package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The memory attributes that accesses leave with (IHI 0070, chapter 13), as MAIR bytes with shareability. */
class AttributesTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final long IPA = 0x20_0000_0000L;
    private static final long PAGE = 0x7654_3000L;
    private static final int NON_SHAREABLE = 0;
    private static final int OUTER = 2;
    private static final int INNER = 3;
    private static final int USE_INCOMING = 1;

    private TestBoard board = new TestBoard().enabled();

    private static void leavesWith(int attributes, int shareability, long translation) {
        String actual =
                "0x%02x, %d".formatted(Translation.attributes(translation), Translation.shareability(translation));
        assertEquals("0x%02x, %d".formatted(attributes, shareability), actual);
    }

    private long translate(int streamId, long address) {
        return board.smmu.translate(streamId, Translator.NO_SUBSTREAM, address, 0);
    }

    /** Twice, as what comes from a TLB must be the same. */
    private void leavesWith(int attributes, int shareability) {
        leavesWith(attributes, shareability, translate(DEVICE, IOVA));
        leavesWith(attributes, shareability, translate(DEVICE, IOVA));
    }

    private static Structure overriding(Structure ste, int mtcfg, int memAttr, int alloccfg, int shcfg) {
        return ste.with(99, 96, memAttr)
                .with(100, 100, mtcfg)
                .with(104, 101, alloccfg)
                .with(109, 108, shcfg);
    }

    private static Structure bypass() {
        return new Structure(0x1 | 4 << 1, 0, 0, 0);
    }

    // Bypass

    @ParameterizedTest
    @CsvSource({
        // MTCFG, MemAttr, ALLOCCFG, SHCFG -> MAIR byte, shareability
        "0, 0x0, 0, 1, 0xff, 0", // what nobody conveys (13.1.3)
        "0, 0x0, 0, 3, 0xff, 3",
        "0, 0x0, 0, 2, 0xff, 2",
        "1, 0x0, 0, 3, 0x00, 2", // Device is Outer Shareable, whatever SHCFG says
        "1, 0x1, 0, 3, 0x04, 2",
        "1, 0x2, 0, 3, 0x08, 2",
        "1, 0x3, 0, 3, 0x0c, 2",
        "1, 0x5, 0, 3, 0x44, 2",
        "1, 0x7, 0, 3, 0x4f, 3",
        "1, 0xa, 0, 0, 0xbb, 0",
        "1, 0xd, 0, 3, 0xf4, 3",
        "1, 0xe, 0, 3, 0xfb, 3",
        "1, 0xf, 0, 3, 0xff, 3",
        "1, 0x4, 0, 3, 0x00, 2", // Reserved: Device-nGnRnE
        "1, 0x8, 0, 3, 0x00, 2",
        "1, 0xc, 0, 3, 0x00, 2",
        "0, 0x0, 0x7, 1, 0xff, 0", // 0b0xxx: no override
        "0, 0x0, 0x8, 1, 0xcc, 0",
        "0, 0x0, 0xc, 1, 0xee, 0",
        "0, 0x0, 0xa, 1, 0xdd, 0",
        "0, 0x0, 0xf, 1, 0x77, 0",
        "0, 0x0, 0x9, 1, 0xcc, 0", // transient, but what does not allocate is not
        "1, 0xa, 0xd, 0, 0x22, 0",
        "1, 0xa, 0x9, 0, 0x88, 0",
        "1, 0x7, 0x8, 0, 0x4c, 0",
        "1, 0x5, 0xf, 0, 0x44, 2",
        "1, 0x1, 0xf, 0, 0x04, 2",
    })
    void overridesOfABypass(
            int mtcfg, String memAttr, String alloccfg, int shcfg, String attributes, int shareability) {
        int type = Integer.decode(memAttr);
        int hints = Integer.decode(alloccfg);
        board.stream(DEVICE, overriding(bypass(), mtcfg, type, hints, shcfg).words());
        leavesWith(Integer.decode(attributes), shareability);
        // SMMU_GBPA has the same.
        board.handshake(TestBoard.CR0, 0);
        board.write(TestBoard.GBPA, 1L << 31 | shcfg << 12 | hints << 8 | mtcfg << 4 | type);
        leavesWith(Integer.decode(attributes), shareability);
        // Neither, without SMMU_IDR1.ATTR_TYPES_OVR.
        board = new TestBoard(SmmuFeatures.builder()
                        .without(SmmuFeature.ATTR_TYPES_OVR)
                        .build())
                .enabled();
        board.stream(DEVICE, overriding(bypass(), mtcfg, type, hints, shcfg).words());
        leavesWith(0xff, NON_SHAREABLE);
    }

    // Stage 1

    private void stage1(int mair, int sh, Structure overrides) {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF | Descriptor.AP_UNPRIVILEGED | (long) sh << Descriptor.SH_SHIFT);
        long cd = board.newCd(5, table.root());
        board.bus.write64(cd + 24, mair);
        long[] ste = TestBoard.stage1(1, cd);
        ste[1] = overrides.words()[1];
        board.stream(DEVICE, ste);
        board.command(0x10 | 1L << 32, 0); // CMD_TLBI_NH_ALL
    }

    private static Structure incoming() {
        return overriding(new Structure(0, 0, 0, 0), 0, 0, 0, USE_INCOMING);
    }

    @ParameterizedTest
    @CsvSource({
        "0xff, 3, 0xff, 3",
        "0x44, 3, 0x44, 2",
        "0x4f, 3, 0x4f, 3",
        "0x04, 0, 0x04, 2",
        "0xf7, 2, 0xf7, 2",
        // Reserved encodings, as they behave (5.4)
        "0x01, 0, 0x00, 2",
        "0x0e, 0, 0x0c, 2",
        "0xf0, 3, 0xf3, 3",
        "0x40, 3, 0x43, 3",
    })
    void stage1AttributesAreThoseOfMair(String mair, int sh, String attributes, int shareability) {
        stage1(Integer.decode(mair), sh, incoming());
        leavesWith(Integer.decode(attributes), shareability);
    }

    @ParameterizedTest
    @CsvSource({
        // MTCFG, MemAttr, ALLOCCFG, MAIR -> MAIR byte: type and shareability replace, hints combine (13.4.2)
        "0, 0, 0x8, 0xff, 0xcc",
        "0, 0, 0xf, 0xff, 0x77",
        "0, 0, 0xd, 0xff, 0x66",
        "0, 0, 0xa, 0xee, 0xcc", // one allocates on writes, the other on reads
        "0, 0, 0xc, 0x7f, 0x6e",
        "0, 0, 0x8, 0x4b, 0x48",
        "0, 0, 0x8, 0x04, 0x04",
        "1, 1, 0x8, 0xff, 0xff", // Device has no hints to give
        "1, 5, 0x8, 0xff, 0xff",
        "1, 7, 0x8, 0xff, 0xfc", // Non-cacheable outside, hints inside
    })
    void hintsOfWhatComesInCombineWithStage1(int mtcfg, int memAttr, String alloccfg, String mair, String attributes) {
        Structure overrides = overriding(incoming(), mtcfg, memAttr, Integer.decode(alloccfg), OUTER);
        stage1(Integer.decode(mair), INNER, overrides);
        leavesWith(Integer.decode(attributes), Integer.decode(attributes) >>> 4 == 0 ? OUTER : INNER);
    }

    // Stage 2

    private TableWriter stage2(int memAttr, int sh, Structure change) {
        TableWriter p2m = board.stage2Table();
        p2m.map(IOVA, PAGE, 4096, leaf(memAttr, sh));
        board.stream(DEVICE, merge(TestBoard.stage2(3, p2m), change));
        board.command(0x28 | 3L << 32, 0); // CMD_TLBI_S12_VMALL
        return p2m;
    }

    private static long leaf(int memAttr, int sh) {
        return Descriptor.STAGE2_RAM & ~Descriptor.MEM_ATTR_NORMAL & ~(3L << Descriptor.SH_SHIFT)
                | (long) memAttr << Descriptor.MEM_ATTR_SHIFT
                | (long) sh << Descriptor.SH_SHIFT;
    }

    private static long[] merge(long[] ste, Structure change) {
        long[] merged = ste.clone();
        for (int i = 0; i < merged.length; i++) {
            merged[i] |= change.words()[i];
        }
        return merged;
    }

    @ParameterizedTest
    @CsvSource({
        // MTCFG, MemAttr, ALLOCCFG, SHCFG; MemAttr and SH of the descriptor -> MAIR byte, shareability
        "0, 0x0, 0, 1, 0xf, 3, 0xff, 3",
        "0, 0x0, 0, 2, 0xf, 3, 0xff, 2",
        "0, 0x0, 0, 3, 0xf, 0, 0xff, 3",
        "1, 0xa, 0, 1, 0xf, 3, 0xbb, 3",
        "1, 0x1, 0, 1, 0xf, 3, 0x04, 2",
        "1, 0x3, 0, 1, 0x2, 3, 0x08, 2",
        "1, 0x5, 0, 1, 0xa, 3, 0x44, 2",
        "0, 0x0, 0xd, 1, 0xa, 3, 0x22, 3",
        "0, 0x0, 0, 1, 0x7, 0, 0x4f, 0",
    })
    void whatComesInCombinesWithStage2(
            int mtcfg,
            String memAttr,
            String alloccfg,
            int shcfg,
            String s2,
            int sh,
            String expected,
            int shareability) {
        Structure overrides =
                overriding(new Structure(0, 0, 0, 0), mtcfg, Integer.decode(memAttr), Integer.decode(alloccfg), shcfg);
        stage2(Integer.decode(s2), sh, overrides);
        leavesWith(Integer.decode(expected), shareability);
    }

    @Test
    void overridesAreOfAStreamAndNotOfAVmid() {
        TableWriter p2m = stage2(0xf, INNER, incoming());
        Structure device = overriding(new Structure(0, 0, 0, 0), 1, 0, 0, USE_INCOMING);
        board.stream(DEVICE + 1, merge(TestBoard.stage2(3, p2m), device));
        leavesWith(0xff, INNER);
        leavesWith(0x00, OUTER, translate(DEVICE + 1, IOVA));
        leavesWith(0xff, INNER);
    }

    // Both stages

    private void nested(int mair, int sh, int memAttr, int s2Sh, int s2fwb) {
        TableWriter stage1 = board.stage1Table();
        TableWriter p2m = board.stage2Table();
        stage1.map(IOVA, IPA, 4096, Descriptor.AF | Descriptor.AP_UNPRIVILEGED | (long) sh << Descriptor.SH_SHIFT);
        long cd = board.newCd(5, stage1.root());
        board.bus.write64(cd + 24, mair);
        // Bit 4 of a descriptor, MemAttr[2], decides with S2FWB: Normal memory either way here.
        p2m.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        p2m.map(IPA, PAGE, 4096, leaf(memAttr, s2Sh));
        board.stream(
                DEVICE,
                new Structure(TestBoard.nested(1, cd, p2m)).with(89, 89, s2fwb).words());
        board.command(0x28 | 1L << 32, 0); // CMD_TLBI_S12_VMALL
    }

    @ParameterizedTest
    @CsvSource({
        // MAIR, SH; MemAttr, SH -> MAIR byte, shareability: the examples of 13.1.5.1, and the orders of 13.1.5
        "0x4f, 3, 0x1, 0, 0x04, 2",
        "0x04, 0, 0x0, 0, 0x00, 2",
        "0x4f, 3, 0xa, 2, 0x4b, 2",
        "0xff, 0, 0xf, 3, 0xff, 3",
        "0xff, 2, 0xf, 3, 0xff, 2",
        "0xbb, 3, 0xf, 3, 0xbb, 3",
        "0xee, 3, 0xa, 3, 0xaa, 3",
        "0xff, 3, 0x5, 3, 0x44, 2",
        "0x0c, 3, 0x2, 3, 0x08, 2",
        "0x44, 0, 0xf, 3, 0x44, 2",
        "0x77, 3, 0xa, 3, 0x33, 3",
    })
    void stagesCombine(String mair, int sh, String memAttr, int s2Sh, String attributes, int shareability) {
        nested(Integer.decode(mair), sh, Integer.decode(memAttr), s2Sh, 0);
        leavesWith(Integer.decode(attributes), shareability);
    }

    @ParameterizedTest
    @CsvSource({
        // MAIR, SH; MemAttr with S2FWB, SH -> MAIR byte, shareability (Arm ARM, D8.6.6)
        "0x04, 0, 0x6, 3, 0xff, 2", // write-back, even of Device memory
        "0x44, 0, 0x6, 3, 0xff, 2",
        "0xbb, 0, 0x6, 3, 0xff, 3", // with the hints of stage 1
        "0xaa, 0, 0x6, 3, 0xee, 3",
        "0x4b, 0, 0x6, 3, 0xff, 3",
        "0x04, 0, 0x7, 3, 0x04, 2", // as stage 1
        "0xbb, 0, 0x7, 0, 0xbb, 0",
        "0xff, 3, 0x5, 3, 0x44, 2", // Non-cacheable, but Device stays
        "0x04, 3, 0x5, 3, 0x04, 2",
        "0xff, 3, 0x1, 3, 0x04, 2",
        "0x0c, 3, 0x2, 3, 0x08, 2",
    })
    void stage2DecidesWithS2Fwb(String mair, int sh, String memAttr, int s2Sh, String attributes, int shareability) {
        nested(Integer.decode(mair), sh, Integer.decode(memAttr), s2Sh, 1);
        leavesWith(Integer.decode(attributes), shareability);
    }

    @ParameterizedTest
    @CsvSource({"0x6, 1, 0xff", "0x7, 1, 0xbb", "0x6, 0, 0xff", "0x7, 0, 0xff"})
    void s2FwbOfAnAccessWithoutStage1(String memAttr, int mtcfg, String attributes) {
        Structure change =
                overriding(new Structure(0, 0, 0, 0), mtcfg, 0xa, 0, INNER).with(89);
        stage2(Integer.decode(memAttr), INNER, change);
        leavesWith(Integer.decode(attributes), INNER);
    }
}
