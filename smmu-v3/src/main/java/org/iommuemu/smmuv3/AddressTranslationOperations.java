package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;

/**
 * Address translation by register: one group of registers, SMMU_GATOS_* or SMMU_VATOS_* (IHI 0070, chapter 9). The result
 * is there when the write of RUN returns; RUN is read as set for as long as handshakes take. Nothing is recorded and
 * nothing stalls.
 */
final class AddressTranslationOperations {
    // ATOS_ADDR.TYPE
    private static final int STAGE_1 = 0b01;
    private static final int STAGE_2 = 0b10;
    private static final int BOTH = 0b11;

    // ATOS_PAR of a fault
    private static final long FAULT = 1;
    private static final int REASON = 1;
    private static final int FAULTCODE = 4;
    private static final long FADDR = 0x00ff_ffff_ffff_f000L;

    // FAULTCODE; the others are numbers of events (9.1.5).
    private static final int INV_REQ = 0xff;
    private static final int INV_STAGE = 0xfe;
    private static final int C_BAD_STE = 0x04;
    private static final int F_CD_FETCH = 0x09;
    private static final int F_WALK_EABT = 0x0b;

    // ATOS_PAR of a success
    private static final int SIZE = 1 << 11;
    private static final int SH = 8;
    private static final int ATTR = 56;

    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final TranslationProcedure procedure;
    /** Where the group is. */
    private final RegisterFile group;
    /** Whether the group is VATOS, which sees one virtual machine only. */
    private final boolean virtual;

    /**
     * A group.
     *
     * @param registers the SMMU's
     * @param group where {@code ctrl} and the others are
     */
    AddressTranslationOperations(
            SmmuFeatures features,
            RegisterFile registers,
            TranslationProcedure procedure,
            RegisterFile group,
            Register ctrl,
            Register sid,
            Register addr,
            Register par) {
        this.features = features;
        this.registers = registers;
        this.procedure = procedure;
        this.group = group;
        virtual = group != registers;
        group.guard(ctrl, () -> isEnabled() && !isRunning(ctrl), "SMMUEN == 0, or RUN == 1 (6.3.37)");
        group.guard(sid, () -> !isRunning(ctrl), "RUN == 1");
        group.guard(addr, () -> !isRunning(ctrl), "RUN == 1");
        if (virtual) {
            registers.guard(Registers.VATOS_SEL, () -> !isRunning(ctrl), "RUN == 1");
        }
        registers.onWrite(Registers.CR0, (before, after) -> {
            if (Registers.SMMUEN.isSet(before ^ after)) { // Its Update completes after all that runs (6.3.37).
                group.finish(ctrl);
            }
        });
        group.onWrite(ctrl, (before, after) -> {
            if (Registers.RUN.isSet(after)) {
                group.set(par, translate(group.get(sid), group.get(addr)));
            }
        });
    }

    private boolean isEnabled() {
        return Registers.SMMUEN.isSet(registers.get(Registers.CR0));
    }

    private boolean isRunning(Register ctrl) {
        return Registers.RUN.isSet(group.get(ctrl));
    }

    private long translate(long sid, long addr) {
        int type = (int) Registers.ATOS_TYPE.get(addr);
        boolean substream = Registers.ATOS_SSID_VALID.isSet(sid);
        if (isInvalid(type, substream)) {
            return fault(INV_REQ, 0, 0);
        }
        int streamId = (int) Registers.ATOS_STREAMID.get(sid);
        StreamTable.Located located = procedure.locate(streamId);
        if (located.fault() != null) {
            return fault(located.fault().event().number(), 0, 0);
        }
        StreamTableEntry ste = located.ste();
        if (virtual
                && (!ste.usesVmid(features)
                        || ste.s2Vmid() != Registers.VATOS_VMID.get(registers.get(Registers.VATOS_SEL)))) {
            return fault(C_BAD_STE, 0, 0); // 9.1.6
        }
        boolean configured = !ste.aborts() && (type == STAGE_2 || ste.stage1()) && (type == STAGE_1 || ste.stage2());
        if (!configured) {
            return fault(INV_STAGE, 0, 0);
        }
        boolean write = !Registers.ATOS_RNW.isSet(addr);
        int access = (write ? Access.WRITE : Registers.ATOS_IND.isSet(addr) ? Access.INSTRUCTION : 0)
                | (Registers.ATOS_PNU.isSet(addr) ? Access.PRIVILEGED : 0);
        Transaction transaction = new Transaction(
                streamId,
                substream ? (int) Registers.ATOS_SUBSTREAMID.get(sid) : Translator.NO_SUBSTREAM,
                addr & Registers.ATOS_ADDR.mask(),
                access);
        TranslationProcedure.Lookup lookup =
                procedure.lookUp(transaction, stages(type), false, !Registers.ATOS_HTTUI.isSet(addr));
        return lookup.fault() == null
                ? success(transaction.address(), lookup.translation())
                : fault(type, lookup.fault().event());
    }

    /** INV_REQ is told from the request alone (9.1.3). */
    private boolean isInvalid(int type, boolean substream) {
        return switch (type) {
            case STAGE_1 -> !features.has(SmmuFeature.S1P);
            case STAGE_2 -> virtual || !features.has(SmmuFeature.S2P) || substream;
            case BOTH -> virtual || !features.has(SmmuFeature.S1P) || !features.has(SmmuFeature.S2P);
            default -> true;
        };
    }

    private static TranslationProcedure.Stages stages(int type) {
        return switch (type) {
            case STAGE_1 -> TranslationProcedure.Stages.FIRST;
            case STAGE_2 -> TranslationProcedure.Stages.SECOND;
            default -> TranslationProcedure.Stages.ALL;
        };
    }

    /** The size is the position of the lowest bit that is set, if it is not a page of 4 KiB (6.3.40). */
    private long success(long input, long translation) {
        int log2Size = Translation.log2Size(translation);
        long address = Bits.alignDown(Translation.address(translation, input), log2Size);
        return address
                | (log2Size > 12 ? SIZE | 1L << log2Size - 1 : 0)
                | (long) Translation.shareability(translation) << SH
                | (long) Translation.attributes(translation) << ATTR;
    }

    /** What an access would have recorded, as the table of 9.1.4 has it for a type of request. */
    private static long fault(int type, Event event) {
        if (!event.isStage2()) {
            return fault(event.number(), 0, 0);
        }
        Event.FaultClass faultClass = event.faultClass();
        if (type == STAGE_1) { // Stage 1 alone is asked for, so this is what reading its structures looks like.
            return fault(faultClass == Event.FaultClass.CD ? F_CD_FETCH : F_WALK_EABT, 0, 0);
        }
        boolean tellsIpa = type == BOTH && event.number() != F_WALK_EABT;
        return fault(event.number(), faultClass.ordinal() + 1, tellsIpa ? event.ipa() : 0);
    }

    private static long fault(int code, int reason, long ipa) {
        return FAULT | (long) reason << REASON | (long) code << FAULTCODE | ipa & FADDR;
    }
}
