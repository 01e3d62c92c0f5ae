package org.iommuemu.smmuv3;

import org.iommuemu.pagetables.PlainWalk;
import org.iommuemu.pagetables.PlainWalk.Attributes;
import org.iommuemu.pagetables.PlainWalk.Cause;
import org.iommuemu.pagetables.PlainWalk.Incoming;
import org.iommuemu.pagetables.PlainWalk.Stage;

/**
 * What becomes of a transaction, told as plainly as IHI 0070 tells it (3.3, 3.4, 3.9, 5, 7.3, 13 and 15): from the
 * registers and the RAM to an output address with attributes, or to the end of the transaction and an event record. No
 * caches, no packed values, no code of the model; the walk itself is {@link PlainWalk}.
 */
final class PlainSmmu {
    /** A structure in RAM, and how many words are read of it at once. */
    enum Structure {
        L1STD(1),
        STE(8),
        L1CD(1),
        CD(8);

        final int words;

        Structure(int words) {
            this.words = words;
        }
    }

    /** RAM. Structures and descriptors are read by purpose, so that whoever stands behind can make them up. */
    interface Memory extends PlainWalk.Memory {
        /** The words of a structure; null where nothing answers. */
        long[] read(long address, Structure structure);
    }

    /**
     * A transaction.
     *
     * @param substreamId null if there is none
     */
    record Access(
            long streamId, Long substreamId, long address, boolean privileged, boolean write, boolean instruction) {}

    enum End {
        COMPLETED,
        ABORTED,
        /** To the client a success. */
        RAZ_WI,
        /** Waits for software. */
        STALLED
    }

    /**
     * What came of a transaction.
     *
     * @param address output address; of no meaning unless it completed
     * @param mair memory attributes, as a MAIR byte
     * @param event the record, four words; null for none
     * @param unknown bits of the record that are UNKNOWN
     */
    record Outcome(End end, long address, int mair, int shareability, long[] event, long[] unknown) {}

    /** The transaction is over. */
    private static final class Ended extends Exception {
        private static final long serialVersionUID = 1;
        final transient Outcome outcome;

        Ended(Outcome outcome) {
            super(null, null, false, false);
            this.outcome = outcome;
        }
    }

    private enum FaultClass {
        CD,
        TT,
        IN
    }

    /** Ports convey no shareability: 13.1.3 has Non-shareable. */
    private static final int INCOMING_SHAREABILITY = 0;

    private final PlainRegisters r;
    private final PlainLegality legality;
    private final Memory memory;

    PlainSmmu(PlainRegisters registers, Memory memory) {
        r = registers;
        this.memory = memory;
        legality = new PlainLegality(registers);
    }

    Outcome transact(Access access) {
        try {
            return r.smmuEn() ? enabled(access) : globalBypass(access);
        } catch (Ended e) {
            return e.outcome;
        }
    }

    // 3.4, 6.3.14: the SMMU is disabled.

    private Outcome globalBypass(Access access) {
        long gbpa = r.gbpa();
        if (Plain.bit(gbpa, 20) || !Plain.fits(access.address, r.oas())) {
            return new Outcome(End.ABORTED, 0, 0, 0, null, null);
        }
        return untranslated(
                access,
                incoming(
                        Plain.bit(gbpa, 4), Plain.bits(gbpa, 3, 0), Plain.bits(gbpa, 13, 12), Plain.bits(gbpa, 11, 8)));
    }

    // 3.3.1, 5.1: the stream table.

    private Outcome enabled(Access access) throws Ended {
        long[] ste = streamTableEntry(access);
        if (Plain.bits(ste, 0, 0) == 1 && Plain.bits(ste, 3, 1) < 4) {
            throw new Ended(new Outcome(End.ABORTED, 0, 0, 0, null, null));
        }
        if (legality.steIllegal(ste)) {
            throw configurationError(0x04, access, true);
        }
        return stream(overridden(access, ste), ste);
    }

