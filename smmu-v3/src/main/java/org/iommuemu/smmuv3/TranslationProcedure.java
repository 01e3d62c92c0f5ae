package org.iommuemu.smmuv3;

import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
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
    private final Stalls stalls;
    private final Monitored monitored;
    private final boolean detectsTlbConflicts;
    private final boolean detectsConfigurationConflicts;

    TranslationProcedure(
            SmmuFeatures features,
            RegisterFile registers,
            StreamTable streamTable,
            ConfigurationCache configurations,
            EventQueue events,
            Stalls stalls,
            Monitored monitored) {
        this.features = features;
        this.registers = registers;
        this.streamTable = streamTable;
        this.configurations = configurations;
        this.events = events;
        this.stalls = stalls;
        this.monitored = monitored;
        detectsTlbConflicts = features.chooses(SmmuOption.DETECTS_TLB_CONFLICTS);
        detectsConfigurationConflicts = features.chooses(SmmuOption.DETECTS_CONFIGURATION_CONFLICTS);
    }

    // Accesses

    /** See {@link Translator#translate}. Takes a lock only to record an event. */
    long translate(int streamId, int substreamId, long address, int access) {
        monitored.count(MonitorEvent.TRANSACTION, streamId);
        ConfigurationCache.Entry entry = configurations.lookUp(streamId, substreamId);
        if (entry != null) {
            long cached = entry.lookUp(address, access);
            if (cached != Tlb.MISS) {
                return cached;
            }
        } else {
            entry = configure(new Transaction(streamId, substreamId, address, access));
            if (entry == null) {
                return globalBypass(address);
            }
        }
        if (entry.configuration() instanceof Configuration.Context context) {
            int effective = context.overrides().apply(access);
            long input = context.canonical(address);
            return walk(entry, context, new Transaction(streamId, substreamId, address, effective), input, access);
        }
        return untranslated(entry.configuration(), new Transaction(streamId, substreamId, address, access));
    }

    /** See {@link Smmu#unsupported}. */
    void unsupported(Transaction transaction) {
        events.record(Event.unsupported(transaction), false);
    }

    /** Fetches the configuration of a stream, if it is not cached; a fault leaves no event (4.2.1). */
    void prefetchConfiguration(int streamId, int substreamId) {
        configured(new Transaction(streamId, substreamId, 0, 0));
    }

    /** Fetches a configuration, and caches it if it is not a fault; null if SMMUEN == 0. */
    private ConfigurationCache.Entry configure(Transaction transaction) {
        int generation = configurations.generation(transaction.streamId());
        // Read after the generation, which SMMUEN moves on when it changes: what is cached was fetched with SMMUEN set.
        if (!Registers.SMMUEN.isSet(registers.get(Registers.CR0))) {
            return null;
        }
        monitored.count(MonitorEvent.CONFIGURATION_CACHE_MISS, transaction.streamId());
        Configuration configuration = streamTable.configure(transaction);
        StreamTableEntry ste = detectsConfigurationConflicts ? ConfigurationCache.ste(configuration) : null;
        if (ste != null && configurations.conflicts(transaction.streamId(), ste)) {
            configuration = Fault.terminated(Event.configuration(Event.Type.F_CFG_CONFLICT, transaction), ste.mev());
        }
        ConfigurationCache.Entry entry =
                configurations.entry(transaction.streamId(), transaction.substreamId(), generation, configuration);
        if (!(configuration instanceof Fault)) {
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
        return Overrides.of(
                        features,
                        0,
                        0,
                        Registers.GBPA_MTCFG.isSet(gbpa),
                        (int) Registers.GBPA_MEMATTR.get(gbpa),
                        (int) Registers.GBPA_ALLOCCFG.get(gbpa),
                        (int) Registers.GBPA_SHCFG.get(gbpa))
                .identity(address);
    }

    private long untranslated(Configuration configuration, Transaction transaction) {
        if (configuration instanceof Configuration.Bypass bypass) {
            Overrides overrides = bypass.overrides();
            Fault fault = beyond(features.oas(), transaction.as(overrides.apply(transaction.access())), bypass.ste());
            return fault == null ? overrides.identity(transaction.address()) : answer(fault, transaction);
        }
        return configuration instanceof Fault fault ? answer(fault, transaction) : Translation.ABORT;
    }

    /** @param arrived the access without overrides: what stalls is tried again as it arrived */
    private long walk(
            ConfigurationCache.Entry entry,
            Configuration.Context context,
            Transaction transaction,
            long input,
            int arrived) {
        Fault refused = refuse(context, transaction, input);
        if (refused != null) {
            return answer(refused, transaction.as(arrived));
        }
        monitored.count(MonitorEvent.TLB_MISS, transaction.streamId());
        long epoch = context.tlb().epoch();
        TableWalk table = context.table(input);
        long stage2Epoch = table.stage2Epoch();
        // Software invalidates a configuration before the TLB. If the configuration is still current now, then the
        // invalidation of what it leads to comes after the epochs were taken, and fills find that out.
        boolean cacheable = entry.isCurrent();
        long result = table.walk(input, transaction.access(), cacheable ? stage2Epoch : Tlb.NO_EPOCH);
        if (WalkResult.isFault(result)) {
            return answer(fault(context, transaction, result), transaction.as(arrived));
        }
        if (detectsTlbConflicts && entry.conflicts(input, result)) {
            Event event = Event.tlbConflict(transaction, !context.stage1());
            return answer(context.faults().other(event), transaction.as(arrived));
        }
        if (cacheable) {
            entry.fill(input, result, epoch);
        }
        return context.output(result);
    }

    /** Records a fault, if it is to be, and answers the client device (5.5). */
    private long answer(Fault fault, Transaction transaction) {
        if (fault.response() == Fault.Response.STALL) {
            return stalls.stall(transaction, fault.event());
        }
        if (fault.recorded()) {
            events.record(fault.event(), fault.mergeable());
        }
        return fault.response() == Fault.Response.RAZ_WI ? Translation.RAZ_WI : Translation.ABORT;
    }

    // Faults

    /** Why an access is not even walked for; null if it is. */
    private Fault refuse(Configuration.Context context, Transaction transaction, long input) {
        if (!context.stage1()) {
            return beyond(SteIllegal.ias(features), transaction, context.ste());
        }
        // CD.EPDn: a miss is a fault; CD.E0PDn: an unprivileged access is, and misses (5.4).
        return context.table(input) == null || context.denies(input, transaction.access())
                ? context.faults()
                        .stage1(Event.translation(Event.Type.F_TRANSLATION, transaction, false, Event.FaultClass.IN, 0))
                : null;
    }

    /** Without stage 1, an address that is too large is a stage 1 Address size fault, which aborts (3.4, 7.3.14). */
    private static Fault beyond(int bits, Transaction transaction, StreamTableEntry ste) {
        return transaction.address() >>> bits == 0
                ? null
                : Fault.terminated(
                        Event.translation(Event.Type.F_ADDR_SIZE, transaction, false, Event.FaultClass.IN, 0),
                        ste.mev());
    }

    private static Fault fault(Configuration.Context context, Transaction transaction, long fault) {
        boolean stage2 = WalkResult.isStage2(fault);
        boolean externalAbort = WalkResult.kind(fault) == WalkResult.Kind.EXTERNAL_ABORT;
        // An abort of a stage 1 descriptor's fetch is of class TT; one of a stage 2 descriptor's of what it was for.
        boolean tableWalk = stage2 ? WalkResult.isTableWalk(fault) : externalAbort;
        Event event = Event.walk(transaction, tableWalk ? Event.FaultClass.TT : Event.FaultClass.IN, fault);
        Fault.Model faults = context.faults();
        return externalAbort ? faults.other(event) : stage2 ? faults.stage2(event) : faults.stage1(event);
    }

    // Look-ups for ATS and ATOS, which record nothing and stall nothing

    /** Which stages a look-up goes through. */
    enum Stages {
        /** What is configured. */
        ALL,
        /** Stage 1 only, though the CD and its tables are read through stage 2: the output is an IPA where there is one. */
        FIRST,
        /** Stage 2 only: the address is an IPA, no CD is read. */
        SECOND
    }

    /**
     * What a look-up came to.
     *
     * @param translation bits of {@link WalkResult}, a success; an identity where nothing translates; 0 with a fault
     * @param fault what an access would have suffered; {@link Fault#SILENT} where STE.Config == 0b0xx or SMMUEN == 0; null
     *     if none
     */
    record Lookup(long translation, Fault fault) {
        private static Lookup of(Fault fault) {
            return new Lookup(0, fault);
        }
    }

    /** Finds the STE of a stream, to see what a look-up may ask for. Nothing is recorded. */
    StreamTable.Located locate(int streamId) {
        return streamTable.locate(new Transaction(streamId, Translator.NO_SUBSTREAM, 0, 0));
    }

    /**
     * Translates, and tells instead of recording or stalling (3.9.1.2, 9.1). TLBs are left as they are; a configuration
     * may be cached. Memory attributes are those of the tables, without overrides by the STE.
     *
     * @param stages of {@link Stages#SECOND} the STE must have stage 2
     * @param overrides whether STE.PRIVCFG and INSTCFG apply (ATS), or not (ATOS)
     * @param update whether hardware update changes descriptors (ATS; ATOS without HTTUI)
     */
    Lookup lookUp(Transaction arrived, Stages stages, boolean overrides, boolean update) {
        Configuration configuration = stages == Stages.SECOND ? stage2Alone(arrived) : configured(arrived);
        if (configuration instanceof Fault fault) {
            return Lookup.of(fault);
        }
        if (configuration instanceof Configuration.Bypass bypass) {
            Fault fault = beyond(features.oas(), arrived, bypass.ste());
            return fault == null ? identity(arrived) : Lookup.of(fault);
        }
        if (!(configuration instanceof Configuration.Context context)) {
            return Lookup.of(Fault.SILENT);
        }
        Transaction transaction =
                arrived.as((overrides ? context.overrides() : Overrides.NONE).apply(arrived.access()));
        long input = context.canonical(transaction.address());
        Fault refused = refuse(context, transaction, input);
        if (refused != null) {
            return Lookup.of(refused);
        }
        if (!context.stage1() && stages == Stages.FIRST) { // STE.S1DSS bypasses it.
            return identity(arrived);
        }
        int kind = transaction.access()
                | (stages == Stages.FIRST ? TableWalk.FIRST_STAGE : 0)
                | (update ? 0 : TableWalk.NO_UPDATE);
        long result = context.table(input).walk(input, kind, Tlb.NO_EPOCH);
        if (WalkResult.isFault(result)) {
            return Lookup.of(fault(context, transaction, result));
        }
        return new Lookup(context.stage1() ? result : Overrides.NONE.combine(result), null);
    }

    /** What is wrong with the configuration of a transaction; null if nothing is, also where STE.Config == 0b0xx. */
    Fault configurationFault(Transaction transaction) {
        return configured(transaction) instanceof Fault fault && fault != Fault.SILENT ? fault : null;
    }

    private Configuration configured(Transaction transaction) {
        ConfigurationCache.Entry entry = configurations.lookUp(transaction.streamId(), transaction.substreamId());
        if (entry == null) {
            entry = configure(transaction);
        }
        return entry == null ? Fault.SILENT : entry.configuration();
    }

    private Configuration stage2Alone(Transaction transaction) {
        StreamTable.Located located = streamTable.locate(transaction);
        return located.fault() != null
                ? located.fault()
                : streamTable.stage2Alone(transaction.streamId(), located.ste());
    }

    /** All permissions, as nothing restricts them. */
    private static Lookup identity(Transaction transaction) {
        return new Lookup(WalkResult.unrestricted(Overrides.NONE.identity(transaction.address())), null);
    }
}
