package org.iommuemu.bench;

import java.io.IOException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code iommu-emu bench}. */
@Command(
        name = "iommu-emu bench",
        description = {
            "Measures the emulator, next to the same work in C where there is such, and prints a table: nanoseconds per "
                    + "operation, error, bytes allocated, ratio, and the bar that is to be met.",
            "",
            "Exit status: 0 measured, whether bars are met or not; 1 a benchmark failed; 2 bad input or usage."
        },
        mixinStandardHelpOptions = true,
        version = "iommu-emu 0.1.0-SNAPSHOT")
public final class BenchCommand implements Callable<Integer> {
    private static final int FAILED = 1;
    private static final int BAD_INPUT = 2;

    /** A load average above which figures suffer. */
    private static final double BUSY = 0.7;

    @Spec
    private CommandSpec spec;

    @Parameters(
            paramLabel = "FILTER",
            arity = "0..1",
            description = "Only benchmarks whose names contain this text, or match it as a regular expression.")
    private String filter;

    @Option(names = "--quick", description = "Few and short iterations: all in less than five minutes.")
    private boolean quick;

    @Option(names = "--json", paramLabel = "FILE", description = "Writes the figures to a file, too.")
    private Path json;

    @Option(names = "--report", paramLabel = "DIR", description = "Writes the table as Markdown and charts as SVG.")
    private Path report;

    @Option(names = "--list", description = "Prints the names and measures nothing.")
    private boolean list;

    /** Runs the command and ends the JVM with its status. */
    public static void main(String[] args) {
        // JMH refuses to run beside another JMH on the machine; we warn of whatever else runs there.
        if (System.getProperty("jmh.ignoreLock") == null) {
            System.setProperty("jmh.ignoreLock", "true");
        }
        System.exit(commandLine().execute(args));
    }

    static CommandLine commandLine() {
        return new CommandLine(new BenchCommand()).setExpandAtFiles(false);
    }

    @Override
    public Integer call() {
        List<Suite.Batch> batches = Suite.batches(matcher(filter));
        if (batches.isEmpty()) {
            return badInput("no benchmark has '%s' in its name; --list prints the names".formatted(filter));
        }
        PrintWriter out = spec.commandLine().getOut();
        if (list) {
            batches.forEach(batch -> batch.wanted()
                    .forEach(method -> out.println(Suite.name(batch.type(), method, batch.parameters()))));
            return 0;
        }
        try {
            // Now rather than after minutes.
            if (json != null) {
                Files.writeString(json, "");
            }
            if (report != null) {
                Files.createDirectories(report);
            }
        } catch (IOException e) {
            return badInput("cannot be written: " + e);
        }
        return measure(batches, out);
    }

    private int measure(List<Suite.Batch> batches, PrintWriter out) {
        PrintWriter err = spec.commandLine().getErr();
        double load = ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage();
        if (load > BUSY) {
            err.println("iommu-emu: other work is on this machine (load %.1f): expect noise".formatted(load));
        }
        Options options = options(quick);
        List<Row> rows = new ArrayList<>();
        int status = 0;
        for (int i = 0; i < batches.size(); i++) {
            Suite.Batch batch = batches.get(i);
            err.println("[%2d/%d] %s".formatted(i + 1, batches.size(), batch.name()));
            try {
                rows.addAll(Row.of(batch, Suite.run(batch, options)));
            } catch (RunnerException e) {
                err.println(
                        "iommu-emu: %s failed: %s".formatted(batch.name(), e)); // Some texts are in toString() only.
                status = FAILED;
            }
        }
        Report measured = Report.of(rows);
        out.print(measured.table());
        out.flush();
        try {
            if (json != null) {
                Files.writeString(json, measured.json());
            }
            if (report != null) {
                measured.write(report);
            }
        } catch (IOException e) {
            return badInput("cannot be written: " + e);
        }
        return status;
    }

    /** Names that contain a text, or match it as a regular expression if it is one; all if it is null. */
    static Predicate<String> matcher(String filter) {
        if (filter == null) {
            return name -> true;
        }
        Predicate<String> contains = name -> name.toLowerCase(Locale.ROOT).contains(filter.toLowerCase(Locale.ROOT));
        try {
            return contains.or(Pattern.compile(filter, Pattern.CASE_INSENSITIVE).asPredicate());
        } catch (PatternSyntaxException e) {
            return contains;
        }
    }

    private static Options options(boolean quick) {
        ChainedOptionsBuilder builder = new OptionsBuilder()
                .forks(quick ? 1 : 2)
                .warmupIterations(5)
                .warmupTime(TimeValue.milliseconds(quick ? 100 : 200))
                // Many and short: on a machine that is not idle, some are undisturbed.
                .measurementIterations(quick ? 40 : 100)
                .measurementTime(TimeValue.milliseconds(quick ? 10 : 20))
                .timeout(TimeValue.seconds(120))
                .timeUnit(TimeUnit.NANOSECONDS)
                .jvmArgs("-Xms1g", "-Xmx1g", "-XX:MaxDirectMemorySize=2g", "-XX:+UseSerialGC");
        // What keeps warnings about JMH and JNA off the table.
        String nativeAccess = "--enable-native-access=ALL-UNNAMED";
        if (Runtime.version().feature() < 23) {
            builder.jvmArgsAppend(nativeAccess);
        } else {
            builder.jvmArgsAppend(nativeAccess, "--sun-misc-unsafe-memory-access=allow");
        }
        return builder.build();
    }

    private int badInput(String message) {
        spec.commandLine().getErr().println("iommu-emu: " + message);
        return BAD_INPUT;
    }
}
