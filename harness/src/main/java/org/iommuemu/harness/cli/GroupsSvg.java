package org.iommuemu.harness.cli;

import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.iommuemu.probe.pci.Groups;
import org.iommuemu.probe.pci.PciFunction;
import org.iommuemu.probe.pci.PciTopology;

/** A drawing of the tree: a box for each function, in the colour of its group. Of one thread, for one drawing. */
final class GroupsSvg {
    /** Light enough for black text, and apart for the colour-blind; groups of one function are white. */
    private static final List<String> COLOURS = List.of(
            "#9ecae9", "#fdd49e", "#a8ddb5", "#f4b6c2", "#d0c4e8", "#fff2a8", "#c7b299", "#b8e0d2", "#f2a488",
            "#c9c9c9");

    private static final int MARGIN = 24;
    private static final int STEP = 44;
    private static final int INDENT = 40;
    private static final int BOX_WIDTH = 430;
    private static final int BOX_HEIGHT = 34;
    private static final int TOP = 92;
    private static final int LONGEST = 60;
    private static final int LEGEND_WIDTH = 620;

    private final PciTopology topology;
    private final GroupsReport report;
    private final Groups groups;
    private final Map<String, GroupsReport.Function> functions = new HashMap<>();
    private final Set<String> splits = new HashSet<>();
    private final Map<Integer, String> colours = new HashMap<>();
    private final StringBuilder lines = new StringBuilder();
    private final StringBuilder boxes = new StringBuilder();
    private int y = TOP;
    private int right = LEGEND_WIDTH;

    private GroupsSvg(PciTopology topology, GroupsReport report, Groups groups) {
        this.topology = topology;
        this.report = report;
        this.groups = groups;
        report.functions().forEach(f -> functions.put(f.address(), f));
        report.split().forEach(splits::addAll);
    }

    static String draw(PciTopology topology, GroupsReport report, Groups groups) {
        return new GroupsSvg(topology, report, groups).draw();
    }

    private String draw() {
        for (PciTopology.Bus root : topology.rootBuses()) {
            int top = y;
            boxes.append(text(MARGIN, y + 18, "bus", root.toString()));
            y += 28;
            functions(topology.onRootBus(root), MARGIN + INDENT, MARGIN + 12, top + 24);
            y += 10;
        }
        int width = right + MARGIN;
        int height = y + MARGIN;
        String title = "IOMMU groups of " + topology.name();
        return """
                <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %1$d %2$d" width="%1$d" height="%2$d" role="img">
                <title>%3$s</title>
                <style>
                  text { font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 12px; fill: #1a1a1a }
                  .title { font-size: 18px; font-weight: bold }
                  .bus { font-weight: bold }
                  .address { font-family: "DejaVu Sans Mono", Consolas, monospace; font-weight: bold }
                  .small { font-size: 10.5px; fill: #444 }
                  .group { font-weight: bold; text-anchor: middle }
                  .wrong { fill: #b00020; font-weight: bold }
                  .link { fill: none; stroke: #777; stroke-width: 1.5 }
                  .box { stroke: #555; stroke-width: 1 }
                  .split { stroke: #b00020; stroke-width: 3 }
                  .none { stroke-dasharray: 4 3 }
                </style>
                <rect width="%1$d" height="%2$d" fill="#fcfcfa"/>
                %4$s%5$s%6$s%7$s</svg>
                """
                .formatted(
                        width,
                        height,
                        escaped(title),
                        text(MARGIN, 34, "title", title),
                        text(MARGIN, 56, "small", legend()) + verdict(),
                        lines,
                        boxes);
    }

    private String legend() {
        return "algorithm: " + report.algorithm()
                + " · one colour, one number: one group · white: alone in its group · dashed: no group";
    }

    private String verdict() {
        if (report.right()) {
            return "";
        }
        return text(
                MARGIN,
                76,
                "wrong",
                "WRONG: "
                        + (report.split().isEmpty()
                                ? "dashed functions wait for a driver for ever"
                                : "functions framed in red have to be one group"));
    }

    /** @param fromX where the line from the bus or bridge above begins */
    private void functions(List<PciFunction> functions, int x, int fromX, int fromY) {
        for (PciFunction function : functions) {
            int middle = y + BOX_HEIGHT / 2;
            lines.append(
                    String.format(Locale.ROOT, "<path class=\"link\" d=\"M%d %dV%dH%d\"/>%n", fromX, fromY, middle, x));
            box(function, x);
            y += STEP;
            functions(topology.behind(function), x + INDENT, x + 16, middle + BOX_HEIGHT / 2);
        }
    }

    private void box(PciFunction function, int x) {
        GroupsReport.Function said = functions.get(function.toString());
        boolean split = splits.contains(said.address());
        boolean none = said.group() == null;
        boxes.append(String.format(
                Locale.ROOT,
                "<rect class=\"box%s%s\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"%s\"/>%n",
                split ? " split" : "",
                none ? " none" : "",
                x,
                y,
                BOX_WIDTH,
                BOX_HEIGHT,
                colour(function)));
        String ids = said.streamIds().isEmpty()
                ? ""
                : "  StreamID "
                        + String.join(
                                " ",
                                said.streamIds().stream()
                                        .limit(2)
                                        .map("0x%x"::formatted)
                                        .toList());
        String buses = function.buses().map(b -> "  [" + b + "]").orElse("");
        boxes.append(text(x + 10, y + 14, "address", said.address() + buses));
        boxes.append(text(x + 190, y + 14, "small", said.type() + (said.acs() == null ? "" : "  " + said.acs()) + ids));
        boxes.append(text(x + 10, y + 28, "small", cut(said.description())));
        boxes.append(text(x + BOX_WIDTH - 22, y + 22, "group", none ? "–" : String.valueOf(said.group())));
        right = Math.max(right, x + BOX_WIDTH);
    }

    private String colour(PciFunction function) {
        if (groups.of(function).isEmpty()) {
            return "#fcfcfa";
        }
        int group = groups.of(function).getAsInt();
        if (groups.members().get(group).size() == 1) {
            return "#ffffff";
        }
        // In the order in which they are drawn, so that neighbours differ.
        return colours.computeIfAbsent(group, g -> COLOURS.get(colours.size() % COLOURS.size()));
    }

    private static String cut(String text) {
        return text.length() > LONGEST ? text.substring(0, LONGEST - 1) + "…" : text;
    }

    private static String text(int x, int y, String style, String text) {
        return String.format(
                Locale.ROOT,
                "<text class=\"%s\" x=\"%d\" y=\"%d\" xml:space=\"preserve\">%s</text>%n",
                style,
                x,
                y,
                escaped(text));
    }

    private static String escaped(String text) {
        return text.replace("&", "&amp;")
                .replace("<", "&lt;")
                .replace(">", "&gt;")
                .replace("\"", "&quot;");
    }
}
