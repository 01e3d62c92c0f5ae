package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.iommuemu.mmio.AtsPort;
import org.iommuemu.mmio.TranslationService;
import org.iommuemu.mmio.TranslationService.PageRequest;
import org.iommuemu.mmio.TranslationService.Response;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;

/** Chapter 8, and CMD_PRI_RESP (4.5.2). */
class PageRequestTest {
    private static final int DEVICE = 7;
    private static final int NO_PASID = Translator.NO_SUBSTREAM;
    private static final long IOVA = 0x5000;
    private static final int PRIQ_BASE = 0xc0;
    private static final int PRIQ_PROD = 0x100c8;
    private static final int PRIQ_CONS = 0x100cc;
    private static final int PRIQ_IRQ_CFG2 = 0xdc;
    private static final int LOG2_QUEUE = 2;
    private static final int OVERFLOW = 1 << 31;
    private static final int PRI_RESP = 0x41;
    private static final long PPAR = 1L << 18;

    /** What an endpoint heard. */
    private record Heard(int substreamId, int group, Response response) {}

    private final List<Heard> heard = new ArrayList<>();
    private TestBoard board = open(SmmuFeatures.smmuv3_2());
    private long queue;

    private TestBoard open(SmmuFeatures features) {
        TestBoard made = new TestBoard(features).enabled();
        queue = made.allocate(16 << LOG2_QUEUE);
        made.write64(PRIQ_BASE, queue | LOG2_QUEUE);
        made.handshake(TestBoard.IRQ_CTRL, 0x7);
        made.handshake(TestBoard.CR0, 0xf);
        made.smmu.ats().connect(DEVICE, new TranslationService.Endpoint() {
            @Override
            public BooleanSupplier invalidate(int substreamId, boolean global, long address, int log2Size) {
                return () -> true;
            }

            @Override
            public void respond(int substreamId, int group, Response response) {
                heard.add(new Heard(substreamId, group, response));
            }
        });
        return made;
    }

    private void send(int substreamId, int group, boolean last) {
        board.smmu.ats().request(DEVICE, new PageRequest(substreamId, IOVA, group, true, true, false, false, last));
    }

    private int priInterrupts() {
        int[] count = new int[1];
        board.interrupts.request(TestBoard.PRIQ_IRQ, () -> count[0]++);
        board.interrupts.dispatch();
        return count[0];
    }

    @Test
    void requestIsWrittenToTheQueue() {
        board.smmu.ats().request(DEVICE, new PageRequest(0x12345 & 0xffff, IOVA, 0x1ff, true, false, true, true, true));
        assertEquals(1, board.read(PRIQ_PROD));
        long word0 = board.memory.read64(queue);
        assertEquals(DEVICE, (int) word0);
        assertEquals(0x2345, (int) (word0 >>> 32) & 0xf_ffff, "SubstreamID");
        assertEquals(0b110111, word0 >>> 58, "SSV, Last, W, R, X, Priv");
        assertEquals(IOVA | 0x1ff, board.memory.read64(queue + 8));
        assertTrue(heard.isEmpty(), "software answers");
    }

    @Test
    void withoutAPasidThereIsNoPrivilege() {
        board.smmu.ats().request(DEVICE, new PageRequest(NO_PASID, IOVA, 1, true, true, true, true, false));
        assertEquals(0b001100, board.memory.read64(queue) >>> 58);
    }

    @Test
    void responseReachesTheEndpoint() {
        send(NO_PASID, 5, true);
        board.command(PRI_RESP | (long) DEVICE << 32, 5 | 2L << 12);
        board.command(PRI_RESP | 1 << 11 | 3L << 12 | (long) DEVICE << 32, 6 | 1L << 12);
        board.command(PRI_RESP | (long) DEVICE << 32, 7);
        board.sync();
        assertEquals(
                List.of(
                        new Heard(NO_PASID, 5, Response.SUCCESS),
                        new Heard(3, 6, Response.INVALID_REQUEST),
                        new Heard(NO_PASID, 7, Response.RESPONSE_FAILURE)),
                heard);
    }

