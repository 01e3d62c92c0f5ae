package org.iommuemu.ipmmu;

import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.iommuemu.mmio.TlbGeometry;

/**
 * Which IPMMU-VMSA: what differs between the generations of R-Car and RZ/G, and the choices where nothing public says
 * what the hardware does. Immutable.
 *
 * <p>Renesas does not publish the manual. What is here was read from what runs on the hardware: Linux ipmmu-vmsa.c
 * (ipmmu_features_default, _rcar_gen3, _rcar_gen4), Xen passthrough/arm/ipmmu-vmsa.c (struct ipmmu_features), TF-A's
 * R-Car BL2, device trees and bindings, and what Renesas' engineers said on public lists. "Assumed" marks the rest.
 */
public final class IpmmuVariant {
    /** A generation of the block. */
    public enum Generation {
        /**
         * R-Car Gen2, RZ/G1: every unit is its own root. 4 contexts, as the first Linux driver reset so many. Non-secure
         * software uses the bank at + 0x800.
         */
        GEN2(4, 32, 0x1000, 0x800, 0, 0x40, 0, 0, 4),
        /** R-Car Gen3, RZ/G2: one root, many caches. */
        GEN3(8, 48, 0x1000, 0, 0, 0x40, 0, 0, 4),
        /** R-Car Gen4 with V3U: one root, many caches, each context in a page of its own. */
        GEN4(16, 64, 0x20000, 0, 0x10000, 0x1040, 0x3000, 0x1000, 5);

        private final int contexts;
        private final int utlbs;
        private final int window;
        private final int bank;
        private final int contextBase;
        private final int contextStride;
        private final int utlbBase;
        private final int controlBase;
        private final int ttselWidth;

        Generation(
                int contexts,
                int utlbs,
                int window,
                int bank,
                int contextBase,
                int contextStride,
                int utlbBase,
                int controlBase,
                int ttselWidth) {
            this.contexts = contexts;
            this.utlbs = utlbs;
            this.window = window;
            this.bank = bank;
            this.contextBase = contextBase;
            this.contextStride = contextStride;
            this.utlbBase = utlbBase;
            this.controlBase = controlBase;
            this.ttselWidth = ttselWidth;
        }
    }

    /** Of all generations: width of input addresses of a context and of output addresses. */
    public static final int ADDRESS_BITS = 40;

    private static final String GEN2 = "renesas,ipmmu-vmsa";
    private static final String GEN4 = "renesas,rcar-gen4-ipmmu-vmsa";

    private final String compatible;
    private final Generation generation;
    /** Null if only the generation is known. */
    private final Soc soc;
    /** Bits 7:0 of the product register, or -1. */
    private final int cut;

    private final Set<IpmmuOption> options;
    private final TlbGeometry mainTlb;
    private final TlbGeometry unitTlb;

    private IpmmuVariant(
            String compatible,
            Generation generation,
            Soc soc,
            int cut,
            Set<IpmmuOption> options,
            TlbGeometry mainTlb,
            TlbGeometry unitTlb) {
        this.compatible = compatible;
        this.generation = generation;
        this.soc = soc;
        this.cut = cut;
        this.options = options;
        this.mainTlb = mainTlb;
        this.unitTlb = unitTlb;
    }

    /**
     * The variant that a device tree names, without options.
     *
     * @param compatible one string of the {@code compatible} property, for instance {@code renesas,ipmmu-r8a7795}
     * @return empty if it is no IPMMU-VMSA
     */
    public static Optional<IpmmuVariant> of(String compatible) {
        Soc soc = Soc.ofCompatible(compatible).orElse(null);
        Generation generation = soc != null
                ? soc.generation()
                : compatible.equals(GEN2) ? Generation.GEN2 : compatible.equals(GEN4) ? Generation.GEN4 : null;
        if (generation == null) {
            return Optional.empty();
        }
        // Assumed: 4096 entries, and 256 in a cache or on Gen2, where every unit has its own.
        TlbGeometry small = TlbGeometry.of(64, 4);
        TlbGeometry main = generation == Generation.GEN2 ? small : TlbGeometry.of(512, 8);
        return Optional.of(
                new IpmmuVariant(compatible, generation, soc, -1, EnumSet.noneOf(IpmmuOption.class), main, small));
    }

    /**
     * This variant on a chip with a product register (PRR). Its product makes the chip out where the {@code compatible}
     * did not, or named another of the same generation: the tree may be wrong, the chip is not. A product of another
     * generation changes nothing.
     *
     * @param prr bits 14:8 product, bits 7:0 cut
     */
    public IpmmuVariant withProduct(int prr) {
        int product = prr & 0x7f00;
        Soc made = soc != null && soc.product() == product
                ? soc
                : Soc.ofProduct(generation, product).orElse(null);
        return made == null
                ? this
                : new IpmmuVariant(compatible, generation, made, prr & 0xff, options, mainTlb, unitTlb);
    }

