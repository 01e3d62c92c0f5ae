package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.TranslationService;
import org.iommuemu.mmio.Translator;

/**
 * An SMMUv3 (Arm IHI 0070), Non-secure programming interface: registers, queues, translation in one or two stages, ATS and
 * PRI ({@link #ats}). In its reset state when made: SMMU_CR0 is 0, and accesses bypass it as SMMU_GBPA says.
 *
 * <p>Software programs it through {@link #registers}, on the bus; what it reads and writes in memory goes to the bus's
 * RAM. Where there is none, the SMMU takes an external abort. A fault of hardware is an event, a global error or a
 * {@link org.iommuemu.mmio.Translation}, never an exception.
 *
 * <p><b>Concurrency.</b> Any number of threads may translate; one that hits configuration cache and TLB takes no lock.
 * Register writes, commands and the recording of events are serialised by the registers' monitor. With
 * {@link Timing#IMMEDIATE} a write of SMMU_CMDQ_PROD returns when the commands have been consumed or one is in error.
 */
public final class Smmu implements Translator, AutoCloseable {
    /** Size of the register window in bytes, if there are no optional pages: two pages of 64 KiB. */
    public static final long WINDOW = 0x20000;

    /**
     * Wired interrupts, all edge-triggered (3.18); null where one is not wired.
     *
     * @param eventq the Event queue became non-empty
     * @param gerror a global error
     * @param cmdqSync a CMD_SYNC with CS == SIG_IRQ completed
     * @param priq the PRI queue became non-empty
     */
    public record Wires(
            InterruptController.Line eventq,
            InterruptController.Line gerror,
            InterruptController.Line cmdqSync,
            InterruptController.Line priq) {
        /** Nothing is wired. */
        public static final Wires NONE = new Wires(null, null, null, null);
    }

    private final SmmuFeatures features;
    private final RegisterFile registers;
    /** Pages behind the first two (6.1): of VATOS, then those of the Enhanced Command queues. */
    private final List<BusDevice> optionalPages = new ArrayList<>();

    private final Invalidations ports = new Invalidations();
    private final ConfigurationCache configurations = new ConfigurationCache();
    private final Monitored monitored = new Monitored();
    /** Seen by tests, which look without an access. */
    final TranslationProcedure procedure;

    /** Null without ATS. */
    private final AtsInterface ats;

    private final Interrupts interrupts;
    private final Stalls stalls;
    private final Commands commands;
    private final List<ControlPage> controlPages = new ArrayList<>();
    private final Consumption consumption;

    /**
     * An SMMU in its reset state, not on the bus yet: attach {@link #registers} at its base.
     *
     * @param name in messages
     * @param features what it implements
     * @param bus where structures, tables and queues are, and where messages go
     * @param wires its wired interrupts
     * @param misuse hears, on any thread, of accesses, structures and commands that break a rule of the architecture
     */
    public Smmu(String name, SmmuFeatures features, Bus bus, Wires wires, MisuseListener misuse) {
        this(name, features, bus, wires, misuse, Timing.IMMEDIATE);
    }

