package org.iommuemu.harness.cli;

import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.concurrent.Callable;
import org.iommuemu.harness.BoardException;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code iommu-emu serve}. */
@Command(
        name = "serve",
        description = {
            "A board for programs in other processes: drivers, and others, that are linked with libiommu_emu_client, see "
                    + "docs/native.md. A driver is booted, a program that is none gets the board as it is after power-on.",
            "",
            "Exit status: 0 it is over, 1 panic, 2 bad input or usage."
        },
        mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private DriverServing drivers;

    @Override
    public Integer call() throws InterruptedException {
        if (drivers.board == null || drivers.socket == null) {
            throw new ParameterException(spec.commandLine(), "BOARD.dtb and --socket PATH belong together");
        }
        try {
            return drivers.serve(spec.commandLine().getOut());
        } catch (DeviceTreeException | BoardException e) {
            return badInput(e.getMessage());
        } catch (NoSuchFileException e) {
            return badInput(drivers.board + ": there is no such file");
        } catch (IOException e) {
            return badInput(e.getMessage());
        }
    }

    private int badInput(String message) {
        spec.commandLine().getErr().println("iommu-emu: " + message);
        return Main.BAD_INPUT;
    }
}
