package org.iommuemu.smmuv3;

import java.util.function.IntConsumer;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.WalkResult;

/** Finds and decodes the STE and the CD of a transaction (IHI 0070, 3.3 and 15.1). */
final class StreamTable {
    private static final Configuration ABORT = new Configuration.Abort();
    private static final int TWO_LEVEL = 1;

    private final String unit;
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final TranslationCaches tlbs;
    private final MisuseListener misuse;
    private final Monitored monitored;

    StreamTable(
            String unit,
            SmmuFeatures features,
            RegisterFile registers,
            PhysicalMemory memory,
            TranslationCaches tlbs,
            MisuseListener misuse,
            Monitored monitored) {
        this.unit = unit;
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.tlbs = tlbs;
        this.misuse = misuse;
        this.monitored = monitored;
    }

    /** A structure, or null if nothing answers at its address, or the address is beyond the output size (3.4.3). */
    private long[] read(Transaction transaction, long address, int words) {
        if (address >>> features.oas() != 0) {
            return null;
        }
        monitored.count(MonitorEvent.CONFIGURATION_STRUCTURE_ACCESS, transaction.streamId());
        return Bits.read(memory, address, words);
    }

    /**
     * A stream's entry.
     *
     * @param ste legal, or one that aborts; null if there is a fault instead
     */
    record Located(StreamTableEntry ste, Fault fault) {}

    /** Fetches what configures a transaction. */
    Configuration configure(Transaction transaction) {
        Located located = locate(transaction);
        if (located.fault != null) {
            return located.fault;
        }
        return located.ste.aborts() ? ABORT : stream(transaction, located.ste);
    }

    /** Finds the STE of a StreamID (3.3.2). */
    Located locate(Transaction transaction) {
        long streamId = Integer.toUnsignedLong(transaction.streamId());
        long cfg = registers.get(Registers.STRTAB_BASE_CFG);
        // The alignment of the base follows the literal LOG2SIZE, the range of StreamIDs is bounded by SIDSIZE
        // (6.3.24).
        int log2Size = (int) Registers.STRTAB_LOG2SIZE.get(cfg);
        if (streamId >>> Math.min(log2Size, features.sidSize()) != 0) {
            return badStreamId(transaction);
        }
        long base = Bits.address(registers.get(Registers.STRTAB_BASE), features.oas() - 1, 6);
        long address;
        if (Registers.STRTAB_FMT.get(cfg) == TWO_LEVEL && features.has(SmmuFeature.ST_LEVEL)) {
            int split = split(cfg);
            int log2Level1 = Math.max(6, log2Size - split + 3);
            long level1 = Bits.alignDown(base, log2Level1) + (streamId >>> split) * 8;
            long[] descriptor = read(transaction, level1, 1);
            if (descriptor == null) {
                return located(Event.fetch(Event.Type.F_STE_FETCH, transaction, level1));
            }
            // Level 1 Stream Table Descriptor (5.1): Span == 0 is invalid; larger than SPLIT + 1, likewise.
            int span = (int) Bits.get(descriptor, 4, 0);
            long index = streamId & (1L << split) - 1;
            if (span == 0 || span > split + 1 || index >>> span - 1 != 0) {
                return badStreamId(transaction);
            }
            long l2Ptr = Bits.address(descriptor[0], 55, 6);
            address = Bits.alignDown(l2Ptr, span - 1 + StreamTableEntry.LOG2_BYTES)
                    + (index << StreamTableEntry.LOG2_BYTES);
        } else {
            address = Bits.alignDown(base, log2Size + StreamTableEntry.LOG2_BYTES)
                    + (streamId << StreamTableEntry.LOG2_BYTES);
        }
        long[] words = read(transaction, address, StreamTableEntry.WORDS);
        if (words == null) {
            return located(Event.fetch(Event.Type.F_STE_FETCH, transaction, address));
        }
        StreamTableEntry ste = new StreamTableEntry(words);
        if (!ste.valid()) {
            return located(Event.configuration(Event.Type.C_BAD_STE, transaction));
        }
        String rule = ste.aborts() ? null : SteIllegal.rule(ste, features);
        if (rule != null) {
            misuse.misuse(unit, "STE of StreamID 0x%x: %s".formatted(streamId, rule));
            return located(Event.configuration(Event.Type.C_BAD_STE, transaction));
        }
        return new Located(ste, null);
    }

