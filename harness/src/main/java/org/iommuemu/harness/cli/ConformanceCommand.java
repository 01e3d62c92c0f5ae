package org.iommuemu.harness.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.iommuemu.harness.conformance.Conformance;
import org.iommuemu.harness.conformance.ConformanceException;
import org.iommuemu.harness.conformance.ConformanceReport;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code iommu-emu conformance}. */
@Command(
        name = "conformance",
        description = {
            "Replays conformance cases against the model of the SMMUv3: registers, RAM, transactions, and what must come "
                    + "of them.",
            "",
            "Exit status: 0 all cases pass, 1 one does not, 2 bad input or usage."
        },
        mixinStandardHelpOptions = true)
final class ConformanceCommand implements Callable<Integer> {
    private static final ObjectWriter JSON = new ObjectMapper().writer().with(SerializationFeature.INDENT_OUTPUT);

    @Spec
    private CommandSpec spec;

    @Parameters(
            paramLabel = "FILE",
            arity = "1..*",
            description =
                    "Cases, one JSON object per line; or a folder of .jsonl files. The machine is told by meta.json beside "
                            + "them, where there is one.")
    private List<Path> files;

    @Option(
            names = "--qemu",
            description = "Compares with what QEMU answered instead of what the architecture requires or permits.")
    private boolean qemu;

    @Option(names = "--json", description = "Prints one JSON object instead of the tables.")
    private boolean json;

    @Override
    public Integer call() {
        try {
            ConformanceReport report = new Conformance(files).run(qemu);
            PrintWriter out = spec.commandLine().getOut();
            if (json) {
                out.println(JSON.writeValueAsString(report));
            } else {
                print(out, report);
            }
            return report.failed() + report.skipped() == 0 ? 0 : 1;
        } catch (ConformanceException e) {
            return Main.badInput(spec, e.getMessage());
        } catch (NoSuchFileException e) {
            return Main.badInput(spec, e.getFile() + ": there is no such file");
        } catch (AccessDeniedException e) {
            return Main.badInput(spec, e.getFile() + ": it may not be read");
        } catch (IOException e) {
            return Main.badInput(spec, "cannot be read: " + e.getMessage());
        }
    }

    private void print(PrintWriter out, ConformanceReport report) {
        for (ConformanceReport.Failure failure : report.failures()) {
            out.println(ConsoleLog.styled(Ansi.AUTO, "red", "FAILED ")
                    + "%s (%s), step %d: %s"
                            .formatted(failure.id(), failure.authority(), failure.step(), failure.what()));
        }
        for (String skip : report.skips()) {
            out.println(ConsoleLog.styled(Ansi.AUTO, "yellow", "SKIPPED ") + skip);
        }
        int width =
                report.categories().keySet().stream().mapToInt(String::length).reduce("category".length(), Math::max);
        String row = "%-" + width + "s  %6s  %6s  %7s";
        out.println(ConsoleLog.styled(
                Ansi.AUTO, "bold,underline", row.formatted("category", "passed", "failed", "skipped")));
        report.categories().forEach((name, count) -> {
            String line = row.formatted(name, count.passed(), count.failed(), count.skipped());
            out.println(ConsoleLog.styled(Ansi.AUTO, count.failed() > 0 ? "red" : null, line));
        });
        int cases = report.passed() + report.failed() + report.skipped();
        boolean good = report.passed() == cases;
        out.println();
        out.println(ConsoleLog.styled(
                Ansi.AUTO,
                good ? "green,bold" : "red,bold",
                "%s: %d of %d cases %s"
                        .formatted(
                                good ? "PASSED" : report.failed() > 0 ? "FAILED" : "SKIPPED SOME",
                                report.passed(),
                                cases,
                                qemu ? "end as on QEMU" : "pass")));
    }
}
