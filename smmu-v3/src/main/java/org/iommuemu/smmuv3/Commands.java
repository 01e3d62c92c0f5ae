package org.iommuemu.smmuv3;

import java.util.List;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Tlb;

/** What legal commands do (IHI 0070, 4.2 to 4.7). Called under the registers' monitor. */
final class Commands {
    /** More addresses than this are not prefetched: they would only displace each other (4.2.2). */
    private static final int PREFETCHES = 64;

    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final ConfigurationCache configurations;
    private final TranslationCaches tlbs;
    private final Invalidations ports;
    private final Interrupts interrupts;
    private final TranslationProcedure procedure;
    private final Stalls stalls;
    private AtsInterface ats;

    Commands(
            SmmuFeatures features,
            RegisterFile registers,
            ConfigurationCache configurations,
            TranslationCaches tlbs,
            Invalidations ports,
            Interrupts interrupts,
            TranslationProcedure procedure,
            Stalls stalls) {
        this.features = features;
        this.registers = registers;
        this.configurations = configurations;
        this.tlbs = tlbs;
        this.ports = ports;
        this.interrupts = interrupts;
        this.procedure = procedure;
        this.stalls = stalls;
    }

    /** Endpoints are reached through this; without ATS there are none, and their commands are ILLEGAL. */
    void connect(AtsInterface endpoints) {
        ats = endpoints;
    }

    /**
     * Does what a command says, up to the completion of a CMD_SYNC but for its signal.
     *
     * @param invalidations collects the requests that CMD_ATC_INV sends
     */
    void execute(Command command, List<AtsInterface.Invalidation> invalidations) {
        switch (command.opcode()) {
            case CMD_PREFETCH_CONFIG, CMD_PREFETCH_ADDR -> prefetch(command);
            case CMD_CFGI_STE, CMD_CFGI_CD, CMD_CFGI_CD_ALL -> {
                configurations.invalidateStream(command.streamId());
                ports.stream(command.streamId());
            }
            case CMD_CFGI_STE_RANGE -> {
                int log2Count = command.range() + 1;
                int first = (int) Bits.alignDown(Integer.toUnsignedLong(command.streamId()), log2Count);
                configurations.invalidateStreams(first, log2Count);
                ports.all();
            }
            case CMD_CFGI_VMS_PIDM -> {
                // Nothing of a VMS is cached by VMID (5.6.2).
            }
            case CMD_TLBI_NH_ALL,
                    CMD_TLBI_NH_ASID,
                    CMD_TLBI_NH_VA,
                    CMD_TLBI_NH_VAA,
                    CMD_TLBI_S12_VMALL,
                    CMD_TLBI_S2_IPA -> {
                int vmid = features.has(SmmuFeature.S2P) ? command.vmid() : 0;
                int wildcards = features.has(SmmuFeature.VMW) ? wildcardBits() : 0;
                int first = vmid & -1 << wildcards;
                for (int each = first; each < first + (1 << wildcards); each++) {
                    invalidate(command, each);
                }
                tellPorts(command);
            }
            case CMD_TLBI_EL2_ALL -> {
                tlbs.el2().invalidateAll();
                ports.all();
            }
            case CMD_TLBI_EL2_ASID -> {
                tlbs.el2().invalidateAsid(0, command.asid());
                ports.all();
            }
            case CMD_TLBI_EL2_VA, CMD_TLBI_EL2_VAA -> {
                // Without E2H, entries of EL2 have no ASID and the parameter is ignored (4.4.2.8).
                boolean byAsid = command.opcode() == Command.Opcode.CMD_TLBI_EL2_VA
                        && Registers.E2H.isSet(registers.get(Registers.CR2));
                tlbs.invalidateRange(tlbs.el2(), 0, byAsid ? command.asid() : -1, command, features);
                tellPorts(command);
            }
            case CMD_TLBI_NSNH_ALL -> {
                tlbs.stage2().invalidateAll();
                tlbs.el1().invalidateAll();
                ports.all();
            }
            case CMD_ATC_INV -> {
                if (reachesEndpoints()) {
                    int log2Size = 12 + command.atcSize();
                    int substream = substream(command);
                    invalidations.add(ats.invalidate(
                            command.streamId(),
                            substream,
                            substream != Translator.NO_SUBSTREAM && command.global(), // Else IGNORED (4.5.1).
                            Bits.alignDown(command.address(), log2Size),
                            log2Size));
                }
            }
            case CMD_PRI_RESP -> {
                if (reachesEndpoints()) {
                    ats.respond(command.streamId(), substream(command), command.prgIndex(), command.response());
                }
            }
            case CMD_RESUME -> stalls.resume(command.streamId(), command.stag(), command.retries(), command.aborts());
            case CMD_STALL_TERM -> stalls.terminate(command.streamId());
            // All before it is complete once no access under way uses what it invalidated (3.21, 4.7.3).
            case CMD_SYNC -> ports.synchronise(registers);
        }
    }