    private long[] streamTableEntry(Access access) throws Ended {
        int log2Size = r.log2Size();
        int range = log2Size < r.sidSize() ? log2Size : r.sidSize();
        if (!Plain.fits(access.streamId, range)) {
            throw badStreamId(access);
        }
        // Address bits beyond OAS are RES0.
        long base = Plain.bits(r.streamTable(), r.oas() - 1, 0);
        if (!r.twoLevel()) {
            return fetchSte(access, Plain.aligned(base, log2Size + 6) + access.streamId * 64);
        }
        int split = r.split();
        int level1Bits = log2Size - split + 3 > 6 ? log2Size - split + 3 : 6;
        long entry = Plain.aligned(base, level1Bits) + access.streamId / Plain.power(split) * 8;
        long[] l1std = memory.read(entry, Structure.L1STD);
        if (l1std == null) {
            throw fetchError(0x03, access, entry);
        }
        long span = Plain.bits(l1std, 4, 0);
        long index = access.streamId % Plain.power(split);
        if (span == 0 || span > split + 1 || index >= Plain.power((int) span - 1)) {
            throw badStreamId(access);
        }
        long l2 = Plain.bits(l1std, 55, 6) * Plain.power(6);
        return fetchSte(access, Plain.aligned(l2, (int) span - 1 + 6) + index * 64);
    }

    private long[] fetchSte(Access access, long address) throws Ended {
        // 3.4.3: beyond OAS it is truncated, or F_STE_FETCH, as the model does.
        long[] ste = Plain.fits(address, r.oas()) ? memory.read(address, Structure.STE) : null;
        if (ste == null) {
            throw fetchError(0x03, access, address);
        }
        return ste;
    }

    private Access overridden(Access access, long[] ste) {
        boolean privileged = access.privileged;
        boolean instruction = access.instruction;
        if (r.attrPermsOvr()) {
            long privcfg = Plain.bits(ste, 113, 112);
            long instcfg = Plain.bits(ste, 115, 114);
            privileged = privcfg == 3 || privcfg != 2 && privileged;
            instruction = instcfg == 3 || instcfg != 2 && instruction;
        }
        // Writes are Data.
        return new Access(
                access.streamId,
                access.substreamId,
                access.address,
                privileged,
                access.write,
                instruction && !access.write);
    }

    // 3.3.2, 5.2: what the STE says.

    private Outcome stream(Access access, long[] ste) throws Ended {
        boolean substream = access.substreamId != null;
        if (!PlainLegality.stage1(ste)) {
            if (substream) {
                throw configurationError(0x08, access, false);
            }
            return withoutStage1(access, ste);
        }
        long cdMax = Plain.bits(ste, 63, 59);
        if (r.ssidSize() == 0 || cdMax == 0) {
            if (substream) {
                throw configurationError(0x08, access, false);
            }
            return stage1(access, ste, 0, 0);
        }
        long s1dss = Plain.bits(ste, 65, 64);
        if (!substream) {
            if (s1dss == 0b01) {
                return withoutStage1(access, ste);
            }
            if (s1dss != 0b10) {
                throw configurationError(0x06, access, false);
            }
            return stage1(access, ste, (int) cdMax, 0);
        }
        if (access.substreamId >= Plain.power((int) cdMax)) {
            throw configurationError(0x08, access, false);
        }
        if (s1dss == 0b10 && access.substreamId == 0) {
            throw configurationError(0x06, access, false);
        }
        return stage1(access, ste, (int) cdMax, access.substreamId);
    }

    private Outcome withoutStage1(Access access, long[] ste) throws Ended {
        // IAS is OAS: there is no VMSAv8-32.
        if (!Plain.fits(access.address, r.oas())) {
            throw new Ended(aborted(fault(0x11, access, false, FaultClass.IN, false, 0)));
        }
        if (!PlainLegality.stage2(ste)) {
            return untranslated(access, incoming(ste));
        }
        return walk(access, ste, null, stage2(ste), incoming(ste), access.address);
    }

