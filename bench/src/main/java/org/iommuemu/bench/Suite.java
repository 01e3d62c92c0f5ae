package org.iommuemu.bench;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import org.iommuemu.nativecode.ReferenceLoops;
import org.iommuemu.nativecode.driver.Via;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.BenchmarkList;
import org.openjdk.jmh.runner.BenchmarkListEntry;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.format.OutputFormatFactory;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * The benchmarks there are, as JMH has found them when they were compiled, and how they are run: those of a class with the
 * same parameters in one go, so that a benchmark and what it is compared with run one after the other.
 */
final class Suite {
    /** In the order in which they are reported. A class that is not here comes last. */
    private static final List<String> ORDER = List.of(
            "MicroTlb",
            "MainTlb",
            "Tlb",
            "Walk",
            "ColdWalk",
            "NestedWalk",
            "Miss",
            "SharedTable",
            "TwoPorts",
            "DisturbedHit",
            "Invalidation",
            "CommandQueue",
            "Register",
            "WayIn",
            "Memory",
            "ConfigurationMiss",
            "TableWriter",
            "Map",
            "Dispatch",
            "BoardStart");

    /**
     * Methods of one class that run with the same parameters.
     *
     * @param type qualified name of the class
     * @param methods names of methods, including those that others are compared with
     * @param wanted those of them that are reported
     */
    record Batch(String type, Map<String, String> parameters, Set<String> methods, Set<String> wanted) {
        /** What figures of this batch are called, but for the method. */
        String name() {
            return shortName(type) + parameterText(parameters);
        }
    }

    private Suite() {}

    /** Class, method and parameters: {@code Tlb.lookUp pages=64}. */
    static String name(String type, String method, Map<String, String> parameters) {
        return shortName(type) + "." + method + parameterText(parameters);
    }

    private static String shortName(String type) {
        return type.substring(type.lastIndexOf('.') + 1).replaceAll("Benchmark$", "");
    }

    private static String parameterText(Map<String, String> parameters) {
        StringBuilder text = new StringBuilder();
        parameters.forEach(
                (key, value) -> text.append(' ').append(key).append('=').append(value));
        return text.toString();
    }

    /** Whether a method is in C: it is not a figure of the emulator, and is not there without a C compiler. */
    static boolean isInC(String method) {
        return isReference(method) || method.endsWith("InC");
    }

    private static boolean isReference(String method) {
        return method.startsWith("reference");
    }

    /** What a method declares about its figure. */
    static Figure figure(String type, String method) {
        try {
            for (Method candidate : Class.forName(type).getMethods()) {
                if (candidate.getName().equals(method)) {
                    Figure figure = candidate.getAnnotation(Figure.class);
                    return figure != null
                            ? figure
                            : Suite.class.getDeclaredMethod("plain").getAnnotation(Figure.class);
                }
            }
            throw new IllegalStateException(type + " has no method " + method);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(e);
        }
    }

    @Figure
    @SuppressWarnings("unused") // Its annotation is.
    private static void plain() {}

    /** What there is to run, in the order of the report. */
    static List<Batch> batches(Predicate<String> filter) {
        Map<String, Set<String>> methods = new LinkedHashMap<>();
        Map<String, Map<String, String[]>> parameters = new LinkedHashMap<>();
        for (BenchmarkListEntry entry : declared()) {
            String name = entry.getUsername();
            String type = name.substring(0, name.lastIndexOf('.'));
            methods.computeIfAbsent(type, t -> new TreeSet<>()).add(name.substring(type.length() + 1));
            parameters.computeIfAbsent(type, t -> new LinkedHashMap<>());
            entry.getParams().orElse(Map.of()).forEach(parameters.get(type)::put);
        }
        List<Batch> batches = new ArrayList<>();
        methods.keySet().stream()
                .sorted(Comparator.comparingInt(Suite::place).thenComparing(type -> type))
                .forEach(type -> {
                    for (Map<String, String> values : combinations(parameters.get(type))) {
                        Batch batch = batch(type, values, methods.get(type), filter);
                        if (!batch.wanted.isEmpty()) {
                            batches.add(batch);
                        }
                    }
                });
        return batches;
    }

    private static int place(String type) {
        int place = ORDER.indexOf(shortName(type));
        return place < 0 ? ORDER.size() : place;
    }

    static Collection<BenchmarkListEntry> declared() {
        return BenchmarkList.defaultList()
                .getAll(OutputFormatFactory.createFormatInstance(System.out, VerboseMode.SILENT), List.of());
    }

    private static Batch batch(String type, Map<String, String> values, Set<String> all, Predicate<String> filter) {
        boolean c = ReferenceLoops.unavailable().isEmpty()
                && (!values.containsKey("via")
                        || Via.of(values.get("via")).unavailable().isEmpty());
        Set<String> wanted = new LinkedHashSet<>();
        Set<String> methods = new TreeSet<>();
        for (String method : all) {
            if (!isReference(method) && (c || !isInC(method)) && filter.test(name(type, method, values))) {
                wanted.add(method);
                methods.add(method);
                String against = figure(type, method).against();
                if (all.contains(against) && (c || !isInC(against))) {
                    methods.add(against);
                }
            }
        }
        return new Batch(type, values, methods, wanted);
    }

    private static List<Map<String, String>> combinations(Map<String, String[]> parameters) {
        List<Map<String, String>> combinations = List.of(Map.of());
        for (Map.Entry<String, String[]> parameter : parameters.entrySet()) {
            List<Map<String, String>> longer = new ArrayList<>();
            for (Map<String, String> shorter : combinations) {
                for (String value : parameter.getValue()) {
                    Map<String, String> combination = new LinkedHashMap<>(shorter);
                    combination.put(parameter.getKey(), value);
                    longer.add(combination);
                }
            }
            combinations = longer;
        }
        return combinations;
    }

    /** Runs a batch; keys are its methods. */
    static Map<String, RunResult> run(Batch batch, Options options) throws RunnerException {
        ChainedOptionsBuilder builder = new OptionsBuilder()
                .parent(options)
                .addProfiler(GCProfiler.class)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT);
        for (String method : batch.methods) {
            builder.include("^" + Pattern.quote(batch.type + "." + method) + "$");
        }
        batch.parameters.forEach((key, value) -> builder.param(key, value));
        Map<String, RunResult> results = new LinkedHashMap<>();
        for (RunResult result : new Runner(builder.build()).run()) {
            String benchmark = result.getParams().getBenchmark();
            results.put(benchmark.substring(batch.type.length() + 1), result);
        }
        return results;
    }
}
