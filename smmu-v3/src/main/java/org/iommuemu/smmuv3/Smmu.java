package org.iommuemu.smmuv3;

import java.util.function.BooleanSupplier;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translator;

/**
 * An SMMUv3 (Arm IHI 0070), Non-secure programming interface: registers, Command and Event queue, translation in one or
 * two stages. In its reset state when made: SMMU_CR0 is 0, and accesses bypass it as SMMU_GBPA says.
 *
 * <p>Software programs it through {@link #registers}, on the bus; what it reads and writes in memory goes to the bus's
 * RAM. Where there is none, the SMMU takes an external abort. A fault of hardware is an event, a global error or a
 * {@link org.iommuemu.mmio.Translation}, never an exception.
 *
 * <p><b>Concurrency.</b> Any number of threads may translate; one that hits configuration cache and TLB takes no lock.
 * Register writes, commands and the recording of events are serialised by the registers' monitor. A write of
 * SMMU_CMDQ_PROD returns when the commands have been consumed or one is in error.
 */
public final class Smmu implements Translator {
    /** Size of the register window in bytes: two pages of 64 KiB. */
    public static final long WINDOW = 0x20000;

    /**
     * Wired interrupts, all edge-triggered (3.18); null where one is not wired.
     *
     * @param eventq the Event queue became non-empty
     * @param gerror a global error
     * @param cmdqSync a CMD_SYNC with CS == SIG_IRQ completed
     * @param priq the PRI queue became non-empty; not used yet
     */
    public record Wires(
            InterruptController.Line eventq,
            InterruptController.Line gerror,
            InterruptController.Line cmdqSync,
            InterruptController.Line priq) {
        /** Nothing is wired. */
        public static final Wires NONE = new Wires(null, null, null, null);
    }

    private final RegisterFile registers;
    private final Invalidations ports = new Invalidations();
    private final ConfigurationCache configurations = new ConfigurationCache();
    private final TranslationProcedure procedure;

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
        PhysicalMemory memory = bus.memory();
        registers = new RegisterFile(Registers.MAP, name, misuse);
        Interrupts interrupts = new Interrupts(features, registers, bus, wires);
        TranslationCaches tlbs = new TranslationCaches(features.tlb());
        StreamTable streamTable = new StreamTable(name, features, registers, memory, tlbs, misuse);
        EventQueue events = new EventQueue(features, registers, memory, interrupts);
        CommandQueue commands =
                new CommandQueue(name, features, registers, memory, configurations, tlbs, ports, interrupts, misuse);
        procedure = new TranslationProcedure(features, registers, streamTable, configurations, events);
        identify(features);
        guard();

        registers.onWrite(Registers.CR0, (before, after) -> {
            if (Registers.SMMUEN.isSet(before ^ after)) {
                configurations
                        .invalidateAll(); // What is cached is only used with SMMUEN set; see TranslationProcedure.
                bypassChanged();
            }
            commands.consume();
        });
        registers.onWrite(Registers.CMDQ_PROD, (before, after) -> commands.consume());
        registers.onWrite(Registers.GERRORN, (before, after) -> {
            // Toggling the bit of an error that is not active is CONSTRAINED UNPREDICTABLE (6.3.19); we take the value.
            long inactive = ~(registers.get(Registers.GERROR) ^ before);
            if (((before ^ after) & inactive) != 0) {
                misuse.misuse(name, "write of 0x%x to SMMU_GERRORN acknowledges what is not active".formatted(after));
            }
            commands.consume();
        });
        registers.onWrite(Registers.GBPA, (before, after) -> {
            if (!Registers.GBPA_UPDATE.isSet(after)) { // 6.3.14
                registers.set(Registers.GBPA, before);
                misuse.misuse(name, "write to SMMU_GBPA ignored: Update is not set in it");
            } else {
                bypassChanged();
            }
        });
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
        registers.set(Registers.IIDR, features.iidr());
        registers.set(Registers.AIDR, features.aidr());
    }

    /** Registers that are read-only while what they configure is in use (6.3.11 to 6.3.33). */
    private void guard() {
        readOnlyWhile(
                Registers.CR0,
                Registers.CR0ACK,
                Registers.SMMUEN,
                "SMMUEN == 1",
                Registers.CR2,
                Registers.STRTAB_BASE,
                Registers.STRTAB_BASE_CFG);
        readOnlyWhile(
                Registers.CR0,
                Registers.CR0ACK,
                Registers.CMDQEN,
                "CMDQEN == 1",
                Registers.CMDQ_BASE,
                Registers.CMDQ_CONS);
        readOnlyWhile(
                Registers.CR0,
                Registers.CR0ACK,
                Registers.EVENTQEN,
                "EVENTQEN == 1",
                Registers.EVENTQ_BASE,
                Registers.EVENTQ_PROD);
        readOnlyWhile(
                Registers.IRQ_CTRL,
                Registers.IRQ_CTRLACK,
                Registers.GERROR_IRQEN,
                "GERROR_IRQEN == 1",
                Registers.GERROR_IRQ_CFG0,
                Registers.GERROR_IRQ_CFG1,
                Registers.GERROR_IRQ_CFG2);
        readOnlyWhile(
                Registers.IRQ_CTRL,
                Registers.IRQ_CTRLACK,
                Registers.EVENTQ_IRQEN,
                "EVENTQ_IRQEN == 1",
                Registers.EVENTQ_IRQ_CFG0,
                Registers.EVENTQ_IRQ_CFG1,
                Registers.EVENTQ_IRQ_CFG2);
        registers.guard(
                Registers.CR1,
                () -> (registers.get(Registers.CR0) | registers.get(Registers.CR0ACK)) == 0,
                "SMMU_CR0 is not 0");
        registers.guard(
                Registers.GBPA, () -> !Registers.GBPA_UPDATE.isSet(registers.get(Registers.GBPA)), "Update == 1");
    }

    private void readOnlyWhile(Register control, Register acknowledge, Field enable, String rule, Register... guarded) {
        BooleanSupplier writable =
                () -> !enable.isSet(registers.get(control)) && !enable.isSet(registers.get(acknowledge));
        for (Register register : guarded) {
            registers.guard(register, writable, rule);
        }
    }

    /** The registers, both pages; to be attached to the bus with {@link #WINDOW} at a 64 KiB aligned base. */
    public BusDevice registers() {
        return registers;
    }

    /**
     * How long handshakes last (SMMU_CR0ACK, SMMU_IRQ_CTRLACK, SMMU_GBPA.Update), see
     * {@link RegisterFile#handshakeReads}.
     *
     * @param reads of the acknowledging register that still see the old state; negative: for ever
     */
    public void handshakeReads(int reads) {
        registers.handshakeReads(reads);
    }

    @Override
    public long translate(int streamId, int substreamId, long address, int access) {
        return procedure.translate(streamId, substreamId, address, access);
    }

    @Override
    public Stream stream(int streamId, int substreamId) {
        return configurations.lookUp(streamId, substreamId);
    }

    @Override
    public Invalidations invalidations() {
        return ports;
    }
}
