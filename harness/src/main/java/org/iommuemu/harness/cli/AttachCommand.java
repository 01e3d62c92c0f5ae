package org.iommuemu.harness.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import org.iommuemu.harness.BoardException;
import org.iommuemu.harness.DriverCheck;
import org.iommuemu.harness.DriverInC;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import org.iommuemu.probe.iommu.Log;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code iommu-emu attach}. */
@Command(
        name = "attach",
        description = {
            "Attaches a driver in C to a board and takes it through all that a driver is asked for: probe, attach, map, unmap, "
                    + "faults, two units, two domains, release, remove.",
            "",
            "Exit status: 0 all as it should be, 1 a step failed, 2 bad input or usage."
        },
        mixinStandardHelpOptions = true)
final class AttachCommand implements Callable<Integer> {
    /** A board of ours for each kind of IOMMU that there is a model of. */
    private static final List<String> BOARDS = List.of("smmuv3-pcie", "rcar-gen3", "rcar-gen4", "rcar-gen2");

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "FILE.so", description = "The driver: a library that exports iommu_emu_driver.")
    private Path library;

    @Option(
            names = "--board",
            paramLabel = "BOARD.dtb",
            description = "The device tree; otherwise the first board of ours that the driver drives a unit of.")
    private Path board;

    @Option(names = "--verbose", description = "Says what the driver says, too.")
    private boolean verbose;

    @Mixin
    private DriverOptions options;

    @Override
    public Integer call() throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        Log log = verbose ? new ConsoleLog(out, Ansi.AUTO, true) : new SilentLog();
        try {
            List<DriverCheck.Step> steps = run(log);
            for (DriverCheck.Step step : steps) {
                String mark = step.ok() ? "@|green ok|@  " : "@|bold,red FAIL|@";
                // What a driver says is not markup.
                out.println(Ansi.AUTO.string(mark) + " %-16s %s".formatted(step.name(), step.detail()));
            }
            boolean ok = steps.stream().allMatch(DriverCheck.Step::ok);
            out.println(ok ? "ATTACHED: %d of %d steps ok".formatted(steps.size(), steps.size()) : "FAILED");
            return ok ? 0 : 1;
        } catch (DeviceTreeException | BoardException | NativeDriverException e) {
            return Main.badInput(spec, e.getMessage());
        }
    }

    private List<DriverCheck.Step> run(Log log) throws IOException {
        DriverInC driver = options.of(null, library);
        if (board != null) {
            return DriverCheck.run(InputFile.read(board, DeviceTree::read), driver, log);
        }
        List<DriverCheck.Step> steps = List.of();
        for (String name : BOARDS) {
            steps = DriverCheck.run(ours(name), driver, log);
            if (steps.get(0).ok() || !steps.get(0).detail().contains("has no IOMMU that is")) {
                return steps;
            }
        }
        return steps;
    }

    private static DeviceTree ours(String name) throws IOException {
        String resource = "boards/" + name + ".dtb";
        try (InputStream in = AttachCommand.class.getResourceAsStream("/" + resource)) {
            return DeviceTree.parse(resource, in.readAllBytes());
        }
    }
}
