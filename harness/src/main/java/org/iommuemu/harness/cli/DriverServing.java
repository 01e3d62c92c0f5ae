package org.iommuemu.harness.cli;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.util.OptionalInt;
import org.iommuemu.harness.Board;
import org.iommuemu.harness.BootOptions;
import org.iommuemu.harness.BootReport;
import org.iommuemu.harness.BootRun;
import org.iommuemu.harness.DriverInC;
import org.iommuemu.nativecode.driver.DriverServer;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.nativecode.driver.Program;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** The side of {@code serve} that programs with {@code libiommu_emu_client} connect to; its options are those of the command. */
final class DriverServing {
    @Parameters(
            paramLabel = "BOARD.dtb",
            arity = "0..1",
            description = "The device tree of the board that programs with libiommu_emu_client get.")
    Path board;

    @Option(names = "--socket", paramLabel = "PATH", description = "The Unix socket that such programs connect to.")
    Path socket;

    @Option(names = "--once", description = "Ends after the first such program, with the status that boot would have.")
    boolean once;

    @Option(
            names = "--call-timeout",
            paramLabel = "SECONDS",
            description =
                    "How long an operation of a driver may take. Otherwise for ever: it may run under a debugger.")
    long timeout;

    /**
     * Serves one program after the other, each with a board that has just been switched on.
     *
     * @return the exit status
     * @throws IOException if the socket cannot be had
     */
    int serve(PrintWriter out) throws IOException, InterruptedException {
        Duration callTimeout = DriverOptions.timeout(timeout);
        DeviceTree tree = InputFile.read(board, DeviceTree::read);
        Log log = new ConsoleLog(out, Ansi.AUTO, true);
        try (DriverServer server = DriverServer.listen(socket)) {
            out.println("%s: programs can connect to %s".formatted(tree.name(), socket));
            out.flush();
            while (true) {
                int status;
                try (Program program = server.next()) {
                    status = serve(tree, program, callTimeout, log, out);
                } catch (NativeDriverException e) {
                    log.error("serve", e.getMessage());
                    status = Main.BAD_INPUT;
                }
                out.flush();
                server.done();
                if (once) {
                    return status;
                }
            }
        }
    }

    private int serve(DeviceTree tree, Program program, Duration callTimeout, Log log, PrintWriter out) {
        if (program.isDriver()) {
            DriverInC driver = new DriverInC(null, (platform, ram) -> program.attach(platform, ram, callTimeout));
            BootReport report = BootRun.run(tree, BootOptions.DEFAULT.with(driver), log);
            new BootTables(out, Ansi.AUTO).print(report);
            return report.panic() == null ? 0 : 1;
        }
        Board made = Board.of(tree, OptionalInt.empty(), (unit, what) -> log.warning("misuse", unit + ": " + what));
        try (SharedRam ram = SharedRam.of(made.memory())) {
            program.serve(
                    new Platform(made.bus(), made.interrupts(), made.heap(), made.tree(), log, BootRun.CPU_IPA_BITS),
                    ram);
        }
        return 0;
    }
}