    /** This variant with options switched on. */
    public IpmmuVariant with(IpmmuOption... more) {
        Set<IpmmuOption> all = EnumSet.copyOf(options);
        all.addAll(List.of(more));
        return new IpmmuVariant(compatible, generation, soc, cut, all, mainTlb, unitTlb);
    }

    /**
     * This variant with other shapes of the root's TLB and of those in caches. Nothing public tells them. What is evicted is
     * walked again, so it shows only in how long a driver gets away with a flush that it forgot.
     */
    public IpmmuVariant withTlbs(TlbGeometry main, TlbGeometry unit) {
        return new IpmmuVariant(compatible, generation, soc, cut, options, main, unit);
    }

    /** Whether an option is on. */
    public boolean has(IpmmuOption option) {
        return options.contains(option);
    }

    boolean hasOptionsOf(IpmmuVariant other) {
        return options.equals(other.options);
    }

    /** The chip, if more than the generation is known. */
    public Optional<Soc> soc() {
        return Optional.ofNullable(soc);
    }

    /** The main TLB. */
    public TlbGeometry mainTlb() {
        return mainTlb;
    }

    /** Micro-TLBs and unit TLB of a cache, together. */
    public TlbGeometry unitTlb() {
        return unitTlb;
    }

    /**
     * Whether boot firmware leaves the TLB of a cache disabled (IMSCTLR = 0xe0000000), as it does on cuts where that has a
     * defect (TF-A's R-Car BL2, booted from CA57 or CA53).
     *
     * @param imsstrBit the cache's bit in IMSSTR, by which the units of a chip are told apart; -1 if it is not known
     */
    public boolean firmwareDisablesTlb(int imsstrBit) {
        int units = 0;
        if (soc != null && cut >= 0) {
            // DS0, DS1, HC, MP, RT have these bits on all of these chips.
            int common = 1 | 1 << 1 | 1 << 2 | 1 << 4 | 1 << 10;
            int pv0 = 1 << 6;
            int vi0 = 1 << 14;
            int vp0 = 1 << 16;
            units = switch (soc.product() | cut) {
                case ProductRegister.R8A7795 | 0x10 -> common | pv0 | 7 << 7 | vi0 | 1 << 15; // PV0 to 3, VI0, VI1
                case ProductRegister.R8A77965, ProductRegister.R8A77965 | 1 -> common | pv0 | vi0;
                case ProductRegister.R8A77990 -> common | pv0 | vi0 | vp0;
                case ProductRegister.R8A77990 | 1 -> pv0 | vi0 | vp0;
                default -> 0;
            };
        }
        return imsstrBit >= 0 && (units >>> imsstrBit & 1) != 0;
    }

    /** The string that named it. */
    public String compatible() {
        return compatible;
    }

    /** The generation. */
    public Generation generation() {
        return generation;
    }

    /** Whether a unit is either root or cache; otherwise every unit is both (Gen2). */
    public boolean hasCaches() {
        return generation != Generation.GEN2;
    }

    /** How many contexts the hardware has; drivers may use fewer. */
    public int contexts() {
        return generation == Generation.GEN2 && has(IpmmuOption.ONE_CONTEXT) ? 1 : generation.contexts;
    }

    /** How many micro-TLBs a unit has at most. */
    public int utlbs() {
        return generation.utlbs;
    }

    /** Size of a unit's register window in bytes. */
    public int window() {
        return generation.window;
    }

    /** Offset of the bank of registers that non-secure software uses, in bytes. */
    public int bank() {
        return generation.bank;
    }

    /**
     * Offset of a context's registers from the unit's base, in bytes: IMCTR of the context. On Gen4 contexts 8 and up
     * are not in the row of the first eight: 7 is at 0x171c0, 8 at 0x18800.
     *
     * @param context 0 to {@link #contexts} - 1
     */
    public int contextOffset(int context) {
        int row = context < 8 ? 0 : 0x800 - 8 * 0x40;
        return generation.bank + generation.contextBase + row + generation.contextStride * context;
    }

    /**
     * Offset of a micro-TLB's IMUCTR from the unit's base, in bytes; IMUASID is 8 bytes on.
     *
     * @param utlb 0 to {@link #utlbs} - 1
     */
    public int utlbOffset(int utlb) {
        return generation.bank + generation.utlbBase + (utlb < 32 ? 0x300 + 0x10 * utlb : 0x600 + 0x10 * (utlb - 32));
    }

    /** Offset of the bank that holds IMSCTLR (0x500) and IMSAUXCTLR (0x504), in bytes. */
    public int controlOffset() {
        return generation.controlBase;
    }

    /** Width of IMUCTR.TTSEL in bits; its lowest bit is bit 4. */
    public int ttselWidth() {
        return generation.ttselWidth;
    }

    @Override
    public String toString() {
        return compatible;
    }
}