    /**
     * An SMMU in its reset state, not on the bus yet: attach {@link #registers} at its base.
     *
     * @param name in messages
     * @param features what it implements
     * @param bus where structures, tables and queues are, and where messages go
     * @param wires its wired interrupts
     * @param misuse hears, on any thread, of accesses, structures and commands that break a rule of the architecture
     * @param timing when it does what software asks of it
     */
    public Smmu(String name, SmmuFeatures features, Bus bus, Wires wires, MisuseListener misuse, Timing timing) {
        this.features = features;
        PhysicalMemory memory = bus.memory();
        registers = new RegisterFile(Registers.map(features), name, misuse);
        interrupts = new Interrupts(features, registers, bus, wires);
        TranslationCaches tlbs = new TranslationCaches(features.tlb());
        StreamTable streamTable = new StreamTable(name, features, registers, memory, tlbs, misuse, monitored);
        EventQueue events = new EventQueue(features, registers, memory, interrupts);
        stalls = new Stalls(name, features, registers, events, misuse);
        procedure =
                new TranslationProcedure(features, registers, streamTable, configurations, events, stalls, monitored);
        stalls.connect(procedure::translate);
        commands = new Commands(features, registers, configurations, tlbs, ports, interrupts, procedure, stalls);
        if (features.has(SmmuFeature.ATOS)) {
            new AddressTranslationOperations(
                    features,
                    registers,
                    procedure,
                    registers,
                    Registers.GATOS_CTRL,
                    Registers.GATOS_SID,
                    Registers.GATOS_ADDR,
                    Registers.GATOS_PAR);
        }
        if (features.has(SmmuFeature.VATOS)) {
            RegisterFile vatos = new RegisterFile(Registers.vatosMap(features), name, misuse, registers);
            vatos.handshakes(timing.handshakes());
            optionalPages.add(vatos);
            new AddressTranslationOperations(
                    features,
                    registers,
                    procedure,
                    vatos,
                    Registers.VATOS_CTRL,
                    Registers.VATOS_SID,
                    Registers.VATOS_ADDR,
                    Registers.VATOS_PAR);
        }
        if (features.has(SmmuFeature.ATS)) {
            PageRequestQueue pageRequests =
                    new PageRequestQueue(features, registers, memory, interrupts, streamTable, events);
            ats = new AtsInterface(
                    features,
                    registers,
                    procedure,
                    events,
                    pageRequests,
                    ports,
                    timing.invalidationTimeout(),
                    monitored);
            commands.connect(ats);
        } else {
            ats = null;
        }
        consumption = new Consumption(name, registers, timing);
        ControlPage.QueueMaker queues = window ->
                new CommandQueue(name, features, registers, memory, commands, timing.synchronisation(), misuse, window);
        CommandQueue queue = queues.make(new CommandQueueRegisters(registers, interrupts));
        consumption.add(queue);
        for (int n = 0; n < features.commandQueuePages(); n++) {
            controlPages.add(new ControlPage(
                    name, features, registers, timing.handshakes(), interrupts, consumption, queues, misuse));
            optionalPages.add(controlPages.get(n).registers());
        }
        registers.handshakes(timing.handshakes());
        registers.holdHandshake(Registers.CR0, queue::isDraining);
        if (timing.unitThread()
                || timing.synchronisation() != Latency.NONE
                || timing.invalidationTimeout() != Latency.NONE) {
            registers.onRead(Registers.CMDQ_CONS, stored -> {
                consumption.consume(); // It may be time.
                long value = registers.get(Registers.CMDQ_CONS);
                queue.looked();
                consumption.consume();
                return value;
            });
        }
        identify(features);
        guard(features);

        registers.onWrite(Registers.CR0, (before, after) -> {
            if (Registers.SMMUEN.isSet(before ^ after)) {
                configurations.invalidateAll(); // What is cached is used without looking at SMMUEN.
                bypassChanged();
            }
            consumption.consume();
        });
        Queue.truncate(registers, Registers.CMDQ_CONS, Registers.CMDQ_RD, Registers.CMDQ_BASE, features.cmdqLog2Size());
        Queue.truncate(
                registers,
                Registers.EVENTQ_PROD,
                Registers.EVENTQ_WR,
                Registers.EVENTQ_BASE,
                features.eventqLog2Size());
        if (features.has(SmmuFeature.PRI)) {
            Queue.truncate(
                    registers, Registers.PRIQ_PROD, Registers.PRIQ_WR, Registers.PRIQ_BASE, features.priqLog2Size());
        }
        registers.onWrite(Registers.CMDQ_PROD, (before, after) -> consumption.consume());
        registers.onWrite(Registers.GERRORN, (before, after) -> {
            // Toggling the bit of an error that is not active is CONSTRAINED UNPREDICTABLE (6.3.20).
            long inactive = (before ^ after) & ~(registers.get(Registers.GERROR) ^ before);
            if (inactive != 0) {
                misuse.misuse(name, "write of 0x%x to SMMU_GERRORN acknowledges what is not active".formatted(after));
                if (features.chooses(SmmuOption.IGNORES_FALSE_ACKNOWLEDGEMENT)) {
                    registers.set(Registers.GERRORN, after ^ inactive);
                }
            }
            consumption.consume();
        });
        registers.onWrite(Registers.GBPA, (before, after) -> {
            if (!Registers.GBPA_UPDATE.isSet(after)) { // 6.3.14
                registers.set(Registers.GBPA, before);
                misuse.misuse(name, "write to SMMU_GBPA ignored: Update is not set in it");
            } else {
                bypassChanged();
            }
        });
        consumption.start();
    }

    /** The acknowledgement of SMMUEN and of GBPA.Update says that accesses from before are complete (6.3.9, 6.3.14). */
    private void bypassChanged() {
        ports.all();
        ports.synchronise(registers);
    }