    @Test
    void interruptWhenTheQueueIsNoLongerEmpty() {
        send(NO_PASID, 1, false);
        send(NO_PASID, 1, true);
        assertEquals(1, priInterrupts());
    }

    @Test
    void lastOnlyInterruptsForTheEndOfAGroup() {
        board.handshake(TestBoard.IRQ_CTRL, 0x5);
        board.write(PRIQ_IRQ_CFG2, 1 << 31);
        board.handshake(TestBoard.IRQ_CTRL, 0x7);
        send(NO_PASID, 1, false);
        assertEquals(0, priInterrupts());
        send(NO_PASID, 1, true);
        assertEquals(1, priInterrupts());
    }

    private void fill() {
        for (int i = 0; i < 1 << LOG2_QUEUE; i++) {
            send(NO_PASID, i, false);
        }
    }

    @Test
    void overflowAnswersTheLastOfAGroupItself() {
        fill();
        assertEquals(4, board.read(PRIQ_PROD));
        send(NO_PASID, 20, false);
        assertEquals(4 | OVERFLOW, board.read(PRIQ_PROD));
        assertTrue(heard.isEmpty(), "silently ignored");
        send(NO_PASID, 21, true);
        assertEquals(List.of(new Heard(NO_PASID, 21, Response.SUCCESS)), heard);
        board.write(PRIQ_CONS, 2);
        send(NO_PASID, 22, true);
        assertEquals(4 | OVERFLOW, board.read(PRIQ_PROD), "nothing is written until software acknowledges");
        board.write(PRIQ_CONS, 2 | OVERFLOW);
        send(NO_PASID, 23, true);
        assertEquals(5 | OVERFLOW, board.read(PRIQ_PROD));
    }

    @Test
    void stopMarkerIsDiscardedWithoutAResponse() {
        fill();
        board.smmu.ats().request(DEVICE, new PageRequest(3, 0, 0, false, false, false, false, true));
        assertEquals(4 | OVERFLOW, board.read(PRIQ_PROD));
        assertTrue(heard.isEmpty());
    }

    @Test
    void automaticResponseHasThePasidIfTheStreamWantsIt() {
        fill();
        board.stream(DEVICE, 1 | 4 << 1, PPAR, 0, 0);
        send(3, 1, true);
        board.stream(DEVICE, 1 | 4 << 1, 0, 0, 0);
        send(3, 2, true);
        board.stream(DEVICE, 0, 0, 0, 0);
        send(3, 3, true);
        assertEquals(
                List.of(
                        new Heard(3, 1, Response.SUCCESS),
                        new Heard(NO_PASID, 2, Response.SUCCESS),
                        new Heard(NO_PASID, 3, Response.RESPONSE_FAILURE)),
                heard);
        assertTrue(board.events().isEmpty(), "REC_CFG_ATS is not there");
    }

    @Test
    void ppsAlwaysGivesThePasid() {
        board = open(SmmuFeatures.builder().with(SmmuFeature.PPS).build());
        fill();
        send(3, 1, true);
        assertEquals(List.of(new Heard(3, 1, Response.SUCCESS)), heard);
    }

    @Test
    void disabledQueueFailsAllRequests() {
        board.handshake(TestBoard.CR0, 0xd);
        send(3, 1, false);
        send(3, 1, true);
        assertEquals(
                List.of(
                        new Heard(NO_PASID, 1, Response.RESPONSE_FAILURE),
                        new Heard(NO_PASID, 1, Response.RESPONSE_FAILURE)),
                heard);
        board.handshake(TestBoard.CR0, 0xe);
        send(3, 2, true);
        assertEquals(3, heard.size(), "SMMUEN == 0 disables it, too");
        assertEquals(0, board.read(PRIQ_PROD));
    }

