package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.GERROR;
import static org.iommuemu.smmuv3.TestBoard.GERRORN;
import static org.iommuemu.smmuv3.TestBoard.RAM;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import org.awaitility.Awaitility;
import org.iommuemu.mmio.DmaPort.Response;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Enhanced Command queues (IHI 0070, 3.5.6, 6.2.5, 6.3.107 to 6.3.109). */
@ParameterizedClass
@EnumSource(TestTiming.class)
@Timeout(60)
class EcmdqTest {
    private static final int DEVICE = 8;
    private static final int LOG2_QUEUE = 3;
    private static final int EN = 1 << 31;
    private static final int ERR = 1 << 23;
    private static final int CMDQP_ERR = 1 << 9;

    private final TestBoard board;
    private final int page;

    /** Two pages of four queues each, behind the page of VATOS. */
    EcmdqTest(TestTiming timing) {
        SmmuFeatures features =
                SmmuFeatures.smmuv3_3().toBuilder().commandQueuePages(1, 2).build();
        board = new TestBoard(features, timing).enabled();
        page = (int) (board.bus.read64(TestBoard.SMMU + 0x4000) & 0xffff_ffff_0000L);
    }

    @AfterEach
    void powerOff() {
        board.close();
    }

    /** A queue as its driver sees it. */
    private final class Driver {
        final int registers;
        final long base = board.allocate(4096);
        int wr;
        int errack;

        Driver(int pageNumber, int queue) {
            registers = page + 0x10000 * pageNumber + 0x4000 * queue;
            board.write64(registers, base | LOG2_QUEUE);
            board.write(registers + 8, 0);
            board.write(registers + 12, 0);
        }

        int cons() {
            return board.read(registers + 12);
        }

        boolean enable(boolean on) {
            board.write(registers + 8, (on ? EN : 0) | errack | wr);
            for (int i = 0; i < 100; i++) {
                if (cons() < 0 == on) {
                    return true;
                }
            }
            return false;
        }

        void submit(long word0, long word1) {
            long at = base + 16L * (wr & (1 << LOG2_QUEUE) - 1);
            board.bus.write64(at, word0);
            board.bus.write64(at + 8, word1);
            wr = wr + 1 & (2 << LOG2_QUEUE) - 1;
            board.write(registers + 8, EN | errack | wr);
        }

        void command(long word0, long word1) {
            submit(word0, word1);
            settle();
        }

        void settle() {
            Awaitility.await()
                    .pollDelay(Duration.ZERO)
                    .pollInterval(Duration.ofMillis(1))
                    .until(() -> (cons() & 0xfffff) == wr || (cons() & ERR) != errack);
        }

        void acknowledge() {
            errack ^= ERR;
            board.write(registers + 8, EN | errack | wr);
        }
    }

    @Test
    void softwareFindsThePagesAndTheirQueues() {
        assertTrue(board.read(0x4) < 0, "IDR1.ECMDQ");
        assertEquals(1 << 24 | 2 << 16, board.read(0x190) & (0xf << 24 | 0xf << 16), "IDR6: 2^1 pages of 2^2 queues");
        assertEquals(0x30000, page, "behind the page of VATOS");
        assertEquals(page + 0x10000, board.bus.read64(TestBoard.SMMU + 0x4020) & 0xffff_ffff_0000L);
        assertEquals(1, board.read(0x4008), "EN");
        assertEquals(1, board.read(0x400c), "ENACK");
    }

    @Test
    void commandsOfEachQueueTakeEffectWithoutTheCommandQueue() {
        board.stream(DEVICE, 0x1 | 4 << 1);
        board.handshake(CR0, 0x5);
        for (int pageNumber = 0; pageNumber < 2; pageNumber++) {
            for (int queue = 0; queue < 4; queue++) {
                board.writeWords(board.streamTable + 64 * DEVICE, 0x1 | 4 << 1);
                Driver driver = new Driver(pageNumber, queue);
                assertTrue(driver.enable(true));
                driver.command(0x04, 31);
                driver.command(0x46, 0);
                assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
                board.writeWords(board.streamTable + 64 * DEVICE, 0x1);
                driver.command(0x03 | (long) DEVICE << 32, 1);
                driver.command(0x46, 0);
                assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
                assertTrue(driver.enable(false));
            }
        }
    }

