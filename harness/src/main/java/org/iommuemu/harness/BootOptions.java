package org.iommuemu.harness;

import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.iommuemu.ipmmu.IpmmuOption;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.pci.PciTopology;

/**
 * How to boot a board.
 *
 * @param commandLine the hypervisor's command line
 * @param failures answers that drivers are made to give, each {@code PATH=ERRNO[@N]}
 * @param withoutDrivers names of drivers that are left out
 * @param product value of Renesas' product register, see {@link Board#of}
 * @param linuxIpmmu whether IPMMUs are driven as Linux does; otherwise as Xen does
 * @param ipmmuOptions how IPMMUs differ from what is assumed of them
 * @param dispatch how operations find their IOMMU; empty to choose by what is on the board
 * @param operations of a toolstack, done after the boot: some of {@link #OPERATIONS}
 * @param driversInC drivers in C, which are asked before those in Java
 * @param pci the PCI functions there are; empty for the first and the last of each entry of {@code iommu-map}
 */
public record BootOptions(
        String commandLine,
        List<String> failures,
        Set<String> withoutDrivers,
        OptionalInt product,
        boolean linuxIpmmu,
        Set<IpmmuOption> ipmmuOptions,
        Optional<Iommus.Mode> dispatch,
        List<String> operations,
        List<DriverInC> driversInC,
        Optional<PciTopology> pci) {
    /** The operations of a toolstack. DOM is "dom1", DEVICE a path in the tree or a PCI address, "0000:01:00.0". */
    public static final String OPERATIONS = Toolstack.USAGE;

    /** An ordinary boot. */
    public static final BootOptions DEFAULT = new BootOptions("", List.of(), Set.of(), OptionalInt.empty());

    /** With the usual drivers and IPMMUs. */
    public BootOptions(String commandLine, List<String> failures, Set<String> withoutDrivers, OptionalInt product) {
        this(commandLine, failures, withoutDrivers, product, false, Set.of());
    }

    /** Without operations. */
    public BootOptions(
            String commandLine,
            List<String> failures,
            Set<String> withoutDrivers,
            OptionalInt product,
            boolean linuxIpmmu,
            Set<IpmmuOption> ipmmuOptions) {
        this(
                commandLine,
                failures,
                withoutDrivers,
                product,
                linuxIpmmu,
                ipmmuOptions,
                Optional.empty(),
                List.of(),
                List.of(),
                Optional.empty());
    }

    /** The same boot with drivers in C. */
    public BootOptions with(DriverInC... drivers) {
        return new BootOptions(
                commandLine,
                failures,
                withoutDrivers,
                product,
                linuxIpmmu,
                ipmmuOptions,
                dispatch,
                operations,
                List.of(drivers),
                pci);
    }

    /** The same boot with operations of a toolstack after it. */
    public BootOptions then(String... more) {
        return new BootOptions(
                commandLine,
                failures,
                withoutDrivers,
                product,
                linuxIpmmu,
                ipmmuOptions,
                dispatch,
                List.of(more),
                driversInC,
                pci);
    }
}
