package org.iommuemu.harness.cli;

import java.util.concurrent.Callable;
import org.iommuemu.harness.qtest.LaunchBuilder;
import org.iommuemu.harness.qtest.MachineException;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** The launcher {@code qtest-system-aarch64}: what qtest programs find in QTEST_QEMU_BINARY. */
@Command(
        name = QtestSystemCommand.NAME,
        description = {
            "Stands where qtest programs expect qemu-system-aarch64: takes its options, with its defaults. See "
                    + "docs/qtest.md.",
            "",
            "Exit status: 0 it is over, 1 bad input or usage."
        },
        version = Main.VERSION,
        mixinStandardHelpOptions = true)
final class QtestSystemCommand implements Callable<Integer> {
    static final String NAME = "qtest-system-aarch64";

    /** As QEMU has it. */
    static final int BAD_INPUT = 1;

    @Spec
    private CommandSpec spec;

    @Mixin
    private QemuOptions options;

    @Override
    public Integer call() throws InterruptedException {
        try {
            Serving.serve(options.launch(LaunchBuilder.likeQemu()));
            return 0;
        } catch (MachineException e) {
            spec.commandLine().getErr().println(NAME + ": " + e.getMessage());
            return BAD_INPUT;
        }
    }
}
