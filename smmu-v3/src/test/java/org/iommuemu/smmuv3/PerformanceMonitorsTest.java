package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MsiFrame;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Chapter 10, by the registers that a driver of performance counters uses. */
class PerformanceMonitorsTest {
    private static final long PAGE0 = 0x2b40_2000L;
    private static final long PAGE1 = PAGE0 + 0x1_0000;
    private static final int WIRE = 20;

    private static final int EVTYPER = 0x400;
    private static final int SVR = 0x600;
    private static final int SMR = 0xa00;
    private static final int CNTENSET = 0xc00;
    private static final int CNTENCLR = 0xc20;
    private static final int INTENSET = 0xc40;
    private static final int OVSCLR = 0xc80;
    private static final int OVSSET = 0xcc0;
    private static final int CAPR = 0xd88;
    private static final int CFGR = 0xe00;
    private static final int CR = 0xe04;
    private static final int CEID0 = 0xe20;
    private static final int IRQ_CTRL = 0xe50;
    private static final int IRQ_CFG0 = 0xe58;
    private static final int IRQ_CFG1 = 0xe60;
    private static final int IRQ_STATUS = 0xe68;
    private static final int SPAN = 1 << 29;
    private static final int OVFCAP = 1 << 31;

    private final Bus bus = new Bus(new PhysicalMemory());
    private final InterruptController interrupts = new InterruptController();
    private final List<Integer> raised = new ArrayList<>();
    private final List<String> misuses = new ArrayList<>();
    private long cycles;
    private PerformanceMonitors group;

    private void attach(PerformanceMonitors.Shape shape) {
        group = new PerformanceMonitors(
                "pmcg", shape, bus, interrupts.line(WIRE), () -> cycles, (unit, what) -> misuses.add(what));
        bus.attach("pmcg", PAGE0, PerformanceMonitors.PAGE, group.page0());
        if (shape.secondPage()) {
            bus.attach("pmcg counters", PAGE1, PerformanceMonitors.PAGE, group.page1());
        }
        bus.attach("msi", TestBoard.MSI_FRAME, MsiFrame.SIZE, new MsiFrame(interrupts));
        interrupts.request(WIRE, () -> raised.add(WIRE));
        interrupts.request(77, () -> raised.add(77));
    }

    /** Counter n counts an event of any stream. */
    private void counts(int n, MonitorEvent event) {
        bus.write32(PAGE0 + EVTYPER + 4 * n, event.ordinal() | SPAN);
        bus.write32(PAGE0 + SMR + 4 * n, -1);
        bus.write64(PAGE0 + CNTENSET, 1L << n);
        bus.write32(PAGE0 + CR, 1);
    }

    private long counter(int n) {
        return bus.read64(PAGE1 + 8 * n);
    }

    @Test
    void groupTellsWhatItHas() {
        attach(PerformanceMonitors.Shape.USUAL);
        assertEquals(
                7 | 47 << 8 | 7 << 20, bus.read32(PAGE0 + CFGR), "8 counters of 48 bits, RELOC_CTRS, MSI, CAPTURE");
        assertEquals(0xff, bus.read64(PAGE0 + CEID0));
        assertEquals(0x4770_2a56, bus.read32(PAGE0 + 0xfbc), "PMDEVARCH");
    }

