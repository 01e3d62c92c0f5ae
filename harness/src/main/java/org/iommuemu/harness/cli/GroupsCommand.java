package org.iommuemu.harness.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import org.iommuemu.harness.BoardException;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import org.iommuemu.probe.pci.Algorithm;
import org.iommuemu.probe.pci.GroupRun;
import org.iommuemu.probe.pci.Groups;
import org.iommuemu.probe.pci.Judgement;
import org.iommuemu.probe.pci.PciException;
import org.iommuemu.probe.pci.PciFile;
import org.iommuemu.probe.pci.PciFunction;
import org.iommuemu.probe.pci.PciTopology;
import org.iommuemu.probe.pci.ProbeScenario;
import org.iommuemu.probe.pci.Quirks;
import org.iommuemu.probe.pci.Rule;
import org.iommuemu.probe.pci.StreamIds;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** {@code iommu-emu groups}. */
@Command(
        name = "groups",
        description = {
            "Prints the IOMMU groups of a PCI topology: what lspci -xxxx printed on a machine (as root), or the short text "
                    + "form of docs/pci-groups.md.",
            "",
            "WHO is an address, such as 000a:10:00.0, or the name of a driver, such as pcieport.",
            "",
            "Exit status: 0 the groups are right, 1 the algorithm split a group or left a function without its driver, 2 "
                    + "bad input or usage."
        },
        mixinStandardHelpOptions = true)
final class GroupsCommand implements Callable<Integer> {
    private static final ObjectWriter JSON = new ObjectMapper().writer().with(SerializationFeature.INDENT_OUTPUT);

