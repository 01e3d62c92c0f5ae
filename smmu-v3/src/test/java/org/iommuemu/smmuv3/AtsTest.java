package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.AtsPort;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.TranslationService;
import org.iommuemu.mmio.TranslationService.Completion;
import org.iommuemu.mmio.TranslationService.Status;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;

/** ATS as an endpoint with a translation cache meets it (3.9.1, 13.6, 13.7), and its invalidation by commands (4.5.1). */
class AtsTest {
    private static final int DEVICE = 7;
    private static final int NO_PASID = Translator.NO_SUBSTREAM;
    private static final long IOVA = 0x1_0000;
    private static final long READ_ONLY = TestBoard.STAGE1_RW | Descriptor.AP_READ_ONLY;
    private static final long S2_RW = 0xf << 2 | 3 << 6 | 3 << 8 | 1 << 10;

    private static final int EATS_FULL = 1 << 28;
    private static final int EATS_SPLIT = 2 << 28;
    private static final int ATSCHK = 1 << 4;
    private static final int REC_CFG_ATS = 1 << 3;

    private static final int F_BAD_ATS_TREQ = 0x05;
    private static final int F_TRANSL_FORBIDDEN = 0x07;
    private static final int ATC_INV = 0x40;

    private TestBoard board = new TestBoard().enabled();
    private long frame = board.allocate(0x4000);

    private TableWriter stage1(long... ste1) {
        TableWriter table = board.stage1Table();
        long[] ste = TestBoard.stage1(0, board.newCd(5, table.root()));
        ste[1] = ste1.length > 0 ? ste1[0] : EATS_FULL;
        board.stream(DEVICE, ste);
        return table;
    }

    private Completion request(long address, int access) {
        return board.smmu.ats().request(DEVICE, NO_PASID, address, access);
    }

    private void checks() {
        board.handshake(TestBoard.CR0, 0xd | ATSCHK);
    }

    // Translation Requests

    @Test
    void requestTellsAddressSizeAndPermissions() {
        TableWriter table = stage1();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        table.map(IOVA + 0x1000, frame + 0x1000, 0x1000, READ_ONLY);
        assertEquals(new Completion(Status.SUCCESS, frame, 12, true, true, false), request(IOVA + 0x123, Access.WRITE));
        assertEquals(
                new Completion(Status.SUCCESS, frame + 0x1000, 12, true, false, false),
                request(IOVA + 0x1000, Access.WRITE),
                "read alone is granted where write is not");
        assertTrue(board.events().isEmpty());
    }

    @Test
    void translationFaultIsSuccessWithoutPermissions() {
        stage1();
        assertEquals(Completion.denied(12), request(IOVA, Access.READ));
        assertTrue(board.events().isEmpty(), "nothing is recorded");
    }

    @Test
    void streamWithoutAtsIsUnsupported() {
        stage1(0);
        assertEquals(Status.UNSUPPORTED_REQUEST, request(IOVA, Access.WRITE).status());
        long[] event = board.event();
        assertEquals(F_BAD_ATS_TREQ, TestBoard.type(event));
        assertEquals(DEVICE, event[0] >>> 32);
        assertEquals(IOVA, event[2]);
    }

    @Test
    void splitStageNeedsTheCheck() {
        nested(EATS_SPLIT);
        assertEquals(Status.UNSUPPORTED_REQUEST, request(IOVA, 0).status(), "EATS == 0b10 is 0b00 while ATSCHK == 0");
    }

    @Test
    void streamThatAbortsIsUnsupportedWithoutAnEvent() {
        board.stream(DEVICE, 1, EATS_FULL, 0, 0);
        assertEquals(Status.UNSUPPORTED_REQUEST, request(IOVA, 0).status());
        assertTrue(board.events().isEmpty());
    }

    @Test
    void disabledSmmuSupportsNoRequest() {
        stage1();
        board.handshake(TestBoard.CR0, 0xc);
        assertEquals(Status.UNSUPPORTED_REQUEST, request(IOVA, 0).status());
        assertEquals(F_BAD_ATS_TREQ, TestBoard.type(board.event()));
    }

