package org.iommuemu.harness.cli;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import org.iommuemu.harness.BootReport;
import picocli.CommandLine.Help.Ansi;

/** What a person sees at the end of a boot: the IOMMUs, the masters, and what came of it in one line. */
final class BootTables {
    private static final int MOST_IDS = 6;

    private final PrintWriter out;
    private final Ansi ansi;

    BootTables(PrintWriter out, Ansi ansi) {
        this.out = out;
        this.ansi = ansi;
    }

    void print(BootReport report) {
        if (report.panic() != null) {
            String stars = "*".repeat(40);
            for (String line : List.of("", stars, "Panic on CPU 0:", report.panic(), stars, "")) {
                out.println("(XEN) " + ConsoleLog.styled(ansi, "red,bold", line));
            }
        }
        if (!report.iommus().isEmpty()) {
            List<List<String>> rows = new ArrayList<>();
            rows.add(List.of("IOMMU", "kind", "base", "answers"));
            for (BootReport.Iommu iommu : report.iommus()) {
                rows.add(List.of(
                        iommu.path(),
                        iommu.kind(),
                        iommu.base() == null ? "-" : iommu.base(),
                        iommu.answers().isEmpty() ? "not asked" : answers(iommu.answers())));
            }
            new TextTable(out, ansi)
                    .print(
                            rows,
                            report.iommus().stream().map(BootReport.Iommu::up).toList());
        }
        if (!report.masters().isEmpty()) {
            List<List<String>> rows = new ArrayList<>();
            rows.add(List.of("master", "IOMMU", "IDs", "domain", "DMA", "provoked fault"));
            for (BootReport.MasterResult master : report.masters()) {
                rows.add(List.of(
                        master.path(),
                        master.iommu(),
                        ids(master.ids()),
                        master.domain() == null ? "-" : "d" + master.domain(),
                        master.dma(),
                        master.fault() == null ? "none" : master.fault()));
            }
            new TextTable(out, ansi)
                    .print(
                            rows,
                            report.masters().stream()
                                    .map(BootReport.MasterResult::ok)
                                    .toList());
        }
        if (report.unmap() != null) {
            print(report.unmap());
        }
        if (!report.operations().isEmpty()) {
            List<List<String>> rows = new ArrayList<>();
            rows.add(List.of("operation", "answer", ""));
            for (BootReport.Operation operation : report.operations()) {
                rows.add(List.of(
                        operation.operation(),
                        operation.answer(),
                        operation.detail() == null ? "" : operation.detail()));
            }
            new TextTable(out, ansi)
                    .print(
                            rows,
                            report.operations().stream()
                                    .map(operation -> operation.answer().equals("OK"))
                                    .toList());
        }
        out.println();
        out.println(verdict(report));
    }

    /** What became of accesses to a page that was unmapped under use, one row for each way that they go. */
    private void print(BootReport.Unmap unmap) {
        out.println();
        out.println(
                "d%d, page %s unmapped; stage 2 table at %s".formatted(unmap.domain(), unmap.page(), unmap.table()));
        List<List<String>> rows = new ArrayList<>();
        rows.add(List.of("master", "IOMMU", "kind", "ID", "before", "after"));
        for (BootReport.Path path : unmap.paths()) {
            rows.add(List.of(
                    path.master(),
                    path.iommu(),
                    path.kind(),
                    "0x%x".formatted(path.id()),
                    path.before(),
                    path.after() == null ? "REACHED" : path.after()));
        }
        new TextTable(out, ansi)
                .print(
                        rows,
                        unmap.paths().stream().map(path -> path.after() != null).toList());
    }

    private String verdict(BootReport report) {
        long up = report.iommus().stream().filter(BootReport.Iommu::up).count();
        if (report.panic() != null) {
            return ConsoleLog.styled(
                    ansi,
                    "red,bold",
                    "PANIC: %s (%s; %d of %d IOMMUs came up)"
                            .formatted(
                                    report.panic(),
                                    report.rc(),
                                    up,
                                    report.iommus().size()));
        }
        if (!report.ioVirtualisation()) {
            return ConsoleLog.styled(ansi, "yellow,bold", "BOOTED without I/O virtualisation (" + report.rc() + ")");
        }
        long deferred =
                report.iommus().stream().filter(i -> i.answers().size() > 1).count();
        long ok = report.masters().stream().filter(BootReport.MasterResult::ok).count();
        boolean allOk = ok == report.masters().size()
                && (report.unmap() == null || report.unmap().ok());
        return ConsoleLog.styled(
                ansi,
                allOk ? "green,bold" : "yellow,bold",
                "BOOTED: %d of %d IOMMUs up, %d deferred, %d round%s; %d of %d masters' DMA ok"
                        .formatted(
                                up,
                                report.iommus().size(),
                                deferred,
                                report.rounds(),
                                report.rounds() == 1 ? "" : "s",
                                ok,
                                report.masters().size()));
    }

    /** "EAGAIN, OK", and "EAGAIN x 3, OK" rather than a column of them. */
    private static String answers(List<String> answers) {
        List<String> parts = new ArrayList<>();
        for (int i = 0, end; i < answers.size(); i = end) {
            for (end = i; end < answers.size() && answers.get(end).equals(answers.get(i)); ) {
                end++;
            }
            parts.add(answers.get(i) + (end - i > 1 ? " x " + (end - i) : ""));
        }
        return String.join(", ", parts);
    }

    private static String ids(List<Long> ids) {
        List<String> shown = ids.stream().limit(MOST_IDS).map("0x%x"::formatted).toList();
        return String.join(" ", shown) + (ids.size() > MOST_IDS ? " ... (" + ids.size() + ")" : "");
    }
}