    private static final int MOST_REASONS = 3;

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "FILE", description = "The topology.")
    private Path file;

    @Option(
            names = "--algorithm",
            paramLabel = "topology|historic|device-links",
            converter = AlgorithmConverter.class,
            description =
                    "From topology alone (the default), or at each driver's probe as Linux did on Arm until 6.14, or "
                            + "that with drivers that wait for their bridge's.")
    private Algorithm algorithm = Algorithm.TOPOLOGY;

    @Option(
            names = "--defer",
            paramLabel = "WHO",
            description = "Probes before its IOMMU is up, and again after all that are built in. Repeatable.")
    private List<String> deferred = List.of();

    @Option(
            names = "--late",
            paramLabel = "WHO",
            description = "Its driver is a module that is loaded after that. Repeatable.")
    private List<String> late = List.of();

    @Option(names = "--fail", paramLabel = "WHO", description = "Its driver's probe fails. Repeatable.")
    private List<String> failing = List.of();

    @Option(
            names = "--probe-order",
            paramLabel = "WHO",
            split = ",",
            description = "Probe first, in this order; then bridges, then all else by address.")
    private List<String> first = List.of();

    @Option(
            names = "--enable-acs",
            description =
                    "ACS counts as switched on wherever there is ACS, as Linux does it with an IOMMU; otherwise it is "
                            + "as FILE has it.")
    private boolean acsOn;

    @Option(
            names = "--without-rule",
            paramLabel = "RULE",
            converter = RuleConverter.class,
            description =
                    "Groups without this rule: alias, acs-path, multi-function, siblings (which Linux up to 7.2 does "
                            + "not know) or stream-id. Repeatable.")
    private Set<Rule> without = Set.of();

    @Option(names = "--no-quirks", description = "Every device counts as what its configuration space says.")
    private boolean noQuirks;

    @Option(
            names = "--board",
            paramLabel = "BOARD.dtb",
            description =
                    "The device tree whose iommu-map gives StreamIDs, and says who stands behind an IOMMU at all.")
    private Path board;

    @Option(names = "--svg", paramLabel = "FILE", description = "Draws the tree and its groups, too.")
    private Path svg;

    @Option(names = "--json", description = "Prints one JSON object instead of the log, the tree and the table.")
    private boolean json;

    static final class AlgorithmConverter implements ITypeConverter<Algorithm> {
        @Override
        public Algorithm convert(String value) {
            for (Algorithm algorithm : Algorithm.values()) {
                if (GroupsReport.word(algorithm).equals(value)) {
                    return algorithm;
                }
            }
            throw new TypeConversionException("'" + value + "' is not topology, historic or device-links");
        }
    }

    static final class RuleConverter implements ITypeConverter<Rule> {
        @Override
        public Rule convert(String value) {
            for (Rule rule : Rule.values()) {
                if (rule.word().equals(value)) {
                    return rule;
                }
            }
            throw new TypeConversionException("'" + value + "' is no rule");
        }
    }

    @Override
    public Integer call() {
        try {
            PciTopology topology =
                    InputFile.read(file, f -> PciFile.read(f, noQuirks ? Quirks.none() : Quirks.known()));
            StreamIds streams = board == null
                    ? StreamIds.unknown(topology)
                    : StreamIds.of(InputFile.read(board, DeviceTree::read), topology);
            Judgement judgement = new Judgement(acsOn, without);
            GroupRun.Outcome outcome = GroupRun.run(topology, algorithm, judgement, streams, scenario(topology));
            Groups right = GroupRun.right(topology, judgement, streams);
            GroupsReport report = GroupsReport.of(topology, algorithm, acsOn, streams, outcome, right);
            if (svg != null) {
                write(GroupsSvg.draw(topology, report, outcome.groups()));
            }
            PrintWriter out = spec.commandLine().getOut();
            if (json) {
                out.println(JSON.writeValueAsString(report));
            } else {
                print(out, Ansi.AUTO, topology, report, outcome.groups());
            }
            return report.right() ? 0 : 1;
        } catch (PciException | DeviceTreeException | BoardException e) {
            return Main.badInput(spec, e.getMessage());
        } catch (IOException e) {
            return Main.badInput(spec, "cannot write: " + e.getMessage());
        }
    }

    private void write(String drawing) {
        try {
            Files.writeString(svg, drawing);
        } catch (IOException e) {
            throw new BoardException("--svg " + svg + ": it cannot be written: " + e.getMessage());
        }
    }

    private ProbeScenario scenario(PciTopology topology) {
        List<PciFunction> before = new ArrayList<>();
        for (String who : first) {
            named(topology, "--probe-order", who).stream()
                    .sorted(Comparator.comparing(PciFunction::address))
                    .forEach(before::add);
        }
        return new ProbeScenario(
                ProbeScenario.usualOrder(topology, before),
                named(topology, "--defer", deferred),
                named(topology, "--late", late),
                named(topology, "--fail", failing));
    }

    private static Set<PciFunction> named(PciTopology topology, String option, List<String> words) {
        Set<PciFunction> all = new HashSet<>();
        for (String who : words) {
            all.addAll(named(topology, option, who));
        }
        return all;
    }

    private static Set<PciFunction> named(PciTopology topology, String option, String who) {
        Set<PciFunction> named = topology.named(who);
        if (named.isEmpty()) {
            throw new BoardException(
                    option + " " + who + ": " + topology.name() + " has no such function, and no such driver");
        }
        return named;
    }

    private static void print(PrintWriter out, Ansi ansi, PciTopology topology, GroupsReport report, Groups groups) {
        report.warnings().forEach(warning -> out.println(ConsoleLog.styled(ansi, "yellow", "warning: " + warning)));
        report.log().forEach(out::println);
        out.println();
        GroupsTree.draw(topology, groups, ansi).forEach(out::println);
        table(out, ansi, report);
        out.println();
        verdict(out, ansi, report);
    }

    private static void table(PrintWriter out, Ansi ansi, GroupsReport report) {
        Map<String, String> streamIds = streamIds(report);
        boolean streams = !streamIds.isEmpty();
        Set<String> splits = new HashSet<>();
        report.split().forEach(splits::addAll);
        List<List<String>> rows = new ArrayList<>();
        List<Boolean> good = new ArrayList<>();
        rows.add(row(streams, "group", "functions", "StreamIDs", "held together by"));
        for (GroupsReport.Group group : report.groups()) {
            boolean split =
                    report.split().stream().anyMatch(list -> list.stream().anyMatch(group.functions()::contains));
            List<String> reasons = group.bonds().stream()
                    .map(bond -> bond.rule() + ": " + bond.why())
                    .distinct()
                    .toList();
            String more = reasons.size() > MOST_REASONS ? " and %d more".formatted(reasons.size() - MOST_REASONS) : "";
            for (int i = 0; i < Math.max(group.functions().size(), Math.min(reasons.size(), MOST_REASONS)); i++) {
                String address =
                        i < group.functions().size() ? group.functions().get(i) : "";
                rows.add(row(
                        streams,
                        i == 0 ? String.valueOf(group.number()) : "",
                        address,
                        streamIds.getOrDefault(address, ""),
                        i >= Math.min(reasons.size(), MOST_REASONS)
                                ? ""
                                : reasons.get(i) + (i == MOST_REASONS - 1 ? more : "")));
                good.add(!split);
            }
        }
        new TextTable(out, ansi).print(rows, good);
    }

    private static List<String> row(boolean streams, String group, String functions, String ids, String reasons) {
        return streams ? List.of(group, functions, ids, reasons) : List.of(group, functions, reasons);
    }

    private static Map<String, String> streamIds(GroupsReport report) {
        Map<String, String> all = new HashMap<>();
        report.functions().stream().filter(f -> f.iommu() != null).forEach(f -> {
            List<String> ids = f.streamIds().stream().map("0x%x"::formatted).toList();
            all.put(f.address(), String.join(" ", ids) + " " + f.iommu());
        });
        return all;
    }

    private static void verdict(PrintWriter out, Ansi ansi, GroupsReport report) {
        for (List<String> split : report.split()) {
            out.println(
                    ConsoleLog.styled(ansi, "red", "split: these have to be one group: " + String.join(" ", split)));
        }
        if (!report.unprobed().isEmpty()) {
            out.println(ConsoleLog.styled(ansi, "red", "unprobed: " + String.join(" ", report.unprobed())));
        }
        if (!report.ungrouped().isEmpty()) {
            out.println(ConsoleLog.styled(ansi, "yellow", "without a group: " + String.join(" ", report.ungrouped())));
        }
        GroupsReport.Kernel kernel = report.kernel();
        if (kernel != null && !kernel.same()) {
            kernel.finer().forEach(list -> out.println("one group of the machine's kernel: " + String.join(" ", list)));
            kernel.coarser()
                    .forEach(list -> out.println("several groups of the machine's kernel: " + String.join(" ", list)));
        }
        long grouped =
                report.functions().stream().filter(f -> f.group() != null).count();
        out.println(ConsoleLog.styled(
                ansi,
                report.right() ? "green,bold" : "red,bold",
                "%s: %d of %d functions in %d group%s (%s)%s"
                        .formatted(
                                report.right() ? "RIGHT" : "WRONG",
                                grouped,
                                report.functions().size(),
                                report.groups().size(),
                                report.groups().size() == 1 ? "" : "s",
                                report.algorithm(),
                                kernel == null
                                        ? ""
                                        : kernel.same()
                                                ? "; the machine's kernel had the same"
                                                : "; the machine's kernel had others")));
    }
}
