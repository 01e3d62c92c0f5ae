package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;

/** What the STE and the CD of a transaction come to. Immutable; all but faults may be cached (IHI 0070, 3.21.3). */
sealed interface Configuration {
    /** STE.Config == 0b0xx: accesses abort, nothing is recorded. */
    record Abort() implements Configuration {}

    /** Neither stage translates: the address is kept, attributes may be overridden. */
    record Bypass(Overrides overrides) implements Configuration {}

    /**
     * There is no configuration.
     *
     * @param event to record, null for none
     */
    record Fault(Event event) implements Configuration {}

    /**
     * What becomes of faults (5.5).
     *
     * @param recordStage1 CD.R
     * @param abortStage1 CD.A: abort, otherwise RAZ/WI
     * @param recordStage2 STE.S2R
     */
    record FaultModel(
            boolean recordStage1,
            boolean abortStage1,
            boolean stallStage1,
            boolean recordStage2,
            boolean stallStage2) {}

    /**
     * One or two stages translate.
     *
     * @param stage1 whether stage 1 does
     * @param tlb where its translations are cached, under {@code space} (a VMID) and {@code asid}
     * @param lower the table of TTB0, or of stage 2; null if its walks are disabled (CD.EPD0)
     * @param upper the table of TTB1; null if its walks are disabled (CD.EPD1), and not used without {@code twoRanges}
     * @param twoRanges bit 55 selects the table
     * @param topByteIgnored0 CD.TBI0
     * @param topByteIgnored1 CD.TBI1
     */
    record Context(
            boolean stage1,
            Tlb tlb,
            int space,
            int asid,
            TableWalk lower,
            TableWalk upper,
            boolean twoRanges,
            boolean topByteIgnored0,
            boolean topByteIgnored1,
            FaultModel faults,
            Overrides overrides)
            implements Configuration {

        /** Stage 2 alone. */
        static Context stage2(Tlb tlb, int vmid, TableWalk walk, FaultModel faults, Overrides overrides) {
            return new Context(false, tlb, vmid, 0, walk, null, false, false, false, faults, overrides);
        }

        /** The table for an input address; null if its walks are disabled (CD.EPD0, EPD1). */
        TableWalk table(long input) {
            return twoRanges && isUpper(input) ? upper : lower;
        }

        /** The input address with an ignored top byte made to agree with bit 55 (3.4.1). */
        long canonical(long address) {
            if (twoRanges && isUpper(address)) {
                return topByteIgnored1 ? address | 0xffL << 56 : address;
            }
            return topByteIgnored0 ? address & -1L >>> 8 : address;
        }

        private static boolean isUpper(long address) {
            return (address >>> 55 & 1) != 0;
        }
    }

    /**
     * Overrides of what comes with a transaction (13.1): 0 is none, the encodings are those of the STE.
     *
     * @param privilege PRIVCFG
     * @param instruction INSTCFG
     * @param memoryType MemAttr, if {@code overridesType} (MTCFG)
     * @param shareability SHCFG
     */
    record Overrides(int privilege, int instruction, boolean overridesType, int memoryType, int shareability) {
        static final Overrides NONE = new Overrides(0, 0, false, 0, 1);

        private static final int USE_INCOMING = 1;

        /** The access as it is translated. */
        int apply(int access) {
            int result = access;
            if ((privilege & 2) != 0) {
                result = privilege == 3 ? result | Access.PRIVILEGED : result & ~Access.PRIVILEGED;
            }
            if ((instruction & 2) != 0) {
                result = instruction == 3 ? result | Access.INSTRUCTION : result & ~Access.INSTRUCTION;
            }
            // Writes are data accesses, whatever they claim (5.2, INSTCFG).
            return (result & Access.WRITE) != 0 ? result & ~Access.INSTRUCTION : result;
        }

        /** An untranslated address with the attributes that leave the SMMU. */
        long identity(long address) {
            int attributes = overridesType ? MemoryType.mair(memoryType) : 0xff;
            return Translation.of(address, 12, attributes, shareability == USE_INCOMING ? 3 : shareability);
        }
    }
}
