package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongSupplier;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.RegisterMap;

/**
 * A Performance Monitor Counter Group (IHI 0070, chapter 10): counters of {@link MonitorEvent}s with StreamID filters,
 * overflow status and interrupt, and capture. It stands for itself, with one or two pages of registers of its own; an SMMU
 * tells it what happens ({@link Smmu#monitor}).
 *
 * <p>The clock is read when something else is counted and when software reads or writes a register, so that is when
 * overflows of clock cycles are noticed; {@link #tick} does the same.
 *
 * <p><b>Concurrency.</b> Any thread may count. What nobody wants counted costs one load; the rest takes the monitor of the
 * counters' registers.
 */
public final class PerformanceMonitors {
    /** Size of each register page in bytes. */
    public static final int PAGE = 0x1000;

    /**
     * What the group implements: SMMU_PMCG_CFGR (10.5.2.13).
     *
     * @param counters NCTR + 1, 1 to 64
     * @param counterBits SIZE + 1: 32, 36, 40, 44, 48 or 64
     * @param sidBits width of the StreamIDs that filters see, 1 to 32
     * @param oneFilter SID_FILTER_TYPE: the filter of counter 0 is that of all
     * @param capture CAPTURE: shadow registers
     * @param msi MSI
     * @param secondPage RELOC_CTRS: counters, shadows and overflow status are in page 1
     */
    public record Shape(
            int counters,
            int counterBits,
            int sidBits,
            boolean oneFilter,
            boolean capture,
            boolean msi,
            boolean secondPage) {
        /** As many drivers meet it: eight counters of 48 bits, a filter each, capture, messages, two pages. */
        public static final Shape USUAL = new Shape(8, 48, 32, false, true, true, true);

        /** Checks the shape. */
        public Shape {
            if (counters < 1 || counters > 64) {
                throw new IllegalArgumentException(counters + " counters: not 1 to 64");
            }
            if (!List.of(32, 36, 40, 44, 48, 64).contains(counterBits)) {
                throw new IllegalArgumentException(
                        "counters of " + counterBits + " bits: not one of 32, 36, 40, 44, 48, 64");
            }
            if (sidBits < 1 || sidBits > 32) {
                throw new IllegalArgumentException("StreamIDs of " + sidBits + " bits: not 1 to 32");
            }
        }
    }

    // 10.5.2.2
    private static final Field EVENT = Field.rw("EVENT", 0, 16);
    private static final Field FILTER_SID_SPAN = Field.rw("FILTER_SID_SPAN", 29);
    private static final Field OVFCAP = Field.rw("OVFCAP", 31);
    private static final Field ENABLE = Field.rw("E", 0);
    private static final Field IRQEN = Field.rw("IRQEN", 0);
    private static final long NONE = -1;
    private static final Field IRQ_ABT = Field.ro("IRQ_ABT", 0, 1, 0);

    private final Shape shape;
    private final Bus bus;
    private final InterruptController.Line wire;
    private final LongSupplier clock;
    private final RegisterFile page0;
    /** Where counters, shadows and overflow status are: page 1, or page 0. */
    private final RegisterFile counters;