    // 5.3, 5.4: context descriptors.

    private Outcome stage1(Access access, long[] ste, int cdMax, long substreamId) throws Ended {
        Stage second = PlainLegality.stage2(ste) ? stage2(ste) : null;
        long pointer = PlainLegality.s1ContextPtr(ste);
        long fmt = Plain.bits(ste, 5, 4);
        long address;
        if (cdMax > 0 && (fmt == 0b01 || fmt == 0b10)) {
            int split = fmt == 0b01 ? 6 : 10;
            int level1Bits = cdMax - split + 3 > 6 ? cdMax - split + 3 : 6;
            long entry = Plain.aligned(pointer, level1Bits) + substreamId / Plain.power(split) * 8;
            long[] l1cd = fetchContext(access, ste, second, entry, Structure.L1CD);
            long l2 = Plain.bits(l1cd, 55, 12) * Plain.power(12);
            // 3.4.3: of an IPA, C_BAD_SUBSTREAMID is one of two behaviours, and the model's.
            if (Plain.bits(l1cd, 0, 0) == 0 || !Plain.fits(l2, r.oas())) {
                throw configurationError(0x08, access, false);
            }
            address = Plain.aligned(l2, split + 6) + substreamId % Plain.power(split) * 64;
        } else {
            address = Plain.aligned(pointer, cdMax + 6) + substreamId * 64;
        }
        long[] cd = fetchContext(access, ste, second, address, Structure.CD);
        if (legality.cdIllegal(ste, cd)) {
            throw configurationError(0x0a, access, true);
        }
        return throughStage1(access, ste, cd, second);
    }

    private long[] fetchContext(Access access, long[] ste, Stage second, long address, Structure structure)
            throws Ended {
        long physical = address;
        if (second != null) {
            PlainWalk.Outcome walked = new PlainWalk(memory).translateForStructure(second, address);
            if (walked.cause() != null) {
                throw new Ended(stage2Fault(access, ste, walked, FaultClass.CD));
            }
            physical = walked.address();
        }
        long[] words = memory.read(physical, structure);
        if (words == null) {
            throw fetchError(0x09, access, physical);
        }
        return words;
    }

    private Outcome throughStage1(Access access, long[] ste, long[] cd, Stage second) throws Ended {
        PlainLegality.World world = legality.world(ste);
        boolean upper = world != PlainLegality.World.EL2 && Plain.bit(access.address, 55);
        boolean disabled = upper ? PlainLegality.epd1(cd, world) : PlainLegality.epd0(cd, world);
        if (disabled) {
            throw new Ended(stage1Fault(cd, fault(0x10, access, false, FaultClass.IN, false, 0)));
        }
        long input = access.address;
        if (Plain.bits(cd, upper ? 39 : 38, upper ? 39 : 38) == 1) {
            // The top byte is taken as a sign extension of bit 55; in EL2 there are no upper addresses.
            input = Plain.bits(input, 55, 0);
            if (upper) {
                input = input - Plain.power(56);
            }
        }
        Stage first = stage1(ste, cd, world, upper);
        first.over = second;
        return walk(access, ste, cd, first, incoming(ste), input);
    }

    private Outcome walk(Access access, long[] ste, long[] cd, Stage first, Incoming incoming, long input)
            throws Ended {
        PlainWalk.Outcome walked = new PlainWalk(memory)
                .translate(first, incoming, input, access.privileged, access.write, access.instruction);
        if (walked.cause() == null) {
            return new Outcome(End.COMPLETED, walked.address(), walked.mair(), walked.shareability(), null, null);
        }
        if (walked.stage2()) {
            return stage2Fault(access, ste, walked, walked.tableWalk() ? FaultClass.TT : FaultClass.IN);
        }
        if (walked.cause() == Cause.EXTERNAL_ABORT) {
            return aborted(fault(0x0b, access, false, FaultClass.TT, false, fetchAddress(walked.faultAddress())));
        }
        return stage1Fault(cd, fault(number(walked.cause()), access, false, FaultClass.IN, false, 0));
    }

