package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.EVENTQ_CONS;
import static org.iommuemu.smmuv3.TestBoard.EVENTQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.GERRORN;
import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import org.awaitility.Awaitility;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** The Stall model (IHI 0070, 3.12.2, 4.7.1, 4.7.2, 5.5 and 7.2.1), as a driver and a master see it. */
@ParameterizedClass
@EnumSource(TestTiming.class)
@Timeout(60)
class StallTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final int F_TRANSLATION = 0x10;
    private static final long STALL = 1L << 31;
    private static final int QUEUE = 1 << TestBoard.LOG2_QUEUE;

    private final TestTiming timing;
    private TestBoard board;
    private TableWriter table;
    private long page;

    StallTest(TestTiming timing) {
        this.timing = timing;
        start(SmmuFeatures.builder());
    }

    /** A board with a stream whose stage 1 faults stall. */
    private void start(SmmuFeatures.Builder features) {
        if (board != null) {
            board.close();
        }
        board = new TestBoard(features.build(), timing).enabled();
        table = board.stage1Table();
        page = board.allocate(4096);
        board.stream(DEVICE, TestBoard.stage1(0, stallingCd()));
    }

    private long stallingCd() {
        long[] cd = TestBoard.cd(5, table.root());
        cd[0] |= 1L << 44; // S
        long address = board.allocate(64);
        board.writeWords(address, cd);
        return address;
    }

    @AfterEach
    void powerOff() {
        board.close();
    }

    private void map() {
        table.map(IOVA, page, 4096, STAGE1_RW);
    }

    private void resume(long streamId, int stag, boolean retry, boolean abort) {
        board.command(0x44 | (retry ? 1 << 12 : 0) | (abort ? 1 << 13 : 0) | streamId << 32, stag);
    }

    /** The STAG of the only event, which tells of a stall of the device. */
    private int stag() {
        long[] event = board.event();
        assertEquals(F_TRANSLATION | (long) DEVICE << 32, event[0]);
        assertEquals(STALL, event[1] & STALL);
        return (int) event[1] & 0xffff;
    }

    // Retry and terminate

    @Test
    void aPageFaultIsServedWhileTheAccessWaits() {
        DmaPort port = board.port(DEVICE);
        byte[] bytes = {1, 2, 3, 4};
        assertEquals(Response.STALLED, port.write(IOVA + 8, bytes, 0, 4));
        long[] event = board.event();
        assertEquals(F_TRANSLATION | (long) DEVICE << 32, event[0]);
        assertEquals(STALL | 2L << 40 | (event[1] & 0xffff), event[1], "Stall, class IN, a write");
        assertEquals(IOVA + 8, event[2]);
        assertEquals(Response.STALLED, port.resume(), "not answered");
        map();
        resume(DEVICE, (int) event[1] & 0xffff, true, false);
        assertEquals(Response.OK, port.resume());
        assertEquals(0x04030201, board.bus.read32(page + 8));
        assertEquals(0, board.events().size());
        assertEquals(List.of(), board.misuses);
    }

    @Test
    void aRetryThatFaultsAgainIsANewStall() {
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        int first = stag();
        resume(DEVICE, first, true, false);
        assertEquals(Response.STALLED, port.resume());
        int second = stag();
        assertNotEquals(first, second);
        resume(DEVICE, second, false, true);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void softwareTerminatesWithAnAbortOrWithout() {
        DmaPort port = board.port(DEVICE);
        byte[] bytes = {1, 2, 3, 4};
        assertEquals(Response.STALLED, port.read(IOVA, bytes, 0, 4));
        resume(DEVICE, stag(), false, false);
        assertEquals(Response.RAZ_WI, port.resume());
        assertEquals(0, bytes[0]);
        assertEquals(Response.STALLED, port.read(IOVA, bytes, 0, 4));
        resume(DEVICE, stag(), false, true);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void whereAccessesAlwaysAbortTheAbortParameterIsIgnored() {
        start(SmmuFeatures.builder().with(SmmuFeature.TERM_MODEL));
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        resume(DEVICE, stag(), false, false);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void anotherStreamOrStagDoesNotAnswer() {
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        int stag = stag();
        resume(DEVICE + 1, stag, false, true);
        resume(DEVICE, stag + 1, false, true);
        assertEquals(Response.STALLED, port.resume());
        assertEquals(2, board.misuses.size());
        resume(DEVICE, stag, false, true);
        assertEquals(Response.ABORT, port.resume());
        resume(DEVICE, stag, false, true);
        assertEquals(3, board.misuses.size(), "answered already");
        assertEquals(0, board.read(TestBoard.GERROR), "without effect, but no error");
    }

    @Test
    void aRetryThatMeetsATerminatingConfigurationTerminates() {
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        int stag = stag();
        board.stream(DEVICE, TestBoard.stage1(0, board.newCd(5, table.root())));
        resume(DEVICE, stag, true, false);
        assertEquals(Response.ABORT, port.resume());
        assertEquals(0, board.event()[1] & STALL);
    }

    @Test
    void laterAccessesOfTheStreamOvertakeTheStalledOne() {
        table.map(IOVA + 4096, page, 4096, STAGE1_RW);
        assertEquals(Response.STALLED, board.port(DEVICE).read(IOVA, new byte[4], 0, 4));
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA + 4096));
    }

    @Test
    void stage2FaultsStallWithoutStage1Saying() {
        TableWriter p2m = board.stage2Table();
        long[] ste = TestBoard.stage2(3, p2m);
        ste[2] |= 1L << 57; // S2S
        board.stream(DEVICE, ste);
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(page, new byte[4], 0, 4));
        long[] event = board.event();
        assertTrue(TestBoard.isStage2(event));
        p2m.map(page, page, 4096, Descriptor.STAGE2_RAM);
        resume(DEVICE, (int) event[1] & 0xffff, true, false);
        assertEquals(Response.OK, port.resume());
    }

    @Test
    void aStage2FaultOfACdFetchStalls() {
        TableWriter p2m = board.stage2Table();
        long cd = stallingCd();
        long[] ste = TestBoard.nested(3, cd, p2m);
        ste[2] |= 1L << 57; // S2S
        board.stream(DEVICE, ste);
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        long[] event = board.event();
        assertEquals(0, TestBoard.faultClass(event), "CD");
        p2m.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        map();
        resume(DEVICE, (int) event[1] & 0xffff, true, false);
        assertEquals(Response.OK, port.resume());
    }

    // All at once

    @Test
    void stallTermAbortsAllOfAStreamAndNoOther() {
        board.stream(DEVICE + 1, TestBoard.stage1(0, stallingCd()));
        DmaPort[] ports = {board.port(DEVICE), board.port(DEVICE), board.port(DEVICE + 1)};
        for (DmaPort port : ports) {
            assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        }
        board.stream(DEVICE, 0x1);
        board.command(0x45 | (long) DEVICE << 32, 0);
        assertEquals(Response.ABORT, ports[0].resume());
        assertEquals(Response.ABORT, ports[1].resume());
        assertEquals(Response.STALLED, ports[2].resume());
    }

    @Test
    void stallTermTerminatesWhatWasToBeTriedAgain() {
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        resume(DEVICE, stag(), true, false);
        map();
        board.command(0x45 | (long) DEVICE << 32, 0);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void clearingSmmuenAbortsAllAndFreesStags() {
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        int stag = stag();
        board.handshake(CR0, 0xc);
        assertEquals(Response.ABORT, port.resume());
        board.handshake(CR0, 0xd);
        resume(DEVICE, stag, true, false);
        assertEquals(1, board.misuses.size(), "the STAG names nothing any more");
    }

    // The Event queue

    private void fillEventQueue() {
        for (int i = 0; i < QUEUE; i++) {
            board.dmaRead(DEVICE + 1, 0); // C_BAD_STE
        }
    }

    @Test
    void aStallIsNotLostIfTheQueueIsFullNorDoesItOverflow() {
        fillEventQueue();
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        assertEquals(QUEUE, board.read(EVENTQ_PROD), "full, no overflow");
        board.write(EVENTQ_CONS, 1);
        assertEquals(QUEUE + 1, board.read(EVENTQ_PROD), "recorded as soon as there is room");
        List<long[]> events = board.events();
        long[] last = events.get(events.size() - 1);
        assertEquals(F_TRANSLATION, TestBoard.type(last));
        resume(DEVICE, (int) last[1] & 0xffff, false, true);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void aStallThatCouldNotBeRecordedIsTriedAgainAndMaySucceed() {
        fillEventQueue();
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.write(IOVA, new byte[] {7}, 0, 1));
        map();
        board.sync();
        board.events();
        assertEquals(0, board.events().size(), "nothing to record: the page is there");
        assertEquals(Response.OK, port.resume());
        assertEquals(7, board.memory.read8(page));
    }

    @Test
    void aStallThatCouldNotBeRecordedMayTerminateUnderANewConfiguration() {
        fillEventQueue();
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        board.stream(DEVICE, 0x0);
        board.events();
        assertEquals(0x04 | (long) DEVICE << 32, board.event()[0], "C_BAD_STE");
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void stallsAreRecordedWhenTheQueueIsEnabledAndItsAbortAcknowledged() {
        board.handshake(CR0, 0x9);
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        board.write64(TestBoard.EVENTQ_BASE, 0x1000 | TestBoard.LOG2_QUEUE);
        board.handshake(CR0, 0xd);
        assertEquals(1 << 2, board.read(TestBoard.GERROR), "EVENTQ_ABT_ERR");
        board.handshake(CR0, 0x9);
        board.write64(TestBoard.EVENTQ_BASE, board.eventQueue | TestBoard.LOG2_QUEUE);
        board.handshake(CR0, 0xd);
        assertEquals(0, board.read(EVENTQ_PROD));
        board.write(GERRORN, 1 << 2);
        resume(DEVICE, stag(), false, true);
        assertEquals(Response.ABORT, port.resume());
    }

    // The buffer

    @Test
    void beyondTheBufferAccessesWaitAtTheIngressWithoutAnEvent() {
        start(SmmuFeatures.builder().stallMax(2));
        DmaPort[] ports = {board.port(DEVICE), board.port(DEVICE), board.port(DEVICE)};
        for (DmaPort port : ports) {
            assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        }
        List<long[]> events = board.events();
        assertEquals(2, events.size());
        assertEquals(Response.STALLED, ports[2].resume());
        table.map(IOVA + 4096, page, 4096, STAGE1_RW);
        assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA + 4096), "what does not fault passes");
        resume(DEVICE, (int) events.get(0)[1] & 0xffff, false, true);
        assertEquals(Response.ABORT, ports[0].resume());
        assertEquals(Response.STALLED, ports[2].resume());
        resume(DEVICE, stag(), false, true);
        assertEquals(Response.ABORT, ports[2].resume());
    }

    @Test
    void stagsAreNotUsedAgainBeforeTheyAreAnswered() {
        start(SmmuFeatures.builder().stallMax(4));
        for (int i = 0; i < 100; i++) {
            DmaPort port = board.port(DEVICE);
            assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
            assertEquals(i, stag());
            resume(DEVICE, i, false, true);
            assertEquals(Response.ABORT, port.resume());
        }
    }

    // Duplicates

    @Test
    void aDuplicateHasNoEventAndIsTriedAgainWhenTheFirstIsAnswered() {
        start(SmmuFeatures.builder().with(SmmuOption.SUPPRESSES_DUPLICATE_STALLS));
        DmaPort[] ports = {board.port(DEVICE), board.port(DEVICE), board.port(DEVICE), board.port(DEVICE)};
        assertEquals(Response.STALLED, ports[0].read(IOVA, new byte[4], 0, 4));
        assertEquals(Response.STALLED, ports[1].read(IOVA + 8, new byte[4], 0, 4));
        int first = stag();
        assertEquals(Response.STALLED, ports[2].write(IOVA, new byte[4], 0, 4));
        int write = stag();
        assertEquals(Response.STALLED, ports[3].read(IOVA + 4096, new byte[4], 0, 4));
        int page = stag();
        assertEquals(Response.STALLED, ports[1].resume());
        resume(DEVICE, first, false, true);
        assertEquals(Response.ABORT, ports[0].resume());
        assertEquals(Response.STALLED, ports[1].resume(), "tried again, and told now");
        resume(DEVICE, stag(), false, true);
        assertEquals(Response.ABORT, ports[1].resume());
        resume(DEVICE, write, false, true);
        resume(DEVICE, page, false, true);
        assertEquals(List.of(), board.misuses);
    }

    @Test
    void stallTermAbortsDuplicatesToo() {
        start(SmmuFeatures.builder().with(SmmuOption.SUPPRESSES_DUPLICATE_STALLS));
        DmaPort[] ports = {board.port(DEVICE), board.port(DEVICE)};
        for (DmaPort port : ports) {
            assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        }
        map();
        board.command(0x45 | (long) DEVICE << 32, 0);
        for (DmaPort port : ports) {
            assertEquals(Response.ABORT, port.resume());
        }
    }

    // Early retry

    @Test
    void anEarlyRetryMaySucceedButTheStagStaysTaken() {
        start(SmmuFeatures.builder().stallMax(1).with(SmmuOption.EARLY_RETRY));
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        assertEquals(Response.STALLED, port.resume());
        int stag = stag();
        map();
        assertEquals(Response.OK, port.resume());
        DmaPort next = board.port(DEVICE);
        assertEquals(Response.STALLED, next.read(IOVA + 4096, new byte[4], 0, 4));
        assertEquals(0, board.events().size(), "no STAG is free");
        resume(DEVICE, stag, true, false);
        assertEquals(List.of(), board.misuses);
        board.write(EVENTQ_CONS, board.read(EVENTQ_CONS));
        assertEquals(1, board.events().size());
    }

    @Test
    void anEarlyRetryThatTerminatesLeavesNoSecondEvent() {
        start(SmmuFeatures.builder().with(SmmuOption.EARLY_RETRY));
        DmaPort port = board.port(DEVICE);
        assertEquals(Response.STALLED, port.read(IOVA, new byte[4], 0, 4));
        stag();
        board.stream(DEVICE, TestBoard.stage1(0, board.newCd(5, table.root())));
        assertEquals(Response.ABORT, port.resume());
        assertEquals(0, board.events().size());
    }

    // Synchronisation

    @Test
    void aStalledAccessBlocksNeitherInvalidationsNorCmdSync() throws InterruptedException {
        DmaPort port = board.port(DEVICE);
        port.waitsWhenStalled(true);
        Response[] response = new Response[1];
        Thread master = new Thread(() -> response[0] = port.write(IOVA, new byte[] {9}, 0, 1));
        master.start();
        Awaitility.await().pollDelay(Duration.ZERO).until(() -> board.read(EVENTQ_PROD) != 0);
        board.command(0x30, 0); // CMD_TLBI_NSNH_ALL
        board.sync();
        assertTrue(master.isAlive());
        map();
        resume(DEVICE, stag(), true, false);
        master.join();
        assertEquals(Response.OK, response[0]);
        assertEquals(9, board.memory.read8(page));
    }

    // Where there is no Stall model

    @Test
    void withoutTheStallModelItsCommandsAreIllegal() {
        start(SmmuFeatures.builder());
        board.close();
        board = new TestBoard(
                        SmmuFeatures.builder()
                                .stallModel(SmmuFeatures.StallModel.TERMINATE)
                                .build(),
                        timing)
                .enabled();
        int prod = board.read(TestBoard.CMDQ_PROD);
        board.command(0x44, 0);
        assertEquals(1 << 24 | prod, board.read(TestBoard.CMDQ_CONS), "CERROR_ILL");
        board.writeWords(board.commandQueue + 16L * (prod & QUEUE - 1), 0x45, 0);
        board.write(GERRORN, 1);
        board.settle();
        assertEquals(1 << 24 | prod, board.read(TestBoard.CMDQ_CONS), "CERROR_ILL");
        assertFalse(board.misuses.isEmpty());
    }

    @Test
    void aSpeculativeAccessDoesNotStall() {
        board.command(0x02 | (long) DEVICE << 32, IOVA); // CMD_PREFETCH_ADDR
        board.sync();
        assertEquals(0, board.events().size());
    }
}
