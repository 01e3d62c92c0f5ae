package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** The edu device as a program finds, enables and uses it. */
class EduOverQtestTest {
    private static final long CONFIG = Talk.ECAM + (1 << 15);
    private static final long BAR = 0x1000_0000L;
    private static final long BUFFER = 0x40000;

    private final Talk talk = Talk.with(Talk.virt("edu,dma_mask=0xffffffff"));

    @BeforeEach
    void enable() {
        talk.writel(CONFIG + 0x10, -1);
        assertEquals(0xfff0_0000L, talk.readl(CONFIG + 0x10));
        talk.writel(CONFIG + 0x10, BAR);
        talk.writel(CONFIG + 4, 6);
        talk.ok("irq_intercept_in /machine/unattached/device[1]");
    }

    private void start(long source, long destination, int count, int command) {
        talk.writeq(BAR + 0x80, source);
        talk.writeq(BAR + 0x88, destination);
        talk.writeq(BAR + 0x90, count);
        talk.writel(BAR + 0x98, command | 1);
    }

    @Test
    void itIsAliveAndCalculates() {
        assertEquals(0x0100_00edL, talk.readl(BAR));
        talk.writel(BAR + 4, 0x1234_5678);
        assertEquals(0xedcb_a987L, talk.readl(BAR + 4));
        talk.writel(BAR + 8, 5);
        assertEquals(120, talk.readl(BAR + 8));
        talk.writel(BAR + 8, 40);
        assertEquals(0, talk.readl(BAR + 8));
        assertEquals(0xffff_ffffL, talk.readl(BAR + 0x40));
        talk.expect("OK 0x0000000000000000", "readw 0x10000000");
    }

    @Test
    void dmaTakes100MillisecondsAndItsRegistersAreLockedMeanwhile() {
        talk.ok("write 0x40001000 8 0x0102030405060708");
        talk.expect("OK 1500000", "clock_step 1500000");
        start(0x4000_1000L, BUFFER, 8, 0);
        talk.writeq(BAR + 0x90, 99);
        assertEquals(8, talk.readq(BAR + 0x90));
        talk.expect("OK 100999999", "clock_step 99499999");
        assertEquals(1, talk.readl(BAR + 0x98) & 1);
        talk.expect("OK 101000000", "clock_step");
        assertEquals(0, talk.readl(BAR + 0x98) & 1);
        start(BUFFER + 4, 0x4000_2000L, 4, 2);
        talk.expect("OK 201000000", "clock_step");
        talk.expect("OK 0x0506070800", "read 0x40002000 5");
    }

    @Test
    void aFinishedTransferRaisesIntxUntilItIsAcknowledged() {
        start(0x4000_1000L, BUFFER, 4, 4);
        talk.say("clock_step");
        assertEquals(List.of("IRQ raise 4"), talk.interrupts); // Slot 1, INTA: the second of SPIs 3 to 6.
        assertEquals(0x100, talk.readl(BAR + 0x24));
        assertEquals(8, talk.readl(CONFIG + 4) >> 16 & 8);
        talk.writel(BAR + 0x64, 0x100);
        assertEquals(List.of("IRQ raise 4", "IRQ lower 4"), talk.interrupts);
    }

    @Test
    void anEnabledMessageReplacesIntx() {
        talk.writel(BAR + 0x60, 1);
        talk.writel(CONFIG + 0x44, 0x0802_0040);
        talk.ok("writew 0x%x 90".formatted(CONFIG + 0x4c));
        talk.ok("writew 0x%x 1".formatted(CONFIG + 0x42));
        talk.writel(BAR + 0x60, 1);
        assertEquals(List.of("IRQ raise 4", "IRQ lower 4", "IRQ raise 58", "IRQ lower 58"), talk.interrupts);
    }

    @Test
    void whoIsNoBusMasterReadsZerosAndWritesNothing() {
        talk.ok("memset 0x40001000 16 0xab");
        start(0x4000_1000L, BUFFER, 8, 0);
        talk.say("clock_step");
        talk.writel(CONFIG + 4, 2);
        start(0x4000_1000L, BUFFER + 4, 4, 0);
        talk.say("clock_step");
        start(BUFFER, 0x4000_1008L, 8, 2);
        talk.say("clock_step");
        talk.writel(CONFIG + 4, 6);
        start(BUFFER, 0x4000_2000L, 8, 2);
        talk.say("clock_step");
        talk.expect("OK 0xabababababababab", "read 0x40001008 8");
        talk.expect("OK 0xabababab00000000", "read 0x40002000 8");
    }

    @Test
    void dmaOutsideOfTheDevicesMemoryIsNotDone() {
        talk.ok("memset 0x40001000 16 0xab");
        for (long[] bad : new long[][] {{BUFFER - 1, 4}, {BUFFER + 4093, 4}, {0, 4}, {BUFFER, 4097}, {BUFFER, -1}}) {
            start(bad[0], 0x4000_1000L, (int) bad[1], 2 | 4);
            talk.say("clock_step");
            assertEquals(4 | 2, talk.readl(BAR + 0x98));
        }
        talk.expect("OK 0xabab", "read 0x40001000 2");
    }
}
