package org.iommuemu.smmuv3;

import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;
import org.iommuemu.pagetables.WalkResult;

/** Takes a transaction from its StreamID to an output address or a fault (IHI 0070, 3.3, 3.4 and 15.1). */
final class TranslationProcedure {
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final StreamTable streamTable;
    private final ConfigurationCache configurations;
    private final EventQueue events;

    TranslationProcedure(
            SmmuFeatures features,
            RegisterFile registers,
            StreamTable streamTable,
            ConfigurationCache configurations,
            EventQueue events) {
        this.features = features;
        this.registers = registers;
        this.streamTable = streamTable;
        this.configurations = configurations;
        this.events = events;
    }

    /** See {@link org.iommuemu.mmio.Translator#translate}. Takes a lock only to record an event. */
    long translate(int streamId, int substreamId, long address, int access) {
        ConfigurationCache.Entry entry = configurations.lookUp(streamId, substreamId);
        if (entry != null) {
            long cached = entry.lookUp(address, access);
            if (cached != Tlb.MISS) {
                return cached;
            }
        } else {
            int generation = configurations.generation(streamId);
            // Read after the generation, which SMMUEN moves on when it changes: what is cached was fetched with SMMUEN
            // set.
            if (!Registers.SMMUEN.isSet(registers.get(Registers.CR0))) {
                return globalBypass(address);
            }
            entry = configure(generation, new Transaction(streamId, substreamId, address, access));
        }
        if (entry.configuration() instanceof Configuration.Context context) {
            Transaction transaction = new Transaction(
                    streamId, substreamId, address, context.overrides().apply(access));
            return walk(entry, context, transaction, context.canonical(address));
        }
        return untranslated(entry.configuration(), new Transaction(streamId, substreamId, address, access));
    }

    private ConfigurationCache.Entry configure(int generation, Transaction transaction) {
        Configuration configuration = streamTable.configure(transaction);
        ConfigurationCache.Entry entry =
                configurations.entry(transaction.streamId(), transaction.substreamId(), generation, configuration);
        if (!(configuration instanceof Configuration.Fault)) {
            configurations.fill(entry);
        }
        return entry;
    }

    /** SMMU_GBPA decides while SMMUEN == 0; nothing is recorded (3.11, 6.3.14). */
    private long globalBypass(long address) {
        long gbpa = registers.get(Registers.GBPA);
        if (Registers.GBPA_ABORT.isSet(gbpa) || address >>> features.oas() != 0) {
            return Translation.ABORT;
        }
        Configuration.Overrides overrides = features.attributeOverrides()
                ? new Configuration.Overrides(
                        0, 0, Registers.GBPA_MTCFG.isSet(gbpa), (int) Registers.GBPA_MEMATTR.get(gbpa), (int)
                                Registers.GBPA_SHCFG.get(gbpa))
                : Configuration.Overrides.NONE;
        return overrides.identity(address);
    }

    private long untranslated(Configuration configuration, Transaction transaction) {
        if (configuration instanceof Configuration.Bypass bypass) {
            return isBeyondOutput(transaction)
                    ? beyondOutput(transaction.as(bypass.overrides().apply(transaction.access())))
                    : bypass.overrides().identity(transaction.address());
        }
        if (configuration instanceof Configuration.Fault fault && fault.event() != null) {
            events.record(fault.event());
        }
        return Translation.ABORT;
    }

    private long walk(
            ConfigurationCache.Entry entry, Configuration.Context context, Transaction transaction, long input) {
        if (!context.stage1() && isBeyondOutput(transaction)) {
            return beyondOutput(transaction);
        }
        long epoch = context.tlb().epoch();
        TableWalk table = context.table(input);
        long stage2Epoch = table == null ? Tlb.NO_EPOCH : table.stage2Epoch();
        // Software invalidates a configuration before the TLB. If the configuration is still current now, then the
        // invalidation of what it leads to comes after the epochs were taken, and fills find that out.
        boolean cacheable = entry.isCurrent();
        if (table == null) { // CD.EPDn: a miss is a fault (5.4).
            return stage1Fault(
                    context, Event.translation(Event.Type.F_TRANSLATION, transaction, false, Event.FaultClass.IN, 0));
        }
        long result = table.walk(input, transaction.access(), cacheable ? stage2Epoch : Tlb.NO_EPOCH);
        if (!WalkResult.isFault(result)) {
            if (cacheable) {
                context.tlb().fill(context.space(), context.asid(), input, result, epoch);
            }
            return result;
        }
        return fault(context, transaction, result);
    }

    private long fault(Configuration.Context context, Transaction transaction, long fault) {
        boolean stage2 = WalkResult.isStage2(fault);
        boolean externalAbort = WalkResult.kind(fault) == WalkResult.Kind.EXTERNAL_ABORT;
        // An abort of a stage 1 descriptor's fetch is of class TT; one of a stage 2 descriptor's of what it was for.
        boolean tableWalk = stage2 ? WalkResult.isTableWalk(fault) : externalAbort;
        Event event = Event.walk(transaction, tableWalk ? Event.FaultClass.TT : Event.FaultClass.IN, fault);
        if (externalAbort) { // Not subject to CD.{A,R,S} or STE.S2R (7.3.12).
            events.record(event);
            return Translation.ABORT;
        }
        if (stage2) {
            if (context.faults().recordStage2()) {
                events.record(event);
            }
            return Translation.ABORT;
        }
        return stage1Fault(context, event);
    }

    /** CD.R: whether to record; CD.A: whether the client sees an abort or RAZ/WI (5.5). */
    private long stage1Fault(Configuration.Context context, Event event) {
        if (context.faults().recordStage1()) {
            events.record(event);
        }
        return context.faults().abortStage1() ? Translation.ABORT : Translation.RAZ_WI;
    }

    private boolean isBeyondOutput(Transaction transaction) {
        return transaction.address() >>> features.oas() != 0;
    }

    /** Without stage 1, an input address beyond the IAS (which is the OAS) is a stage 1 Address size fault (3.4). */
    private long beyondOutput(Transaction transaction) {
        events.record(Event.translation(Event.Type.F_ADDR_SIZE, transaction, false, Event.FaultClass.IN, 0));
        return Translation.ABORT;
    }
}
