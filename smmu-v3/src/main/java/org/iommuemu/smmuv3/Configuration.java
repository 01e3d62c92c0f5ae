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

    /** One or two stages translate. */
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
            boolean recordStage1,
            boolean abortStage1,
            boolean recordStage2,
            Overrides overrides)
            implements Configuration {

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