    /** SPLIT: 6, 8 or 10; Reserved values behave as 6 (6.3.25). */
    private static int split(long cfg) {
        int split = (int) Registers.STRTAB_SPLIT.get(cfg);
        return split == 8 || split == 10 ? split : 6;
    }

    /** C_BAD_STREAMID is recorded only if SMMU_CR2.RECINVSID says so (6.3.12). */
    private Located badStreamId(Transaction transaction) {
        boolean recorded = Registers.RECINVSID.isSet(registers.get(Registers.CR2));
        Event event = Event.configuration(Event.Type.C_BAD_STREAMID, transaction);
        return new Located(null, new Fault(event, recorded, true, Fault.Response.ABORT));
    }

    /** A fault before there is an STE, which may always be merged (7.3.1). */
    private static Located located(Event event) {
        return new Located(null, Fault.terminated(event, true));
    }

    private Configuration stream(Transaction arrived, StreamTableEntry ste) {
        Overrides overrides = ste.overrides(features);
        Transaction transaction = arrived.as(overrides.apply(arrived.access()));
        TableWalk stage2 = stage2(arrived.streamId(), ste);
        if (!ste.stage1()) {
            // A SubstreamID selects a CD; without stage 1 there is none (3.9, 7.3.9).
            return transaction.hasSubstream()
                    ? fault(Event.Type.C_BAD_SUBSTREAMID, transaction, ste)
                    : withoutStage1(ste, stage2, overrides);
        }
        long substream = 0;
        if (features.ssidSize() > 0 && ste.s1CDMax() > 0) {
            int s1Dss = ste.s1Dss();
            if (transaction.hasSubstream()) {
                substream = Integer.toUnsignedLong(transaction.substreamId());
                if (substream >>> ste.s1CDMax() != 0) {
                    return fault(Event.Type.C_BAD_SUBSTREAMID, transaction, ste);
                }
            } else if (s1Dss == StreamTableEntry.S1DSS_BYPASS) {
                return withoutStage1(ste, stage2, overrides);
            }
            // CD 0 is for accesses without a SubstreamID, or they are disabled; Reserved behaves as that (5.2, S1DSS).
            boolean substream0 = s1Dss == StreamTableEntry.S1DSS_SUBSTREAM0;
            if (transaction.hasSubstream() ? substream == 0 && substream0 : !substream0) {
                return Fault.terminated(Event.streamDisabled(transaction.streamId()), ste.mev());
            }
        } else if (transaction.hasSubstream()) {
            return fault(Event.Type.C_BAD_SUBSTREAMID, transaction, ste);
        }
        return stage1(transaction, ste, stage2, substream, overrides);
    }

    private TableWalk stage2(int streamId, StreamTableEntry ste) {
        return ste.stage2() ? ste.stage2Walk(memory, features, tlbs.stage2(), monitored.tableAccesses(streamId)) : null;
    }

    /** What IPAs go through that are not made by stage 1: for a legal STE with stage 2. */
    Configuration.Context stage2Alone(int streamId, StreamTableEntry ste) {
        return stage2Alone(ste, stage2(streamId, ste), ste.overrides(features));
    }

    private Configuration.Context stage2Alone(StreamTableEntry ste, TableWalk stage2, Overrides overrides) {
        Fault.Model faults = new Fault.Model(true, true, false, ste.s2R(), ste.s2S(), ste.mev());
        return new Configuration.Context(
                ste,
                false,
                tlbs.stage2(),
                ste.s2Vmid(),
                0,
                stage2,
                null,
                stage2,
                false,
                false,
                false,
                null,
                0,
                overrides.leaveTablesAlone() && !ste.s2Fwb(features),
                faults,
                overrides);
    }

    private Configuration withoutStage1(StreamTableEntry ste, TableWalk stage2, Overrides overrides) {
        return stage2 == null ? new Configuration.Bypass(ste, overrides) : stage2Alone(ste, stage2, overrides);
    }

