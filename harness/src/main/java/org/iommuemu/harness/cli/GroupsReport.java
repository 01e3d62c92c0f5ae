package org.iommuemu.harness.cli;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.TreeMap;
import org.iommuemu.probe.pci.Acs;
import org.iommuemu.probe.pci.Algorithm;
import org.iommuemu.probe.pci.Bond;
import org.iommuemu.probe.pci.GroupRun;
import org.iommuemu.probe.pci.Groups;
import org.iommuemu.probe.pci.PciFunction;
import org.iommuemu.probe.pci.PciTopology;
import org.iommuemu.probe.pci.StreamIds;

/**
 * What {@code groups --json} prints; addresses are strings, as {@code "0000:00:1f.2"}.
 *
 * @param file the topology's file
 * @param algorithm {@code topology}, {@code historic} or {@code device-links}
 * @param warnings what the files leave open
 * @param functions all functions, by address
 * @param groups all groups, by number
 * @param log the lines of a boot log
 * @param split groups that have to be one and are not, each with its functions
 * @param unprobed functions whose driver still waits at the end
 * @param ungrouped functions that should have a group and have none
 * @param kernel how the groups compare with those that the dumped machine's kernel made; {@code null} if the file does not
 *     tell those
 */
record GroupsReport(
        String file,
        String algorithm,
        List<String> warnings,
        List<Function> functions,
        List<Group> groups,
        List<String> log,
        List<List<String>> split,
        List<String> unprobed,
        List<String> ungrouped,
        Kernel kernel) {
    /**
     * A function.
     *
     * @param address where it is
     * @param id vendor and device
     * @param type what it is on the fabric
     * @param description what the file says
     * @param driver the driver that matches, or {@code null}
     * @param acs its ACS, {@code "SV+ RR-"}, or {@code null} without ACS
     * @param group its group, or {@code null}
     * @param iommu the node of its IOMMU, or {@code null} if no device tree says
     * @param streamIds its StreamIDs there
     */
    record Function(
            String address,
            String id,
            String type,
            String description,
            String driver,
            String acs,
            Integer group,
            String iommu,
            List<Long> streamIds) {}

    /**
     * A group.
     *
     * @param number its number
     * @param functions its functions
     * @param bonds what holds it together, with the algorithm {@code topology}
     */
    record Group(int number, List<String> functions, List<Reason> bonds) {}

    /**
     * Two functions that cannot be kept apart.
     *
     * @param rule the rule
     * @param a one
     * @param b the other
     * @param why in words
     */
    record Reason(String rule, String a, String b, String why) {}

    /**
     * How the groups compare with the kernel's.
     *
     * @param functions how many functions the kernel had in groups
     * @param finer groups of the kernel that are several here
     * @param coarser groups here that are several of the kernel's
     */
    record Kernel(int functions, List<List<String>> finer, List<List<String>> coarser) {
        boolean same() {
            return finer.isEmpty() && coarser.isEmpty();
        }
    }

    static GroupsReport of(
            PciTopology topology,
            Algorithm algorithm,
            boolean acsOn,
            StreamIds streams,
            GroupRun.Outcome outcome,
            Groups right) {
        List<String> warnings = new ArrayList<>(topology.warnings());
        warnings.addAll(streams.warnings());
        Groups groups = outcome.groups();
        Map<Integer, List<Reason>> reasons = reasons(outcome.bonds(), groups);
        return new GroupsReport(
                topology.name(),
                word(algorithm),
                warnings,
                topology.functions().stream()
                        .map(f -> function(topology, acsOn, streams, groups, f))
                        .toList(),
                groups.members().entrySet().stream()
                        .map(e ->
                                new Group(e.getKey(), names(e.getValue()), reasons.getOrDefault(e.getKey(), List.of())))
                        .toList(),
                outcome.log(),
                groups.splitOf(right).stream().map(GroupsReport::names).toList(),
                names(outcome.unprobed()),
                names(groups.missingOf(right)),
                kernel(topology, groups));
    }

    static String word(Algorithm algorithm) {
        return algorithm.name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** Whether every function is where it has to be. */
    boolean right() {
        return split.isEmpty() && unprobed.isEmpty();
    }

    private static Function function(
            PciTopology topology, boolean acsOn, StreamIds streams, Groups groups, PciFunction function) {
        OptionalInt group = groups.of(function);
        List<StreamIds.Stream> ids = streams.of(function);
        return new Function(
                function.toString(),
                topology.id(function).toString(),
                topology.physical(function).isPresent() ? "vf" : function.type().word(),
                topology.describe(function),
                topology.driver(function).orElse(null),
                function.acs()
                        .map(acs -> acsOn ? acs.switchedOn() : acs)
                        .map(Acs::toString)
                        .orElse(null),
                group.isPresent() ? group.getAsInt() : null,
                ids.isEmpty() ? null : ids.get(0).iommu().path(),
                ids.stream().map(id -> Integer.toUnsignedLong(id.id())).toList());
    }

    /** Both ends of a bond are in one group, unless no IOMMU stands before one. */
    private static Map<Integer, List<Reason>> reasons(List<Bond> bonds, Groups groups) {
        Map<Integer, List<Reason>> reasons = new HashMap<>();
        for (Bond bond : bonds) {
            OptionalInt group = groups.of(bond.a());
            if (group.isPresent() && groups.of(bond.b()).isPresent()) {
                reasons.computeIfAbsent(group.getAsInt(), g -> new ArrayList<>())
                        .add(new Reason(
                                bond.rule().word(),
                                bond.a().toString(),
                                bond.b().toString(),
                                bond.why()));
            }
        }
        return reasons;
    }

    private static Kernel kernel(PciTopology topology, Groups groups) {
        Map<Integer, List<PciFunction>> byKernel = new TreeMap<>();
        topology.functions()
                .forEach(f -> f.kernelGroup().ifPresent(group -> byKernel.computeIfAbsent(group, g -> new ArrayList<>())
                        .add(f)));
        if (byKernel.isEmpty()) {
            return null;
        }
        List<List<String>> finer = byKernel.values().stream()
                .filter(list -> list.stream().map(groups::of).distinct().count() > 1)
                .map(GroupsReport::names)
                .toList();
        List<List<String>> coarser = groups.members().values().stream()
                .filter(list -> list.stream()
                                .map(PciFunction::kernelGroup)
                                .filter(OptionalInt::isPresent)
                                .distinct()
                                .count()
                        > 1)
                .map(GroupsReport::names)
                .toList();
        return new Kernel(byKernel.values().stream().mapToInt(List::size).sum(), finer, coarser);
    }

    private static List<String> names(List<PciFunction> functions) {
        return functions.stream().map(PciFunction::toString).toList();
    }
}
