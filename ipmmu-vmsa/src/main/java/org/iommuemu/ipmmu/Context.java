package org.iommuemu.ipmmu;

import java.util.function.Consumer;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.WalkResult;

/**
 * A context's registers, decoded once when they have changed: which tables translate which addresses. Immutable.
 *
 * <table>
 * <caption>Modes</caption>
 * <tr><td>VA64 = 0</td><td>stage 1 format, 32 - TSZ0 bits</td><td>Linux</td></tr>
 * <tr><td>VA64 = 1, PMB = 0</td><td>stage 1 format, 64 - TSZ0 bits</td><td>an early port of Xen</td></tr>
 * <tr><td>VA64 = 1, PMB = 1, S2PTE = 1</td><td>stage 2 format, 64 - TSZ0 bits</td><td>Xen</td></tr>
 * </table>
 */
final class Context {
    /** A translation fault at level 0, where no table is: the address is in no table's range. */
    private static final long OUT_OF_RANGE = Long.MIN_VALUE;

    /** One table: the walk, and the bits that its input has of the address and beyond it. */
    private record Table(TableWalk walk, long mask, long prefix) {
        long walk(long address, int access) {
            return walk.walk(address & mask | prefix, access);
        }
    }

    private final Table lower;
    private final Table upper;
    /** Addresses below are the lower table's. */
    private final long lowerEnd;
    /** Addresses from here to {@link #end} are the upper table's, unless they are the lower one's. */
    private final long upperStart;

    private final long end;
    /** Whether each descriptor must be Non-secure. */
    private final boolean nonSecureOnly;

    private Context(Table lower, Table upper, long lowerEnd, long upperStart, long end, boolean nonSecureOnly) {
        this.lower = lower;
        this.upper = upper;
        this.lowerEnd = lowerEnd;
        this.upperStart = upperStart;
        this.end = end;
        this.nonSecureOnly = nonSecureOnly;
    }

    /** A context whose registers make no sense: every address is out of range. */
    private static final Context NOTHING = new Context(null, null, 0, Long.MAX_VALUE, 0, false);

    /**
     * Decodes a context. The caller holds the registers' monitor.
     *
     * @param n which
     * @param secure for accesses of secure masters, which may use descriptors with NS = 0
     * @param misuse hears what is wrong with the registers
     */
    static Context decode(
            IpmmuVariant variant,
            IpmmuRegisters layout,
            RegisterFile registers,
            PhysicalMemory memory,
            int n,
            boolean secure,
            Consumer<String> misuse) {
        long imctr = registers.get(layout.imctr[n]);
        long imttbcr = registers.get(layout.imttbcr[n]);
        if (!IpmmuRegisters.EAE.isSet(imttbcr)) {
            // Assumed: no driver uses short descriptors, and their walk is not modelled.
            misuse.accept("IMTTBCR%d 0x%x: EAE = 0, short descriptors, are not supported".formatted(n, imttbcr));
            return NOTHING;
        }
        boolean va64 = IpmmuRegisters.VA64.isSet(imctr);
        boolean pmb = IpmmuRegisters.PMB.isSet(imttbcr);
        boolean s2pte = layout.imsauxctlr != null && IpmmuRegisters.S2PTE.isSet(registers.get(layout.imsauxctlr));
        if (pmb && !s2pte) {
            // Assumed: the only stage has stage 1 descriptors then.
            misuse.accept("IMTTBCR%d 0x%x: PMB = 1 without IMSAUXCTLR.S2PTE".formatted(n, imttbcr));
        }
        boolean stage2 = pmb && s2pte
                || pmb && variant.has(IpmmuOption.PMB_ALONE)
                || s2pte && variant.has(IpmmuOption.S2PTE_ALONE);
        int addressBits = va64 ? IpmmuVariant.ADDRESS_BITS : 32;
        int tsz0 = (int) layout.tsz0.get(imttbcr);
        int tsz1 = (int) layout.tsz1.get(imttbcr);
        int bits0 = Math.min((va64 ? 64 : 32) - tsz0, addressBits);
        int bits1 = Math.min((va64 ? 64 : 32) - tsz1, addressBits);
        boolean atMost40Bits = va64 && tsz0 >= 24 && !variant.has(IpmmuOption.STRICT_SL0);
        int level = startLevel(variant, (int) layout.sl0.get(imttbcr), stage2, atMost40Bits);
        if (!Granule.KIB_4.isStage2StartLevel(level, bits0)) {
            // Assumed: no table can be walked, and every address faults.
            misuse.accept("IMTTBCR%d 0x%x: SL0 does not go with TSZ0".formatted(n, imttbcr));
            return NOTHING;
        }
        boolean nonSecureOnly = !stage2 && !secure;
        boolean accessFlag = IpmmuRegisters.AFE.isSet(imctr) && !variant.has(IpmmuOption.AFE_IGNORED);
        if (accessFlag) {
            misuse.accept("IMCTR%d 0x%x: AFE = 1, of which only the name is public".formatted(n, imctr));
        }
        // Bits from 40 on of addresses in descriptors are ignored, or by option seen and too large.
        int descriptorBits = variant.has(IpmmuOption.HIGH_ADDRESS_FAULTS) ? 48 : IpmmuVariant.ADDRESS_BITS;
        long mair = registers.get(layout.immair0[n]) | registers.get(layout.immair1[n]) << 32;
        long end = 1L << addressBits;

        long base = base(registers, layout.imttlbr0[n], layout.imttubr0[n]);
        Table lower = table(memory, stage2, descriptorBits, base, bits0, level, nonSecureOnly, accessFlag, mair);
        long lowerEnd = 1L << bits0;
        boolean one = stage2 || va64 && variant.has(IpmmuOption.NO_TTBR1);
        if (one || !Granule.KIB_4.isStage2StartLevel(level, bits1)) {
            return new Context(lower, null, lowerEnd, Long.MAX_VALUE, end, nonSecureOnly);
        }
        // Assumed: TTBR1 works as in LPAE, and as that of VMSAv8-64 within 40 bits; SL0 is for both.
        base = base(registers, layout.imttlbr1[n], layout.imttubr1[n]);
        Table upper = table(memory, false, descriptorBits, base, bits1, level, nonSecureOnly, accessFlag, mair);
        long upperStart = end - (1L << bits1);
        boolean upperFirst = !va64 && tsz0 == 0 && tsz1 > 0;
        return new Context(lower, upper, upperFirst ? upperStart : lowerEnd, upperStart, end, nonSecureOnly);
    }

