package org.iommuemu.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.iommuemu.nativecode.ReferenceLoops;

/**
 * What came of a run.
 *
 * @param machine processor, cores, last-level cache, memory, system
 * @param jdk version and vendor of the Java that the benchmarks ran on
 */
record Report(String machine, String jdk, List<Row> benchmarks) {
    private record Column(String title, boolean left, Function<Row, String> text) {}

    private static final List<Column> COLUMNS = List.of(
            new Column("benchmark", true, Row::name),
            new Column("ns", false, row -> number(row.ns())),
            new Column("±", false, row -> number(row.error())),
            new Column("best", false, row -> number(row.best())),
            new Column("B/op", false, row -> number(row.bytesPerOp())),
            new Column("reference", false, row -> number(row.referenceNs())),
            new Column("ratio", false, row -> row.ratio() == null ? "-" : text("%.2f", row.ratio())),
            new Column("bar", true, row -> row.rule().isEmpty() ? "-" : row.rule()),
            new Column("met", true, row -> row.met() == null ? "-" : row.met() ? "yes" : "NO"),
            new Column("", true, Row::note));

    /** A report of this machine. */
    static Report of(List<Row> rows) {
        return new Report(thisMachine(), thisJdk(), Row.compareSizes(rows));
    }

    private static String thisJdk() {
        return "%s, %s".formatted(Runtime.version(), System.getProperty("java.vm.name"));
    }

    private static String thisMachine() {
        String processor = line("/proc/cpuinfo", "model name").orElse(System.getProperty("os.arch"));
        String cache = file("/sys/devices/system/cpu/cpu0/cache/index3/size")
                .map(size -> ", L3 " + size.strip() + "iB")
                .orElse("");
        String memory = line("/proc/meminfo", "MemTotal")
                .map(total ->
                        ", %d GiB".formatted(Math.round(Long.parseLong(total.replaceAll("\\D", "")) / (1024.0 * 1024))))
                .orElse("");
        return "%s, %d cores%s%s, %s %s"
                .formatted(
                        processor,
                        Runtime.getRuntime().availableProcessors(),
                        cache,
                        memory,
                        System.getProperty("os.name"),
                        System.getProperty("os.arch"));
    }

    private static Optional<String> line(String file, String key) {
        return file(file).stream()
                .flatMap(String::lines)
                .filter(line -> line.startsWith(key))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst();
    }

    private static Optional<String> file(String path) {
        try {
            return Optional.of(Files.readString(Path.of(path)));
        } catch (IOException e) {
            return Optional.empty(); // Not Linux, or not told.
        }
    }

    /** The JSON file. */
    String json() throws IOException {
        return new ObjectMapper()
                        .enable(SerializationFeature.INDENT_OUTPUT)
                        .writer()
                        .writeValueAsString(this)
                + "\n";
    }

    /** For a terminal. */
    String table() {
        List<List<String>> cells = cells();
        int[] width = new int[COLUMNS.size()];
        for (List<String> row : cells) {
            for (int i = 0; i < width.length; i++) {
                width[i] = Math.max(width[i], row.get(i).length());
            }
        }
        StringBuilder table = new StringBuilder();
        for (List<String> row : cells) {
            StringBuilder line = new StringBuilder();
            for (int i = 0; i < width.length; i++) {
                String padding = " ".repeat(width[i] - row.get(i).length());
                line.append(COLUMNS.get(i).left() ? row.get(i) + padding : padding + row.get(i))
                        .append("  ");
            }
            table.append(line.toString().stripTrailing()).append('\n');
        }
        return table.append(verdict()).append('\n').toString();
    }

    /** For a page. */
    String markdown() {
        List<List<String>> cells = cells();
        StringBuilder page = new StringBuilder("%s; JDK %s.%n%n".formatted(machine, jdk));
        for (int i = 0; i < cells.size(); i++) {
            page.append("| ").append(String.join(" | ", cells.get(i))).append(" |\n");
            if (i == 0) {
                page.append(COLUMNS.stream()
                        .map(column -> column.left() ? "---" : "---:")
                        .collect(Collectors.joining(" | ", "| ", " |\n")));
            }
        }
        return page.append('\n').append(verdict()).append('\n').toString();
    }

    private List<List<String>> cells() {
        List<List<String>> cells = new ArrayList<>();
        cells.add(COLUMNS.stream().map(Column::title).toList());
        benchmarks.forEach(row -> cells.add(
                COLUMNS.stream().map(column -> column.text().apply(row)).toList()));
        return cells;
    }

    private String verdict() {
        long bars = benchmarks.stream().filter(row -> row.met() != null).count();
        long met = benchmarks.stream()
                .filter(row -> Boolean.TRUE.equals(row.met()))
                .count();
        return Stream.concat(
                        Stream.of("%d of %d bars met.".formatted(met, bars)),
                        ReferenceLoops.unavailable().map("No C references: %s."::formatted).stream())
                .collect(Collectors.joining(" "));
    }

    /** Writes table and charts. */
    void write(Path directory) throws IOException {
        Files.createDirectories(directory);
        Files.writeString(directory.resolve("benchmarks.md"), markdown());
        Files.writeString(directory.resolve("bars.svg"), Chart.bars(benchmarks));
        Files.writeString(directory.resolve("sizes.svg"), Chart.sizes(benchmarks));
    }

    private static String number(Double value) {
        if (value == null) {
            return "-";
        }
        return text(value >= 1000 ? "%,.0f" : value >= 99.95 ? "%.0f" : value >= 9.995 ? "%.1f" : "%.2f", value);
    }

    private static String text(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