    private void identify(SmmuFeatures features) {
        registers.set(Registers.IDR0, features.idr0());
        registers.set(Registers.IDR1, features.idr1());
        registers.set(Registers.IDR3, features.idr3());
        registers.set(Registers.IDR5, features.idr5());
        registers.set(Registers.IDR6, features.idr6());
        long page = WINDOW + (features.has(SmmuFeature.VATOS) ? 1L << RegisterPages.LOG2_PAGE : 0); // BA_VATOS is 0.
        for (int n = 0; n < features.commandQueuePages(); n++) {
            Register base = Registers.CMDQ_CONTROL_PAGE_BASE.get(n);
            registers.set(base, registers.get(base) | page + ((long) n << RegisterPages.LOG2_PAGE));
        }
        registers.set(Registers.IIDR, features.iidr());
        if (features.iidr() != 0) {
            identifyPeripheral(features.iidr());
        }
        registers.set(Registers.AIDR, features.aidr());
        if (features.has(SmmuFeature.BTM)) {
            registers.set(Registers.CR2, Registers.PTM.mask()); // Recommended (6.3.12).
        }
        if (features.chooses(SmmuOption.ABORTS_AFTER_RESET)) {
            registers.set(Registers.GBPA, Registers.GBPA_ABORT.set(registers.get(Registers.GBPA), 1));
        }
    }

    /** The CoreSight registers name the same product, variant and implementer as SMMU_IIDR (6.3.7, 6.3.170). */
    private void identifyPeripheral(long iidr) {
        long product = iidr >>> 20;
        long jedec = 1 << 3;
        registers.set(Registers.PIDR0, product & 0xff);
        registers.set(Registers.PIDR1, (iidr & 0xf) << 4 | product >>> 8);
        registers.set(Registers.PIDR2, (iidr >>> 16 & 0xf) << 4 | jedec | iidr >>> 4 & 7);
        registers.set(Registers.PIDR4, iidr >>> 8 & 0xf);
    }

    /** Registers that are read-only while what they configure is in use (6.3.11 to 6.3.36). */
    private void guard(SmmuFeatures features) {
        registers.guard(
                Registers.GBPA, () -> !Registers.GBPA_UPDATE.isSet(registers.get(Registers.GBPA)), "Update == 1");
        for (Register mpam : new Register[] {Registers.GMPAM, Registers.GBPMPAM}) {
            registers.guard(mpam, () -> !Registers.MPAM_UPDATE.isSet(registers.get(mpam)), "Update == 1");
            registers.onWrite(mpam, (before, after) -> {
                if (!Registers.MPAM_UPDATE.isSet(after)) { // 6.3.42, 6.3.43
                    registers.set(mpam, before);
                }
            });
        }
        readOnlyWhile(
                Registers.IRQ_CTRL,
                Registers.GERROR_IRQEN,
                Registers.GERROR_IRQ_CFG0,
                Registers.GERROR_IRQ_CFG1,
                Registers.GERROR_IRQ_CFG2);
        readOnlyWhile(
                Registers.IRQ_CTRL,
                Registers.EVENTQ_IRQEN,
                Registers.EVENTQ_IRQ_CFG0,
                Registers.EVENTQ_IRQ_CFG1,
                Registers.EVENTQ_IRQ_CFG2);
        readOnlyWhile(
                Registers.IRQ_CTRL,
                Registers.PRIQ_IRQEN,
                Registers.PRIQ_IRQ_CFG0,
                Registers.PRIQ_IRQ_CFG1,
                Registers.PRIQ_IRQ_CFG2);
        updateOnce(Registers.CR0, Registers.CR0ACK);
        updateOnce(Registers.IRQ_CTRL, Registers.IRQ_CTRLACK);
        if (features.chooses(SmmuOption.STORES_GUARDED_WRITES)) {
            return;
        }
        readOnlyWhile(Registers.CR0, Registers.SMMUEN, Registers.CR2, Registers.STRTAB_BASE, Registers.STRTAB_BASE_CFG);
        readOnlyWhile(Registers.CR0, Registers.CMDQEN, Registers.CMDQ_BASE, Registers.CMDQ_CONS);
        readOnlyWhile(Registers.CR0, Registers.EVENTQEN, Registers.EVENTQ_BASE, Registers.EVENTQ_PROD);
        readOnlyWhile(Registers.CR0, Registers.PRIQEN, Registers.PRIQ_BASE, Registers.PRIQ_PROD);
        registers.guard(
                Registers.CR1, Registers.CR1_TABLE, () -> !isOrWas(Registers.CR0, Registers.SMMUEN), "SMMUEN == 1");
        registers.guard(
                Registers.CR1,
                Registers.CR1_QUEUE,
                () -> !isOrWas(Registers.CR0, Registers.CMDQEN)
                        && !isOrWas(Registers.CR0, Registers.EVENTQEN)
                        && !isOrWas(Registers.CR0, Registers.PRIQEN)
                        && controlPages.stream().noneMatch(ControlPage::isOrWasEnabled),
                "CMDQEN, EVENTQEN, PRIQEN or EN of an Enhanced Command queue == 1");
    }

