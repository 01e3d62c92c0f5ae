package org.iommuemu.bench;

import java.util.Collection;
import java.util.Formatter;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.iommuemu.nativecode.ReferenceLoops;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;

/**
 * Runs benchmarks as JMH's own command line does, with allocation measured, and prints one line for each: nanoseconds per
 * operation (mean, error of 99.9 %, fastest iteration), bytes allocated per operation, the C reference's fastest iteration
 * in the same run, and the ratio of the two fastest.
 */
public final class BenchmarkTable {
    private static final String REFERENCE = ".reference";
    private static final String ALLOCATION = "gc.alloc.rate.norm";

    private static final String LINE = "%-46s %9s %9s %9s %8s %9s %7s%n";

    private BenchmarkTable() {}

    /**
     * Runs benchmarks.
     *
     * @param args JMH's options, see {@code -h}
     * @throws Exception if an option is wrong or a benchmark fails
     */
    public static void main(String[] args) throws Exception {
        CommandLineOptions options;
        try {
            options = new CommandLineOptions(args);
        } catch (CommandLineOptionException e) {
            System.err.println("benchmarks: " + e.getMessage());
            System.exit(2);
            return;
        }
        if (options.shouldHelp()
                || options.shouldList()
                || options.shouldListWithParams()
                || options.shouldListProfilers()
                || options.shouldListResultFormats()) {
            org.openjdk.jmh.Main.main(args);
            return;
        }
        try {
            System.out.print(format(run(options)));
        } catch (RunnerException e) {
            // No benchmark has such a name, or one threw; JMH has some texts in toString() only.
            System.err.println("benchmarks: " + e);
            System.exit(1);
        }
    }

    /** Runs what the options say, references where there are some. */
    static Collection<RunResult> run(Options options) throws RunnerException {
        ChainedOptionsBuilder builder = new OptionsBuilder()
                .parent(options)
                .addProfiler(GCProfiler.class)
                .shouldFailOnError(true);
        if (!options.getJvmArgsAppend().hasValue()) {
            builder.jvmArgsAppend(forkOptions());
        }
        ReferenceLoops.unavailable().ifPresent(reason -> builder.exclude("\\.reference$"));
        return new Runner(builder.build()).run();
    }

    /** What keeps warnings about JMH and JNA off the table. */
    private static String[] forkOptions() {
        String nativeAccess = "--enable-native-access=ALL-UNNAMED";
        return Runtime.version().feature() < 23
                ? new String[] {nativeAccess}
                : new String[] {nativeAccess, "--sun-misc-unsafe-memory-access=allow"};
    }

    /** The table, with a last line that tells why there are no references if there are none. */
    static String format(Collection<RunResult> results) {
        Map<String, Double> references = new HashMap<>();
        for (RunResult result : results) {
            BenchmarkParams params = result.getParams();
            if (params.getBenchmark().endsWith(REFERENCE)) {
                references.put(referenceOf(params), best(result));
            }
        }
        StringBuilder table = new StringBuilder();
        try (Formatter out = new Formatter(table, Locale.ROOT)) {
            out.format(LINE, "benchmark", "ns", "error", "best", "B/op", "reference", "ratio");
            for (RunResult result : results) {
                BenchmarkParams params = result.getParams();
                if (!params.getBenchmark().endsWith(REFERENCE)) {
                    double reference = references.getOrDefault(referenceOf(params), Double.NaN);
                    out.format(
                            LINE,
                            name(params),
                            number("%.2f", result.getPrimaryResult().getScore()),
                            number("±%.2f", result.getPrimaryResult().getScoreError()),
                            number("%.2f", best(result)),
                            number("%.1f", allocation(result)),
                            number("%.2f", reference),
                            number("%.1f", best(result) / reference));
                }
            }
            ReferenceLoops.unavailable().ifPresent(reason -> out.format("No references: %s.%n", reason));
        }
        return table.toString();
    }

    private static String number(String format, double value) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, format, value);
    }

    /** The fastest iteration, which other work on the machine has disturbed least. */
    private static double best(RunResult result) {
        return result.getPrimaryResult().getStatistics().getMin();
    }

    /** Bytes per operation, NaN if they were not measured. */
    private static double allocation(RunResult result) {
        // Releases of JMH differ in what they put before the name.
        for (String key : result.getSecondaryResults().keySet()) {
            if (key.endsWith(ALLOCATION)) {
                return result.getSecondaryResults().get(key).getScore();
            }
        }
        return Double.NaN;
    }

    /** Class, method and parameters: {@code Tlb.lookUp pages=64}. */
    private static String name(BenchmarkParams params) {
        String[] parts = params.getBenchmark().split("\\.");
        String type = parts[parts.length - 2];
        return type.replaceAll("Benchmark$", "") + "." + parts[parts.length - 1] + parameters(params);
    }

    /** What a benchmark and its reference have in common. */
    private static String referenceOf(BenchmarkParams params) {
        String benchmark = params.getBenchmark();
        return benchmark.substring(0, benchmark.lastIndexOf('.')) + parameters(params);
    }

    private static String parameters(BenchmarkParams params) {
        StringBuilder text = new StringBuilder();
        for (String key : params.getParamsKeys()) {
            text.append(' ').append(key).append('=').append(params.getParam(key));
        }
        return text.toString();
    }
}