    /** The level of the first table, or -1 for reserved values of SL0. */
    private static int startLevel(IpmmuVariant variant, int sl0, boolean stage2, boolean atMost40Bits) {
        if (variant.generation() == IpmmuVariant.Generation.GEN2) {
            return 2 - sl0;
        }
        if (!stage2) {
            return sl0 < 3 ? 3 - sl0 : -1;
        }
        // As VTCR_EL2.SL0: Xen writes 1 for a level 1 root. Assumed: 2 starts at level 1 too, as Minos writes it for
        // such a root, and a level 0 start is not possible with 40 bits.
        return switch (sl0) {
            case 0 -> 2;
            case 1 -> 1;
            case 2 -> atMost40Bits ? 1 : -1;
            default -> -1;
        };
    }

    private static long base(RegisterFile registers, Register low, Register high) {
        return registers.get(low) | registers.get(high) << 32;
    }

    private static Table table(
            PhysicalMemory memory,
            boolean stage2,
            int descriptorBits,
            long base,
            int bits,
            int level,
            boolean nonSecureOnly,
            boolean accessFlag,
            long mair) {
        // Four entries of a Gen2 root may be the upper half of 64 aligned bytes, where VMSAv8-64 has no table: they are
        // entries 4 to 7 of one that is aligned.
        boolean half = level == 1 && bits <= 32 && (base & 0x20) != 0;
        int walked = half ? 33 : bits;
        TableWalk.Builder builder = stage2
                ? TableWalk.stage2(memory, Granule.KIB_4, base, walked, IpmmuVariant.ADDRESS_BITS, level)
                : TableWalk.stage1(memory, Granule.KIB_4, base, walked, IpmmuVariant.ADDRESS_BITS)
                        .startLevel(level);
        // Assumed: the Contiguous hint, which the Linux driver of 2014 set, is ignored.
        TableWalk walk = builder.nonSecureOnly(nonSecureOnly)
                .addressBits(descriptorBits)
                .contiguous(false)
                .accessFlagFaults(accessFlag)
                .mair(mair)
                .build();
        return new Table(walk, (1L << bits) - 1, half ? 1L << 32 : 0);
    }

    /**
     * Walks the tables.
     *
     * @param address input address, all 64 bits
     * @param access bits of {@link org.iommuemu.mmio.Access}
     * @return bits of {@link WalkResult}
     */
    long walk(long address, int access) {
        long result;
        if (address < 0 || address >= end) {
            return OUT_OF_RANGE;
        } else if (address < lowerEnd) {
            result = lower.walk(address, access);
        } else if (address >= upperStart) {
            result = upper.walk(address, access);
        } else {
            return OUT_OF_RANGE;
        }
        return result;
    }

    boolean nonSecureOnly() {
        return nonSecureOnly;
    }
}