    @Test
    void aQueueIsConfiguredOnlyWhileItIsDisabled() {
        Driver driver = new Driver(0, 1);
        driver.enable(true);
        board.write64(driver.registers, 0);
        board.write(driver.registers + 12, 5);
        assertEquals(driver.base | LOG2_QUEUE, board.bus.read64(TestBoard.SMMU + driver.registers));
        assertEquals(EN, driver.cons());
        assertEquals(2, board.misuses.size());
        board.handshake(CR0, 0x0);
        int cr1 = board.read(0x28);
        board.write(0x28, cr1 ^ 0x3f);
        assertEquals(cr1, board.read(0x28), "SMMU_CR1.QUEUE_* is guarded by it, too");
        driver.enable(false);
        board.write(0x28, cr1 ^ 0x3f);
        assertEquals(cr1 ^ 0x3f, board.read(0x28));
    }

    @Test
    void anErrorStopsItsQueueOnlyUntilItIsAcknowledgedThere() {
        Driver bad = new Driver(0, 0);
        Driver good = new Driver(0, 1);
        bad.enable(true);
        good.enable(true);
        bad.command(0x46, 0);
        bad.command(0xff, 0);
        bad.submit(0x46, 0);
        assertEquals(EN | 1 << 24 | ERR | 1, bad.cons(), "CERROR_ILL, at the command");
        assertEquals(CMDQP_ERR, board.read(GERROR));
        assertTrue(board.interrupts.isPending(TestBoard.GERROR_IRQ));
        good.command(0x46, 0);
        assertEquals(EN | 1, good.cons());
        board.sync();
        board.write(GERRORN, CMDQP_ERR);
        assertEquals(1, bad.cons() & 0xfffff, "GERRORN does not restart it");
        board.bus.write64(bad.base + 16, 0x46); // Software replaces the command.
        bad.acknowledge();
        bad.settle();
        assertEquals(3, bad.cons() & 0xfffff);
        assertEquals(ERR, bad.cons() & ERR, "it toggles with the next error");
    }

    @Test
    void errorsOfSeveralQueuesShareOneGlobalError() {
        Driver[] drivers = {new Driver(0, 0), new Driver(1, 3)};
        for (Driver driver : drivers) {
            driver.enable(true);
            driver.command(0x00, 0);
            assertEquals(ERR, driver.cons() & ERR);
        }
        assertEquals(CMDQP_ERR, board.read(GERROR));
        board.command(0x46, 0);
        assertEquals(0, (board.read(GERROR) ^ board.read(GERRORN)) & 1, "the Command queue goes on");
    }

    @Test
    void aQueueInErrorCanBeDisabledAndStartedAnew() {
        Driver driver = new Driver(0, 2);
        driver.enable(true);
        driver.command(0xff, 0);
        assertTrue(driver.enable(false));
        assertEquals(1 << 24 | ERR, driver.cons(), "stable");
        driver.errack = ERR;
        driver.wr = 0;
        assertTrue(driver.enable(true));
        driver.command(0x46, 0);
        assertEquals(EN | 1, driver.cons() & (EN | 0xfffff));
    }

    @Test
    void aQueueOutsideRamIsAnExternalAbort() {
        Driver driver = new Driver(0, 0);
        board.write64(driver.registers, 0x1000 | LOG2_QUEUE);
        driver.enable(true);
        driver.wr = 1;
        board.write(driver.registers + 8, EN | 1);
        driver.settle();
        assertEquals(EN | 2 << 24 | ERR, driver.cons());
    }

    @Test
    void theCompletionOfASyncIsSignalledAsFromTheCommandQueue() {
        Driver driver = new Driver(1, 1);
        driver.enable(true);
        long word = board.allocate(4096);
        driver.command(0x46 | 1 << 12 | 0xabcdL << 32, word);
        assertEquals(0xabcd, board.bus.read32(word));
        driver.command(0x46 | 1 << 12, 0x1000);
        assertEquals(1 << 4, board.read(GERROR), "MSI_CMDQ_ABT_ERR");
        assertFalse(driver.cons() << 8 < 0, "no error of the queue");
    }
}