    private Configuration stage1(
            Transaction transaction, StreamTableEntry ste, TableWalk stage2, long substream, Overrides overrides) {
        long pointer = ste.s1ContextPtr();
        boolean substreams = features.ssidSize() > 0 && ste.s1CDMax() > 0;
        int cdMax = substreams ? ste.s1CDMax() : 0;
        long address;
        if (substreams && ste.twoLevelContextTable()) {
            int split = ste.contextTableSplit();
            long level1 = Bits.alignDown(pointer, Math.max(6, cdMax - split + 3)) + (substream >>> split) * 8;
            Fetch fetch = fetch(transaction, ste, stage2, level1, 1);
            if (fetch.fault != null) {
                return fetch.fault;
            }
            // Level 1 Context Descriptor (5.3)
            long l2Ptr = Bits.address(fetch.words[0], 55, 12);
            if ((fetch.words[0] & 1) == 0 || l2Ptr >>> SteIllegal.contextPointerBits(ste, features) != 0) {
                return fault(Event.Type.C_BAD_SUBSTREAMID, transaction, ste);
            }
            address = Bits.alignDown(l2Ptr, split + ContextDescriptor.LOG2_BYTES)
                    + ((substream & (1L << split) - 1) << ContextDescriptor.LOG2_BYTES);
        } else {
            address = Bits.alignDown(pointer, cdMax + ContextDescriptor.LOG2_BYTES)
                    + (substream << ContextDescriptor.LOG2_BYTES);
        }
        Fetch fetch = fetch(transaction, ste, stage2, address, ContextDescriptor.WORDS);
        if (fetch.fault != null) {
            return fetch.fault;
        }
        StreamWorld world = ste.streamWorld(features, Registers.E2H.isSet(registers.get(Registers.CR2)));
        ContextDescriptor cd = new ContextDescriptor(fetch.words);
        String rule = CdIllegal.rule(ste, cd, world, features);
        if (rule != null) {
            misuse.misuse(
                    unit,
                    "CD of StreamID 0x%x, SubstreamID 0x%x: %s".formatted(transaction.streamId(), substream, rule));
            return fault(Event.Type.C_BAD_CD, transaction, ste);
        }
        if (ste.usesVms(features)) { // PARTID_MAP, which is all that there is of it (5.6).
            long partId = ste.vmsPtr() + 2L * cd.virtualPartId();
            if (!memory.isRam(partId, 2)) {
                return Fault.terminated(Event.fetch(Event.Type.F_VMS_FETCH, transaction, partId), ste.mev());
            }
        }
        return context(transaction.streamId(), ste, cd, world, stage2, overrides);
    }

    private Configuration context(
            int streamId,
            StreamTableEntry ste,
            ContextDescriptor cd,
            StreamWorld world,
            TableWalk stage2,
            Overrides overrides) {
        IntConsumer accesses = monitored.tableAccesses(streamId);
        return new Configuration.Context(
                ste,
                true,
                world == StreamWorld.NS_EL1 ? tlbs.el1() : tlbs.el2(),
                world == StreamWorld.NS_EL1 && features.has(SmmuFeature.S2P) ? ste.s2Vmid() : 0,
                world == StreamWorld.NS_EL2 ? 0 : cd.taggedAsid(),
                cd.walk(0, world, stage2, memory, features, accesses),
                cd.walk(1, world, stage2, memory, features, accesses),
                stage2,
                world != StreamWorld.NS_EL2,
                cd.aa64() && cd.tbi(0),
                cd.aa64() && cd.tbi(1),
                cd.narrowRanges(world),
                cd.privilegedOnly(world, features),
                overrides.leaveTablesAlone(),
                new Fault.Model(cd.r(), cd.a(), cd.s(), ste.s2R(), ste.s2S(), ste.mev()),
                overrides);
    }

    private record Fetch(long[] words, Fault fault) {}

    /** Reads a CD or a level 1 descriptor of a CD table; with stage 2, its address is an IPA. */
    private Fetch fetch(Transaction transaction, StreamTableEntry ste, TableWalk stage2, long address, int count) {
        long physical = address;
        if (stage2 != null) {
            long result = stage2.walkForTable(address, Access.READ);
            if (WalkResult.isFault(result)) {
                Event event = Event.walk(transaction, Event.FaultClass.CD, result);
                Fault.Model faults = new Fault.Model(false, true, false, ste.s2R(), ste.s2S(), ste.mev());
                boolean externalAbort = WalkResult.kind(result) == WalkResult.Kind.EXTERNAL_ABORT;
                return new Fetch(null, externalAbort ? faults.other(event) : faults.stage2(event));
            }
            physical = Translation.address(result, address);
        }
        long[] words = read(transaction, physical, count);
        return words == null
                ? new Fetch(
                        null, Fault.terminated(Event.fetch(Event.Type.F_CD_FETCH, transaction, physical), ste.mev()))
                : new Fetch(words, null);
    }

    private static Fault fault(Event.Type type, Transaction transaction, StreamTableEntry ste) {
        return Fault.terminated(Event.configuration(type, transaction), ste.mev());
    }
}
