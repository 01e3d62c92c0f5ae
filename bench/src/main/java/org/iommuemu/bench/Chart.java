package org.iommuemu.bench;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/** Charts as SVG. */
final class Chart {
    private static final String[] COLOURS = {
        "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22"
    };
    private static final String REACHED = "#2ca02c";
    private static final String MISSED = "#d62728";

    private Chart() {}

    /** How far each bar is reached: 1 is the bar itself, what is shorter is faster. Logarithmic. */
    static String bars(List<Row> rows) {
        List<Row> judged = rows.stream().filter(row -> row.met() != null).toList();
        int left = 330;
        int width = 900;
        int line = 18;
        int height = 60 + line * judged.size();
        double low = -1; // log10 of what is at the left
        double high = Math.max(
                1, judged.stream().mapToDouble(r -> Math.log10(used(r))).max().orElse(1));
        StringBuilder svg = open(width, height, "Share of each bar that is used (1 = the bar; shorter is faster)");
        for (double tick : new double[] {0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100}) {
            double x = left + (Math.log10(tick) - low) / (high - low) * (width - left - 60);
            if (Math.log10(tick) <= high) {
                line(svg, x, 36, x, height - 16, tick == 1 ? "#333" : "#ddd");
                text(svg, x, height - 4, "middle", tick < 1 ? "%.1f".formatted(tick) : "%.0f".formatted(tick));
            }
        }
        for (int i = 0; i < judged.size(); i++) {
            Row row = judged.get(i);
            double y = 40 + line * i;
            double length = Math.max(1, (Math.log10(used(row)) - low) / (high - low) * (width - left - 60));
            text(svg, left - 6, y + 12, "end", row.name());
            append(
                    svg,
                    "<rect x='%d' y='%.1f' width='%.1f' height='%d' fill='%s'/>",
                    left,
                    y + 1,
                    length,
                    line - 5,
                    row.met() ? REACHED : MISSED);
            text(svg, left + length + 4, y + 12, "start", "%.2f".formatted(used(row)));
        }
        return svg.append("</svg>\n").toString();
    }

    private static double used(Row row) {
        if (row.rule().startsWith("≥")) {
            return row.bar() / row.ratio();
        }
        return (row.rule().contains("×") ? row.ratio() : row.best()) / row.bar();
    }

    /** Time over size of what should not depend on it. Both logarithmic. */
    static String sizes(List<Row> rows) {
        Map<String, TreeMap<Double, Double>> lines = new LinkedHashMap<>();
        for (Row row : rows) {
            if (row.size() != null) {
                lines.computeIfAbsent(row.family(), f -> new TreeMap<>())
                        .put(Math.log10(Double.parseDouble(row.size())), Math.log10(row.best()));
            }
        }
        int left = 60;
        int right = 620;
        int top = 40;
        int bottom = Math.max(380, top + 20 * lines.size());
        StringBuilder svg = open(960, bottom + 50, "Nanoseconds per operation by size (entries, streams, pages)");
        double highX = 6.1;
        double lowY = 0;
        double highY = Math.ceil(lines.values().stream()
                .flatMap(line -> line.values().stream())
                .mapToDouble(y -> y)
                .max()
                .orElse(1));
        for (int decade = 0; decade <= 6; decade++) {
            double x = left + decade / highX * (right - left);
            line(svg, x, top, x, bottom, "#ddd");
            text(svg, x, bottom + 16, "middle", "10^" + decade);
        }
        for (int decade = 0; decade <= highY; decade++) {
            double y = bottom - (decade - lowY) / (highY - lowY) * (bottom - top);
            line(svg, left, y, right, y, "#ddd");
            text(svg, left - 6, y + 4, "end", "%,.0f".formatted(Math.pow(10, decade)));
        }
        int number = 0;
        for (Map.Entry<String, TreeMap<Double, Double>> entry : lines.entrySet()) {
            String colour = COLOURS[number % COLOURS.length];
            StringBuilder points = new StringBuilder();
            for (Map.Entry<Double, Double> point : entry.getValue().entrySet()) {
                double x = left + point.getKey() / highX * (right - left);
                double y = bottom - (Math.max(point.getValue(), lowY) - lowY) / (highY - lowY) * (bottom - top);
                append(points, "%.1f,%.1f ", x, y);
                append(svg, "<circle cx='%.1f' cy='%.1f' r='3' fill='%s'/>", x, y, colour);
            }
            append(
                    svg,
                    "<polyline points='%s' fill='none' stroke='%s' stroke-width='1.5'/>",
                    points.toString().strip(),
                    colour);
            double y = top + 10 + 20 * number;
            append(svg, "<rect x='%d' y='%.1f' width='14' height='4' fill='%s'/>", right + 20, y - 5, colour);
            text(svg, right + 40, y, "start", entry.getKey());
            number++;
        }
        return svg.append("</svg>\n").toString();
    }

    private static StringBuilder open(int width, int height, String title) {
        StringBuilder svg = new StringBuilder();
        append(
                svg,
                "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'"
                        + " font-family='sans-serif' font-size='12'>",
                width,
                height,
                width,
                height);
        append(svg, "<rect width='100%%' height='100%%' fill='white'/>");
        text(svg, 10, 20, "start", title);
        return svg;
    }

    private static void line(StringBuilder svg, double x1, double y1, double x2, double y2, String colour) {
        append(svg, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='%s'/>", x1, y1, x2, y2, colour);
    }

    private static void text(StringBuilder svg, double x, double y, String anchor, String text) {
        String escaped = text.replace("&", "&amp;").replace("<", "&lt;");
        append(svg, "<text x='%.1f' y='%.1f' text-anchor='%s' fill='#222'>%s</text>", x, y, anchor, escaped);
    }

    private static void append(StringBuilder svg, String format, Object... values) {
        svg.append(String.format(Locale.ROOT, format, values)).append(format.startsWith("<") ? "\n" : "");
    }
}