    @Test
    void brokenConfigurationIsACompleterAbortThatMayBeRecorded() {
        board.stream(DEVICE, 0, 0, 0, 0);
        assertEquals(Status.COMPLETER_ABORT, request(IOVA, 0).status());
        assertTrue(board.events().isEmpty());

        board = new TestBoard(SmmuFeatures.smmuv3_3());
        board.write(0x2c, REC_CFG_ATS);
        board.enabled();
        board.handshake(TestBoard.CR0, 0xc);
        board.write(0x2c, REC_CFG_ATS);
        board.handshake(TestBoard.CR0, 0xd);
        board.stream(DEVICE, 0, 0, 0, 0);
        assertEquals(Status.COMPLETER_ABORT, request(IOVA, 0).status());
        assertEquals(0x04, TestBoard.type(board.event()), "C_BAD_STE");
    }

    @Test
    void privilegeAndExecutionNeedAPasid() {
        TableWriter table = stage1();
        long privileged = TestBoard.STAGE1_RW & ~Descriptor.AP_UNPRIVILEGED;
        table.map(IOVA, frame, 0x1000, privileged);
        assertEquals(Completion.denied(12), request(IOVA, Access.PRIVILEGED), "without a PASID it is unprivileged");
        assertFalse(request(IOVA, Access.INSTRUCTION).execute());
    }

