package org.iommuemu.harness.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.Callable;
import org.iommuemu.harness.BoardException;
import org.iommuemu.harness.BootOptions;
import org.iommuemu.harness.BootReport;
import org.iommuemu.harness.BootRun;
import org.iommuemu.harness.DriverInC;
import org.iommuemu.ipmmu.IpmmuOption;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeException;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.pci.PciException;
import org.iommuemu.probe.pci.PciFile;
import org.iommuemu.probe.pci.PciTopology;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;
import picocli.CommandLine.TypeConversionException;

/** {@code iommu-emu boot}. */
@Command(
        name = "boot",
        description = {
            "Boots the board of a flattened device tree: its IOMMUs on a bus, the probe layer against their registers, "
                    + "and DMA by every master behind them.",
            "",
            "Exit status: 0 booted, 1 panic, 2 bad input or usage."
        },
        mixinStandardHelpOptions = true)
final class BootCommand implements Callable<Integer> {
    private static final ObjectWriter JSON = new ObjectMapper().writer().with(SerializationFeature.INDENT_OUTPUT);

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "BOARD.dtb", index = "0", description = "The device tree.")
    private Path board;

    @Parameters(
            paramLabel = "WORD",
            index = "1..*",
            description = "Words of the hypervisor's command line, iommu=force,verbose for instance.")
    private List<String> words = List.of();

    @Option(
            names = "--cmdline",
            paramLabel = "LINE",
            description = "The hypervisor's command line; otherwise /chosen's xen,xen-bootargs.")
    private String commandLine;

    @Option(
            names = "--fail",
            paramLabel = "PATH=ERRNO[@N]",
            description = "The driver of this node answers so at every probe, or at its N-th only. Repeatable.")
    private List<String> failures = List.of();

    @Option(
            names = "--without-driver",
            paramLabel = "smmuv3|ipmmu|grant-dma",
            description = "Leaves a driver out. Repeatable.")
    private List<String> withoutDrivers = List.of();

    @Option(
            names = "--driver",
            paramLabel = "KIND=DRIVER",
            description =
                    "ipmmu=xen drives IPMMUs as Xen does, with shared stage 2 tables (the default), ipmmu=linux as Linux does, "
                            + "with stage 1 tables. smmuv3=FILE.so or ipmmu=FILE.so takes a driver in C, see docs/native.md. "
                            + "Repeatable.")
    private List<String> drivers = List.of();

    @Mixin
    private DriverOptions driverOptions;

    @Option(
            names = "--ipmmu-option",
            paramLabel = "NAME",
            description = "An IPMMU that differs from what is assumed, see docs/ipmmu-vmsa.md. Repeatable.")
    private List<IpmmuOption> ipmmuOptions = List.of();

    @Option(
            names = "--prr",
            paramLabel = "VALUE",
            converter = HexConverter.class,
            description = "Value of Renesas' product register, 0x4f10 for instance: product in bits 14:8, cut in 7:0.")
    private Integer product;

    @Option(
            names = "--dispatch",
            paramLabel = "uniform|mixed",
            description = "How operations find their IOMMU; otherwise uniform where there is one kind.")
    private String dispatch;

    @Option(
            names = "--do",
            paramLabel = "OPERATION",
            description = {
                "After the boot, an operation of a toolstack, 'assign dom1 /soc/dma@1000' for instance. Repeatable. "
                        + "One of:",
                BootOptions.OPERATIONS
            })
    private List<String> operations = List.of();

    @Option(
            names = "--pci",
            paramLabel = "FILE",
            description =
                    "The PCI functions there are, as 'groups' reads them; otherwise the first and the last that each "
                            + "entry of iommu-map is for.")
    private Path pci;

    @Option(names = "--json", description = "Prints one JSON object instead of the log and the tables.")
    private boolean json;

    static final class HexConverter implements picocli.CommandLine.ITypeConverter<Integer> {
        @Override
        public Integer convert(String value) {
            try {
                return Integer.decode(value);
            } catch (NumberFormatException e) {
                throw new TypeConversionException("'" + value + "' is not a number");
            }
        }
    }

    @Override
    public Integer call() {
        Set<String> without = new LinkedHashSet<>(withoutDrivers);
        for (String driver : without) {
            if (!Set.of(Smmuv3Driver.NAME, IpmmuDriver.NAME, GrantDmaDriver.NAME)
                    .contains(driver)) {
                return Main.badInput(
                        spec,
                        "--without-driver " + driver + ": there is no such driver, only smmuv3, ipmmu and grant-dma");
            }
        }
        if (dispatch != null && !dispatch.equals("uniform") && !dispatch.equals("mixed")) {
            return Main.badInput(spec, "--dispatch " + dispatch + ": it is uniform or mixed");
        }
        try {
            boolean linuxIpmmu = false;
            List<DriverInC> driversInC = new ArrayList<>();
            for (String driver : drivers) {
                if (driver.equals("ipmmu=xen") || driver.equals("ipmmu=linux")) {
                    linuxIpmmu = driver.equals("ipmmu=linux");
                } else {
                    driversInC.add(driverOptions.inC(driver));
                }
            }
            DeviceTree tree = InputFile.read(board, DeviceTree::read);
            Optional<PciTopology> functions = Optional.ofNullable(pci).map(file -> InputFile.read(file, PciFile::read));
            String line = commandLine(tree);
            PrintWriter out = spec.commandLine().getOut();
            Log log = json
                    ? new SilentLog()
                    : new ConsoleLog(out, Ansi.AUTO, IommuOptions.parse(line).verbose());
            BootReport report = BootRun.run(
                    tree,
                    new BootOptions(
                            line,
                            failures,
                            without,
                            product == null ? OptionalInt.empty() : OptionalInt.of(product),
                            linuxIpmmu,
                            Set.copyOf(ipmmuOptions),
                            Optional.ofNullable(dispatch)
                                    .map(mode -> Iommus.Mode.valueOf(mode.toUpperCase(Locale.ROOT))),
                            operations,
                            driversInC,
                            functions),
                    log);
            if (json) {
                out.println(JSON.writeValueAsString(report));
            } else {
                new BootTables(out, Ansi.AUTO).print(report);
            }
            return report.panic() == null ? 0 : 1;
        } catch (DeviceTreeException | PciException | BoardException | NativeDriverException e) {
            return Main.badInput(spec, e.getMessage());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e); // Strings and numbers.
        }
    }

    private String commandLine(DeviceTree tree) {
        List<String> parts = new ArrayList<>();
        if (commandLine != null) {
            parts.add(commandLine);
        } else if (words.isEmpty()) {
            tree.node("/chosen")
                    .flatMap((DeviceTreeNode chosen) -> chosen.property("xen,xen-bootargs"))
                    .ifPresent(p -> parts.add(p.string()));
        }
        parts.addAll(words);
        return String.join(" ", parts);
    }
}