    /** How stage 2 is walked. */
    Stage stage2(long[] ste) {
        Stage s = new Stage();
        s.second = true;
        s.pageBits = PlainLegality.pageBits0(Plain.bits(ste, 175, 174));
        s.ds = legality.s2Ds(ste);
        s.shareability = shareability(Plain.bits(ste, 173, 172));
        s.startLevel =
                PlainLegality.s2StartLevel(Plain.bits(ste, 194, 194), Plain.bits(ste, 167, 166), s.ds, s.pageBits);
        s.inputBits = 64 - (int) Plain.bits(ste, 165, 160);
        s.outputBits = legality.outputBits(Plain.bits(ste, 178, 176));
        s.base = legality.s2Ttb(ste);
        s.lpa = s.pageBits == 16 && r.oas() == 52;
        s.bigEndian = Plain.bits(ste, 180, 180) == 1;
        s.accessFlagDisabled = Plain.bits(ste, 181, 181) == 1;
        s.ptw = PlainLegality.stage1(ste) && Plain.bits(ste, 182, 182) == 1;
        s.ha = Plain.bits(ste, 184, 184) == 1;
        s.hd = s.ha && Plain.bits(ste, 183, 183) == 1;
        s.xnx = r.xnx();
        s.forceWriteBack = r.fwb() && Plain.bits(ste, 89, 89) == 1;
        return s;
    }

    /** How stage 1 is walked through TTB0 or TTB1. */
    Stage stage1(long[] ste, long[] cd, PlainLegality.World world, boolean upper) {
        boolean el2 = world == PlainLegality.World.EL2;
        Stage s = new Stage();
        s.upper = upper;
        s.pageBits =
                upper ? PlainLegality.pageBits1(Plain.bits(cd, 23, 22)) : PlainLegality.pageBits0(Plain.bits(cd, 7, 6));
        s.ds = legality.cdDs(cd) && s.pageBits != 16;
        s.shareability = shareability(upper ? Plain.bits(cd, 29, 28) : Plain.bits(cd, 13, 12));
        s.inputBits = 64 - (int) (upper ? Plain.bits(cd, 21, 16) : Plain.bits(cd, 5, 0));
        // The fewest levels that resolve the input.
        s.startLevel = 3;
        while (s.pageBits + (4 - s.startLevel) * (s.pageBits - 3) < s.inputBits) {
            s.startLevel--;
        }
        s.outputBits = legality.outputBits(Plain.bits(cd, 34, 32));
        s.base = upper ? legality.ttb1(cd) : legality.ttb0(cd);
        s.lpa = s.pageBits == 16 && r.oas() == 52;
        s.bigEndian = Plain.bits(cd, 15, 15) == 1;
        s.accessFlagDisabled = Plain.bits(cd, 35, 35) == 1;
        s.hierarchyDisabled = r.had() && Plain.bits(cd, upper ? 129 : 65, upper ? 129 : 65) == 1;
        s.onePrivilege = el2;
        s.wxn = Plain.bits(cd, 36, 36) == 1;
        s.pan = !el2 && Plain.bits(cd, 40, 40) == 1;
        s.noUnprivileged = !el2 && r.e0pd() && Plain.bits(cd, upper ? 130 : 66, upper ? 130 : 66) == 1;
        s.ha = Plain.bits(cd, 43, 43) == 1;
        s.hd = s.ha && Plain.bits(cd, 42, 42) == 1;
        for (int n = 0; n < 8; n++) {
            int attr = (int) Plain.bits(cd, 192 + 8 * n + 7, 192 + 8 * n);
            // 5.4: a Reserved encoding of Normal memory is Inner Write-Through Transient, allocating.
            s.mair[n] = attr / 16 != 0 && attr % 16 == 0 ? attr + 3 : attr;
        }
        return s;
    }

