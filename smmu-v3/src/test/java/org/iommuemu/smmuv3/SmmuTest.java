package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CMDQ_CONS;
import static org.iommuemu.smmuv3.TestBoard.CMDQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.CR0ACK;
import static org.iommuemu.smmuv3.TestBoard.EVENTQ_CONS;
import static org.iommuemu.smmuv3.TestBoard.EVENTQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.GBPA;
import static org.iommuemu.smmuv3.TestBoard.GERROR;
import static org.iommuemu.smmuv3.TestBoard.GERRORN;
import static org.iommuemu.smmuv3.TestBoard.IRQ_CTRL;
import static org.iommuemu.smmuv3.TestBoard.RAM;
import static org.iommuemu.smmuv3.TestBoard.SMMU;
import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MsiFrame;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

@ParameterizedClass
@EnumSource(TestTiming.class)
class SmmuTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;

    // Event numbers and classes, as in 7.3
    private static final int F_STREAM_DISABLED = 0x06;
    private static final int C_BAD_SUBSTREAMID = 0x08;
    private static final int F_TRANSLATION = 0x10;
    private static final int F_PERMISSION = 0x13;
    private static final int CLASS_CD = 0;
    private static final int CLASS_TT = 1;
    private static final int CLASS_IN = 2;

    private final TestTiming timing;
    private TestBoard board;

    SmmuTest(TestTiming timing) {
        this.timing = timing;
        board = new TestBoard(SmmuFeatures.smmuv3_2(), timing);
    }

    @AfterEach
    void powerOff() {
        board.close();
    }

    // Drivers

    @Test
    void xenEnablesAttachesWithStage2TakesAFaultAndIsInterrupted() {
        assertEquals(3, board.read(0) & 3, "IDR0.S1P, S2P");
        assertEquals(2, board.read(0x1c), "SMMUv3.2");
        board.enabled();
        List<long[]> handled = new ArrayList<>();
        board.interrupts.request(TestBoard.EVENTQ_IRQ, () -> handled.addAll(board.events()));
        TableWriter p2m = board.stage2Table();
        long page = board.allocate(4096);
        p2m.map(page, page, 4096, Descriptor.STAGE2_RAM);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));

        assertEquals(Response.OK, board.dmaWrite(DEVICE, page + 8));
        assertEquals(0, board.interrupts.dispatch());
        assertEquals(Response.ABORT, board.dmaWrite(DEVICE, page + 0x1008));
        assertEquals(1, board.interrupts.dispatch());
        assertEquals(1, handled.size());
        long[] event = handled.get(0);
        assertEquals(F_TRANSLATION | (long) DEVICE << 32, event[0]);
        assertEquals(1L << 39 | (long) CLASS_IN << 40, event[1], "S2, IN, a write, unprivileged data");
        assertEquals(page + 0x1008, event[2]);
        assertEquals(page + 0x1000, event[3], "IPA");
        assertEquals(List.of(), board.misuses);
    }

    @Test
    void linuxAttachesWithStage1() {
        board.enabled();
        TableWriter table = board.stage1Table();
        long page = board.allocate(4096);
        table.map(IOVA, page, 4096, STAGE1_RW);
        board.stream(DEVICE, TestBoard.stage1(0, board.newCd(5, table.root())));
        board.bus.write32(page + 12, 0xcafe);

        byte[] bytes = new byte[4];
        assertEquals(Response.OK, board.port(DEVICE).read(IOVA + 12, bytes, 0, 4));
        assertArrayEquals(new byte[] {(byte) 0xfe, (byte) 0xca, 0, 0}, bytes);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA - 4096));
        assertEquals(F_TRANSLATION, TestBoard.type(board.event()));
        assertEquals(List.of(), board.misuses);
    }

    // Handshakes and guards

    private void handshakesTake(Latency latency) {
        board.close();
        board = new TestBoard(SmmuFeatures.smmuv3_2(), timing.timing().handshakes(latency));
    }

    @Test
    void acknowledgesAfterAsManyReadsAsTold() {
        handshakesTake(Latency.reads(3));
        board.write(CR0, 0x8);
        for (int i = 0; i < 3; i++) {
            assertEquals(0, board.read(CR0ACK));
        }
        assertEquals(0x8, board.read(CR0ACK));
        board.enabled();
        assertEquals(0xd, board.read(CR0ACK));
        assertEquals(List.of(), board.misuses);
    }

    @Test
    void neverAcknowledges() {
        handshakesTake(Latency.NEVER);
        assertFalse(board.handshake(CR0, 0x8));
    }

    @Test
    void baseRegistersAreReadOnlyWhileInUse() {
        board.enabled();
        long before = board.bus.read64(SMMU + TestBoard.STRTAB_BASE);
        board.write64(TestBoard.STRTAB_BASE, 0);
        board.write(TestBoard.STRTAB_BASE_CFG, 0);
        board.write64(TestBoard.CMDQ_BASE, 0);
        board.write(CMDQ_CONS, 0);
        board.write64(TestBoard.EVENTQ_BASE, 0);
        board.write(EVENTQ_PROD, 0);
        assertEquals(before, board.bus.read64(SMMU + TestBoard.STRTAB_BASE));
        assertEquals(6, board.misuses.size());
        assertTrue(board.misuses.get(0).contains("SMMUEN == 1"), board.misuses.get(0));
    }

    @Test
    void globalBypassUntilGbpaAborts() {
        handshakesTake(Latency.reads(2));
        assertEquals(Response.OK, board.dmaWrite(DEVICE, RAM));
        board.write(GBPA, 1 << 20);
        assertEquals(0x1000, board.read(GBPA), "ignored: Update is not set");
        assertEquals(1, board.misuses.size());
        board.write(GBPA, 1L << 31 | 1 << 20);
        assertEquals(0x8010_0000, board.read(GBPA));
        board.write(GBPA, 1L << 31);
        assertEquals(2, board.misuses.size(), "an update is under way");
        assertEquals(0x0010_0000, board.read(GBPA) & 0x0010_0000);
        assertEquals(0x0010_0000, board.read(GBPA));
        assertEquals(Response.ABORT, board.dmaWrite(DEVICE, RAM));
    }

    // Both stages

    /** Tables of stage 1 and the CD at IPAs that stage 2 maps one to one, and one page behind both stages. */
    private final class Nested {
        final TableWriter stage1 = board.stage1Table();
        final TableWriter stage2 = board.stage2Table();
        final long page = board.allocate(4096);
        final long ipa = 0x20_0000_0000L;
        final long cd;

        Nested(int vmid, int asid) {
            stage1.map(IOVA, ipa, 4096, STAGE1_RW);
            cd = board.newCd(asid, stage1.root());
            stage2.map(RAM, RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
            stage2.map(ipa, page, 4096, Descriptor.STAGE2_RAM);
            board.stream(DEVICE, TestBoard.nested(vmid, cd, stage2));
        }
    }

    @Test
    void nestedTranslationGoesThroughBothStages() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        long translation = board.port(DEVICE).translate(IOVA + 0x123, true);
        assertEquals(nested.page + 0x123, Translation.address(translation, IOVA + 0x123));
        assertEquals(translation, board.port(DEVICE).translate(IOVA + 0x123, true), "cached");
    }

    @Test
    void stage2FaultOfTheOutputOfStage1() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        nested.stage2.unmap(nested.ipa, 4096);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA + 0x124));
        long[] event = board.event();
        assertEquals(F_TRANSLATION, TestBoard.type(event));
        assertTrue(TestBoard.isStage2(event));
        assertEquals(CLASS_IN, TestBoard.faultClass(event));
        assertEquals(IOVA + 0x124, event[2]);
        assertEquals(nested.ipa, event[3], "IPA without its offset in the page");
    }

    @Test
    void stage2FaultOfAStage1Walk() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        nested.stage2.unmap(nested.stage1.root(), 4096);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA));
        long[] event = board.event();
        assertEquals(F_TRANSLATION, TestBoard.type(event));
        assertTrue(TestBoard.isStage2(event));
        assertEquals(CLASS_TT, TestBoard.faultClass(event));
        assertEquals(nested.stage1.root(), event[3]);
    }

    @Test
    void stage2PermissionFaultOfAStage1WalkTellsThatItWasARead() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        long root = nested.stage1.root();
        nested.stage2.unmap(root, 4096);
        nested.stage2.map(root, root, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_READ);
        assertEquals(Response.ABORT, board.dmaWrite(DEVICE, IOVA));
        long[] event = board.event();
        assertEquals(F_PERMISSION, TestBoard.type(event));
        assertEquals(CLASS_TT, TestBoard.faultClass(event));
        assertEquals(1, event[1] >>> 44 & 1, "TTRnW");
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void s2ptwRefusesStage1TablesInDeviceMemory(boolean s2ptw) {
        board.enabled();
        Nested nested = new Nested(1, 2);
        long root = nested.stage1.root();
        nested.stage2.unmap(root, 4096);
        long device = Descriptor.STAGE2_RAM & ~Descriptor.MEM_ATTR_NORMAL | Descriptor.MEM_ATTR_DEVICE;
        nested.stage2.map(root, root, 4096, device);
        long[] ste = TestBoard.nested(1, nested.cd, nested.stage2);
        ste[2] |= s2ptw ? 1L << 54 : 0;
        board.stream(DEVICE, ste);
        assertEquals(s2ptw ? Response.ABORT : Response.OK, board.dmaRead(DEVICE, IOVA));
        if (s2ptw) {
            long[] event = board.event();
            assertEquals(F_PERMISSION, TestBoard.type(event));
            assertTrue(TestBoard.isStage2(event));
            assertEquals(CLASS_TT, TestBoard.faultClass(event));
        }
    }

    @Test
    void theStage2OfATableAddressIsCachedUntilItsIpaIsInvalidated() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        nested.stage1.map(IOVA + 4096, nested.ipa, 4096, STAGE1_RW);
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA));
        nested.stage2.unmap(nested.stage1.root(), 4096);
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA + 4096), "another address, the same tables");
        board.command(0x2a | 1L << 32, nested.stage1.root()); // CMD_TLBI_S2_IPA
        board.command(0x10 | 1L << 32, 0); // CMD_TLBI_NH_ALL
        board.sync();
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA + 4096));
        assertEquals(CLASS_TT, TestBoard.faultClass(board.event()));
    }

    @Test
    void stage2FaultOfACdFetch() {
        board.enabled();
        Nested nested = new Nested(1, 2);
        nested.stage2.unmap(nested.cd, 4096);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA));
        long[] event = board.event();
        assertEquals(F_TRANSLATION, TestBoard.type(event));
        assertTrue(TestBoard.isStage2(event));
        assertEquals(CLASS_CD, TestBoard.faultClass(event));
        assertEquals(nested.cd, event[3]);
    }

    @ParameterizedTest
    @CsvSource({
        // granule, S2TG, S2SL0, start level, input bits
        "KIB_4, 0, 2, 0, 48",
        "KIB_4, 0, 1, 1, 43",
        "KIB_4, 0, 0, 2, 31",
        "KIB_16, 2, 2, 1, 47",
        "KIB_16, 2, 1, 2, 40",
        "KIB_64, 1, 2, 1, 48",
        "KIB_64, 1, 1, 2, 45",
    })
    void stage2StartsAtAnyLevelWithConcatenatedTables(Granule granule, int s2Tg, int s2Sl0, int level, int bits) {
        board.enabled();
        TableWriter.Geometry geometry = new TableWriter.Geometry(granule, level, bits, 48);
        TableWriter p2m = new TableWriter(board.memory, board.allocator, geometry, (input, size) -> {});
        long page = board.allocate(granule.bytes());
        long ipa = (1L << bits) - granule.bytes();
        p2m.map(ipa, page, granule.bytes(), Descriptor.STAGE2_RAM);
        long vtcr = 64 - bits | s2Sl0 << 6 | s2Tg << 14 | 5 << 16;
        board.stream(DEVICE, 0x1 | 6 << 1, 0, vtcr << 32 | 1L << 51 | 1L << 58, p2m.root());
        long translation = board.port(DEVICE).translate(ipa + 0xabc, false);
        assertEquals(page + 0xabc, Translation.address(translation, ipa + 0xabc));
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, ipa + granule.bytes()), "beyond S2T0SZ");
        assertEquals(bits == 48 ? 0x11 : F_TRANSLATION, TestBoard.type(board.event()), "beyond the IAS: F_ADDR_SIZE");
    }

    @Test
    void stage2FaultIsNotRecordedWithoutS2R() {
        board.enabled();
        TableWriter p2m = board.stage2Table();
        long[] ste = TestBoard.stage2(3, p2m);
        ste[2] &= ~(1L << 58);
        board.stream(DEVICE, ste);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
        assertEquals(0, board.events().size());
    }

    // Caches

    @Test
    void aTranslationIsStaleUntilItIsInvalidatedByIpa() {
        board.enabled();
        TableWriter p2m = board.stage2Table();
        long page = board.allocate(4096);
        p2m.map(page, page, 4096, Descriptor.STAGE2_RAM);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        assertEquals(Response.OK, board.dmaRead(DEVICE, page));
        p2m.unmap(page, 4096);
        assertEquals(Response.OK, board.dmaRead(DEVICE, page), "stale");
        board.command(0x2a | 4L << 32, page);
        assertEquals(Response.OK, board.dmaRead(DEVICE, page), "another VMID");
        board.command(0x2a | 3L << 32, page);
        board.sync();
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, page));
    }

    @Test
    void invalidatingARangeReachesItsEndAndNoFurther() {
        board.enabled();
        TableWriter p2m = board.stage2Table();
        long pages = board.allocate(8 * 4096);
        p2m.map(pages, pages, 8 * 4096, Descriptor.STAGE2_RAM);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        for (int i = 0; i < 8; i++) {
            assertEquals(Response.OK, board.dmaRead(DEVICE, pages + 4096 * i));
        }
        p2m.unmap(pages, 8 * 4096);
        board.command(0x2a | 2 << 12 | 1 << 20 | 3L << 32, pages | 1 << 10); // (2 + 1) * 2^1 pages of 4 KiB
        board.sync();
        for (int i = 0; i < 8; i++) {
            assertEquals(i < 6 ? Response.ABORT : Response.OK, board.dmaRead(DEVICE, pages + 4096 * i), "page " + i);
        }
    }

    @Test
    void invalidatingAnAsidOrAVmidLeavesOthers() {
        board.enabled();
        TableWriter table = board.stage1Table();
        long page = board.allocate(4096);
        table.map(IOVA, page, 4096, STAGE1_RW);
        // (VMID, ASID): (1, 5), (1, 6), (2, 5)
        board.stream(1, TestBoard.stage1(1, board.newCd(5, table.root())));
        board.stream(2, TestBoard.stage1(1, board.newCd(6, table.root())));
        board.stream(3, TestBoard.stage1(2, board.newCd(5, table.root())));
        for (int stream = 1; stream <= 3; stream++) {
            assertEquals(Response.OK, board.dmaRead(stream, IOVA));
        }
        table.unmap(IOVA, 4096);
        board.command(0x11 | 1L << 32 | 5L << 48, 0); // CMD_TLBI_NH_ASID
        board.sync();
        assertEquals(Response.ABORT, board.dmaRead(1, IOVA));
        assertEquals(Response.OK, board.dmaRead(2, IOVA));
        assertEquals(Response.OK, board.dmaRead(3, IOVA));
        board.command(0x28 | 1L << 32, 0); // CMD_TLBI_S12_VMALL
        board.sync();
        assertEquals(Response.ABORT, board.dmaRead(2, IOVA));
        assertEquals(Response.OK, board.dmaRead(3, IOVA));
        board.command(0x30, 0); // CMD_TLBI_NSNH_ALL
        board.sync();
        assertEquals(Response.ABORT, board.dmaRead(3, IOVA));
    }

    @Test
    void aConfigurationIsStaleUntilItIsInvalidated() {
        board.enabled();
        board.stream(DEVICE, 0x1 | 4 << 1);
        assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
        board.writeWords(board.streamTable + 64 * DEVICE, 0x1);
        assertEquals(Response.OK, board.dmaRead(DEVICE, RAM), "stale");
        board.command(0x03 | (DEVICE + 1L) << 32, 1);
        assertEquals(Response.OK, board.dmaRead(DEVICE, RAM), "another stream");
        board.command(0x03 | (long) DEVICE << 32, 1);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
        assertEquals(0, board.events().size(), "Config == 0b000 aborts silently");
    }

    @Test
    void aReadOnlyEntryDoesNotAnswerForAWrite() {
        board.enabled();
        TableWriter p2m = board.stage2Table();
        long page = board.allocate(4096);
        p2m.map(page, page, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        assertEquals(Response.OK, board.dmaRead(DEVICE, page));
        assertEquals(Response.ABORT, board.dmaWrite(DEVICE, page));
        assertEquals(F_PERMISSION, TestBoard.type(board.event()));
        assertEquals(Response.OK, board.dmaRead(DEVICE, page));
    }

    @Test
    void noThreadSeesATranslationAfterItsInvalidationIsComplete() throws InterruptedException {
        board.enabled();
        TableWriter p2m = board.stage2Table();
        long pages = board.allocate(2 * 4096);
        board.stream(DEVICE, TestBoard.stage2(3, p2m));
        AtomicBoolean stop = new AtomicBoolean();
        Thread client = new Thread(() -> {
            while (!stop.get()) {
                board.smmu.translate(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.READ);
            }
        });
        client.start();
        try {
            for (int i = 0; i < 500; i++) {
                long page = pages + 4096 * (i & 1);
                p2m.map(IOVA, page, 4096, Descriptor.STAGE2_RAM);
                long translation = board.smmu.translate(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.READ);
                assertEquals(page, Translation.address(translation, IOVA));
                p2m.unmap(IOVA, 4096);
                board.command(0x2a | 3L << 32, IOVA);
                board.sync();
                translation = board.smmu.translate(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.READ);
                assertFalse(Translation.translated(translation));
            }
        } finally {
            stop.set(true);
            client.join();
        }
    }

    // Stream tables, CD tables

    @Test
    void twoLevelStreamTable() {
        long level1 = board.allocate(4096);
        long level2 = board.allocate(64 << 8);
        // LOG2SIZE 16, SPLIT 8, two-level; StreamIDs 0x300 to 0x30f are there: Span 5
        board.bus.write64(level1 + 8 * 3, level2 | 5);
        board.writeWords(level2 + 64 * 0xf, 0x1 | 4 << 1);
        board.enable(level1, 16 | 8 << 6 | 1 << 16);
        assertEquals(Response.OK, board.dmaRead(0x30f, RAM));
        assertEquals(Response.ABORT, board.dmaRead(0x310, RAM));
        assertEquals(0x02 | 0x310L << 32, board.event()[0], "C_BAD_STREAMID");
        assertEquals(Response.ABORT, board.dmaRead(0x400, RAM));
        assertEquals(0x02 | 0x400L << 32, board.event()[0], "C_BAD_STREAMID");
        assertEquals(Response.ABORT, board.dmaRead(0x30e, RAM));
        assertEquals(0x04 | 0x30eL << 32, board.event()[0], "C_BAD_STE");
    }

    private Response dmaRead(int streamId, int substreamId, long address) {
        return new DmaPort(board.bus, board.smmu, streamId, substreamId, 0).read(address, new byte[4], 0, 4);
    }

    @Test
    void substreamsInATwoLevelCdTable() {
        board.enabled();
        TableWriter table = board.stage1Table();
        table.map(IOVA, board.allocate(4096), 4096, STAGE1_RW);
        long level1 = board.allocate(4096);
        long level2 = board.allocate(4096);
        // S1Fmt 0b01, S1CDMax 10: level 2 tables of 64 CDs; S1DSS 0b10: CD 0 for accesses without a SubstreamID
        board.bus.write64(level1, level2 | 1);
        board.writeWords(level2, TestBoard.cd(5, table.root()));
        board.writeWords(level2 + 64 * 7, TestBoard.cd(6, table.root()));
        board.stream(DEVICE, 0x1 | 5 << 1 | 1 << 4 | level1 | 10L << 59, 2);

        assertEquals(Response.OK, dmaRead(DEVICE, 7, IOVA));
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA));
        assertEquals(Response.ABORT, dmaRead(DEVICE, 0, IOVA));
        assertEquals(F_STREAM_DISABLED | (long) DEVICE << 32, board.event()[0]);
        assertEquals(Response.ABORT, dmaRead(DEVICE, 64, IOVA), "L1CD.V == 0");
        assertEquals(C_BAD_SUBSTREAMID | 64 << 12 | (long) DEVICE << 32, board.event()[0]);
        assertEquals(Response.ABORT, dmaRead(DEVICE, 1024, IOVA), "beyond S1CDMax");
        assertEquals(C_BAD_SUBSTREAMID | 1024 << 12 | (long) DEVICE << 32, board.event()[0]);
        assertEquals(Response.ABORT, dmaRead(DEVICE, 7, 0));
        assertEquals(F_TRANSLATION | 1 << 11 | 7 << 12 | (long) DEVICE << 32, board.event()[0], "SSV");
    }

    @Test
    void defaultSubstreamBypassesOrIsDisabled() {
        board.enabled();
        long cds = board.allocate(64 << 4);
        long word0 = 0x1 | 5 << 1 | cds | 4L << 59;
        board.stream(DEVICE, word0, 1);
        assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
        board.stream(DEVICE, word0, 0);
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
        assertEquals(F_STREAM_DISABLED | (long) DEVICE << 32, board.event()[0]);
    }

    @Test
    void aSubstreamWithoutStage1IsBad() {
        board.enabled();
        board.stream(DEVICE, 0x1 | 4 << 1);
        assertEquals(Response.ABORT, dmaRead(DEVICE, 0, RAM));
        assertEquals(C_BAD_SUBSTREAMID | (long) DEVICE << 32, board.event()[0]);
    }

    @Test
    void terminatedFaultsAreRazWiWithoutCdA() {
        board.enabled();
        long[] cd = TestBoard.cd(5, board.stage1Table().root());
        cd[0] &= ~(1L << 46);
        long address = board.allocate(64);
        board.writeWords(address, cd);
        board.stream(DEVICE, TestBoard.stage1(0, address));
        byte[] bytes = {1, 2, 3, 4};
        assertEquals(Response.RAZ_WI, board.port(DEVICE).read(IOVA, bytes, 0, 4));
        assertArrayEquals(new byte[4], bytes);
        assertEquals(F_TRANSLATION, TestBoard.type(board.event()));
    }

    @Test
    void el2StreamsAreNotInvalidatedWithEl1() {
        board.enabled();
        TableWriter table = board.stage1Table();
        table.map(IOVA, board.allocate(4096), 4096, Descriptor.AF);
        long[] ste = TestBoard.stage1(0, board.newCd(0, table.root()));
        ste[1] = 2L << 30; // STRW: EL2
        board.stream(DEVICE, ste);
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA), "one privilege level: AP[1] means nothing");
        table.unmap(IOVA, 4096);
        board.command(0x30, 0); // CMD_TLBI_NSNH_ALL
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA));
        board.command(0x22, IOVA); // CMD_TLBI_EL2_VA
        assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA));
    }

    @Test
    void el2WithE2hHasAsids() {
        board.write(0x2c, 0x1); // CR2.E2H, kept by what follows
        long table0 = board.allocate(64 << 8);
        board.streamTable = table0;
        board.write64(TestBoard.STRTAB_BASE, table0);
        board.write(TestBoard.STRTAB_BASE_CFG, 8);
        board.write64(TestBoard.CMDQ_BASE, board.commandQueue | TestBoard.LOG2_QUEUE);
        board.handshake(CR0, 0x9);
        TableWriter table = board.stage1Table();
        table.map(IOVA, board.allocate(4096), 4096, STAGE1_RW);
        for (int stream = 5; stream <= 6; stream++) {
            long[] ste = TestBoard.stage1(0, board.newCd(stream, table.root()));
            ste[1] = 2L << 30; // STRW: EL2
            board.stream(stream, ste);
            assertEquals(Response.OK, board.dmaRead(stream, IOVA));
        }
        table.unmap(IOVA, 4096);
        board.command(0x21 | 5L << 48, 0); // CMD_TLBI_EL2_ASID
        assertEquals(Response.ABORT, board.dmaRead(5, IOVA));
        assertEquals(Response.OK, board.dmaRead(6, IOVA));
        board.command(0x20, 0); // CMD_TLBI_EL2_ALL
        assertEquals(Response.ABORT, board.dmaRead(6, IOVA));
    }

    @Test
    void anSteBeyondTheOutputSizeIsNotFetchedThoughThereIsRam() {
        long beyond = 1L << 48;
        board.memory.addRam(beyond, 0x1000);
        board.writeWords(beyond, 1 | 4 << 1, 0, 0, 0);
        long level1 = board.allocate(8);
        board.writeWords(level1, beyond | 1);
        board.enable(level1, 1 << 16 | 6 << 6 | 8);
        assertEquals(Response.ABORT, board.dmaRead(0, RAM));
        long[] event = board.event();
        assertEquals(0x03, TestBoard.type(event), "F_STE_FETCH");
    }

    // Queues and errors

    @Test
    void aFullEventQueueOverflowsOnceUntilAcknowledged() {
        board.enabled();
        int size = 1 << TestBoard.LOG2_QUEUE;
        for (int i = 0; i < size; i++) {
            board.dmaRead(DEVICE, 0);
        }
        assertEquals(size, board.read(EVENTQ_PROD), "full, no event lost");
        board.dmaRead(DEVICE, 0);
        board.dmaRead(DEVICE, 0);
        assertEquals(0x8000_0000 | size, board.read(EVENTQ_PROD), "OVFLG");
        board.write(EVENTQ_CONS, 1);
        board.dmaRead(DEVICE, 0);
        assertEquals(0x8000_0000 | size + 1, board.read(EVENTQ_PROD), "room again, OVFLG stays");
        board.dmaRead(DEVICE, 0);
        assertEquals(0x8000_0000 | size + 1, board.read(EVENTQ_PROD), "not acknowledged, no toggle");
        board.write(EVENTQ_CONS, 0x8000_0000 | 1);
        board.dmaRead(DEVICE, 0);
        assertEquals(size + 1, board.read(EVENTQ_PROD), "a new overflow");
        assertEquals(0, board.read(GERROR));
    }

    @Test
    void anEventQueueOutsideRamIsAGlobalError() {
        board.enabled();
        board.handshake(CR0, 0x9);
        board.write64(TestBoard.EVENTQ_BASE, 0x1000 | TestBoard.LOG2_QUEUE);
        board.handshake(CR0, 0xd);
        board.dmaRead(DEVICE, 0);
        assertEquals(1 << 2, board.read(GERROR), "EVENTQ_ABT_ERR");
        assertTrue(board.interrupts.isPending(TestBoard.GERROR_IRQ));
        assertEquals(0, board.read(EVENTQ_PROD));
        board.handshake(CR0, 0x9);
        board.write64(TestBoard.EVENTQ_BASE, board.eventQueue | TestBoard.LOG2_QUEUE);
        board.handshake(CR0, 0xd);
        board.dmaRead(DEVICE, 0);
        assertEquals(0, board.read(EVENTQ_PROD), "not writable until acknowledged");
        board.write(GERRORN, 1 << 2);
        board.settle();
        board.dmaRead(DEVICE, 0);
        assertEquals(1, board.read(EVENTQ_PROD));
    }

    @Test
    void indexesOfTheSmmuHaveNothingAboveTheirWrapBit() {
        TestBoard other = new TestBoard(
                SmmuFeatures.smmuv3_2().toBuilder().eventqLog2Size(6).build());
        other.write(CMDQ_CONS, 0xf_ffff);
        assertEquals(0xf_ffff, other.read(CMDQ_CONS), "nobody knows where the wrap bit is");
        other.write64(TestBoard.CMDQ_BASE, other.commandQueue | 4);
        other.write(CMDQ_CONS, 0xf_ffff);
        assertEquals(0x1f, other.read(CMDQ_CONS));
        other.write64(TestBoard.CMDQ_BASE, other.commandQueue | 2);
        assertEquals(0x7, other.read(CMDQ_CONS), "the queue is smaller now");
        other.write64(TestBoard.EVENTQ_BASE, other.eventQueue | 19);
        other.write(EVENTQ_PROD, 0x800f_ffff);
        assertEquals(0x8000_007f, other.read(EVENTQ_PROD), "as much as SMMU_IDR1.EVENTQS allows, and OVFLG");
    }

    @Test
    void anIllegalCommandStopsTheQueueUntilAcknowledged() {
        board.enabled();
        int prod = board.read(CMDQ_PROD);
        board.command(0xff, 0);
        board.sync();
        assertEquals(1 << 24 | prod, board.read(CMDQ_CONS), "CERROR_ILL, at the command");
        assertEquals(1, board.read(GERROR));
        assertTrue(board.interrupts.isPending(TestBoard.GERROR_IRQ));
        // Linux puts a CMD_SYNC in the place of the command, and acknowledges.
        board.writeWords(board.commandQueue + 16L * (prod & 15), 0x46, 0);
        board.write(GERRORN, 1);
        board.settle();
        assertEquals(1 << 24 | prod + 2, board.read(CMDQ_CONS));
        assertEquals(1, board.misuses.size());
    }

    @Test
    void aCommandQueueOutsideRamIsAnExternalAbort() {
        board.write64(TestBoard.CMDQ_BASE, 0x1000 | 4);
        board.write(CMDQ_PROD, 1);
        board.handshake(CR0, 0x8);
        board.settle();
        assertEquals(2 << 24, board.read(CMDQ_CONS), "CERROR_ABT");
        assertEquals(1, board.read(GERROR));
    }

    @Test
    void acknowledgingWhatIsNotActiveIsMisuse() {
        board.write(GERRORN, 1);
        board.settle();
        assertEquals(1, board.misuses.size());
    }

    // Interrupts

    @Test
    void theEventQueueInterruptsWhenItBecomesNotEmpty() {
        board.enabled();
        List<String> raised = new ArrayList<>();
        board.interrupts.request(TestBoard.EVENTQ_IRQ, () -> raised.add("event"));
        board.dmaRead(DEVICE, 0);
        board.interrupts.dispatch();
        board.dmaRead(DEVICE, 0);
        board.interrupts.dispatch();
        assertEquals(1, raised.size());
        board.events();
        board.dmaRead(DEVICE, 0);
        board.interrupts.dispatch();
        assertEquals(2, raised.size());
    }

    @Test
    void messagesBesideWires() {
        board.enabled();
        board.handshake(IRQ_CTRL, 0);
        long doorbell = TestBoard.MSI_FRAME + MsiFrame.SETSPI_NS;
        board.write64(0x68, doorbell);
        board.write(0x70, 200);
        board.write64(0xb0, doorbell);
        board.write(0xb8, 201);
        board.handshake(IRQ_CTRL, 0x5);
        board.dmaRead(DEVICE, 0);
        assertTrue(board.interrupts.isPending(201));
        board.command(0x46 | 1 << 12 | 202L << 32, doorbell);
        assertTrue(board.interrupts.isPending(202));
        long word = board.allocate(4096);
        board.command(0x46 | 1 << 12 | 0xabcdL << 32, word); // To memory, as Linux polls it.
        assertEquals(0xabcd, board.bus.read32(word));
        board.command(0xff, 0);
        assertTrue(board.interrupts.isPending(200));
        assertTrue(board.interrupts.isPending(TestBoard.EVENTQ_IRQ), "both, 3.18.2");
        assertTrue(board.interrupts.isPending(TestBoard.SYNC_IRQ), "both, 4.7.3");
    }

    @Test
    void anAbortedMessageIsAGlobalError() {
        board.enabled();
        board.command(0x46 | 1 << 12, 0x1000);
        assertEquals(1 << 4, board.read(GERROR), "MSI_CMDQ_ABT_ERR");
        assertEquals(board.read(CMDQ_PROD), board.read(CMDQ_CONS));
    }

    /** Otherwise commands could go on for ever, and two SMMUs wait for each other. */
    @Test
    void aMessageToRegistersOfAnSmmuIsAborted() {
        board.enabled();
        int at = board.read(CMDQ_PROD);
        board.submit(0x46 | 1 << 12 | (long) (at + 3) << 32, SMMU + CMDQ_PROD);
        board.settle();
        assertEquals(at + 1, board.read(CMDQ_PROD));
        assertEquals(at + 1, board.read(CMDQ_CONS));
        assertEquals(1 << 4, board.read(GERROR), "MSI_CMDQ_ABT_ERR");

        board.handshake(IRQ_CTRL, 0);
        board.write64(0x68, SMMU + GERRORN);
        board.write(0x70, 0x11);
        board.handshake(IRQ_CTRL, 0x1);
        board.submit(0xff, 0);
        board.settle();
        assertEquals(1 << 24 | at + 1, board.read(CMDQ_CONS), "at the illegal command");
        assertEquals(1 << 7 | 1 << 4 | 1, board.read(GERROR), "MSI_GERROR_ABT_ERR");
        assertEquals(0, board.read(GERRORN));
    }

    @Test
    void withoutMsiTheMessageRegistersAreRes0() {
        TestBoard wired = new TestBoard(SmmuFeatures.qemuVirt());
        wired.write64(0x68, -1);
        wired.write(0xb8, -1);
        assertEquals(0, wired.bus.read64(SMMU + 0x68));
        assertEquals(0, wired.read(0xb8));
        assertEquals(List.of(), wired.misuses);
        wired.enabled();
        wired.command(0x46 | 1 << 12, 0x1000);
        assertTrue(wired.interrupts.isPending(TestBoard.SYNC_IRQ), "the wire: MSIAddress is IGNORED");
    }
}
