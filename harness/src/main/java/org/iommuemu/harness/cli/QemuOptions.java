package org.iommuemu.harness.cli;

import java.util.List;
import java.util.function.Consumer;
import org.iommuemu.harness.qtest.Launch;
import org.iommuemu.harness.qtest.LaunchBuilder;
import org.iommuemu.harness.qtest.MachineException;
import picocli.CommandLine.Option;

/** QEMU's options for a machine, as programs pass them: with one dash or with two. */
final class QemuOptions {
    @Option(
            names = {"-machine", "--machine", "-M"},
            paramLabel = "virt[,PROP=VALUE...]",
            description = "The machine: iommu=smmuv3, highmem=off, gic-version=3 and others of virt's properties.")
    private List<String> machines = List.of();

    @Option(
            names = {"-m", "--m"},
            paramLabel = "SIZE",
            description = "RAM, 512M or 1G for instance.")
    private List<String> memory = List.of();

    @Option(
            names = {"-device", "--device"},
            paramLabel = "MODEL[,PROP=VALUE...]",
            description = "edu (addr=, dma_mask=), iommu-testdev (addr=), arm-smmuv3 (primary-bus=pcie.0). Repeatable.")
    private List<String> devices = List.of();

    @Option(
            names = {"-global", "--global"},
            paramLabel = "DRIVER.PROP=VALUE",
            description = "arm-smmuv3.stage=1, 2 or nested; edu.dma_mask=MASK.")
    private List<String> globals = List.of();

    @Option(
            names = {"-qtest", "--qtest"},
            paramLabel = "unix:PATH",
            description = "Where qtest's commands come from: unix:PATH[,server=on,wait=off], stdio or chardev:ID.")
    private List<String> qtest = List.of();

    @Option(
            names = {"-qtest-log", "--qtest-log"},
            paramLabel = "FILE",
            description = "Commands and answers go there.")
    private List<String> qtestLog = List.of();

    @Option(
            names = {"-chardev", "--chardev"},
            paramLabel = "socket,id=ID,path=PATH",
            description = "A place of conversation; also with server=on,wait=off.")
    private List<String> chardevs = List.of();

    @Option(
            names = {"-mon", "--mon"},
            paramLabel = "ID,mode=control",
            description = "QMP on a -chardev.")
    private List<String> mons = List.of();

    @Option(
            names = {"-qmp", "--qmp"},
            paramLabel = "unix:PATH",
            description = "QMP on a socket.")
    private List<String> qmps = List.of();

    @Option(
            names = {"-accel", "--accel"},
            paramLabel = "qtest",
            description = {
                "qtest: time stands still until clock_step or clock_set move it. Any other: it runs as the host's."
            })
    private List<String> accelerators = List.of();

    @Option(
            names = {"-smp", "--smp"},
            paramLabel = "N",
            description = "CPUs; they do nothing.")
    private List<String> cpus = List.of();

    @Option(
            names = {"-net", "--net", "-nic", "--nic"},
            paramLabel = "none",
            description = "No network card in slot 1.")
    private List<String> nets = List.of();

    @Option(
            names = {"-nodefaults", "--nodefaults"},
            description = "The same.")
    private boolean noDefaults;

    @Option(
            names = {"-S", "--S"},
            description = "The machine is stopped until QMP's cont.")
    private boolean stopped;

    @Option(
            names = {"-d", "--d"},
            paramLabel = "guest_errors",
            description = "Says what software does wrong, on stderr.")
    private List<String> log = List.of();

    @Option(
            names = {"-serial", "--serial", "-monitor", "--monitor", "-parallel", "--parallel"},
            paramLabel = "none",
            description = "none, null, or a place where nothing is said.")
    private List<String> silent = List.of();

    @Option(
            names = {
                "-cpu",
                "--cpu",
                "-display",
                "--display",
                "-vga",
                "--vga",
                "-audio",
                "--audio",
                "-audiodev",
                "--audiodev",
                "-name",
                "--name",
                "-uuid",
                "--uuid",
                "-rtc",
                "--rtc",
                "-boot",
                "--boot",
                "-trace",
                "--trace",
                "-D",
                "--D",
                "-msg",
                "--msg",
                "-sandbox",
                "--sandbox",
                "-run-with",
                "--run-with"
            },
            paramLabel = "ANY",
            hidden = true,
            description = "Without effect.")
    private List<String> withoutEffect = List.of();

    @Option(
            names = {
                "-nographic", "--nographic", "-no-user-config", "--no-user-config", "-no-reboot", "--no-reboot",
                "-no-shutdown", "--no-shutdown", "-no-acpi", "--no-acpi", "-no-hpet", "--no-hpet"
            },
            hidden = true,
            description = "Without effect.")
    private boolean[] flagsWithoutEffect;

    /** @throws MachineException if one cannot be had; it names it */
    Launch launch(LaunchBuilder builder) {
        machines.forEach(builder::machine);
        last(memory, builder::memory);
        last(cpus, builder::cpus);
        globals.forEach(builder::global);
        devices.forEach(builder::device);
        chardevs.forEach(builder::chardev);
        mons.forEach(builder::mon);
        qmps.forEach(builder::qmp);
        silent.forEach(place -> builder.silent("-serial", place));
        if (!accelerators.isEmpty()) {
            builder.accelerator(accelerators.get(0)); // Of several, QEMU takes the first that works.
        }
        nets.forEach(net -> builder.net("-net", net));
        if (noDefaults) {
            builder.noDefaults();
        }
        if (stopped) {
            builder.stopped();
        }
        log.forEach(builder::log);
        last(qtest, builder::qtest);
        last(qtestLog, builder::qtestLog);
        return builder.build();
    }

    private static void last(List<String> values, Consumer<String> option) {
        if (!values.isEmpty()) {
            option.accept(values.get(values.size() - 1));
        }
    }
}
