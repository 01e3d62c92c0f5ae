package org.iommuemu.probe.pci;

import java.util.EnumSet;
import java.util.Set;

/**
 * By what functions are judged.
 *
 * @param acsOn whether ACS counts as switched on wherever there is ACS, as Linux switches it where it finds an IOMMU;
 *     otherwise it is as the file has it
 * @param without rules that do not count
 */
public record Judgement(boolean acsOn, Set<Rule> without) {
    /** ACS as the file has it, and all rules. */
    public static final Judgement AS_FOUND = new Judgement(false, Set.of());

    /** ACS switched on, and all rules. */
    public static final Judgement ACS_ON = new Judgement(true, Set.of());

    /** Copies {@code without}. */
    public Judgement {
        without = without.isEmpty() ? Set.of() : Set.copyOf(EnumSet.copyOf(without));
    }
}