    private void readOnlyWhile(Register control, Field enable, Register... guarded) {
        for (Register register : guarded) {
            registers.guard(register, () -> !isOrWas(control, enable), enable.name() + " == 1");
        }
    }

    /** A field that is being Updated keeps the value that it was given first; others may be changed meanwhile (6.3.9). */
    private void updateOnce(Register control, Register acknowledge) {
        for (Field field : control.fields()) {
            registers.guard(
                    control,
                    field.mask(),
                    () -> ((registers.get(control) ^ registers.get(acknowledge)) & field.mask()) == 0,
                    "an Update of " + field.name() + " is not complete");
        }
    }

    /** Whether a control is on, or its Update to off is not complete yet (6.3.9). */
    private boolean isOrWas(Register control, Field enable) {
        Register acknowledge = control == Registers.CR0 ? Registers.CR0ACK : Registers.IRQ_CTRLACK;
        return enable.isSet(registers.get(control)) || enable.isSet(registers.get(acknowledge));
    }

    /** The registers; to be attached to the bus at a 64 KiB aligned base, with {@link #window}. */
    public BusDevice registers() {
        return optionalPages.isEmpty() ? registers : new RegisterPages(registers, optionalPages);
    }

    /** Size of the register window in bytes: {@link #WINDOW}, and 64 KiB for each optional page (6.1). */
    public long window() {
        return WINDOW + ((long) optionalPages.size() << RegisterPages.LOG2_PAGE);
    }

    @Override
    public long translate(int streamId, int substreamId, long address, int access) {
        return procedure.translate(streamId, substreamId, address, access);
    }

    @Override
    public Stream stream(int streamId, int substreamId) {
        return monitored.byNobody() ? configurations.lookUp(streamId, substreamId) : null;
    }

    @Override
    public long resume(long stalled, int streamId, int substreamId, long address, int access) {
        return stalls.resume(stalled, streamId, substreamId, address, access);
    }

    @Override
    public void awaitResumption(long stalled) throws InterruptedException {
        stalls.await(stalled);
    }

    /**
     * A transaction of a type that the unit does not support arrives, by StreamID and SubstreamID as in {@link #translate}: it
     * is F_UUT, and aborted (7.3.2, 16.7.1). Ports make none; this is for models of a bus that has some.
     *
     * @param access bits of {@link org.iommuemu.mmio.Access}
     */
    public void unsupported(int streamId, int substreamId, long address, int access) {
        procedure.unsupported(new Transaction(streamId, substreamId, address, access));
    }

    /** A counter group counts what happens here from now on. To be called before the masters start. */
    public void monitor(PerformanceMonitors group) {
        monitored.by(group);
    }

    /**
     * A PE has broadcast a TLB invalidation; on return it is complete, as after the PE's DSB. Ignored without SMMU_IDR0.BTM,
     * while SMMU_CR2.PTM is 1, and where it names a stage that is not implemented (3.17). CD.ASET == 1 keeps nothing from it:
     * invalidating more is permitted.
     */
    public void broadcast(BroadcastInvalidation invalidation) {
        synchronized (registers) {
            Command command = invalidation.command(features);
            if (features.has(SmmuFeature.BTM)
                    && !Registers.PTM.isSet(registers.get(Registers.CR2))
                    && command.illegal(features) == null) {
                commands.execute(command, List.of());
                ports.synchronise(registers);
            }
        }
    }

    /** Where WFE wake-up events go, which CMD_SYNC and Command queues that are not full any more send (4.1.2, 4.7.3). */
    public void onWakeUp(Runnable wakesUp) {
        interrupts.onWakeUp(wakesUp);
    }

    /** Ends the SMMU's own thread, if {@link Timing} gives it one: no more commands are consumed. */
    @Override
    public void close() {
        consumption.close();
    }

    /**
     * ATS and PRI for endpoints ({@link org.iommuemu.mmio.AtsPort}).
     *
     * @throws IllegalStateException if the features have no ATS
     */
    public TranslationService ats() {
        if (ats == null) {
            throw new IllegalStateException("SMMU_IDR0.ATS == 0");
        }
        return ats;
    }

    @Override
    public Invalidations invalidations() {
        return ports;
    }
}