    /** The completion signal of a CMD_SYNC, after software can see that it is consumed (4.7.3). */
    void signalCompletion(Command command) {
        switch (command.completionSignal()) {
            case Command.SIG_IRQ -> interrupts.synchronised(command.msiAddress(), command.msiData());
            case Command.SIG_SEV -> sendEvent();
            default -> {}
        }
    }

    /** Wakes PEs that wait for an event, where there is such a wire. */
    void sendEvent() {
        if (features.has(SmmuFeature.SEV)) {
            interrupts.sendEvent();
        }
    }

    /** SMMU_CR0.VMW: how many low bits of a VMID are ignored; values above 4 are Reserved and behave as 0 (6.3.9.1). */
    private int wildcardBits() {
        int wildcards = (int) Registers.VMW.get(registers.get(Registers.CR0));
        return wildcards > 4 ? 0 : wildcards;
    }

    private void invalidate(Command command, int vmid) {
        Tlb el1 = tlbs.el1();
        switch (command.opcode()) {
            case CMD_TLBI_NH_ALL -> el1.invalidateSpace(vmid);
            case CMD_TLBI_NH_ASID -> el1.invalidateAsid(vmid, command.asid());
            case CMD_TLBI_NH_VA -> tlbs.invalidateRange(el1, vmid, command.asid(), command, features);
            case CMD_TLBI_NH_VAA -> tlbs.invalidateRange(el1, vmid, -1, command, features);
            // Nested entries are by VA and stay: software invalidates them by CMD_TLBI_NH_* (4.4.3.1).
            case CMD_TLBI_S2_IPA -> tlbs.invalidateRange(tlbs.stage2(), vmid, -1, command, features);
            // CMD_TLBI_S12_VMALL. Stage 2 first: nested walks use it to fill what is invalidated next.
            default -> {
                tlbs.stage2().invalidateSpace(vmid);
                el1.invalidateSpace(vmid);
            }
        }
    }

    /** Ports hear of what a command invalidated only after our own caches: they must not fetch the old answer again. */
    private void tellPorts(Command command) {
        switch (command.opcode()) {
            case CMD_TLBI_NH_VA, CMD_TLBI_NH_VAA, CMD_TLBI_EL2_VA, CMD_TLBI_EL2_VAA, CMD_TLBI_S2_IPA -> {
                if (features.has(SmmuFeature.RIL) && command.tg() != null || tlbs.hasParts()) {
                    ports.all();
                } else {
                    ports.address(command.address());
                }
            }
            default -> ports.all();
        }
    }

    /** CMD_ATC_INV and CMD_PRI_RESP are ignored while SMMUEN == 0, and where the system has no ATS (4.5). */
    private boolean reachesEndpoints() {
        return ats != null && Registers.SMMUEN.isSet(registers.get(Registers.CR0));
    }

    /** Without PASIDs, SSV must be 0, and we behave as though it were (4.5.1). */
    private int substream(Command command) {
        return features.ssidSize() > 0 ? command.substreamId() : Translator.NO_SUBSTREAM;
    }

    /** What fails leaves no event, nor does anything stall (4.2). */
    private void prefetch(Command command) {
        if (!Registers.SMMUEN.isSet(registers.get(Registers.CR0))) {
            return;
        }
        if (command.opcode() == Command.Opcode.CMD_PREFETCH_CONFIG) {
            procedure.prefetchConfiguration(command.streamId(), command.substreamId());
            return;
        }
        // Stride is RES0 in SMMUv3.0.
        int shift = 12 + (features.architecture() == 0 ? 0 : command.stride());
        long count = Math.min(1L << command.size(), PREFETCHES);
        for (long n = 0; n < count; n++) {
            long address = command.address() + (n << shift);
            stalls.speculate(command.streamId(), command.substreamId(), address, Access.READ);
        }
    }
}
