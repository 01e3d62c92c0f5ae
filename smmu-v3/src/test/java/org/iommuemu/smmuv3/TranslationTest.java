package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Address ranges, sizes and permissions (IHI 0070, 3.4, 5.4 and 13.4): what comes out, or which event. */
class TranslationTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final long PAGE = 0x7654_3000L;
    private static final int F_TRANSLATION = 0x10;
    private static final int F_ADDR_SIZE = 0x11;
    private static final int F_PERMISSION = 0x13;
    private static final int CLASS_CD = 0;
    private static final int CLASS_TT = 1;
    private static final int CLASS_IN = 2;
    private static final int READ = Access.READ;
    private static final int WRITE = Access.WRITE;
    private static final int PRIVILEGED = Access.PRIVILEGED;
    private static final int INSTRUCTION = Access.INSTRUCTION;
    private static final int NO_MATTER = -1;

    private TestBoard board = new TestBoard().enabled();

    private void on(SmmuFeatures features) {
        board = new TestBoard(features).enabled();
    }

    private long translate(long address, int access) {
        return board.smmu.translate(DEVICE, Translator.NO_SUBSTREAM, address, access);
    }

    private void arrivesAt(long expected, long address, int access) {
        long translation = translate(address, access);
        assertTrue(Translation.translated(translation), () -> "0x%x is not translated".formatted(address));
        assertEquals(expected, Translation.address(translation, address));
        assertEquals(0, board.events().size());
    }

    /** A stage 1 fault, or one of stage 2 with an IPA. */
    private void faults(int type, int faultClass, long ipa, long address, int access) {
        assertFalse(Translation.translated(translate(address, access)));
        long[] event = board.event();
        assertEquals(type, TestBoard.type(event));
        assertEquals(faultClass, TestBoard.faultClass(event));
        assertEquals(ipa != NO_MATTER, TestBoard.isStage2(event));
        assertEquals(ipa != NO_MATTER ? ipa : 0, event[3]);
        assertEquals(address, event[2], "InputAddr as it arrived");
        long kind = event[1] >>> 33 & 7; // PnU, InD, RnW
        boolean write = (access & WRITE) != 0;
        assertEquals((access & PRIVILEGED) != 0 ? 1 : 0, kind & 1, "PnU");
        assertEquals((access & INSTRUCTION) != 0 && !write ? 1 : 0, kind >> 1 & 1, "InD");
        assertEquals(write ? 0 : 1, kind >> 2 & 1, "RnW");
    }

    private void stage1Fault(int type, long address, int access) {
        faults(type, CLASS_IN, NO_MATTER, address, access);
    }

    private TableWriter table(Granule granule, int bits, boolean ds) {
        TableWriter.Geometry geometry =
                new TableWriter.Geometry(granule, granule.stage1StartLevel(bits), bits, ds || bits > 48 ? 52 : 48);
        return new TableWriter(
                board.memory,
                board.allocator,
                geometry,
                new TableWriter.Options(false, ds, false, 0),
                (input, size) -> {});
    }

    private static Structure cd(TableWriter table) {
        return new Structure(TestBoard.cd(5, table.root()));
    }

    private void attach(Structure cd) {
        attach(cd, 0);
    }

    /** A stream with stage 1 only. */
    private void attach(Structure cd, int strw) {
        long address = board.allocate(64);
        board.writeWords(address, cd.words());
        long[] ste = TestBoard.stage1(1, address);
        ste[1] |= (long) strw << 30;
        board.stream(DEVICE, ste);
        board.command(0x10 | 1L << 32, 0); // CMD_TLBI_NH_ALL
        board.command(0x20, 0); // CMD_TLBI_EL2_ALL
        board.sync();
    }

    // Input addresses of stage 1

    @Test
    void bit55SelectsTheTable() {
        TableWriter low = board.stage1Table();
        TableWriter high = board.stage1Table();
        low.map(IOVA, PAGE, 4096, TestBoard.STAGE1_RW);
        high.map(IOVA, PAGE + 4096, 4096, TestBoard.STAGE1_RW);
        Structure both = cd(low).without(30).with(21, 16, 16).with(23, 22, 2).with(183, 132, high.root() >>> 4);
        attach(both);
        arrivesAt(PAGE + 8, IOVA + 8, READ);
        arrivesAt(PAGE + 4096 + 8, 0xffff_0000_0000_0000L | IOVA + 8, READ);
        stage1Fault(F_TRANSLATION, 0x0001_0000_0000_0000L | IOVA, READ);
        stage1Fault(F_TRANSLATION, 0xfffe_0000_0000_0000L | IOVA, READ);
        stage1Fault(F_TRANSLATION, 0xab00_0000_0000_0000L | IOVA, READ);
        attach(both.with(38));
        arrivesAt(PAGE + 8, 0xab00_0000_0000_0000L | IOVA + 8, READ);
        stage1Fault(F_TRANSLATION, 0xabff_0000_0000_0000L | IOVA, READ);
        attach(both.with(39));
        stage1Fault(F_TRANSLATION, 0xab00_0000_0000_0000L | IOVA, READ);
        arrivesAt(PAGE + 4096 + 8, 0xabff_0000_0000_0000L | IOVA + 8, READ);
        attach(both.with(14));
        stage1Fault(F_TRANSLATION, IOVA, READ);
        arrivesAt(PAGE + 4096, 0xffff_0000_0000_0000L | IOVA, READ);
        attach(both.with(30));
        stage1Fault(F_TRANSLATION, 0xffff_0000_0000_0000L | IOVA, READ);
    }

    @Test
    void el2HasOneTableAndOnePrivilegeLevel() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF);
        // EPD0, E0PD0 and PAN mean nothing; EPD1 == 0 neither.
        attach(cd(table).with(14).without(30).with(40), 2);
        arrivesAt(PAGE, IOVA, READ);
        arrivesAt(PAGE, IOVA, WRITE | PRIVILEGED);
        stage1Fault(F_TRANSLATION, 0xffff_0000_0000_0000L | IOVA, READ);
        stage1Fault(F_TRANSLATION, 0xab00_0000_0000_0000L | IOVA, READ);
        attach(cd(table).with(38), 2);
        arrivesAt(PAGE, 0xab00_0000_0000_0000L | IOVA, READ);
    }

    @Test
    void e0pdDeniesUnprivilegedAccessesAlsoAfterPrivilegedOnes() {
        on(SmmuFeatures.smmuv3_3());
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, TestBoard.STAGE1_RW);
        attach(cd(table).with(66));
        arrivesAt(PAGE, IOVA, READ | PRIVILEGED);
        stage1Fault(F_TRANSLATION, IOVA, READ);
        stage1Fault(F_TRANSLATION, IOVA, INSTRUCTION);
        arrivesAt(PAGE, IOVA, WRITE | PRIVILEGED);
        attach(cd(table).with(130));
        arrivesAt(PAGE, IOVA, READ);
        attach(cd(table).with(66), 2);
        arrivesAt(PAGE, IOVA, READ);
        on(SmmuFeatures.smmuv3_2());
        TableWriter again = board.stage1Table();
        again.map(IOVA, PAGE, 4096, TestBoard.STAGE1_RW);
        attach(cd(again).with(66));
        arrivesAt(PAGE, IOVA, READ);
    }

    @ParameterizedTest
    @CsvSource({
        // granule, TG0, bits, DS
        "KIB_4, 0, 52, true",
        "KIB_4, 0, 49, true",
        "KIB_16, 2, 52, true",
        "KIB_64, 1, 52, false",
        "KIB_4, 0, 25, false",
        "KIB_4, 0, 16, false",
        "KIB_16, 2, 47, false",
        "KIB_16, 2, 16, false",
        "KIB_64, 1, 42, false",
        "KIB_64, 1, 17, false",
    })
    void inputsOfAnySizeReachAddressesOf52Bits(Granule granule, int tg, int bits, boolean ds) {
        on(SmmuFeatures.smmuv3_3());
        TableWriter.Geometry geometry = new TableWriter.Geometry(
                granule, granule.stage1StartLevel(bits), bits, ds || granule == Granule.KIB_64 ? 52 : 48);
        TableWriter table = new TableWriter(
                board.memory,
                board.allocator,
                geometry,
                new TableWriter.Options(false, ds, false, 0),
                (input, size) -> {});
        long last = (1L << bits) - granule.bytes();
        long page = (1L << (geometry.outputBits())) - 2 * granule.bytes();
        table.map(last, page, granule.bytes(), Descriptor.AF | Descriptor.AP_UNPRIVILEGED);
        attach(cd(table)
                .with(5, 0, 64 - bits)
                .with(7, 6, tg)
                .with(34, 32, 6)
                .with(186, 186, ds ? 1 : 0)
                .with(13, 12, 3));
        arrivesAt(page + 0xabc, last + 0xabc, READ);
        stage1Fault(F_TRANSLATION, 1L << bits, READ);
        assertEquals(ds ? 3 : 0, Translation.shareability(translate(last, READ)), "CD.SH0 where there is no other");
    }

    // Output addresses

    @Test
    void stage1OutputBeyondIpsIsAnAddressSizeFault() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, 1L << 40, 4096, TestBoard.STAGE1_RW);
        attach(cd(table).with(34, 32, 2));
        stage1Fault(F_ADDR_SIZE, IOVA, READ);
        attach(cd(table).with(34, 32, 3));
        arrivesAt(1L << 40, IOVA, READ);
    }

    @Test
    void bypassedAddressesAreCheckedAgainstTheOutputSize() {
        board.stream(DEVICE, 0x1 | 4 << 1);
        arrivesAt(1L << 47, 1L << 47, READ);
        stage1Fault(F_ADDR_SIZE, 1L << 48, WRITE);
    }

    @Test
    void stage2TakesIpasOf40BitsWithVmsav8_32() {
        on(SmmuFeatures.aem().toBuilder().oas(36).build());
        TableWriter p2m = board.stage2Table();
        p2m.map(0xff_0000_0000L, PAGE, 4096, Descriptor.STAGE2_RAM);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        arrivesAt(PAGE, 0xff_0000_0000L, READ);
        stage1Fault(F_ADDR_SIZE, 1L << 40, READ);
    }

    @Test
    void stage2OutputBeyondS2PsIsAnAddressSizeFaultWithItsIpa() {
        TableWriter p2m = board.stage2Table();
        p2m.map(IOVA, 1L << 40, 4096, Descriptor.STAGE2_RAM);
        board.stream(
                DEVICE,
                new Structure(TestBoard.stage2(3, p2m)).with(178, 176, 2).words());
        faults(F_ADDR_SIZE, CLASS_IN, IOVA, IOVA + 0x123, READ);
        faults(F_TRANSLATION, CLASS_IN, 0xff_ffff_f000L, 0xff_ffff_f008L, READ);
        faults(F_TRANSLATION, CLASS_IN, 1L << 41, 1L << 41, READ);
    }

    @Test
    void globalTranslationsAreOfTheirSetOfAsids() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF | Descriptor.AP_UNPRIVILEGED); // nG == 0
        TableWriter other = board.stage1Table();
        other.map(IOVA, PAGE + 4096, 4096, TestBoard.STAGE1_RW);
        Structure shared = cd(table);
        Structure notShared = cd(other).with(47).with(63, 48, 6); // ASET
        attach(shared);
        long address = board.allocate(64);
        board.writeWords(address, notShared.words());
        board.stream(DEVICE + 1, TestBoard.stage1(1, address));
        arrivesAt(PAGE, IOVA, READ);
        long translation = board.smmu.translate(DEVICE + 1, Translator.NO_SUBSTREAM, IOVA, READ);
        assertEquals(PAGE + 4096, Translation.address(translation, IOVA));
        board.bus.write64(address, notShared.without(47).with(63, 48, 7).words()[0]);
        board.command(0x03 | (DEVICE + 1L) << 32, 1);
        board.smmu.translate(DEVICE + 1, Translator.NO_SUBSTREAM, 0, READ); // Fetches the configuration.
        translation = board.smmu.translate(DEVICE + 1, Translator.NO_SUBSTREAM, IOVA, READ);
        assertEquals(PAGE, Translation.address(translation, IOVA), "another ASID of the same set");
    }

    @Test
    void partitionIdsOfGuestsNeedTheirStructure() {
        on(SmmuFeatures.builder().with(SmmuFeature.MPAM).build());
        TableWriter p2m = board.stage2Table();
        p2m.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, TestBoard.STAGE1_RW);
        long cd = board.newCd(5, table.root());
        Structure ste = new Structure(TestBoard.nested(1, cd, p2m));
        Structure with = new Structure(Arrays.copyOf(ste.words(), 8)).with(90); // S1MPAM
        board.stream(DEVICE, with.words());
        assertFalse(Translation.translated(translate(IOVA, READ)));
        assertEquals(0x25, TestBoard.type(board.event()), "F_VMS_FETCH: nothing is at VMSPtr");
        board.stream(DEVICE, with.with(375, 332, board.allocate(4096) >>> 12).words());
        arrivesAt(PAGE, IOVA, READ);
    }

    @ParameterizedTest
    @CsvSource({
        // granule, S2TG, level, {S2SL0_2, S2SL0}, bits, S2DS
        "KIB_4, 0, -1, 4, 52, true",
        "KIB_4, 0, 0, 2, 49, true",
        "KIB_16, 2, 0, 3, 52, true",
        "KIB_64, 1, 1, 2, 52, false",
        "KIB_4, 0, 3, 3, 21, false",
        "KIB_4, 0, 3, 3, 16, false",
        "KIB_64, 1, 3, 0, 17, false",
    })
    void stage2OfAnySizeReachesAddressesOf52Bits(Granule granule, int tg, int level, int sl0, int bits, boolean ds) {
        on(SmmuFeatures.smmuv3_3());
        int outputBits = ds || granule == Granule.KIB_64 ? 52 : 48;
        TableWriter p2m = new TableWriter(
                board.memory,
                board.allocator,
                new TableWriter.Geometry(granule, level, bits, outputBits),
                new TableWriter.Options(true, ds, false, 0),
                (input, size) -> {});
        long last = (1L << bits) - granule.bytes();
        long page = (1L << outputBits) - 2 * granule.bytes();
        p2m.map(last, page, granule.bytes(), Descriptor.STAGE2_RAM & (ds ? ~(3L << Descriptor.SH_SHIFT) : -1));
        Structure ste = new Structure(TestBoard.stage2(3, p2m))
                .with(165, 160, 64 - bits)
                .with(167, 166, sl0 & 3)
                .with(173, 172, 2)
                .with(175, 174, tg)
                .with(178, 176, 6)
                .with(194, 194, sl0 >> 2)
                .with(195, 195, ds ? 1 : 0);
        board.stream(DEVICE, ste.words());
        arrivesAt(page + 0xabc, last + 0xabc, READ);
        assertEquals(ds ? 2 : 3, Translation.shareability(translate(last, READ)), "STE.S2SH0 where there is no other");
        if (bits < 52) {
            faults(F_TRANSLATION, CLASS_IN, 1L << bits, 1L << bits, READ);
        }
    }

    // Substreams

    @Test
    void accessesWithoutASubstreamGoThroughStage2Alone() {
        TableWriter p2m = board.stage2Table();
        p2m.map(IOVA, PAGE, 4096, Descriptor.STAGE2_RAM);
        Structure ste = new Structure(TestBoard.nested(1, board.allocate(1024), p2m))
                .with(63, 59, 4)
                .with(65, 64, StreamTableEntry.S1DSS_BYPASS);
        board.stream(DEVICE, ste.words());
        arrivesAt(PAGE, IOVA, READ);
        faults(F_TRANSLATION, CLASS_IN, IOVA + 4096, IOVA + 4096, READ);
        stage1Fault(F_ADDR_SIZE, 1L << 48, READ);
    }

    // Permissions of stage 1

    private void page(long attributes, Structure change) {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF | attributes);
        attach(new Structure(
                change.words()[0] | cd(table).words()[0], table.root(), change.words()[2], change.words()[3]));
    }

    private static Structure plain() {
        return new Structure(0, 0, 0, 0xff);
    }

    @Test
    void whatUnprivilegedSoftwareCanWriteIsNotExecutedWithPrivilege() {
        page(Descriptor.AP_UNPRIVILEGED, plain());
        arrivesAt(PAGE, IOVA, INSTRUCTION);
        stage1Fault(F_PERMISSION, IOVA, INSTRUCTION | PRIVILEGED);
        page(Descriptor.AP_UNPRIVILEGED | Descriptor.AP_READ_ONLY, plain());
        arrivesAt(PAGE, IOVA, INSTRUCTION | PRIVILEGED);
        stage1Fault(F_PERMISSION, IOVA, WRITE | PRIVILEGED);
    }

    @Test
    void wxn() {
        page(Descriptor.AP_UNPRIVILEGED, plain().with(36));
        stage1Fault(F_PERMISSION, IOVA, INSTRUCTION);
        arrivesAt(PAGE, IOVA, WRITE);
        page(0, plain().with(36));
        stage1Fault(F_PERMISSION, IOVA, INSTRUCTION | PRIVILEGED);
        arrivesAt(PAGE, IOVA, INSTRUCTION);
        page(Descriptor.AP_READ_ONLY, plain().with(36));
        arrivesAt(PAGE, IOVA, INSTRUCTION | PRIVILEGED);
    }

    @Test
    void uwxnMeansNothingInVmsav8_64() {
        page(0, plain().with(37));
        arrivesAt(PAGE, IOVA, INSTRUCTION | PRIVILEGED);
    }

    @Test
    void pan() {
        page(Descriptor.AP_UNPRIVILEGED | Descriptor.AP_READ_ONLY, plain().with(40));
        stage1Fault(F_PERMISSION, IOVA, READ | PRIVILEGED);
        arrivesAt(PAGE, IOVA, READ);
        arrivesAt(PAGE, IOVA, INSTRUCTION | PRIVILEGED);
        page(0, plain().with(40));
        arrivesAt(PAGE, IOVA, WRITE | PRIVILEGED);
    }

    @Test
    void writesAreDataWhateverTheyClaim() {
        page(Descriptor.AP_UNPRIVILEGED | Descriptor.UXN, plain());
        arrivesAt(PAGE, IOVA, WRITE | INSTRUCTION);
        stage1Fault(F_PERMISSION, IOVA, INSTRUCTION);
    }

    @Test
    void anEntryOverridesPrivilegeAndInstruction() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF | Descriptor.UXN);
        Structure ste = new Structure(TestBoard.stage1(1, board.newCd(5, table.root())));
        board.stream(DEVICE, ste.with(113, 112, 3).words()); // PRIVCFG: privileged
        arrivesAt(PAGE, IOVA, WRITE);
        board.stream(DEVICE, ste.with(113, 112, 3).with(115, 114, 3).words()); // INSTCFG: instruction
        arrivesAt(PAGE, IOVA, READ);
        arrivesAt(PAGE, IOVA, WRITE);
        board.stream(DEVICE, ste.with(113, 112, 2).words());
        assertFalse(Translation.translated(translate(IOVA, READ | PRIVILEGED)));
        assertEquals(0, board.event()[1] >>> 33 & 1, "PnU as overridden");
    }

    @Test
    void hierarchicalAttributesUntilTheyAreDisabled() {
        TableWriter.Geometry geometry = new TableWriter.Geometry(Granule.KIB_4, 0, 48, 48);
        TableWriter table = new TableWriter(
                board.memory,
                board.allocator,
                geometry,
                new TableWriter.Options(false, false, false, Descriptor.AP_TABLE_READ_ONLY),
                (input, size) -> {});
        table.map(IOVA, PAGE, 4096, TestBoard.STAGE1_RW);
        attach(cd(table));
        stage1Fault(F_PERMISSION, IOVA, WRITE);
        attach(cd(table).with(65)); // HAD0
        arrivesAt(PAGE, IOVA, WRITE);
    }

    // Permissions of stage 2

    @ParameterizedTest
    @CsvSource({"0, true, true", "1, true, false", "2, false, false", "3, false, true"})
    void executionAtStage2(int xn, boolean unprivileged, boolean privileged) {
        TableWriter p2m = board.stage2Table();
        p2m.map(IOVA, PAGE, 4096, Descriptor.STAGE2_RAM | (long) xn << 53);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        assertEquals(unprivileged, Translation.translated(translate(IOVA, INSTRUCTION)));
        assertEquals(privileged, Translation.translated(translate(IOVA, INSTRUCTION | PRIVILEGED)));
        on(SmmuFeatures.smmuv3_0());
        TableWriter old = board.stage2Table();
        old.map(IOVA, PAGE, 4096, Descriptor.STAGE2_RAM | (long) xn << 53);
        board.stream(DEVICE, TestBoard.stage2(3, old));
        assertEquals(xn < 2, Translation.translated(translate(IOVA, INSTRUCTION)), "without XNX");
        assertEquals(xn < 2, Translation.translated(translate(IOVA, INSTRUCTION | PRIVILEGED)), "without XNX");
    }

    // Stage 2 faults of what stage 1 needs

    @Test
    void aLevel1DescriptorOfACdTableIsFetchedThroughStage2() {
        TableWriter p2m = board.stage2Table();
        long level1 = board.allocate(4096);
        long ipa = 0x20_0000_0000L;
        board.bus.write64(level1, 0x30_0000_0000L | 1);
        Structure ste = new Structure(TestBoard.nested(1, ipa, p2m))
                .with(63, 59, 8)
                .with(5, 4, 1)
                .with(65, 64, 2);
        board.stream(DEVICE, ste.words());
        faults(F_TRANSLATION, CLASS_CD, ipa, IOVA, READ);
        p2m.map(ipa, level1, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_READ);
        faults(F_PERMISSION, CLASS_CD, ipa, IOVA, WRITE);
        p2m.unmap(ipa, 4096);
        p2m.map(ipa, level1, 4096, Descriptor.STAGE2_RAM);
        faults(F_TRANSLATION, CLASS_CD, 0x30_0000_0000L, IOVA, INSTRUCTION);
        board.stream(DEVICE, ste.without(186).words()); // S2R
        assertFalse(Translation.translated(translate(IOVA, READ)));
        assertEquals(0, board.events().size());
    }

    @Test
    void stage1TablesThatStage2DoesNotReach() {
        TableWriter p2m = board.stage2Table();
        p2m.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        long root = board.allocate(4096);
        long beyond = 1L << 41; // Within IPS, beyond S2T0SZ.
        board.bus.write64(root, beyond | 3);
        long cd = board.newCd(5, root);
        board.stream(DEVICE, TestBoard.nested(1, cd, p2m));
        faults(F_TRANSLATION, CLASS_TT, beyond, IOVA, READ);
        board.bus.write64(root, 1L << 48 | 0x4000_0000L | 3); // Bit 48 is no address bit here: this is in RAM.
        stage1Fault(F_TRANSLATION, IOVA, READ);
    }

    @ParameterizedTest
    @CsvSource({
        // what stage 2 is asked for, how it fails, event
        "CD, unmapped, 0x10",
        "CD, beyond S2PS, 0x11",
        "CD, not accessed, 0x12",
        "CD, not readable, 0x13",
        "CD, no table, 0x0b",
        "TT, unmapped, 0x10",
        "TT, beyond S2PS, 0x11",
        "TT, not accessed, 0x12",
        "TT, not readable, 0x13",
        "TT, no table, 0x0b",
        "IN, unmapped, 0x10",
        "IN, beyond S2PS, 0x11",
        "IN, not accessed, 0x12",
        "IN, not readable, 0x13",
        "IN, no table, 0x0b",
    })
    void stage2FaultsForWhateverStage1Needs(String needed, String failure, String type) {
        TableWriter p2m = board.stage2Table();
        TableWriter table = board.stage1Table();
        long cdIpa = 0x10_0000_0000L;
        long output = 0x14_0000_0000L;
        table.map(IOVA, output, 4096, TestBoard.STAGE1_RW);
        long cd = board.newCd(5, table.root());
        p2m.map(cdIpa, cd, 4096, Descriptor.STAGE2_RAM);
        for (long page = TestBoard.RAM; page < cd; page += 4096) {
            p2m.map(page, page, 4096, Descriptor.STAGE2_RAM);
        }
        p2m.map(output, PAGE, 4096, Descriptor.STAGE2_RAM);
        Structure ste = new Structure(TestBoard.nested(1, cdIpa, p2m)).with(178, 176, 2); // S2PS: 40 bits
        board.stream(DEVICE, ste.words());
        int faultClass = needed.equals("CD") ? CLASS_CD : needed.equals("TT") ? CLASS_TT : CLASS_IN;
        long ipa = new long[] {cdIpa, table.root(), output}[faultClass];
        if (!failure.equals("no table")) {
            p2m.unmap(ipa, 4096);
        }
        long expected = ipa;
        switch (failure) {
            case "beyond S2PS" -> p2m.map(ipa, 1L << 40, 4096, Descriptor.STAGE2_RAM);
            case "not accessed" -> p2m.map(ipa, PAGE, 4096, Descriptor.STAGE2_RAM & ~Descriptor.AF);
            case "not readable" -> p2m.map(ipa, PAGE, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_READ);
            case "no table" -> {
                board.bus.write64(p2m.root() + (ipa >>> 30) * 8, 0x1000 | 3);
                expected = 0x1000 + (ipa >>> 21 & 0x1ff) * 8; // FetchAddr instead of the IPA
            }
            default -> {}
        }
        faults(Integer.decode(type), faultClass, expected, IOVA, READ);
        // STE.S2R silences Translation-related faults only.
        board.stream(DEVICE, ste.without(186).words());
        assertFalse(Translation.translated(translate(IOVA, READ)));
        assertEquals(failure.equals("no table") ? 1 : 0, board.events().size());
    }

    // VMSAv8-32

    @Test
    void narrowAddressesSelectATableByBothSizes() {
        on(SmmuFeatures.aem());
        TableWriter low = table(Granule.KIB_4, 32, false);
        TableWriter high = table(Granule.KIB_4, 30, false);
        low.map(0x3000_0000L, PAGE, 4096, TestBoard.STAGE1_RW);
        low.map(0xb000_0000L, PAGE + 4096, 4096, TestBoard.STAGE1_RW);
        high.map(0x3000_0000L, PAGE + 8192, 4096, TestBoard.STAGE1_RW);
        Structure cd = cd(low).without(41).with(5, 0, 0).without(30).with(183, 132, high.root() >>> 4);
        attach(cd.with(18, 16, 2)); // TTB1: from 0xc000_0000
        arrivesAt(PAGE, 0x3000_0000L, READ);
        arrivesAt(PAGE + 4096, 0xb000_0000L, READ);
        arrivesAt(PAGE + 8192, 0xf000_0000L, READ);
        arrivesAt(PAGE + 8192 + 12, 0xf000_000cL, WRITE);
        stage1Fault(F_TRANSLATION, 1L << 32 | 0x3000_0000L, READ);
        stage1Fault(F_TRANSLATION, 0xffff_ffff_f000_0000L, READ);
        attach(cd.with(18, 16, 2).with(2, 0, 2).with(119, 68, low.root() >>> 4));
        stage1Fault(F_TRANSLATION, 0xb000_0000L, READ); // In no range.
        arrivesAt(PAGE + 8192, 0xf000_0000L, READ);
    }

    @Test
    void narrowTablesHaveOutputsOf40Bits() {
        on(SmmuFeatures.aem());
        TableWriter table = table(Granule.KIB_4, 32, false);
        table.map(0x3000_0000L, 0xff_1234_5000L, 4096, TestBoard.STAGE1_RW);
        table.map(0x3000_1000L, 1L << 40, 4096, TestBoard.STAGE1_RW);
        attach(cd(table).without(41).with(5, 0, 0).with(34, 32, 0));
        arrivesAt(0xff_1234_5000L, 0x3000_0000L, READ);
        stage1Fault(F_ADDR_SIZE, 0x3000_1000L, READ);
    }

    @Test
    void narrowOutputsLoseWhatTheBusDoesNotHaveInTheLastStage() {
        on(SmmuFeatures.aem().toBuilder().oas(36).build());
        TableWriter table = table(Granule.KIB_4, 32, false);
        table.map(0x3000_0000L, 0xff_1234_5000L, 4096, TestBoard.STAGE1_RW);
        table.map(0x3000_1000L, 1L << 40, 4096, TestBoard.STAGE1_RW);
        Structure cd = cd(table).without(41).with(5, 0, 0);
        attach(cd);
        arrivesAt(0xf_1234_5000L, 0x3000_0000L, READ);
        stage1Fault(F_ADDR_SIZE, 0x3000_1000L, READ);
        // An IPA loses nothing; what stage 2 makes of it does.
        TableWriter p2m = board.stage2Table();
        p2m.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        p2m.map(0xff_1234_5000L, 0xfe_7654_3000L, 4096, Descriptor.STAGE2_RAM);
        long address = board.allocate(64);
        board.writeWords(address, cd.words());
        Structure ste =
                new Structure(TestBoard.nested(2, address, p2m)).without(179).with(165, 160, 8);
        board.stream(DEVICE, ste.words());
        arrivesAt(0xe_7654_3000L, 0x3000_0000L, READ);
    }

    @Test
    void narrowTablesExecuteWhatIsReadable() {
        on(SmmuFeatures.aem());
        TableWriter table = table(Granule.KIB_4, 32, false);
        table.map(0x1000L, PAGE, 4096, Descriptor.AF); // Privileged only.
        table.map(0x2000L, PAGE, 4096, TestBoard.STAGE1_RW);
        table.map(0x3000L, PAGE, 4096, TestBoard.STAGE1_RW | Descriptor.UXN);
        Structure cd = cd(table).without(41).with(5, 0, 0);
        attach(cd);
        stage1Fault(F_PERMISSION, 0x1000L, INSTRUCTION);
        arrivesAt(PAGE, 0x1000L, INSTRUCTION | PRIVILEGED);
        arrivesAt(PAGE, 0x2000L, INSTRUCTION | PRIVILEGED);
        stage1Fault(F_PERMISSION, 0x3000L, INSTRUCTION | PRIVILEGED);
        attach(cd.with(37)); // UWXN
        stage1Fault(F_PERMISSION, 0x2000L, INSTRUCTION | PRIVILEGED);
        arrivesAt(PAGE, 0x2000L, INSTRUCTION);
    }

    @Test
    void narrowStage2() {
        on(SmmuFeatures.aem());
        TableWriter p2m = board.stage2Table(); // 40 bits from level 1: S2T0SZ -8, S2SL0 1
        p2m.map(0xff_0000_0000L, PAGE, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_READ);
        Structure ste = new Structure(TestBoard.stage2(3, p2m))
                .without(179)
                .with(165, 160, 8)
                .with(178, 176, 0);
        board.stream(DEVICE, ste.words());
        arrivesAt(PAGE, 0xff_0000_0000L, WRITE);
        faults(F_PERMISSION, CLASS_IN, 0xff_0000_0000L, 0xff_0000_0000L, INSTRUCTION);
    }
}
