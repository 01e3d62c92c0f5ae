package org.iommuemu.bench;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonPropertyOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;

/**
 * One line of the report; its components are the fields in the JSON file.
 *
 * @param name class, method and parameters
 * @param ns nanoseconds per operation (of each thread), the mean
 * @param error half of the mean's 99.9 % confidence interval; null if there were too few iterations to tell
 * @param bytesPerOp bytes allocated on the heap per operation
 * @param referenceNs the fastest iteration of what it is compared with; null if with nothing
 * @param ratio the fastest iteration through {@code referenceNs}; where {@code bar} is a least throughput, the throughput
 *     of all threads together as a multiple of the other's
 * @param bar the bar's number, null if there is none
 * @param met whether it is reached; null if there is no bar, or nothing to compare with
 */
@JsonPropertyOrder({"name", "ns", "error", "bytesPerOp", "referenceNs", "ratio", "bar", "met"})
record Row(
        String name,
        double ns,
        Double error,
        Double bytesPerOp,
        Double referenceNs,
        Double ratio,
        Double bar,
        Boolean met,
        @JsonIgnore double best,
        @JsonIgnore String rule,
        @JsonIgnore String note,
        @JsonIgnore String family,
        @JsonIgnore String size) {

    private static final String ALLOCATION = "gc.alloc.rate.norm";

    /** The rows of a batch's results. */
    static List<Row> of(Suite.Batch batch, Map<String, RunResult> results) {
        List<Row> rows = new ArrayList<>();
        for (String method : batch.wanted()) {
            rows.add(of(batch, method, results));
        }
        return rows;
    }

    private static Row of(Suite.Batch batch, String method, Map<String, RunResult> results) {
        Figure figure = Suite.figure(batch.type(), method);
        RunResult result = results.get(method);
        double each = figure.perEach().isEmpty()
                ? 1
                : Double.parseDouble(batch.parameters().get(figure.perEach()));
        double counted = best(result, figure) / each;
        double best = Double.isNaN(counted) ? best(result) / each : counted;
        RunResult against = figure.flatIn().isEmpty() ? results.get(figure.against()) : null;
        Double referenceNs = against == null ? null : best(against);
        Double ratio = referenceNs == null || Double.isNaN(counted) ? null : (Double) (counted / referenceNs);
        Double bar = null;
        Boolean met = null;
        String rule = "";
        if (!Double.isNaN(figure.nsAtMost())) {
            bar = figure.nsAtMost();
            met = best <= bar;
            rule = bar >= 1e6 ? text("≤ %.0f ms", bar / 1e6) : text("≤ %.0f ns", bar);
        } else if (!Double.isNaN(figure.atLeast())) {
            bar = figure.atLeast();
            if (ratio != null) {
                ratio = threads(result) / ratio / threads(against);
                met = ratio >= bar;
            }
            rule = text("≥ %.1f × %s", bar, figure.against());
        } else if (!Double.isNaN(figure.atMost())) {
            bar = figure.atMost();
            met = ratio == null ? null : (Boolean) (ratio <= bar);
            rule = text("≤ %.1f × %s", bar, figure.flatIn().isEmpty() ? whose(figure.against()) : "smallest");
        }
        double error = result.getPrimaryResult().getScoreError() / each;
        String size = batch.parameters().get(figure.flatIn());
        String family = Suite.name(batch.type(), method, batch.parameters());
        return new Row(
                Suite.name(batch.type(), method, batch.parameters()),
                result.getPrimaryResult().getScore() / each,
                Double.isNaN(error) ? null : (Double) error,
                allocation(result, each),
                referenceNs,
                ratio,
                bar,
                met,
                best,
                rule,
                note(figure, best, result),
                size == null ? null : family.replace(" " + figure.flatIn() + "=" + size, ""),
                size);
    }

    private static String whose(String against) {
        return against.startsWith("reference") ? "C" : against;
    }

    /** Compares rows that differ in one parameter only, which should make no difference. */
    static List<Row> compareSizes(List<Row> rows) {
        return rows.stream().map(row -> row.compareWith(rows)).toList();
    }

    private Row compareWith(List<Row> rows) {
        double[] others = family == null
                ? new double[0]
                : rows.stream()
                        .filter(row -> family.equals(row.family))
                        .mapToDouble(Row::best)
                        .toArray();
        if (others.length < 2) {
            return this;
        }
        double smallest = Arrays.stream(others).min().orElseThrow();
        double times = best / smallest;
        return new Row(
                name,
                ns,
                error,
                bytesPerOp,
                smallest,
                times,
                bar,
                bar == null ? null : (Boolean) (times <= bar),
                best,
                rule,
                note,
                family,
                size);
    }

    private static int threads(RunResult result) {
        return result.getParams().getThreads();
    }

    /** The fastest iteration, which other work on the machine has disturbed least. */
    private static double best(RunResult result) {
        return result.getPrimaryResult().getStatistics().getMin();
    }

    /** The fastest of the iterations that count; NaN if none does. */
    private static double best(RunResult result, Figure figure) {
        return figure.counter().isEmpty()
                ? best(result)
                : result.getBenchmarkResults().stream()
                        .flatMap(fork -> fork.getIterationResults().stream())
                        .filter(iteration -> iteration
                                        .getSecondaryResults()
                                        .get(figure.counter())
                                        .getScore()
                                >= figure.countedAtLeast())
                        .mapToDouble(iteration -> iteration.getPrimaryResult().getScore())
                        .min()
                        .orElse(Double.NaN);
    }

    private static Double allocation(RunResult result, double each) {
        // Releases of JMH differ in what they put before the name.
        for (String key : result.getSecondaryResults().keySet()) {
            if (key.endsWith(ALLOCATION)) {
                return result.getSecondaryResults().get(key).getScore() / each;
            }
        }
        return null;
    }

    /** The cost of a load, and what the benchmark counted itself. */
    private static String note(Figure figure, double best, RunResult result) {
        List<String> notes = new ArrayList<>();
        if (figure.loads() > 0) {
            String what = figure.lookUps() > 0
                    ? text("%d loads and %d look-ups", figure.loads(), figure.lookUps())
                    : text("%d loads", figure.loads());
            notes.add(text("%s, %.1f ns each", what, best / (figure.loads() + figure.lookUps())));
        }
        for (String key : result.getSecondaryResults().keySet()) {
            if (!key.contains("gc.")) {
                notes.add(text(
                        "%s %,.0f",
                        key.replaceAll("(?=[A-Z])(?<=[a-z])", " ").toLowerCase(Locale.ROOT),
                        result.getSecondaryResults().get(key).getStatistics().getMean()));
            }
        }
        if (Double.isNaN(best(result, figure))) {
            notes.add(text("never %,.0f, not judged", figure.countedAtLeast()));
        }
        return String.join("; ", notes);
    }

    private static String text(String format, Object... values) {
        return String.format(Locale.ROOT, format, values);
    }
}
