package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.GERROR;
import static org.iommuemu.smmuv3.TestBoard.GERRORN;
import static org.iommuemu.smmuv3.TestBoard.IRQ_CTRL;
import static org.iommuemu.smmuv3.TestBoard.SMMU;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.MsiFrame;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Interrupts, wired and message-signalled, and global errors (IHI 0070, 3.18 and 7.5). */
@ParameterizedClass
@EnumSource(TestTiming.class)
@Timeout(60)
class InterruptTest {
    private static final long DOORBELL = TestBoard.MSI_FRAME + MsiFrame.SETSPI_NS;
    private static final int GERROR_CFG = 0x68;
    private static final int EVENTQ_CFG = 0xb0;

    private final TestBoard board;
    private final List<String> handled = new ArrayList<>();

    InterruptTest(TestTiming timing) {
        board = new TestBoard(SmmuFeatures.smmuv3_2(), timing).enabled();
        board.interrupts.request(TestBoard.GERROR_IRQ, () -> handled.add("gerror"));
        board.interrupts.request(TestBoard.EVENTQ_IRQ, () -> handled.add("eventq"));
        board.interrupts.request(TestBoard.SYNC_IRQ, () -> handled.add("sync"));
        board.interrupts.request(200, () -> handled.add("message"));
    }

    @AfterEach
    void powerOff() {
        board.close();
    }

    private void message(int cfg, long address) {
        board.handshake(IRQ_CTRL, 0);
        board.write64(cfg, address);
        board.write(cfg + 8, 200);
        board.handshake(IRQ_CTRL, 0x5);
    }

    private List<String> handled() {
        board.interrupts.dispatch();
        List<String> since = List.copyOf(handled);
        handled.clear();
        return since;
    }

    @Test
    void wireAndMessageAreBothUsedWhereBothAreThere() {
        message(EVENTQ_CFG, DOORBELL);
        board.dmaRead(0, 0);
        assertEquals(List.of("eventq", "message"), handled());
    }

    @Test
    void aDisabledSourceIsSilent() {
        board.handshake(IRQ_CTRL, 0);
        board.dmaRead(0, 0);
        board.command(0xff, 0);
        assertEquals(List.of(), handled());
        board.write(GERRORN, 1);
        board.settle(); // The command is still there, and an error once more.
        board.handshake(IRQ_CTRL, 0x5);
        assertEquals(List.of(), handled(), "what happened before does not come later");
    }

    @Test
    void aSyncInterruptNeedsNoEnable() {
        board.handshake(IRQ_CTRL, 0);
        board.command(0x46 | 1 << 12, 0);
        assertEquals(List.of("sync"), handled());
        board.command(0x46, 0);
        assertEquals(List.of(), handled());
    }

    @Test
    void messagesAreConfiguredWhileTheirSourceIsDisabled() {
        board.write64(EVENTQ_CFG, DOORBELL);
        assertEquals(0, board.bus.read64(SMMU + EVENTQ_CFG));
        assertEquals(1, board.misuses.size());
    }

    @Test
    void anErrorThatIsActiveIsNotLoggedAgain() {
        board.command(0xff, 0);
        assertEquals(List.of("gerror"), handled());
        board.command(0x46 | 1 << 12, 0x1000);
        assertEquals(1, board.read(GERROR), "the queue has stopped");
        board.write(GERRORN, 1);
        board.settle();
        assertEquals(List.of("gerror"), handled(), "the command is still there");
        assertEquals(0, board.read(GERROR));
        assertEquals(1, board.read(GERRORN));
    }

    @Test
    void anAbortedEventQueueMessageIsAGlobalError() {
        message(EVENTQ_CFG, 0x1000);
        board.dmaRead(0, 0);
        assertEquals(1 << 5, board.read(GERROR), "MSI_EVENTQ_ABT_ERR");
        assertEquals(List.of("eventq", "gerror").size(), handled().size());
    }

    @Test
    void anAbortedGerrorMessageSendsNoOther() {
        message(GERROR_CFG, 0x1000);
        board.command(0xff, 0);
        assertEquals(1 << 7 | 1, board.read(GERROR), "MSI_GERROR_ABT_ERR");
        assertEquals(List.of("gerror"), handled(), "one for CMDQ_ERR");
    }

    @Test
    void anAddressBeyondTheOutputSizeIsConfiguredButTruncated() {
        long beyond = 1L << 50; // OAS is 48: what is left is address 0.
        board.command(0x46 | 1 << 12, beyond);
        assertEquals(1 << 4, board.read(GERROR), "MSI_CMDQ_ABT_ERR");
        board.write(GERRORN, 1 << 4);
        board.command(0x46 | 1 << 12 | 200L << 32, beyond | DOORBELL);
        assertTrue(handled().contains("message"));
    }

    @Test
    void theEventQueueInterruptsOnlyFromEmpty() {
        board.dmaRead(0, 0);
        board.dmaRead(0, 0);
        assertEquals(List.of("eventq"), handled());
        board.events();
        board.dmaRead(0, 0);
        assertEquals(List.of("eventq"), handled());
    }

    @Test
    void aDisabledEventQueueLosesEventsWithoutOverflow() {
        board.handshake(CR0, 0x9);
        for (int i = 0; i < 20; i++) {
            board.dmaRead(0, 0);
        }
        assertEquals(0, board.read(TestBoard.EVENTQ_PROD));
        assertFalse(board.interrupts.isPending(TestBoard.EVENTQ_IRQ));
    }
}
