package org.iommuemu.ipmmu;

import java.util.Map;
import java.util.OptionalInt;
import org.iommuemu.mmio.BusDevice;

/**
 * The Product Register (PRR) of R-Car and RZ/G chips, device tree node {@code renesas,prr}, 32 bits, read-only: bits 14:8
 * are the product, bits 7:0 the cut. Xen refuses stage 2 by it (passthrough/arm/ipmmu-vmsa.c,
 * ipmmu_stage2_supported): H3 and M3-W need cut 0x20 (ES3.0, M3-W+) at least.
 */
public final class ProductRegister implements BusDevice {
    /** Its address on Gen3 and Gen4; on Gen2 it is 0xff000044. */
    public static final long ADDRESS = 0xfff00044L;
    /** Size of its window in bytes. */
    public static final long WINDOW = 4;

    /** RZ/G1H, R-Car H2: r8a7742, r8a7790. */
    public static final int R8A7790 = 0x4500;
    /** RZ/G1M, R-Car M2-W: r8a7743, r8a7791. */
    public static final int R8A7791 = 0x4700;
    /** R-Car V2H: r8a7792. */
    public static final int R8A7792 = 0x4a00;
    /** RZ/G1N, R-Car M2-N: r8a7744, r8a7793. */
    public static final int R8A7793 = 0x4b00;
    /** RZ/G1E, R-Car E2: r8a7745, r8a7794. */
    public static final int R8A7794 = 0x4c00;
    /** R-Car H3, RZ/G2H: r8a7795, r8a774e1. */
    public static final int R8A7795 = 0x4f00;
    /** R-Car M3-W, M3-W+, RZ/G2M: r8a7796, r8a77961, r8a774a1. */
    public static final int R8A7796 = 0x5200;
    /** R-Car V3M: r8a77970. */
    public static final int R8A77970 = 0x5400;
    /** R-Car M3-N, RZ/G2N: r8a77965, r8a774b1. */
    public static final int R8A77965 = 0x5500;
    /** R-Car V3H: r8a77980. */
    public static final int R8A77980 = 0x5600;
    /** R-Car E3, RZ/G2E: r8a77990, r8a774c0. */
    public static final int R8A77990 = 0x5700;
    /** R-Car D3: r8a77995. */
    public static final int R8A77995 = 0x5800;
    /** R-Car V3U: r8a779a0. */
    public static final int R8A779A0 = 0x5900;
    /** R-Car S4: r8a779f0. */
    public static final int R8A779F0 = 0x5a00;
    /** R-Car V4H: r8a779g0. */
    public static final int R8A779G0 = 0x5c00;
    /** R-Car V4M: r8a779h0. */
    public static final int R8A779H0 = 0x5d00;

    private static final Map<String, Integer> PRODUCTS = Map.ofEntries(
            Map.entry("renesas,r8a7742", R8A7790),
            Map.entry("renesas,r8a7743", R8A7791),
            Map.entry("renesas,r8a7744", R8A7793),
            Map.entry("renesas,r8a7745", R8A7794),
            Map.entry("renesas,r8a774a1", R8A7796),
            Map.entry("renesas,r8a774b1", R8A77965),
            Map.entry("renesas,r8a774c0", R8A77990),
            Map.entry("renesas,r8a774e1", R8A7795),
            Map.entry("renesas,r8a7790", R8A7790),
            Map.entry("renesas,r8a7791", R8A7791),
            Map.entry("renesas,r8a7792", R8A7792),
            Map.entry("renesas,r8a7793", R8A7793),
            Map.entry("renesas,r8a7794", R8A7794),
            Map.entry("renesas,r8a7795", R8A7795),
            Map.entry("renesas,r8a7796", R8A7796),
            Map.entry("renesas,r8a77961", R8A7796),
            Map.entry("renesas,r8a77965", R8A77965),
            Map.entry("renesas,r8a77970", R8A77970),
            Map.entry("renesas,r8a77980", R8A77980),
            Map.entry("renesas,r8a77990", R8A77990),
            Map.entry("renesas,r8a77995", R8A77995),
            Map.entry("renesas,r8a779a0", R8A779A0),
            Map.entry("renesas,r8a779f0", R8A779F0),
            Map.entry("renesas,r8a779g0", R8A779G0),
            Map.entry("renesas,r8a779h0", R8A779H0));

    private final int value;

    /**
     * The register of a board.
     *
     * @param value product | cut, for instance {@code R8A7795 | 0x30}
     */
    public ProductRegister(int value) {
        this.value = value;
    }

    /**
     * The product, bits 14:8 of the register, of a chip.
     *
     * @param socCompatible the chip's string in the device tree's root, for instance {@code renesas,r8a77965}
     * @return empty if it is not known
     */
    public static OptionalInt productOf(String socCompatible) {
        Integer product = PRODUCTS.get(socCompatible);
        return product == null ? OptionalInt.empty() : OptionalInt.of(product);
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size == 4;
    }

    @Override
    public long read(long offset, int size) {
        return value & 0xffff_ffffL;
    }

    @Override
    public void write(long offset, int size, long written) {
        // Read-only.
    }
}