    private static int shareability(long sh) {
        return sh == 1 ? 0 : (int) sh;
    }

    // Chapter 13

    private Incoming incoming(long[] ste) {
        return incoming(
                Plain.bits(ste, 100, 100) == 1,
                Plain.bits(ste, 99, 96),
                Plain.bits(ste, 109, 108),
                Plain.bits(ste, 104, 101));
    }

    /** What comes with a transaction, as SMMU_GBPA or the STE overrides it (13.1.4). */
    private Incoming incoming(boolean mtcfg, long memAttr, long shcfg, long alloccfg) {
        PlainWalk.Cacheability best = new PlainWalk.Cacheability(PlainWalk.Cache.WRITE_BACK, false, 3);
        Attributes attributes = new Attributes(PlainWalk.Type.NORMAL, 0, best, best);
        if (!r.attrTypesOvr()) {
            return new Incoming(attributes, INCOMING_SHAREABILITY);
        }
        if (mtcfg) {
            long outer = memAttr / 4;
            long inner = memAttr % 4;
            attributes = outer == 0
                    ? new Attributes(PlainWalk.Type.DEVICE, (int) inner, null, null)
                    // Reserved: Device-nGnRnE.
                    : inner == 0
                            ? new Attributes(PlainWalk.Type.DEVICE, 0, null, null)
                            : new Attributes(PlainWalk.Type.NORMAL, 0, cacheability(outer), cacheability(inner));
        }
        if (attributes.type() == PlainWalk.Type.NORMAL && alloccfg >= 8) {
            attributes = new Attributes(
                    PlainWalk.Type.NORMAL,
                    0,
                    withHints(attributes.outer(), alloccfg),
                    withHints(attributes.inner(), alloccfg));
        }
        return new Incoming(attributes, shcfg == 1 ? INCOMING_SHAREABILITY : (int) shcfg);
    }

    private static PlainWalk.Cacheability cacheability(long encoded) {
        return encoded == 1
                ? new PlainWalk.Cacheability(PlainWalk.Cache.NON_CACHEABLE, false, 0)
                : encoded == 2
                        ? new PlainWalk.Cacheability(PlainWalk.Cache.WRITE_THROUGH, false, 3)
                        : new PlainWalk.Cacheability(PlainWalk.Cache.WRITE_BACK, false, 3);
    }

    /** ALLOCCFG == 0b1RWT; what allocates nothing is not transient (13.1.7). */
    private static PlainWalk.Cacheability withHints(PlainWalk.Cacheability type, long alloccfg) {
        if (type.cache() == PlainWalk.Cache.NON_CACHEABLE) {
            return type;
        }
        int hints = (int) Plain.bits(alloccfg, 2, 1);
        return new PlainWalk.Cacheability(type.cache(), hints != 0 && Plain.bit(alloccfg, 0), hints);
    }

    private static Outcome untranslated(Access access, Incoming incoming) {
        PlainWalk.Outcome same = PlainWalk.untranslated(incoming, access.address);
        return new Outcome(End.COMPLETED, same.address(), same.mair(), same.shareability(), null, null);
    }

    // 5.5: what becomes of faults.

    private static Outcome stage1Fault(long[] cd, Record record) {
        boolean abort = Plain.bits(cd, 46, 46) == 1;
        boolean recorded = Plain.bits(cd, 45, 45) == 1;
        if (Plain.bits(cd, 44, 44) == 1) {
            return stalled(record);
        }
        End end = abort ? End.ABORTED : End.RAZ_WI;
        return recorded
                ? new Outcome(end, 0, 0, 0, record.words, record.unknown)
                : new Outcome(end, 0, 0, 0, null, null);
    }