    private final List<Register> values = new ArrayList<>();
    private final List<Register> types = new ArrayList<>();
    private final List<Register> shadows = new ArrayList<>();
    private final List<Register> matches = new ArrayList<>();
    private final Register cntenSet;
    private final Register cntenClr;
    private final Register intenSet;
    private final Register intenClr;
    private final Register ovsSet;
    private final Register ovsClr;
    private final Register cr = Register.word("SMMU_PMCG_CR", 0xe04, ENABLE);
    private final Register irqCtrl = Register.word("SMMU_PMCG_IRQ_CTRL", 0xe50, IRQEN);
    private final Register irqCtrlAck = Register.acknowledge("SMMU_PMCG_IRQ_CTRLACK", 0xe54, irqCtrl);
    private final Register irqCfg0 = Register.dword("SMMU_PMCG_IRQ_CFG0", 0xe58, Field.rw("ADDR", 2, 50));
    private final Register irqCfg1 = Register.word("SMMU_PMCG_IRQ_CFG1", 0xe60, Field.rw("DATA", 0, 32));
    private final Register irqCfg2 =
            Register.word("SMMU_PMCG_IRQ_CFG2", 0xe64, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2));
    private final Register irqStatus = Register.word("SMMU_PMCG_IRQ_STATUS", 0xe68, IRQ_ABT);

    /** Bit n: some enabled counter counts event n. Written under the monitor; whoever reads an old value counts late. */
    private volatile int wanted;

    /** By counter: the event that it counts, or {@link #NONE}. Guarded by {@link #counters}. */
    private final long[] counted;

    private long lastCycle;

    /** IRQ_ABT. Apart from page 0, whose monitor is taken before that of the counters. */
    private volatile boolean messageAborted;

    /**
     * A group in its reset state.
     *
     * @param name in messages
     * @param bus where messages go
     * @param wire its interrupt, edge-triggered; null if it is not wired
     * @param clock cycles of {@link MonitorEvent#CLOCK_CYCLE}, never decreasing; {@link System#nanoTime} will do
     * @param misuse hears of accesses that break a rule
     */
    public PerformanceMonitors(
            String name,
            Shape shape,
            Bus bus,
            InterruptController.Line wire,
            LongSupplier clock,
            MisuseListener misuse) {
        this.shape = shape;
        this.bus = bus;
        this.wire = wire;
        this.clock = clock;
        lastCycle = clock.getAsLong();

        int n = shape.counters();
        counted = new long[n];
        Arrays.fill(counted, NONE);
        boolean wide = shape.counterBits() > 32;
        List<Register> counterPage = new ArrayList<>();
        List<Register> controlPage = new ArrayList<>(List.of(cr, irqCtrl, irqCtrlAck));
        for (int i = 0; i < n; i++) {
            values.add(counter("EVCNTR", 0x000, i, wide, Field.rw("COUNTER_VALUE", 0, shape.counterBits())));
            Field value = Field.ro("SHADOW_COUNTER_VALUE", 0, shape.counterBits(), 0);
            shadows.add(counter("SVR", 0x600, i, wide, value));
            boolean filter = i == 0 || !shape.oneFilter();
            List<Field> type = new ArrayList<>(List.of(EVENT));
            if (filter) {
                type.add(FILTER_SID_SPAN);
                matches.add(
                        Register.word("SMMU_PMCG_SMR" + i, 0xa00 + 4 * i, Field.rw("STREAMID", 0, shape.sidBits())));
            }
            if (shape.capture()) {
                type.add(OVFCAP);
            }
            types.add(Register.word("SMMU_PMCG_EVTYPER" + i, 0x400 + 4 * i, type.toArray(Field[]::new)));
        }
        cntenSet = bitmap("CNTENSET0", 0xc00, n, Field.Type.W1S);
        cntenClr = bitmap("CNTENCLR0", 0xc20, n, Field.Type.W1C);
        intenSet = bitmap("INTENSET0", 0xc40, n, Field.Type.W1S);
        intenClr = bitmap("INTENCLR0", 0xc60, n, Field.Type.W1C);
        ovsClr = bitmap("OVSCLR0", 0xc80, n, Field.Type.W1C);
        ovsSet = bitmap("OVSSET0", 0xcc0, n, Field.Type.W1S);
        Register capr = Register.word("SMMU_PMCG_CAPR", 0xd88, Field.busy("CAPTURE", 0));
        counterPage.addAll(values);
        counterPage.addAll(List.of(ovsClr, ovsSet));
        controlPage.addAll(types);
        controlPage.addAll(matches);
        controlPage.addAll(List.of(cntenSet, cntenClr, intenSet, intenClr));
        if (shape.capture()) {
            counterPage.addAll(shadows);
            counterPage.add(capr);
        }
        if (shape.msi()) {
            controlPage.addAll(List.of(irqCfg0, irqCfg1, irqCfg2, irqStatus));
        }
        controlPage.addAll(identification());
        if (shape.secondPage()) {
            page0 = new RegisterFile(new RegisterMap(PAGE, controlPage), name, misuse);
            counters = new RegisterFile(new RegisterMap(PAGE, counterPage), name, misuse);
        } else {
            controlPage.addAll(counterPage);
            page0 = new RegisterFile(new RegisterMap(PAGE, controlPage), name, misuse);
            counters = page0;
        }
        mirror(page0, cntenSet, cntenClr);
        mirror(page0, intenSet, intenClr);
        mirror(counters, ovsSet, ovsClr);
        page0.onWrite(cr, (before, after) -> configure());
        types.forEach(type -> page0.onWrite(type, (before, after) -> configure()));
        for (Register value : values) {
            tickBeforeRead(value);
            counters.onWrite(value, (before, after) -> {
                counters.set(value, before);
                tick(); // What has been counted up to now is overwritten.
                counters.set(value, after);
            });
        }
        tickBeforeRead(ovsSet);
        tickBeforeRead(ovsClr);
        if (shape.capture()) {
            counters.onWrite(capr, (before, after) -> {
                tick();
                capture();
            });
        }
        page0.onWrite(irqCtrl, (before, after) -> {
            if (shape.msi() && IRQEN.isSet(after & ~before)) {
                messageAborted = false; // 10.5.2.24
            }
        });
        if (shape.msi()) {
            page0.onRead(irqStatus, stored -> messageAborted ? IRQ_ABT.mask() : 0);
            for (Register guarded : List.of(irqCfg0, irqCfg1, irqCfg2)) {
                page0.guard(guarded, () -> !IRQEN.isSet(page0.get(irqCtrl) | page0.get(irqCtrlAck)), "IRQEN == 1");
            }
        }
    }

    private void tickBeforeRead(Register register) {
        counters.onRead(register, stored -> {
            tick();
            return counters.get(register);
        });
    }

    private static Register counter(String name, int base, int n, boolean wide, Field value) {
        String indexed = "SMMU_PMCG_" + name + n;
        return wide ? Register.dword(indexed, base + 8 * n, value) : Register.word(indexed, base + 4 * n, value);
    }

    private static Register bitmap(String name, int offset, int bits, Field.Type type) {
        return Register.dword("SMMU_PMCG_" + name, offset, new Field("counters", 0, bits, type, 0));
    }

    private List<Register> identification() {
        Register cfgr = Register.word(
                "SMMU_PMCG_CFGR",
                0xe00,
                Field.ro("NCTR", 0, 6, shape.counters() - 1),
                Field.ro("SIZE", 8, 6, shape.counterBits() - 1),
                Field.ro("RELOC_CTRS", 20, 1, shape.secondPage() ? 1 : 0),
                Field.ro("MSI", 21, 1, shape.msi() ? 1 : 0),
                Field.ro("CAPTURE", 22, 1, shape.capture() ? 1 : 0),
                Field.ro("SID_FILTER_TYPE", 23, 1, shape.oneFilter() ? 1 : 0));
        long events = (1L << MonitorEvent.values().length) - 1;
        return List.of(
                cfgr,
                Register.word("SMMU_PMCG_IIDR", 0xe08, Field.ro("IIDR", 0, 32, 0)),
                Register.dword("SMMU_PMCG_CEID0", 0xe20, Field.ro("N", 0, 64, events)),
                Register.dword("SMMU_PMCG_CEID1", 0xe28, Field.ro("N", 0, 64, 0)),
                Register.word("SMMU_PMCG_AIDR", 0xe70, Field.ro("ArchMinorRev", 0, 4, 2)),
                // 10.5.2.29
                Register.word("SMMU_PMCG_PMDEVARCH", 0xfbc, Field.ro("PMDEVARCH", 0, 32, 0x4770_2a56L)),
                Register.word("SMMU_PMCG_PMDEVTYPE", 0xfcc, Field.ro("PMDEVTYPE", 0, 8, 0x56)),
                Register.word("SMMU_PMCG_CIDR0", 0xff0, Field.ro("CIDR0", 0, 8, 0x0d)),
                Register.word("SMMU_PMCG_CIDR1", 0xff4, Field.ro("CIDR1", 0, 8, 0x90)),
                Register.word("SMMU_PMCG_CIDR2", 0xff8, Field.ro("CIDR2", 0, 8, 0x05)),
                Register.word("SMMU_PMCG_CIDR3", 0xffc, Field.ro("CIDR3", 0, 8, 0xb1)));
    }

    /** A bitmap has one register to set bits and one to clear them, and reads alike in both. */
    private void mirror(RegisterFile file, Register set, Register clear) {
        file.onWrite(set, (before, after) -> {
            file.set(clear, after);
            configure();
        });
        file.onWrite(clear, (before, after) -> {
            file.set(set, after);
            configure();
        });
    }

    /** Page 0; to be attached to the bus with {@link #PAGE}. */
    public BusDevice page0() {
        return page0;
    }

    /** Page 1, with the counters; only where the shape has it. */
    public BusDevice page1() {
        if (!shape.secondPage()) {
            throw new IllegalStateException("this group has one page");
        }
        return counters;
    }

    /** How long SMMU_PMCG_IRQ_CTRLACK takes from now on. */
    public void handshakes(Latency latency) {
        page0.handshakes(latency);
    }

    /** Counts the clock cycles since this was last done. */
    public void tick() {
        synchronized (counters) {
            long now = clock.getAsLong();
            long cycles = now - lastCycle;
            lastCycle = now;
            if (isWanted(MonitorEvent.CLOCK_CYCLE)) {
                increment(MonitorEvent.CLOCK_CYCLE, 0, cycles);
            }
        }
    }

    boolean isWanted(MonitorEvent event) {
        return (wanted >>> event.ordinal() & 1) != 0;
    }

    /** An event happened {@code times}. */
    void count(MonitorEvent event, int streamId, long times) {
        if (isWanted(event)) {
            synchronized (counters) {
                tick();
                increment(event, streamId, times);
            }
        }
    }

    /** What is counted may be something else from now on; cycles up to now still count as before. */
    private void configure() {
        synchronized (counters) {
            tick();
            int events = 0;
            for (int i = 0; i < shape.counters(); i++) {
                long event = EVENT.get(page0.get(types.get(i)));
                boolean enabled = ENABLE.isSet(page0.get(cr)) && (page0.get(cntenSet) >>> i & 1) != 0;
                counted[i] = enabled && event < MonitorEvent.values().length ? event : NONE;
                events |= counted[i] == NONE ? 0 : 1 << event;
            }
            wanted = events;
        }
    }

    private void increment(MonitorEvent event, int streamId, long times) {
        long overflowed = 0;
        for (int i = 0; i < shape.counters(); i++) {
            if (counted[i] == event.ordinal() && matches(i, event, streamId)) {
                long before = counters.get(values.get(i));
                long after = before + times & -1L >>> 64 - shape.counterBits();
                counters.set(values.get(i), after);
                boolean wraps = Long.compareUnsigned(times, (-1L >>> 64 - shape.counterBits()) - before) > 0;
                overflowed |= wraps ? 1L << i : 0;
            }
        }
        if (overflowed != 0) {
            overflow(overflowed);
        }
    }

    /** StreamID filters (10.4). With one filter for all it is that of counter 0. */
    private boolean matches(int counter, MonitorEvent event, int streamId) {
        if (event == MonitorEvent.CLOCK_CYCLE) {
            return true;
        }
        int filter = shape.oneFilter() ? 0 : counter;
        long wantedId = page0.get(matches.get(filter));
        long difference = (wantedId ^ Integer.toUnsignedLong(streamId)) & -1L >>> 64 - shape.sidBits();
        if (!FILTER_SID_SPAN.isSet(page0.get(types.get(filter)))) {
            return difference == 0;
        }
        // The lowest 0 and the ones below it tell which bits may differ; without a 0 all may.
        int ignored = Long.numberOfTrailingZeros(~wantedId) + 1;
        return difference >>> ignored == 0;
    }

    /** Overflow status, capture, interrupt: in this order software sees them (10.2.1). */
    private void overflow(long which) {
        counters.set(ovsSet, counters.get(ovsSet) | which);
        counters.set(ovsClr, counters.get(ovsSet));
        for (int i = 0; i < shape.counters(); i++) {
            if ((which >>> i & 1) != 0 && shape.capture() && OVFCAP.isSet(page0.get(types.get(i)))) {
                capture();
            }
        }
        if (IRQEN.isSet(page0.get(irqCtrl)) && (page0.get(intenSet) & which) != 0) {
            signal();
        }
    }

    private void capture() {
        for (int i = 0; i < shape.counters(); i++) {
            counters.set(shadows.get(i), counters.get(values.get(i)));
        }
    }

    private void signal() {
        long address = shape.msi() ? page0.get(irqCfg0) : 0;
        if (address == 0) {
            if (wire != null) {
                wire.pulse();
            }
            return;
        }
        if (!bus.message(address, (int) page0.get(irqCfg1))) {
            messageAborted = true;
        }
    }
}
