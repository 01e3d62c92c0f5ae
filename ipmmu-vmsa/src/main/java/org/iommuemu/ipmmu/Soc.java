package org.iommuemu.ipmmu;

import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import org.iommuemu.ipmmu.IpmmuVariant.Generation;

/**
 * The chips with an IPMMU-VMSA (Linux ipmmu-vmsa.c and the binding renesas,ipmmu-vmsa.yaml), by their device tree name.
 */
public enum Soc {
    /** R-Mobile APE6; its product is not known here. */
    R8A73A4(Generation.GEN2, 0),
    /** RZ/G1H. */
    R8A7742(Generation.GEN2, ProductRegister.R8A7790),
    /** RZ/G1M. */
    R8A7743(Generation.GEN2, ProductRegister.R8A7791),
    /** RZ/G1N. */
    R8A7744(Generation.GEN2, ProductRegister.R8A7793),
    /** RZ/G1E. */
    R8A7745(Generation.GEN2, ProductRegister.R8A7794),
    /** R-Car H2. */
    R8A7790(Generation.GEN2, ProductRegister.R8A7790),
    /** R-Car M2-W. */
    R8A7791(Generation.GEN2, ProductRegister.R8A7791),
    /** R-Car M2-N. */
    R8A7793(Generation.GEN2, ProductRegister.R8A7793),
    /** R-Car E2. */
    R8A7794(Generation.GEN2, ProductRegister.R8A7794),
    /** RZ/G2M. */
    R8A774A1(Generation.GEN3, ProductRegister.R8A7796),
    /** RZ/G2N. */
    R8A774B1(Generation.GEN3, ProductRegister.R8A77965),
    /** RZ/G2E. */
    R8A774C0(Generation.GEN3, ProductRegister.R8A77990),
    /** RZ/G2H. */
    R8A774E1(Generation.GEN3, ProductRegister.R8A7795),
    /** R-Car H3. */
    R8A7795(Generation.GEN3, ProductRegister.R8A7795),
    /** R-Car M3-W. */
    R8A7796(Generation.GEN3, ProductRegister.R8A7796),
    /** R-Car M3-W+. */
    R8A77961(Generation.GEN3, ProductRegister.R8A7796),
    /** R-Car M3-N. */
    R8A77965(Generation.GEN3, ProductRegister.R8A77965),
    /** R-Car V3M. */
    R8A77970(Generation.GEN3, ProductRegister.R8A77970),
    /** R-Car V3H. */
    R8A77980(Generation.GEN3, ProductRegister.R8A77980),
    /** R-Car E3. */
    R8A77990(Generation.GEN3, ProductRegister.R8A77990),
    /** R-Car D3. */
    R8A77995(Generation.GEN3, ProductRegister.R8A77995),
    /** R-Car V3U. */
    R8A779A0(Generation.GEN4, ProductRegister.R8A779A0),
    /** R-Car S4. */
    R8A779F0(Generation.GEN4, ProductRegister.R8A779F0),
    /** R-Car V4H. */
    R8A779G0(Generation.GEN4, ProductRegister.R8A779G0),
    /** R-Car V4M. */
    R8A779H0(Generation.GEN4, ProductRegister.R8A779H0);

    private static final String PREFIX = "renesas,ipmmu-";

    private final Generation generation;
    private final int product;

    Soc(Generation generation, int product) {
        this.generation = generation;
        this.product = product;
    }

    /** The chip that a string of an IPMMU node's {@code compatible} names, {@code renesas,ipmmu-r8a7795} for instance. */
    static Optional<Soc> ofCompatible(String compatible) {
        for (Soc soc : values()) {
            if (compatible.equals(soc.compatible())) {
                return Optional.of(soc);
            }
        }
        return Optional.empty();
    }

    /** The first chip of a generation that has a product number. */
    static Optional<Soc> ofProduct(Generation generation, int product) {
        Optional<Soc> found = Optional.empty();
        for (Soc soc : values()) {
            if (soc.generation == generation && soc.product == product && product != 0) {
                found = Optional.of(soc); // R-Car chips come after the RZ/G ones that are made like them.
            }
        }
        return found;
    }

    /** Its generation. */
    public Generation generation() {
        return generation;
    }

    /** Bits 14:8 of its product register, or 0 if that is not known. Chips that are made alike share it. */
    public int product() {
        return product;
    }

    /** The string of its IPMMU nodes. */
    public String compatible() {
        return PREFIX + name().toLowerCase(Locale.ROOT);
    }

    /**
     * The bit of IMSSTR that is the root's own; no device tree has it. Public is only that of H3 ES3.0 (QNX SMMUMAN
     * user's guide); Assumed: it is the same in earlier cuts and in RZ/G2H.
     */
    public OptionalInt imsstrRootBit() {
        return this == R8A7795 || this == R8A774E1 ? OptionalInt.of(18) : OptionalInt.empty();
    }
}
