package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CMDQ_CONS;
import static org.iommuemu.smmuv3.TestBoard.CMDQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.CR0ACK;
import static org.iommuemu.smmuv3.TestBoard.GBPA;
import static org.iommuemu.smmuv3.TestBoard.SMMU;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.awaitility.Awaitility;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Latency;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** When the SMMU does what it is asked for: at once, after a while, on its own thread. */
@Timeout(60)
class TimingTest {
    private final AtomicLong clock = new AtomicLong();

    private TestBoard board(Timing timing) {
        return new TestBoard(SmmuFeatures.smmuv3_2(), timing);
    }

    private static void eventually(java.util.concurrent.Callable<Boolean> condition) {
        Awaitility.await()
                .dontCatchUncaughtExceptions()
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(1))
                .until(condition);
    }

    @Test
    void handshakesTakeTheTimeThatTheClockTells() {
        try (TestBoard board = board(Timing.IMMEDIATE.handshakes(Latency.nanoseconds(100, clock::get)))) {
            board.write(CR0, 0x8);
            board.write(GBPA, 1L << 31 | 1 << 20);
            clock.set(99);
            assertEquals(0, board.read(CR0ACK));
            assertEquals(0x8010_0000, board.read(GBPA));
            clock.set(100);
            assertEquals(0x8, board.read(CR0ACK));
            assertEquals(0x0010_0000, board.read(GBPA));
        }
    }

    @Test
    void aGuardedRegisterIsWritableAsSoonAsItIsTimeThoughNobodyPolled() {
        try (TestBoard board = board(Timing.IMMEDIATE.handshakes(Latency.nanoseconds(100, clock::get)))) {
            board.write(CR0, 0x8);
            clock.set(100);
            board.write(CR0, 0x0);
            board.write64(TestBoard.CMDQ_BASE, TestBoard.RAM);
            assertEquals(1, board.misuses.size(), "CMDQEN is not acknowledged to be 0");
            clock.set(200);
            board.write64(TestBoard.CMDQ_BASE, TestBoard.RAM);
            assertEquals(TestBoard.RAM, board.bus.read64(SMMU + TestBoard.CMDQ_BASE));
        }
    }

    @Test
    void aFieldThatIsBeingUpdatedIsNotChangedAgain() {
        try (TestBoard board = board(Timing.IMMEDIATE.handshakes(Latency.reads(2)))) {
            board.write(CR0, 0x8);
            board.write(CR0, 0x4);
            assertEquals(0xc, board.read(CR0), "CMDQEN keeps its first value, EVENTQEN is another field");
            assertEquals(1, board.misuses.size());
            assertTrue(board.misuses.get(0).contains("SMMU_CR0 ignored: an Update of CMDQEN"), board.misuses.get(0));
            eventually(() -> board.read(CR0ACK) == 0xc);
            board.handshake(CR0, 0x4);
            assertEquals(0x4, board.read(CR0));

            board.write(TestBoard.IRQ_CTRL, 0x1);
            board.write(TestBoard.IRQ_CTRL, 0x4);
            assertEquals(0x5, board.read(TestBoard.IRQ_CTRL));
        }
    }

    @Test
    void aSyncTakesAsManyReadsAsTold() {
        try (TestBoard board =
                board(Timing.IMMEDIATE.synchronisation(Latency.reads(3))).enabled()) {
            int at = board.read(CMDQ_PROD);
            board.submit(0x30, 0);
            board.submit(0x46 | 1 << 12, 0);
            board.submit(0x30, 0);
            for (int i = 0; i < 3; i++) {
                assertEquals(at + 1, board.read(CMDQ_CONS));
                assertEquals(false, board.interrupts.isPending(TestBoard.SYNC_IRQ) && i < 2);
            }
            assertEquals(at + 3, board.read(CMDQ_CONS), "what is behind it waits, too");
            assertTrue(board.interrupts.isPending(TestBoard.SYNC_IRQ));
        }
    }

    @Test
    void aSyncOnSoftwaresThreadTakesTimeThatPassesWhenSoftwareLooks() {
        Timing timing = Timing.IMMEDIATE.synchronisation(Latency.nanoseconds(50, clock::get));
        try (TestBoard board = board(timing)) {
            board.write64(TestBoard.CMDQ_BASE, board.commandQueue | TestBoard.LOG2_QUEUE);
            board.handshake(CR0, 0x8);
            board.submit(0x46, 0);
            assertEquals(0, board.read(CMDQ_CONS));
            clock.set(50);
            assertEquals(1, board.read(CMDQ_CONS));
        }
    }

    @Test
    void aSyncOnTheUnitsThreadCompletesThoughSoftwareOnlyLooksAtMemory() {
        Timing timing = Timing.IMMEDIATE.onUnitThread().synchronisation(Latency.nanoseconds(50, clock::get));
        try (TestBoard board = board(timing)) {
            board.write64(TestBoard.CMDQ_BASE, board.commandQueue | TestBoard.LOG2_QUEUE);
            board.handshake(CR0, 0x8);
            long word = board.allocate(4096);
            board.submit(0x46 | 1 << 12 | 0xabcdL << 32, word);
            assertEquals(0, board.bus.read32(word));
            eventually(() -> clock.addAndGet(10) > 0 && board.bus.read32(word) == 0xabcd);
        }
    }

    /** The queue is disabled when the command in progress is consumed, not before (6.3.9.3). */
    @Test
    void disablingTheQueueIsAcknowledgedWhenTheCommandInProgressIsConsumed() throws InterruptedException {
        try (TestBoard board = board(Timing.IMMEDIATE.onUnitThread()).enabled()) {
            CountDownLatch open = new CountDownLatch(1);
            CountDownLatch end = new CountDownLatch(1);
            DmaPort port = board.port(0);
            Thread master = new Thread(() -> {
                port.beginBurst();
                open.countDown();
                try {
                    end.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                port.endBurst();
            });
            master.start();
            open.await();
            int at = board.read(CMDQ_PROD);
            board.submit(0x30, 0);
            board.submit(0x46, 0);
            eventually(() -> board.read(CMDQ_CONS) == at + 1);
            board.submit(0x46, 0);
            Thread.sleep(5); // For the CMD_SYNC to be in progress; if it is not yet, it will not be.
            board.write(CR0, 0x5);
            int acknowledged = board.read(CR0ACK);
            int cons = board.read(CMDQ_CONS);
            assertEquals(at + 1, cons, "the burst is open");
            end.countDown();
            master.join();
            eventually(() -> board.read(CR0ACK) == 0x5);
            int expected = acknowledged == 0xd ? at + 2 : at + 1;
            assertEquals(expected, board.read(CMDQ_CONS), "all of the command in progress, and no other");
        }
    }

    @Test
    void theUnitsThreadEndsWithTheUnit() {
        Set<Thread> others = Thread.getAllStackTraces().keySet();
        TestBoard board = board(Timing.IMMEDIATE.onUnitThread()).enabled();
        Thread unit = Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("smmu commands") && !others.contains(thread))
                .findAny()
                .orElseThrow();
        assertTrue(unit.isDaemon());
        board.close();
        eventually(() -> !unit.isAlive());
    }

    @Test
    void aFaultInTheUnitsThreadDoesNotGoUnseen() throws InterruptedException {
        Thread.UncaughtExceptionHandler before = Thread.getDefaultUncaughtExceptionHandler();
        AtomicReference<Throwable> uncaught = new AtomicReference<>();
        Thread.setDefaultUncaughtExceptionHandler((thread, failure) -> uncaught.set(failure));
        try {
            RuntimeException bug = new RuntimeException("a listener that throws");
            TestBoard board = board(Timing.IMMEDIATE.onUnitThread()).enabled();
            board.onMisuse = what -> {
                throw bug;
            };
            board.submit(0xff, 0);
            eventually(() -> uncaught.get() != null);
            assertSame(bug, uncaught.get());
            IllegalStateException seen = assertThrows(IllegalStateException.class, () -> board.read(CMDQ_CONS));
            assertSame(bug, seen.getCause());
            assertThrows(IllegalStateException.class, () -> board.submit(0x46, 0));
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before);
        }
    }
}
