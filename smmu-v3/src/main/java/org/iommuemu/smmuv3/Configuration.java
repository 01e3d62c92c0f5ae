package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;

/** What the STE and the CD of an access come to. Immutable; all but faults may be cached (IHI 0070, 3.21.3). */
sealed interface Configuration permits Configuration.Abort, Configuration.Bypass, Configuration.Context, Fault {
    /** STE.Config == 0b0xx: accesses abort, nothing is recorded. */
    record Abort() implements Configuration {}

    /** Neither stage translates: the address is kept, attributes may be overridden. */
    record Bypass(StreamTableEntry ste, Overrides overrides) implements Configuration {}

    /**
     * One or two stages translate.
     *
     * @param ste for what has no part in translation: EATS, MEV
     * @param stage1 whether stage 1 does
     * @param tlb where its translations are cached, under {@code space} (a VMID) and {@code asid}
     * @param lower the table of TTB0, or of stage 2; null if its walks are disabled (CD.EPD0)
     * @param upper the table of TTB1; null if its walks are disabled (CD.EPD1), and not used without {@code twoRanges}
     * @param stage2 null if stage 2 does not translate
     * @param twoRanges bit 55 of a canonical address selects the table, if {@code narrow} does not
     * @param topByteIgnored0 CD.TBI0
     * @param topByteIgnored1 CD.TBI1
     * @param narrow where VMSAv8-32 has two ranges, how addresses select one; else null
     * @param privilegedOnly bit n: CD.E0PDn
     * @param plain whether {@link #output} leaves translations as they are
     */
    record Context(
            StreamTableEntry ste,
            boolean stage1,
            Tlb tlb,
            int space,
            int asid,
            TableWalk lower,
            TableWalk upper,
            TableWalk stage2,
            boolean twoRanges,
            boolean topByteIgnored0,
            boolean topByteIgnored1,
            NarrowRanges narrow,
            int privilegedOnly,
            boolean plain,
            Fault.Model faults,
            Overrides overrides)
            implements Configuration {

        /** The table for a canonical address; null if its walks are disabled (CD.EPD0, EPD1). */
        TableWalk table(long input) {
            return isUpper(input) ? upper : lower;
        }

        /** Whether CD.E0PDn denies an access to the range of a canonical address. */
        boolean denies(long input, int access) {
            return (access & Access.PRIVILEGED) == 0 && (privilegedOnly >>> (isUpper(input) ? 1 : 0) & 1) != 0;
        }

        private boolean isUpper(long input) {
            return narrow != null ? narrow.isUpper(input) : twoRanges && isNegative(input);
        }

        private static boolean isNegative(long address) {
            return (address >>> 55 & 1) != 0;
        }

        /** The input address with an ignored top byte made to agree with bit 55 (3.4.1). */
        long canonical(long address) {
            if (twoRanges && isNegative(address)) {
                return topByteIgnored1 ? address | 0xffL << 56 : address;
            }
            return topByteIgnored0 ? address & -1L >>> 8 : address;
        }

        /** What the tables gave, with the attributes that leave the SMMU (13.4). */
        long output(long translation) {
            if (plain) {
                return translation;
            }
            return stage1 ? overrides.replace(translation) : overrides.combine(translation);
        }
    }

    /** How 32-bit addresses select TTB0 or TTB1 by CD.T0SZ and T1SZ, of 3 bits (3.4; Arm ARM, G5.5.5). */
    record NarrowRanges(int t0Sz, int t1Sz) {
        /** Of an address in no range, or of more than 32 bits, it does not matter: the table does not have it, either. */
        boolean isUpper(long address) {
            return t1Sz == 0 ? address >>> 32 - t0Sz != 0 : address >>> 32 - t1Sz == (1L << t1Sz) - 1;
        }
    }
}
