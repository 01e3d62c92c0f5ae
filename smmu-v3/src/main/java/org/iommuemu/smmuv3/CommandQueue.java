package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.pagetables.Tlb;

/**
 * The Command queue: consumes commands in order, on the thread of the software that wrote them, until it is empty or one
 * is in error (IHI 0070, 3.5, 4 and 7.1).
 */
final class CommandQueue {
    private static final int CERROR_ILL = 1;
    private static final int CERROR_ABT = 2;

    private final String unit;
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final ConfigurationCache configurations;
    private final TranslationCaches tlbs;
    private final Invalidations ports;
    private final Interrupts interrupts;
    private final MisuseListener misuse;

    /** A message of CMD_SYNC or of a global error may land on our own registers. Guarded by {@link #registers}. */
    private boolean consuming;

    CommandQueue(
            String unit,
            SmmuFeatures features,
            RegisterFile registers,
            PhysicalMemory memory,
            ConfigurationCache configurations,
            TranslationCaches tlbs,
            Invalidations ports,
            Interrupts interrupts,
            MisuseListener misuse) {
        this.unit = unit;
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.configurations = configurations;
        this.tlbs = tlbs;
        this.ports = ports;
        this.interrupts = interrupts;
        this.misuse = misuse;
    }

    /** Consumes what there is. Called under the register file's monitor. */
    void consume() {
        if (consuming) {
            return;
        }
        consuming = true;
        try {
            while (Registers.CMDQEN.isSet(registers.get(Registers.CR0))
                    && !interrupts.isActive(GlobalError.CMDQ_ERR)
                    && consumeOne()) {}
        } finally {
            consuming = false;
        }
    }

    /** Whether a command was consumed. */
    private boolean consumeOne() {
        Queue queue = new Queue(
                registers.get(Registers.CMDQ_BASE), features.cmdqLog2Size(), Command.LOG2_BYTES, features.oas());
        long rd = Registers.CMDQ_RD.get(registers.get(Registers.CMDQ_CONS));
        if (queue.isEmpty(Registers.CMDQ_WR.get(registers.get(Registers.CMDQ_PROD)), rd)) {
            return false;
        }
        long[] words = Bits.read(memory, queue.address(rd), 2);
        if (words == null) {
            return stop(CERROR_ABT);
        }
        Command command = new Command(words[0], words[1]);
        String rule = command.illegal(features);
        if (rule != null) {
            misuse.misuse(unit, "command 0x%016x %016x: %s".formatted(command.word1(), command.word0(), rule));
            return stop(CERROR_ILL);
        }
        execute(command);
        tellPorts(command);
        registers.set(Registers.CMDQ_CONS, Registers.CMDQ_RD.set(registers.get(Registers.CMDQ_CONS), queue.next(rd)));
        return true;
    }

    /** CONS stays at the command, consumption stops until software acknowledges in SMMU_GERRORN (7.1). */
    private boolean stop(int error) {
        registers.set(Registers.CMDQ_CONS, Registers.CMDQ_ERR.set(registers.get(Registers.CMDQ_CONS), error));
        interrupts.activate(GlobalError.CMDQ_ERR);
        return false;
    }

    private void execute(Command command) {
        int vmid = features.has(SmmuFeature.S2P) ? command.vmid() : 0;
        Tlb el1 = tlbs.el1();
        Tlb el2 = tlbs.el2();
        switch (command.opcode()) {
            case CMD_PREFETCH_CONFIG, CMD_PREFETCH_ADDR -> {
                // A hint; nothing is prefetched (4.2).
            }
            case CMD_CFGI_STE, CMD_CFGI_CD, CMD_CFGI_CD_ALL -> configurations.invalidateStream(command.streamId());
            case CMD_CFGI_STE_RANGE -> {
                int log2Count = command.range() + 1;
                int first = (int) Bits.alignDown(Integer.toUnsignedLong(command.streamId()), log2Count);
                configurations.invalidateStreams(first, log2Count);
            }
            case CMD_TLBI_NH_ALL -> el1.invalidateSpace(vmid);
            case CMD_TLBI_NH_ASID -> el1.invalidateAsid(vmid, command.asid());
            case CMD_TLBI_NH_VA ->
                tlbs.invalidateRange(el1, vmid, command.asid(), command, features.has(SmmuFeature.RIL));
            case CMD_TLBI_NH_VAA -> tlbs.invalidateRange(el1, vmid, -1, command, features.has(SmmuFeature.RIL));
            case CMD_TLBI_EL2_ALL -> el2.invalidateAll();
            case CMD_TLBI_EL2_ASID -> el2.invalidateAsid(0, command.asid());
            case CMD_TLBI_EL2_VA ->
                tlbs.invalidateRange(el2, 0, el2Asid(command), command, features.has(SmmuFeature.RIL));
            case CMD_TLBI_EL2_VAA -> tlbs.invalidateRange(el2, 0, -1, command, features.has(SmmuFeature.RIL));
            // Stage 2 first: nested walks use it to fill what is invalidated next.
            case CMD_TLBI_S12_VMALL -> {
                tlbs.stage2().invalidateSpace(vmid);
                el1.invalidateSpace(vmid);
            }
            // Nested entries are by VA and stay: software invalidates them by CMD_TLBI_NH_* (4.4.3.1).
            case CMD_TLBI_S2_IPA ->
                tlbs.invalidateRange(tlbs.stage2(), vmid, -1, command, features.has(SmmuFeature.RIL));
            case CMD_TLBI_NSNH_ALL -> {
                tlbs.stage2().invalidateAll();
                el1.invalidateAll();
            }
            case CMD_SYNC -> {
                // All before it is complete once no access under way uses what it invalidated (3.21, 4.7).
                ports.synchronise(registers);
                // SIG_SEV wakes no CPU here (4.7.3).
                if (command.completionSignal() == Command.SIG_IRQ) {
                    interrupts.synchronised(command.msiAddress(), command.msiData());
                }
            }
        }
    }

    /** Ports hear of what a command invalidated only after our own caches: they must not fetch the old answer again. */
    private void tellPorts(Command command) {
        switch (command.opcode()) {
            case CMD_PREFETCH_CONFIG, CMD_PREFETCH_ADDR, CMD_SYNC -> {}
            case CMD_CFGI_STE, CMD_CFGI_CD, CMD_CFGI_CD_ALL -> ports.stream(command.streamId());
            case CMD_TLBI_NH_VA, CMD_TLBI_NH_VAA, CMD_TLBI_EL2_VA, CMD_TLBI_EL2_VAA, CMD_TLBI_S2_IPA -> {
                if (features.has(SmmuFeature.RIL) && command.tg() != null) {
                    ports.all();
                } else {
                    ports.address(command.address());
                }
            }
            default -> ports.all();
        }
    }

    /** Without E2H, entries of EL2 have no ASID and the parameter is ignored (4.4.2.8). */
    private int el2Asid(Command command) {
        return Registers.E2H.isSet(registers.get(Registers.CR2)) ? command.asid() : -1;
    }
}
