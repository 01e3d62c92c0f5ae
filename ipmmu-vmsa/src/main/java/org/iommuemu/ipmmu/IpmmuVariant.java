package org.iommuemu.ipmmu;

import java.util.EnumSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

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

    private static final Map<String, Generation> COMPATIBLES = Map.ofEntries(
            Map.entry("renesas,ipmmu-vmsa", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a73a4", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7742", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7743", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7744", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7745", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7790", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7791", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7793", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a7794", Generation.GEN2),
            Map.entry("renesas,ipmmu-r8a774a1", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a774b1", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a774c0", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a774e1", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a7795", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a7796", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77961", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77965", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77970", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77980", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77990", Generation.GEN3),
            Map.entry("renesas,ipmmu-r8a77995", Generation.GEN3),
            Map.entry("renesas,rcar-gen4-ipmmu-vmsa", Generation.GEN4),
            Map.entry("renesas,ipmmu-r8a779a0", Generation.GEN4),
            Map.entry("renesas,ipmmu-r8a779f0", Generation.GEN4),
            Map.entry("renesas,ipmmu-r8a779g0", Generation.GEN4),
            Map.entry("renesas,ipmmu-r8a779h0", Generation.GEN4));

    private enum Option {
        COLD_RESET,
        STRICT_CONTEXTS,
        NON_SECURE_FIRST,
        KEPT_FAULTS
    }

    private final String compatible;
    private final Generation generation;
    private final Set<Option> options;

    private IpmmuVariant(String compatible, Generation generation, Set<Option> options) {
        this.compatible = compatible;
        this.generation = generation;
        this.options = options;
    }

    private IpmmuVariant with(Option option, boolean on) {
        Set<Option> changed = EnumSet.copyOf(options);
        if (on) {
            changed.add(option);
        } else {
            changed.remove(option);
        }
        return new IpmmuVariant(compatible, generation, changed);
    }

    /**
     * The variant that a device tree names.
     *
     * @param compatible one string of the {@code compatible} property, for instance {@code renesas,ipmmu-r8a7795}
     * @return empty if it is no IPMMU-VMSA
     */
    public static Optional<IpmmuVariant> of(String compatible) {
        return Optional.ofNullable(COMPATIBLES.get(compatible))
                .map(generation -> new IpmmuVariant(compatible, generation, EnumSet.noneOf(Option.class)));
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
        return generation.contexts;
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

    /**
     * Whether registers start as power-on leaves them. Off: as boot firmware hands them over, root IMSCTLR = 0xc0000000
     * and IMSAUXCTLR = 0x01000000 (TF-A BL2 writes both on Gen3; Assumed: of Gen4 the first only), all else 0. On:
     * Assumed, as no reset value is public, all 0 but IMSCTLR.USE_SECGRP, which is known to be undefined after power-on
     * and is 1.
     */
    public boolean coldReset() {
        return options.contains(Option.COLD_RESET);
    }

    /** See {@link #coldReset}. */
    public IpmmuVariant withColdReset(boolean on) {
        return with(Option.COLD_RESET, on);
    }

    /**
     * Whether an access through an enabled micro-TLB whose context is disabled in the cache or the root is aborted.
     * Assumed, as no driver gets there: off, it passes untranslated, and the misuse listener is told.
     */
    public boolean strictContexts() {
        return options.contains(Option.STRICT_CONTEXTS);
    }

    /** See {@link #strictContexts}. */
    public IpmmuVariant withStrictContexts(boolean on) {
        return with(Option.STRICT_CONTEXTS, on);
    }

    /**
     * Whether NS bits are checked before bit 0 of a descriptor, so that an empty entry of a stage 1 table is a security
     * fault (PF, ERRCODE 5) and not a translation fault. Assumed: off, which fits a fault that was logged on Gen3
     * (0x0101); one that was logged on Gen4 (0x1502) would fit both. Bits 5 and 63 of invalid descriptors are taken to be
     * 0, as drivers clear whole descriptors.
     */
    public boolean nonSecureFirst() {
        return options.contains(Option.NON_SECURE_FIRST);
    }

    /** See {@link #nonSecureFirst}. */
    public IpmmuVariant withNonSecureFirst(boolean on) {
        return with(Option.NON_SECURE_FIRST, on);
    }

    /**
     * Whether an address that had no translation goes on having none until its context is flushed in the root, whatever
     * the tables say by then. Assumed: off, as Linux and Xen do not flush after they have filled an empty entry. Renesas'
     * own kernels and Minos flush after each fault and remark that they must.
     */
    public boolean keptFaults() {
        return options.contains(Option.KEPT_FAULTS);
    }

    /** See {@link #keptFaults}. */
    public IpmmuVariant withKeptFaults(boolean on) {
        return with(Option.KEPT_FAULTS, on);
    }

    @Override
    public String toString() {
        return compatible;
    }
}