    @Test
    void pasidSelectsTheContextAndGrantsExecution() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW & ~Descriptor.AP_UNPRIVILEGED | Descriptor.UXN);
        long cds = board.allocate(64 * 4);
        board.writeWords(cds + 64 * 3, TestBoard.cd(9, table.root()));
        long[] ste = TestBoard.stage1(0, cds);
        ste[0] |= 2L << 59; // S1CDMax
        ste[1] = EATS_FULL;
        board.stream(DEVICE, ste);
        TranslationService ats = board.smmu.ats();
        int privileged = Access.PRIVILEGED | Access.INSTRUCTION;
        assertEquals(
                new Completion(Status.SUCCESS, frame, 12, true, true, true),
                ats.request(DEVICE, 3, IOVA, privileged | Access.WRITE));
        assertEquals(Completion.denied(12), ats.request(DEVICE, 3, IOVA, 0));
        assertEquals(Status.COMPLETER_ABORT, ats.request(DEVICE, 1, IOVA, 0).status(), "C_BAD_CD");
    }

    @Test
    void privilegeOverrideDecidesPermissions() {
        TableWriter table = stage1(EATS_FULL | 3L << 48); // PRIVCFG: privileged
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW & ~Descriptor.AP_UNPRIVILEGED);
        assertTrue(request(IOVA, 0).read());
    }

    @Test
    void requestForWritingMarksDirtyAndOneForReadingDoesNot() {
        TableWriter table = board.stage1Table();
        long[] cd = TestBoard.cd(5, table.root());
        cd[0] |= 3L << 42; // HA, HD
        long at = board.allocate(64);
        board.writeWords(at, cd);
        long[] ste = TestBoard.stage1(0, at);
        ste[1] = EATS_FULL;
        board.stream(DEVICE, ste);
        table.map(IOVA, frame, 0x1000, READ_ONLY & ~Descriptor.AF | Descriptor.DBM);
        long leaf = leaf(table);
        assertFalse(request(IOVA, Access.READ).write(), "NW == 1 does not mark dirty");
        assertTrue((board.memory.read64(leaf) & Descriptor.AF) != 0, "but accessed");
        assertTrue((board.memory.read64(leaf) & Descriptor.AP_READ_ONLY) != 0);
        assertTrue(request(IOVA, Access.WRITE).write());
        assertEquals(0, board.memory.read64(leaf) & Descriptor.AP_READ_ONLY);
    }

    private long leaf(TableWriter table) {
        long at = table.root();
        for (int shift = 39; shift > 12; shift -= 9) {
            at = board.memory.read64(at + (IOVA >>> shift & 0x1ff) * 8) & 0xffff_ffff_f000L;
        }
        return at + (IOVA >>> 12 & 0x1ff) * 8;
    }

    // Both stages

    private TableWriter[] nested(long eats) {
        TableWriter stage2 = board.stage2Table();
        TableWriter table = board.stage1Table();
        stage2.map(TestBoard.RAM, TestBoard.RAM, 0x20_0000, S2_RW);
        long[] ste = TestBoard.nested(3, board.newCd(5, table.root()), stage2);
        ste[1] = eats;
        board.stream(DEVICE, ste);
        return new TableWriter[] {table, stage2};
    }

    @Test
    void fullAtsGivesThePhysicalAddress() {
        TableWriter[] tables = nested(EATS_FULL);
        tables[0].map(IOVA, 0x8000_0000L, 0x1000, TestBoard.STAGE1_RW);
        tables[1].map(0x8000_0000L, frame, 0x1000, S2_RW);
        assertEquals(frame, request(IOVA, 0).address());
    }

    @Test
    void splitStageGivesTheIpaAndStage2TranslatesTheAccess() {
        TableWriter[] tables = nested(EATS_SPLIT);
        checks();
        tables[0].map(IOVA, 0x8000_0000L, 0x2000, TestBoard.STAGE1_RW);
        tables[1].map(0x8000_0000L, frame, 0x1000, S2_RW);
        Completion completion = request(IOVA, Access.WRITE);
        assertEquals(new Completion(Status.SUCCESS, 0x8000_0000L, 12, true, true, false), completion);
        assertEquals(Completion.denied(12), request(IOVA + 0x1000, 0), "stage 2 permits nothing there");
        long translation = board.smmu.ats().translated(DEVICE, NO_PASID, 0x8000_0010L, Access.WRITE);
        assertEquals(frame + 0x10, Translation.address(translation, 0x8000_0010L));

        assertEquals(Translation.ABORT, board.smmu.ats().translated(DEVICE, NO_PASID, 0x8000_1000L, 0));
        long[] event = board.event();
        assertEquals(0x10, TestBoard.type(event), "F_TRANSLATION");
        assertTrue(TestBoard.isStage2(event));
    }

    // Translated transactions

    @Test
    void translatedTransactionPassesWithoutTheCheck() {
        assertEquals(
                frame, Translation.address(board.smmu.ats().translated(DEVICE, NO_PASID, frame, Access.WRITE), frame));
        assertEquals(
                Translation.ABORT,
                board.smmu.ats().translated(DEVICE, NO_PASID, 1L << 48, 0),
                "beyond the output size");
        assertTrue(board.events().isEmpty());
    }

    @Test
    void checkForbidsStreamsWithoutAts() {
        checks();
        stage1(0);
        assertEquals(Translation.ABORT, board.smmu.ats().translated(DEVICE, NO_PASID, frame, Access.WRITE));
        long[] event = board.event();
        assertEquals(F_TRANSL_FORBIDDEN, TestBoard.type(event));
        assertEquals(frame, event[2]);
        assertEquals(0, event[1] >>> 35 & 1, "RnW");
        stage1();
        assertTrue(Translation.translated(board.smmu.ats().translated(DEVICE, NO_PASID, frame, 0)));
    }

    private void substreams(int s1dss) {
        long cds = board.allocate(64 * 4);
        board.writeWords(cds + 64 * 3, TestBoard.cd(9, board.stage1Table().root()));
        long[] ste = TestBoard.stage1(0, cds);
        ste[0] |= 2L << 59; // S1CDMax
        ste[1] = EATS_FULL | s1dss;
        board.stream(DEVICE, ste);
    }

    private long translated(int pasid) {
        return board.smmu.ats().translated(DEVICE, pasid, frame, 0);
    }

    @Test
    void pasidOfATranslatedTransactionNeedsAContext() {
        SmmuFeatures features =
                SmmuFeatures.smmuv3_3().toBuilder().with(SmmuFeature.PASIDTT).build();
        board = new TestBoard(features).enabled();
        checks();
        substreams(0);
        assertTrue(Translation.translated(translated(3)));
        assertEquals(Translation.ABORT, translated(4), "C_BAD_SUBSTREAMID");
        assertEquals(Translation.ABORT, translated(1), "C_BAD_CD");
        assertEquals(Translation.ABORT, translated(NO_PASID), "F_STREAM_DISABLED");
        assertTrue(board.events().isEmpty(), "without REC_CFG_ATS");

        board.handshake(TestBoard.CR0, 0xc);
        board.write(0x2c, REC_CFG_ATS);
        board.handshake(TestBoard.CR0, 0xd | ATSCHK);
        translated(4);
        translated(1);
        translated(NO_PASID);
        assertEquals(
                List.of(0x08, 0x0a, 0x06),
                board.events().stream().map(TestBoard::type).toList());
        substreams(2);
        assertTrue(Translation.translated(translated(NO_PASID)), "CD 0, which nobody reads, is not valid");
        assertEquals(Translation.ABORT, translated(0));
        assertEquals(0x06, TestBoard.type(board.event()), "F_STREAM_DISABLED");
    }

    @Test
    void pasidOfATranslatedTransactionIsNotSeenWithoutTheFeature() {
        checks();
        substreams(0);
        assertTrue(Translation.translated(translated(4)));
        assertTrue(Translation.translated(translated(NO_PASID)));
    }

    @Test
    void disabledSmmuForbidsTranslatedTransactions() {
        board.handshake(TestBoard.CR0, 0xc);
        assertEquals(Translation.ABORT, board.smmu.ats().translated(DEVICE, NO_PASID, frame, 0));
        assertEquals(F_TRANSL_FORBIDDEN, TestBoard.type(board.event()));
    }

    // An endpoint with a cache

    private AtsPort endpoint() {
        AtsPort port = new AtsPort(board.bus, board.smmu, board.smmu.ats(), DEVICE, NO_PASID, 0);
        port.enable(true, false);
        return port;
    }

    private AtsPort.Outcome write(AtsPort port, long address) {
        return port.write(address, new byte[] {1, 2, 3, 4}, 0, 4);
    }

    @Test
    void endpointKeepsATranslationUntilItIsInvalidated() {
        TableWriter table = stage1();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        AtsPort port = endpoint();
        assertEquals(AtsPort.Outcome.OK, write(port, IOVA));
        assertEquals(0x0403_0201, board.memory.read32(frame));
        table.unmap(IOVA, 0x1000);
        board.command(0x11 | 5L << 48, 0); // CMD_TLBI_NH_ASID
        board.sync();
        assertEquals(AtsPort.Outcome.OK, write(port, IOVA), "TLB invalidation does not reach the endpoint");
        board.command(ATC_INV | (long) DEVICE << 32, IOVA);
        board.sync();
        assertEquals(AtsPort.Outcome.DENIED, write(port, IOVA));
    }

    @Test
    void invalidationOfAnotherPageLeavesTheEntry() {
        TableWriter table = stage1();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        AtsPort port = endpoint();
        write(port, IOVA);
        table.unmap(IOVA, 0x1000);
        board.command(0x30, 0); // CMD_TLBI_NSNH_ALL
        board.command(ATC_INV | (long) DEVICE << 32, IOVA + 0x1000);
        board.command(ATC_INV | (long) (DEVICE + 1) << 32, IOVA);
        board.sync();
        assertEquals(AtsPort.Outcome.OK, write(port, IOVA));
        board.command(ATC_INV | (long) DEVICE << 32, 52); // Size: everything
        board.sync();
        assertEquals(AtsPort.Outcome.DENIED, write(port, IOVA));
    }

    @Test
    void globalInvalidationNeedsAPasid() {
        List<Boolean> globals = new ArrayList<>();
        board.smmu.ats().connect(DEVICE, new TranslationService.Endpoint() {
            @Override
            public BooleanSupplier invalidate(int substreamId, boolean global, long address, int log2Size) {
                globals.add(global);
                return () -> true;
            }

            @Override
            public void respond(int substreamId, int group, TranslationService.Response response) {}
        });
        board.command(ATC_INV | 1 << 9 | (long) DEVICE << 32, 52);
        board.command(ATC_INV | 1 << 9 | 1 << 11 | 3 << 12 | (long) DEVICE << 32, 52);
        assertEquals(List.of(false, true), globals);
    }

    @Test
    void partOfABlockInvalidatesAllOfIt() {
        TableWriter table = stage1();
        long block = board.allocate(0x20_0000);
        table.map(0x20_0000, block, 0x20_0000, TestBoard.STAGE1_RW);
        AtsPort port = endpoint();
        assertEquals(AtsPort.Outcome.OK, write(port, 0x20_5000));
        assertEquals(21, request(0x20_5000, 0).log2Size());
        table.unmap(0x20_0000, 0x20_0000);
        board.command(0x30, 0);
        board.command(ATC_INV | (long) DEVICE << 32, 0x20_0000);
        board.sync();
        assertEquals(AtsPort.Outcome.DENIED, write(port, 0x20_5000));
    }

    @Test
    void endpointThatDoesNotAnswerFailsTheSynchronisation() {
        stage1();
        AtsPort port = endpoint();
        port.invalidationLatency(Latency.NEVER);
        board.command(ATC_INV | (long) DEVICE << 32, IOVA);
        assertEquals(0, board.read(TestBoard.GERROR), "the command itself is no error");
        board.sync();
        assertEquals(1, board.read(TestBoard.GERROR), "CMDQ_ERR");
        assertEquals(3, board.read(TestBoard.CMDQ_CONS) >>> 24, "CERROR_ATC_INV_SYNC");
        port.invalidationLatency(Latency.NONE);
        board.write(TestBoard.GERRORN, 1);
        board.settle();
        assertEquals(
                board.read(TestBoard.CMDQ_PROD),
                board.read(TestBoard.CMDQ_CONS) & 0xf_ffff,
                "the CMD_SYNC is tried again");
    }

    @Test
    void synchronisationWaitsForTheEndpoint() {
        board = new TestBoard(SmmuFeatures.smmuv3_2(), Timing.IMMEDIATE.invalidationTimeout(Latency.reads(20)))
                .enabled();
        frame = board.allocate(0x1000);
        stage1();
        AtsPort port = endpoint();
        port.invalidationLatency(Latency.reads(3));
        board.submit(ATC_INV | (long) DEVICE << 32, IOVA);
        board.submit(0x46, 0);
        int polls = 0;
        while (board.read(TestBoard.CMDQ_CONS) != board.read(TestBoard.CMDQ_PROD)) {
            polls++;
        }
        assertTrue(polls > 0);
        assertEquals(0, board.read(TestBoard.GERROR));
    }

    @Test
    void manyInvalidationsWithoutASynchronisationWaitForEachOther() {
        board = new TestBoard(SmmuFeatures.smmuv3_2(), Timing.IMMEDIATE.invalidationTimeout(Latency.reads(2)))
                .enabled();
        stage1();
        AtsPort port = endpoint();
        port.invalidationLatency(Latency.NEVER);
        for (int i = 0; i < CommandQueue.MOST_INVALIDATIONS; i++) {
            board.submit(ATC_INV | (long) DEVICE << 32, IOVA);
        }
        assertEquals(board.read(TestBoard.CMDQ_PROD), board.read(TestBoard.CMDQ_CONS), "nobody waits for them");
        board.submit(ATC_INV | (long) DEVICE << 32, IOVA);
        assertNotEquals(board.read(TestBoard.CMDQ_PROD), board.read(TestBoard.CMDQ_CONS), "one more has to wait");
        board.settle();
        assertEquals(0, board.read(TestBoard.GERROR), "the others have timed out");
        board.sync();
        assertEquals(3, board.read(TestBoard.CMDQ_CONS) >>> 24, "CERROR_ATC_INV_SYNC");
    }

    @Test
    void endpointWithAtsOffIsAnOrdinaryMaster() {
        TableWriter table = stage1();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        AtsPort port = endpoint();
        port.enable(false, false);
        assertEquals(AtsPort.Outcome.OK, write(port, IOVA));
        assertEquals(AtsPort.Outcome.ABORT, write(port, IOVA + 0x1000));
        assertEquals(0x10, TestBoard.type(board.event()), "F_TRANSLATION: an untranslated access");
    }

    @Test
    void smmuWithoutAtsHasNoService() {
        Smmu plain = new TestBoard(SmmuFeatures.qemuVirt()).smmu;
        assertThrows(IllegalStateException.class, plain::ats);
    }
}
