package org.iommuemu.harness;

import java.util.List;
import java.util.OptionalInt;
import java.util.Set;

/**
 * How to boot a board.
 *
 * @param commandLine the hypervisor's command line
 * @param failures answers that drivers are made to give, each {@code PATH=ERRNO[@N]}
 * @param withoutDrivers names of drivers that are left out
 * @param product value of Renesas' product register, see {@link Board#of}
 */
public record BootOptions(String commandLine, List<String> failures, Set<String> withoutDrivers, OptionalInt product) {
    /** An ordinary boot. */
    public static final BootOptions DEFAULT = new BootOptions("", List.of(), Set.of(), OptionalInt.empty());
}