    @Test
    void queueInNoMemoryIsAGlobalError() {
        board.handshake(TestBoard.CR0, 0xd);
        board.write64(PRIQ_BASE, 0x1000 | LOG2_QUEUE);
        board.handshake(TestBoard.CR0, 0xf);
        send(NO_PASID, 1, false);
        assertEquals(1 << 3, board.read(TestBoard.GERROR), "PRIQ_ABT_ERR");
        assertEquals(List.of(new Heard(NO_PASID, 1, Response.RESPONSE_FAILURE)), heard);
        board.handshake(TestBoard.CR0, 0xd);
        board.write64(PRIQ_BASE, queue | LOG2_QUEUE);
        board.handshake(TestBoard.CR0, 0xf);
        send(NO_PASID, 2, true);
        assertEquals(2, heard.size(), "until it is acknowledged");
        board.write(TestBoard.GERRORN, 1 << 3);
        send(NO_PASID, 3, true);
        assertEquals(1, board.read(PRIQ_PROD));
    }

    @Test
    void registersAreGuardedByPriqen() {
        board.write64(PRIQ_BASE, 0);
        assertEquals((int) queue | LOG2_QUEUE, board.read(PRIQ_BASE));
        board.write(PRIQ_PROD, 3);
        assertEquals(0, board.read(PRIQ_PROD));
    }

    // With an endpoint that has a cache

    @Test
    void endpointAsksForAPageAndGoesOnWhenItIsThere() {
        TableWriter table = board.stage1Table();
        long[] ste = TestBoard.stage1(0, board.newCd(5, table.root()));
        ste[1] = 1 << 28;
        board.stream(DEVICE, ste);
        AtsPort port = new AtsPort(board.bus, board.smmu, board.smmu.ats(), DEVICE, NO_PASID, 0);
        port.enable(true, true);
        assertEquals(AtsPort.Outcome.PAGE_REQUESTED, port.write(IOVA + 8, new byte[] {42}, 0, 1));
        assertTrue(port.isWaiting());
        assertEquals(0b011000, board.memory.read64(queue) >>> 58, "Last, W");

        long frame = board.allocate(0x1000);
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        long group = board.memory.read64(queue + 8) & 0x1ff;
        board.write(PRIQ_CONS, 1);
        board.command(PRI_RESP | (long) DEVICE << 32, group | 2L << 12);
        board.sync();
        assertFalse(port.isWaiting());
        assertEquals(AtsPort.Outcome.OK, port.write(IOVA + 8, new byte[] {42}, 0, 1));
        assertEquals(42, board.memory.read32(frame + 8));
    }

    @Test
    void refusedPageIsDenied() {
        TableWriter table = board.stage1Table();
        long[] ste = TestBoard.stage1(0, board.newCd(5, table.root()));
        ste[1] = 1 << 28;
        board.stream(DEVICE, ste);
        AtsPort port = new AtsPort(board.bus, board.smmu, board.smmu.ats(), DEVICE, NO_PASID, 0);
        port.enable(true, true);
        assertEquals(AtsPort.Outcome.PAGE_REQUESTED, port.read(IOVA, new byte[1], 0, 1));
        board.command(PRI_RESP | (long) DEVICE << 32, 0 | 1L << 12);
        assertEquals(AtsPort.Outcome.DENIED, port.read(IOVA, new byte[1], 0, 1));
        assertEquals(
                AtsPort.Outcome.PAGE_REQUESTED, port.read(IOVA, new byte[1], 0, 1), "another attempt may ask again");
        board.command(PRI_RESP | (long) DEVICE << 32, 1);
        assertEquals(AtsPort.Outcome.DENIED, port.read(IOVA, new byte[1], 0, 1));
        assertEquals(AtsPort.Outcome.DENIED, port.read(IOVA, new byte[1], 0, 1), "after a failure it asks no more");
    }
}
