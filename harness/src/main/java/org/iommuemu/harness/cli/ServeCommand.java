package org.iommuemu.harness.cli;

import java.util.concurrent.Callable;
import org.iommuemu.harness.qtest.Launch;
import org.iommuemu.harness.qtest.LaunchBuilder;
import org.iommuemu.harness.qtest.MachineException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code iommu-emu serve}. */
@Command(
        name = "serve",
        description = {
            "A machine for programs in other processes, which speak QEMU's qtest protocol: with the memory map of QEMU's "
                    + "virt machine, an SMMUv3 and 1 GiB of RAM. See docs/qtest.md.",
            "",
            "Exit status: 0 it is over, 2 bad input or usage."
        },
        version = Main.VERSION,
        mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec;

    @Mixin
    private QemuOptions options;

    @Override
    public Integer call() throws InterruptedException {
        try {
            Launch launch = options.launch(LaunchBuilder.withSmmu());
            Serving.serve(launch);
            return 0;
        } catch (MachineException e) {
            spec.commandLine().getErr().println("iommu-emu serve: " + e.getMessage());
            return Main.BAD_INPUT;
        }
    }
}
