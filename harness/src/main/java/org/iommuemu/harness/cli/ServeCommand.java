package org.iommuemu.harness.cli;

import java.io.IOException;
import java.util.Arrays;
import java.util.Set;
import java.util.concurrent.Callable;
import org.iommuemu.harness.BoardException;
import org.iommuemu.harness.qtest.LaunchBuilder;
import org.iommuemu.harness.qtest.MachineException;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code iommu-emu serve}. */
@Command(
        name = ServeCommand.NAME,
        description = {
            "A machine for programs in other processes.",
            "",
            "BOARD.dtb --socket PATH: drivers, and others, that are linked with libiommu_emu_client. A driver is booted, a "
                    + "program that is none gets the board as it is after power-on. See docs/native.md.",
            "",
            "--machine virt --qtest unix:PATH: programs that speak QEMU's qtest protocol, with the memory map of QEMU's virt "
                    + "machine, an SMMUv3 and 1 GiB of RAM. See docs/qtest.md.",
            "",
            "Exit status: 0 it is over, 1 panic, 2 bad input or usage."
        },
        version = Main.VERSION,
        mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
    static final String NAME = "serve";

    private static final Set<String> DRIVER_OPTIONS = Set.of("--socket", "--once", "--call-timeout");

    @Spec
    private CommandSpec spec;

    @Mixin
    private DriverServing drivers;

    @Mixin
    private QemuOptions options;

    @Override
    public Integer call() throws InterruptedException {
        if (drivers.board == null && drivers.socket == null) {
            return serveQtest();
        }
        String qemus = optionOfQemu();
        if (qemus != null) {
            throw new ParameterException(
                    spec.commandLine(), qemus + " is of the qtest machine, which has no BOARD.dtb and no --socket");
        }
        if (drivers.board == null || drivers.socket == null) {
            throw new ParameterException(spec.commandLine(), "BOARD.dtb and --socket PATH belong together");
        }
        try {
            return drivers.serve(spec.commandLine().getOut());
        } catch (DeviceTreeException | BoardException | NativeDriverException e) {
            return Main.badInput(spec, e.getMessage());
        } catch (IOException e) {
            return Main.badInput(spec, e.getMessage());
        }
    }

    private int serveQtest() throws InterruptedException {
        try {
            Serving.serve(options.launch(LaunchBuilder.withSmmu()));
            return 0;
        } catch (MachineException e) {
            return Main.badInput(spec, e.getMessage());
        }
    }

    /** One that was given, as it was named first; null if none was. */
    private String optionOfQemu() {
        return spec.commandLine().getParseResult().matchedOptions().stream()
                .map(OptionSpec::names)
                .filter(names -> Arrays.stream(names).noneMatch(DRIVER_OPTIONS::contains))
                .map(names -> names[0])
                .findFirst()
                .orElse(null);
    }
}
