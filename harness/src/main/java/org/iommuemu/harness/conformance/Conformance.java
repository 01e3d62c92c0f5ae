package org.iommuemu.harness.conformance;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.iommuemu.harness.conformance.CaseReplay.Difference;
import org.iommuemu.harness.conformance.ConformanceReport.Count;
import org.iommuemu.harness.conformance.ConformanceReport.Failure;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.smmuv3.SmmuFeatures;
import org.iommuemu.smmuv3.Timing;

/** Replays the cases of files against the model of the SMMUv3. Everything is read and checked before the first case runs. */
public final class Conformance {
    private record Job(ConformanceCase testCase, Machine machine) {}

    private final List<Job> jobs = new ArrayList<>();

    /**
     * Reads cases.
     *
     * @param files one case per line each, or folders of such {@code .jsonl} files; the machine is in {@code meta.json}
     *     beside a file, and the one that {@code SmmuFeatures.qemuVirt} is on if there is none
     * @throws ConformanceException if something in them is not as it should be
     * @throws IOException if a file cannot be read; its name is in the exception
     */
    public Conformance(List<Path> files) throws ConformanceException, IOException {
        Map<Path, Machine> machines = new HashMap<>();
        for (Path given : files) {
            for (Path file : expand(given)) {
                Path folder = file.toAbsolutePath().getParent();
                if (!machines.containsKey(folder)) {
                    machines.put(folder, Machine.besides(file));
                }
                for (ConformanceCase testCase : CaseReader.read(file)) {
                    jobs.add(new Job(testCase, machines.get(folder)));
                }
            }
        }
    }

    private static List<Path> expand(Path given) throws ConformanceException, IOException {
        if (!Files.isDirectory(given)) {
            return List.of(given);
        }
        try (Stream<Path> entries = Files.list(given)) {
            List<Path> files = entries.filter(
                            path -> path.getFileName().toString().endsWith(".jsonl"))
                    .sorted()
                    .toList();
            if (files.isEmpty()) {
                throw new ConformanceException(given + ": there is no .jsonl file in it");
            }
            return files;
        }
    }

    /**
     * Replays the cases.
     *
     * @param qemu whether to compare with what QEMU answered, otherwise with what the architecture requires
     */
    public ConformanceReport run(boolean qemu) {
        return run(qemu, null, DmaPort.MICRO_TLB, Timing.IMMEDIATE);
    }

    /**
     * Replays the cases with other caches, and in other time.
     *
     * @param tlb of the unit; null for the usual one
     */
    ConformanceReport run(boolean qemu, TlbGeometry tlb, TlbGeometry microTlb, Timing timing) {
        Map<String, Count> categories = new LinkedHashMap<>();
        List<Failure> failures = new ArrayList<>();
        List<String> skips = new ArrayList<>();
        for (Job job : jobs) {
            ConformanceCase testCase = job.testCase;
            String impossible = job.machine.cannot(testCase);
            Count count;
            if (impossible != null) {
                skips.add(testCase.id() + ": " + impossible);
                count = new Count(0, 0, 1);
            } else {
                Difference difference = replay(job, qemu, tlb, microTlb, timing);
                count = difference == null ? new Count(1, 0, 0) : new Count(0, 1, 0);
                if (difference != null) {
                    failures.add(new Failure(
                            testCase.id(), testCase.authority().toString(), difference.step(), difference.what()));
                }
            }
            categories.merge(testCase.category(), count, Conformance::plus);
        }
        Count total = categories.values().stream().reduce(new Count(0, 0, 0), Conformance::plus);
        return new ConformanceReport(total.passed(), total.failed(), total.skipped(), categories, failures, skips);
    }

    private static Difference replay(Job job, boolean qemu, TlbGeometry tlb, TlbGeometry microTlb, Timing timing) {
        SmmuFeatures features = job.machine.features();
        if (tlb != null) {
            features = features.toBuilder().tlb(tlb).build();
        }
        try (CaseReplay replay = new CaseReplay(job.machine, features, microTlb, timing, qemu)) {
            return replay.replay(job.testCase);
        }
    }

    private static Count plus(Count a, Count b) {
        return new Count(a.passed() + b.passed(), a.failed() + b.failed(), a.skipped() + b.skipped());
    }
}