    private Outcome stage2Fault(Access access, long[] ste, PlainWalk.Outcome walked, FaultClass faultClass) {
        if (walked.cause() == Cause.EXTERNAL_ABORT) {
            return aborted(fault(0x0b, access, true, faultClass, false, fetchAddress(walked.faultAddress())));
        }
        boolean tableRead = walked.cause() == Cause.PERMISSION && faultClass == FaultClass.TT && !walked.tableWrite();
        Record record = fault(
                number(walked.cause()),
                access,
                true,
                faultClass,
                tableRead,
                Plain.bits(walked.faultAddress(), 55, 12) * Plain.power(12));
        if (Plain.bits(ste, 185, 185) == 1) {
            return stalled(record);
        }
        return Plain.bits(ste, 186, 186) == 1 ? aborted(record) : new Outcome(End.ABORTED, 0, 0, 0, null, null);
    }

    private static Outcome aborted(Record record) {
        return new Outcome(End.ABORTED, 0, 0, 0, record.words, record.unknown);
    }

    private static Outcome stalled(Record record) {
        long[] words = record.words.clone();
        words[1] = words[1] + Plain.power(95 - 64);
        return new Outcome(End.STALLED, 0, 0, 0, words, record.unknown);
    }

    // 7.3: event records.

    private record Record(long[] words, long[] unknown) {}

    private static int number(Cause cause) {
        return switch (cause) {
            case TRANSLATION -> 0x10;
            case ADDRESS_SIZE -> 0x11;
            case ACCESS_FLAG -> 0x12;
            case PERMISSION -> 0x13;
            default -> throw new AssertionError(cause);
        };
    }

    private long fetchAddress(long address) {
        return Plain.bits(address, 55, 3) * Plain.power(3);
    }

    private static Record record(int number, Access access, boolean ssv) {
        long[] words = new long[4];
        long[] unknown = new long[4];
        words[0] = number + access.streamId * Plain.power(32);
        if (access.substreamId != null) {
            words[0] = words[0] + access.substreamId * Plain.power(12) + (ssv ? Plain.power(11) : 0);
        } else if (ssv) {
            unknown[0] = 0xfffffL * Plain.power(12);
        }
        return new Record(words, unknown);
    }

    private Ended badStreamId(Access access) {
        return r.recInvSid()
                ? configurationError(0x02, access, true)
                : new Ended(new Outcome(End.ABORTED, 0, 0, 0, null, null));
    }

    /** @param ssv whether the record has SSV */
    private static Ended configurationError(int number, Access access, boolean ssv) {
        if (number == 0x06) { // A StreamID only (7.3.7).
            return new Ended(aborted(record(number, new Access(access.streamId, null, 0, false, false, false), false)));
        }
        return new Ended(aborted(record(number, access, ssv)));
    }

    private Ended fetchError(int number, Access access, long address) {
        Record record = record(number, access, true);
        record.words[3] = fetchAddress(address);
        record.unknown[1] = 0xffffL * Plain.power(80 - 64); // Reason.
        return new Ended(aborted(record));
    }

    private static Record fault(
            int number, Access access, boolean stage2, FaultClass faultClass, boolean tableRead, long address) {
        Record record = record(number, access, true);
        record.words[1] = (access.privileged ? Plain.power(97 - 64) : 0)
                + (access.instruction ? Plain.power(98 - 64) : 0)
                + (access.write ? 0 : Plain.power(99 - 64))
                + (stage2 ? Plain.power(103 - 64) : 0)
                + faultClass.ordinal() * Plain.power(104 - 64)
                + (tableRead ? Plain.power(108 - 64) : 0);
        record.words[2] = access.address;
        record.words[3] = address;
        if (number == 0x0b) {
            record.unknown[1] = 0xffffL * Plain.power(80 - 64); // Reason.
        } else {
            record.unknown[1] = 0xffff; // STAG: any, or nothing stalls.
            if (!stage2) {
                record.unknown[3] = Plain.bits(-1, 55, 12) * Plain.power(12);
            }
        }
        if (number == 0x13 && faultClass != FaultClass.TT) {
            record.unknown[1] = record.unknown[1] + Plain.power(108 - 64);
        }
        return record;
    }
}
