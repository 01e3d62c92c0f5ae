package org.iommuemu.harness.cli;

import java.io.PrintWriter;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;
import picocli.CommandLine.Help.Ansi;

/** The boot log on a terminal or in a file: one line a step. */
final class ConsoleLog implements Log {
    private final PrintWriter out;
    private final Ansi ansi;
    private final boolean verbose;

    ConsoleLog(PrintWriter out, Ansi ansi, boolean verbose) {
        this.out = out;
        this.ansi = ansi;
        this.verbose = verbose;
    }

    @Override
    public void say(Level level, String subsystem, String text) {
        String style =
                switch (level) {
                    case DEBUG -> "faint";
                    case INFO -> null;
                    case WARNING -> "yellow";
                    case ERROR -> "red,bold";
                };
        if (level != Level.DEBUG || verbose) {
            out.println("(XEN) " + styled(ansi, "cyan", subsystem) + ": " + styled(ansi, style, text));
        }
    }

    @Override
    public void fault(FaultReport fault) {
        String stream = fault.streamId() < 0 ? "" : " StreamID 0x%x".formatted(fault.streamId());
        say(
                Level.WARNING,
                "fault",
                "%s: %s%s address 0x%x (%s)"
                        .formatted(fault.iommu(), fault.fault(), stream, fault.address(), fault.details()));
    }

    static String styled(Ansi ansi, String style, String text) {
        if (style == null || !ansi.enabled()) {
            return text;
        }
        // Not the "bold off" of Ansi.Style.off: 21 means double underline to most terminals.
        return Ansi.Style.on(Ansi.Style.parse(style)) + text + Ansi.Style.reset.on();
    }
}
