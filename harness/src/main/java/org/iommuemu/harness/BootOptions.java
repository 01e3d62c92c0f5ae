package org.iommuemu.harness;

import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.iommuemu.ipmmu.IpmmuOption;

/**
 * How to boot a board.
 *
 * @param commandLine the hypervisor's command line
 * @param failures answers that drivers are made to give, each {@code PATH=ERRNO[@N]}
 * @param withoutDrivers names of drivers that are left out
 * @param product value of Renesas' product register, see {@link Board#of}
 * @param linuxIpmmu whether IPMMUs are driven as Linux does; otherwise as Xen does
 * @param ipmmuOptions how IPMMUs differ from what is assumed of them
 * @param driversInC drivers in C, which are asked before those in Java
 */
public record BootOptions(
        String commandLine,
        List<String> failures,
        Set<String> withoutDrivers,
        OptionalInt product,
        boolean linuxIpmmu,
        Set<IpmmuOption> ipmmuOptions,
        List<DriverInC> driversInC) {
    /** An ordinary boot. */
    public static final BootOptions DEFAULT = new BootOptions("", List.of(), Set.of(), OptionalInt.empty());

    /** With the usual drivers and IPMMUs. */
    public BootOptions(String commandLine, List<String> failures, Set<String> withoutDrivers, OptionalInt product) {
        this(commandLine, failures, withoutDrivers, product, false, Set.of());
    }

    /** With drivers in Java. */
    public BootOptions(
            String commandLine,
            List<String> failures,
            Set<String> withoutDrivers,
            OptionalInt product,
            boolean linuxIpmmu,
            Set<IpmmuOption> ipmmuOptions) {
        this(commandLine, failures, withoutDrivers, product, linuxIpmmu, ipmmuOptions, List.of());
    }
}