    @Test
    void countsWhileEnabled() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(2, MonitorEvent.TLB_MISS);
        group.count(MonitorEvent.TLB_MISS, 5, 3);
        group.count(MonitorEvent.TRANSACTION, 5, 100);
        assertEquals(3, counter(2));
        assertEquals(0, counter(0));
        bus.write64(PAGE0 + CNTENCLR, 1 << 2);
        assertEquals(0, bus.read64(PAGE0 + CNTENSET));
        group.count(MonitorEvent.TLB_MISS, 5, 1);
        assertEquals(3, counter(2));
        bus.write64(PAGE0 + CNTENSET, 1 << 2);
        bus.write32(PAGE0 + CR, 0);
        group.count(MonitorEvent.TLB_MISS, 5, 1);
        assertEquals(3, counter(2), "CR.E takes precedence");
    }

    @Test
    void softwareSetsACounter() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        bus.write64(PAGE1, 41);
        group.count(MonitorEvent.TRANSACTION, 0, 1);
        assertEquals(42, counter(0));
        bus.write64(PAGE1, -1L);
        assertEquals((1L << 48) - 1, counter(0), "48 bits");
    }

    @ParameterizedTest
    @CsvSource({
        // filter, span, StreamID, counted
        "0x1234, 0, 0x1234, true",
        "0x1234, 0, 0x1235, false",
        "0x1bf7, 1, 0x1bf0, true",
        "0x1bf7, 1, 0x1bff, true",
        "0x1bf7, 1, 0x1be0, false",
        "0x1bf6, 1, 0x1bf7, true",
        "0x1bf6, 1, 0x1bf5, false",
        "0xffffffff, 1, 0x12345678, true",
        "0x7fffffff, 1, 0x92345678, true",
    })
    void filtersByStream(long filter, int span, long streamId, boolean counted) {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        bus.write32(PAGE0 + EVTYPER, MonitorEvent.TRANSACTION.ordinal() | span << 29);
        bus.write32(PAGE0 + SMR, (int) filter);
        group.count(MonitorEvent.TRANSACTION, (int) streamId, 1);
        assertEquals(counted ? 1 : 0, counter(0));
    }

    @Test
    void oneFilterServesAllCounters() {
        attach(new PerformanceMonitors.Shape(4, 32, 16, true, false, false, false));
        bus.write32(PAGE0 + EVTYPER + 4, MonitorEvent.TRANSACTION.ordinal() | SPAN);
        assertEquals(
                MonitorEvent.TRANSACTION.ordinal(), bus.read32(PAGE0 + EVTYPER + 4), "no FILTER_SID_SPAN of its own");
        bus.write32(PAGE0 + SMR, 7);
        bus.write64(PAGE0 + CNTENSET, 2);
        bus.write32(PAGE0 + CR, 1);
        group.count(MonitorEvent.TRANSACTION, 7, 1);
        group.count(MonitorEvent.TRANSACTION, 8, 1);
        assertEquals(1, bus.read32(PAGE0 + 4), "32-bit counters are four bytes apart, in page 0");
        assertThrows(IllegalStateException.class, group::page1);
    }

    @Test
    void clockCyclesNeedNoStream() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.CLOCK_CYCLE);
        bus.write32(PAGE0 + EVTYPER, 0);
        cycles += 1000;
        assertEquals(1000, counter(0));
        bus.write32(PAGE0 + CR, 0);
        cycles += 1000;
        bus.write32(PAGE0 + CR, 1);
        cycles += 5;
        assertEquals(1005, counter(0), "cycles while it is off are not made up for");
    }

    @Test
    void cyclesUpToAWriteCountAsBeforeIt() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.CLOCK_CYCLE);
        cycles += 100;
        bus.write64(PAGE0 + CNTENCLR, 1);
        assertEquals(100, counter(0), "a driver disables a counter, then reads it");
        cycles += 100;
        bus.write64(PAGE0 + CNTENSET, 1);
        cycles += 10;
        bus.write32(PAGE0 + CR, 0);
        assertEquals(110, counter(0));
        bus.write32(PAGE0 + CR, 1);
        cycles += 100;
        bus.write64(PAGE1, 7);
        assertEquals(7, counter(0), "cycles before it was set are none of its own");
        bus.write64(PAGE1, (1L << 48) - 1);
        cycles += 1;
        assertEquals(1, bus.read64(PAGE1 + OVSSET), "though nobody read the counter");
    }

    @Test
    void overflowSetsStatusAndInterrupts() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(1, MonitorEvent.TRANSACTION);
        bus.write64(PAGE0 + INTENSET, 2);
        bus.write64(PAGE1 + 8, (1L << 48) - 1);
        group.count(MonitorEvent.TRANSACTION, 0, 1);
        assertEquals(0, counter(1));
        assertEquals(2, bus.read64(PAGE1 + OVSSET));
        interrupts.dispatch();
        assertTrue(raised.isEmpty(), "IRQEN is 0");
        bus.write64(PAGE1 + OVSCLR, 2);
        assertEquals(0, bus.read64(PAGE1 + OVSSET));

        bus.write32(PAGE0 + IRQ_CTRL, 1);
        bus.write64(PAGE1 + 8, (1L << 48) - 2);
        group.count(MonitorEvent.TRANSACTION, 0, 5);
        interrupts.dispatch();
        assertEquals(List.of(WIRE), raised);
        assertEquals(3, counter(1), "an overflow does not stop it");
        group.count(MonitorEvent.TRANSACTION, 0, 1);
        interrupts.dispatch();
        assertEquals(List.of(WIRE), raised, "once");
    }

    @Test
    void messageTellsOfOverflow() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        bus.write64(PAGE0 + INTENSET, 1);
        bus.write64(PAGE0 + IRQ_CFG0, TestBoard.MSI_FRAME + MsiFrame.SETSPI_NS);
        bus.write32(PAGE0 + IRQ_CFG1, 77);
        bus.write32(PAGE0 + IRQ_CTRL, 1);
        bus.write32(PAGE0 + IRQ_CFG1, 78);
        assertEquals(77, bus.read32(PAGE0 + IRQ_CFG1), "guarded by IRQEN");
        assertEquals(1, misuses.size());
        bus.write64(PAGE1, (1L << 48) - 1);
        group.count(MonitorEvent.TRANSACTION, 0, 1);
        interrupts.dispatch();
        assertEquals(List.of(77), raised);
    }

    @Test
    void interruptsAreAcknowledgedWhenItIsTimeAndTheMessageStaysGuardedUntilThen() {
        attach(PerformanceMonitors.Shape.USUAL);
        bus.write32(PAGE0 + IRQ_CTRL, 1);
        group.handshakes(Latency.reads(1));
        bus.write32(PAGE0 + IRQ_CTRL, 0);
        bus.write32(PAGE0 + IRQ_CFG1, 78);
        assertEquals(1, misuses.size());
        assertEquals(1, bus.read32(PAGE0 + IRQ_CTRL + 4), "IRQ_CTRLACK");
        assertEquals(0, bus.read32(PAGE0 + IRQ_CTRL + 4));
        bus.write32(PAGE0 + IRQ_CFG1, 78);
        assertEquals(78, bus.read32(PAGE0 + IRQ_CFG1));
    }

    @Test
    void messageThatNobodyAnswersIsAnAbort() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        bus.write64(PAGE0 + INTENSET, 1);
        bus.write64(PAGE0 + IRQ_CFG0, 0xdead_0000L);
        bus.write32(PAGE0 + IRQ_CTRL, 1);
        bus.write64(PAGE1, (1L << 48) - 1);
        group.count(MonitorEvent.TRANSACTION, 0, 1);
        assertEquals(1, bus.read32(PAGE0 + IRQ_STATUS));
        bus.write32(PAGE0 + IRQ_CTRL, 0);
        assertEquals(1, bus.read32(PAGE0 + IRQ_STATUS));
        bus.write32(PAGE0 + IRQ_CTRL, 1);
        assertEquals(0, bus.read32(PAGE0 + IRQ_STATUS), "cleared when IRQEN is set");
    }

    @Test
    void captureKeepsAllCountersAtOnce() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        counts(1, MonitorEvent.TLB_MISS);
        group.count(MonitorEvent.TRANSACTION, 0, 10);
        group.count(MonitorEvent.TLB_MISS, 0, 4);
        bus.write32(PAGE1 + CAPR, 1);
        assertEquals(0, bus.read32(PAGE1 + CAPR), "reads as zero");
        group.count(MonitorEvent.TLB_MISS, 0, 1);
        assertEquals(10, bus.read64(PAGE1 + SVR));
        assertEquals(4, bus.read64(PAGE1 + SVR + 8));
    }

    @Test
    void overflowCaptures() {
        attach(PerformanceMonitors.Shape.USUAL);
        counts(0, MonitorEvent.TRANSACTION);
        counts(1, MonitorEvent.TLB_MISS);
        bus.write32(PAGE0 + EVTYPER, MonitorEvent.TRANSACTION.ordinal() | SPAN | OVFCAP);
        group.count(MonitorEvent.TLB_MISS, 0, 4);
        bus.write64(PAGE1, (1L << 48) - 1);
        group.count(MonitorEvent.TRANSACTION, 0, 2);
        assertEquals(1, bus.read64(PAGE1 + SVR), "the value after the overflow");
        assertEquals(4, bus.read64(PAGE1 + SVR + 8));
    }

    @ParameterizedTest
    @CsvSource({"0, 48, 16", "65, 48, 16", "8, 33, 16", "8, 48, 33"})
    void impossibleShapesAreRefused(int counters, int bits, int sidBits) {
        assertThrows(
                IllegalArgumentException.class,
                () -> new PerformanceMonitors.Shape(counters, bits, sidBits, false, false, false, false));
    }

    // Watching an SMMU

    @Test
    void smmuTellsWhatItDoes() {
        TestBoard board = new TestBoard().enabled();
        TableWriter table = board.stage1Table();
        long frame = board.allocate(0x2000);
        table.map(0x1000, frame, 0x2000, TestBoard.STAGE1_RW);
        long[] ste = TestBoard.stage1(0, board.newCd(5, table.root()));
        ste[1] = 1 << 28; // EATS
        board.stream(7, ste);
        attach(PerformanceMonitors.Shape.USUAL);
        board.smmu.monitor(group);
        for (MonitorEvent event : MonitorEvent.values()) {
            counts(event.ordinal(), event);
        }

        DmaPort port = board.port(7);
        port.read(0x1000, new byte[4], 0, 4);
        assertCounted(1, 1, 1, 4, 2, 0, 0);
        port.read(0x1000, new byte[4], 0, 4);
        assertCounted(1, 1, 1, 4, 2, 0, 0); // The port's own TLB answered.
        board.port(7).read(0x1004, new byte[4], 0, 4);
        assertCounted(2, 1, 1, 4, 2, 0, 0);
        port.read(0x2000, new byte[4], 0, 4);
        assertCounted(3, 2, 1, 8, 2, 0, 0);
        board.smmu.ats().translated(7, Translator.NO_SUBSTREAM, frame, 0);
        assertCounted(3, 2, 1, 8, 2, 0, 1);
    }

    private void assertCounted(int... expected) {
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], counter(i + 1), MonitorEvent.values()[i + 1]::toString);
        }
    }
}
