package org.iommuemu.harness.cli;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.probe.pci.Groups;
import org.iommuemu.probe.pci.PciFunction;
import org.iommuemu.probe.pci.PciTopology;
import picocli.CommandLine.Help.Ansi;

/** The tree of {@code lspci -tv}, with the group of each function in braces behind its number. */
final class GroupsTree {
    private static final List<String> STYLES = List.of("cyan", "yellow", "green", "magenta", "blue", "red");

    private final PciTopology topology;
    private final Groups groups;
    private final Ansi ansi;
    private final List<String> lines = new ArrayList<>();

    private GroupsTree(PciTopology topology, Groups groups, Ansi ansi) {
        this.topology = topology;
        this.groups = groups;
        this.ansi = ansi;
    }

    static List<String> draw(PciTopology topology, Groups groups, Ansi ansi) {
        return new GroupsTree(topology, groups, ansi).draw();
    }

    /** Text with and without colours: only the plain one counts in columns. */
    private record Text(String shown, int width) {
        static final Text NONE = new Text("", 0);

        Text then(String plain) {
            return then(plain, plain);
        }

        Text then(String plain, String styled) {
            return new Text(shown + styled, width + plain.length());
        }

        /** As much room, with the lines that go on below. */
        Text below(Text marks) {
            return new Text(marks.shown + " ".repeat(width - marks.width), width);
        }
    }

    private List<String> draw() {
        List<PciTopology.Bus> roots = topology.rootBuses();
        for (int i = 0; i < roots.size(); i++) {
            boolean last = i == roots.size() - 1;
            Text head = new Text(i > 0 ? " " : "-", 1);
            if (roots.size() > 1) {
                head = head.then(i == 0 ? "+-" : last ? "\\-" : "+-");
            }
            Text marks = roots.size() > 1 && !last ? Text.NONE.then(" |") : Text.NONE;
            bus(topology.onRootBus(roots.get(i)), head.then("[" + roots.get(i) + "]-"), marks);
        }
        return lines;
    }

    /** @param marks what of {@code head}'s room is not blank in the lines below it */
    private void bus(List<PciFunction> functions, Text head, Text marks) {
        if (functions.isEmpty()) {
            lines.add(head.shown());
        } else if (functions.size() == 1) {
            function(functions.get(0), head.then("--"), marks);
        } else {
            Text room = head.below(marks);
            for (int i = 0; i < functions.size(); i++) {
                boolean last = i == functions.size() - 1;
                function(
                        functions.get(i),
                        (i == 0 ? head : room).then(last ? "\\-" : "+-"),
                        last ? marks : room.then("|"));
            }
        }
    }

    private void function(PciFunction function, Text head, Text marks) {
        PciTopology.Bus bus = new PciTopology.Bus(
                function.address().domain(), function.address().bus());
        // A virtual function may be on a bus of its own.
        boolean stray = topology.upstream(function)
                .map(bridge -> bridge.buses().orElseThrow().secondary() != bus.number())
                .orElse(false);
        String number = (stray ? "%02x:".formatted(bus.number()) : "")
                + "%02x.%d"
                        .formatted(
                                function.address().device(), function.address().function());
        String group =
                groups.of(function).isPresent() ? "{" + groups.of(function).getAsInt() + "}" : "{-}";
        Text text = head.then(number).then(group, ConsoleLog.styled(ansi, style(function), group));
        if (function.buses().isPresent()) {
            bus(topology.behind(function), text.then("-[" + function.buses().get() + "]--"), marks);
        } else if (topology.describe(function).isEmpty()) {
            lines.add(text.shown());
        } else {
            lines.add(text.shown() + "  " + topology.describe(function));
        }
    }

    private String style(PciFunction function) {
        if (groups.of(function).isEmpty()) {
            return "faint";
        }
        int group = groups.of(function).getAsInt();
        return groups.members().get(group).size() > 1 ? STYLES.get(group % STYLES.size()) : null;
    }
}
