package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.Panic;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.ipmmu.LinuxIpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.OwnTables;
import org.iommuemu.probe.iommu.Platform;

/** Boots a board: IOMMUs up, domain 0 with its RAM, devices assigned to it, and DMA through all of it. */
public final class BootRun implements AutoCloseable {
    private static final String SUBSYSTEM = "boot";

    /** Width of a guest-physical address that the board's CPUs take. */
    public static final int CPU_IPA_BITS = 48;

    private static final int PAGE = 4096;

    /** The first I/O virtual address that Linux gives out: the last page below 4 GiB. */
    private static final long LINUX_IOVA = (1L << 32) - PAGE;

    private final Board board;
    private final BootOptions options;
    private final Log log;
    private final HypervisorHeap heap;
    private final Platform platform;
    private final Iommus iommus;
    private final List<FaultReport> faults = new ArrayList<>();
    /** Null where no driver is in C. */
    private final SharedRam ram;

    private final List<NativeDriver> driversInC = new ArrayList<>();
    private final List<Domain> domains = new ArrayList<>();
    /** Where drivers have tables of their own: as Linux has it, one domain for all devices behind a unit. */
    private final Map<DeviceTreeNode, Domain> ownDomains = new LinkedHashMap<>();

    /** Guest-physical address of the page that the masters' DMA goes to. */
    private long window;

    private BootRun(Board board, BootOptions options, Log log) {
        this.board = board;
        this.options = options;
        this.log = log;
        ram = options.driversInC().isEmpty() ? null : SharedRam.of(board.memory());
        heap = board.heap();
        platform =
                new Platform(board.bus(), board.interrupts(), heap, board.tree(), new FaultCollector(), CPU_IPA_BITS);
        iommus = new Iommus(platform);
    }

    /** Passes everything on, and keeps the faults for whoever provoked them. */
    private final class FaultCollector implements Log {
        @Override
        public void say(Level level, String subsystem, String text) {
            log.say(level, subsystem, text);
        }

        @Override
        public void fault(FaultReport fault) {
            faults.add(fault);
            log.fault(fault);
        }
    }

    /**
     * Builds the board of a tree and boots it.
     *
     * @throws BoardException if the tree describes what cannot be built, or an option names what is not in it
     * @throws org.iommuemu.nativecode.driver.NativeDriverException if a driver in C cannot be attached
     */
    public static BootReport run(DeviceTree tree, BootOptions options, Log log) {
        Board board = Board.of(
                tree,
                options.product(),
                options.ipmmuOptions(),
                (unit, what) -> log.warning("misuse", unit + ": " + what));
        try (BootRun run = new BootRun(board, options, log)) {
            return run.run();
        }
    }

    /** Lets drivers in C go, once they have nothing left that they would have to give back. */
    @Override
    public void close() {
        if (!driversInC.isEmpty()) {
            domains.forEach(iommus::destroy);
        }
        driversInC.forEach(NativeDriver::close);
        if (ram != null) {
            ram.close();
        }
    }

    /** The drivers in the order in which they are asked: those in C, then those in Java that none of them stands for. */
    private List<IommuDriver> drivers() {
        List<IommuDriver> drivers = new ArrayList<>();
        for (DriverInC driver : options.driversInC()) {
            NativeDriver attached = driver.opener().open(platform, ram);
            driversInC.add(attached);
            drivers.add(attached);
            if (board.iommus().stream().noneMatch(attached::matches)) {
                log.warning(
                        SUBSYSTEM,
                        "driver %s drives %s: no IOMMU of this board"
                                .formatted(attached.name(), attached.compatible()));
            }
        }
        List<IommuDriver> inJava = List.of(
                new Smmuv3Driver(platform),
                options.linuxIpmmu() ? new LinuxIpmmuDriver(platform) : new IpmmuDriver(platform));
        for (IommuDriver driver : inJava) {
            if (options.driversInC().stream().noneMatch(c -> driver.name().equals(c.replaces()))) {
                drivers.add(driver);
            }
        }
        return drivers;
    }

    private BootReport run() {
        // Before anything is said: an option that names what is not there is not a boot.
        List<IommuDriver> drivers = drivers();
        ProbeFailures failures = failures(drivers);
        if (board.plan().note() != null) {
            log.warning(SUBSYSTEM, board.plan().note());
        }
        log.info(
                SUBSYSTEM,
                "%s: %d nodes, %d MiB of RAM, %d IOMMUs, %d masters behind them"
                        .formatted(
                                board.tree().name(),
                                board.tree().nodes().size(),
                                board.memory().ranges().stream()
                                                .mapToLong(PhysicalMemory.Range::size)
                                                .sum()
                                        >> 20,
                                board.iommus().size(),
                                board.masters().size()));
        if (!options.commandLine().isEmpty()) {
            log.info(SUBSYSTEM, "Command line: " + options.commandLine());
        }
        drivers.removeIf(driver -> options.withoutDrivers().contains(driver.name()));
        IommuSetup setup = new IommuSetup(platform, drivers, iommus, failures);
        String panic = null;
        List<BootReport.MasterResult> masters = List.of();
        try {
            IommuOptions iommuOptions = IommuOptions.parse(options.commandLine());
            if (setup.run(iommuOptions).enabled()) {
                masters = useDevices(iommuOptions);
            }
        } catch (Panic p) {
            panic = p.getMessage();
        }
        IommuSetup.Outcome outcome = setup.outcome();
        return new BootReport(
                board.tree().name(),
                options.commandLine(),
                outcome.rc().name(),
                panic,
                outcome.enabled(),
                outcome.rounds(),
                board.iommus().stream()
                        .map(node -> row(node, outcome.answers().getOrDefault(node, List.of())))
                        .toList(),
                masters);
    }

    private static BootReport.Iommu row(DeviceTreeNode node, List<Errno> answers) {
        return new BootReport.Iommu(
                node.path(),
                node.compatible().get(0),
                IommuKind.of(node).orElseThrow().toString(),
                node.reg().isEmpty() ? null : "0x%x".formatted(node.reg().get(0).base()),
                answers.stream().map(Errno::name).toList());
    }

    /** Reads {@code PATH=ERRNO[@N]}; the path may have '@' and '=' of its own. */
    private ProbeFailures failures(List<IommuDriver> drivers) {
        ProbeFailures failures = new ProbeFailures();
        for (String text : options.failures()) {
            int equals = text.lastIndexOf('=');
            String[] answer = text.substring(equals + 1).split("@", 2);
            Optional<Errno> errno = Errno.byName(answer[0]);
            int probe = 0;
            if (answer.length == 2) {
                probe = answer[1].matches("[1-9][0-9]{0,8}") ? Integer.parseInt(answer[1]) : -1;
            }
            if (equals <= 0 || errno.isEmpty() || probe < 0) {
                throw new BoardException("--fail " + text + ": not PATH=ERRNO[@N] with an error's name and N from 1");
            }
            String path = text.substring(0, equals);
            DeviceTreeNode node = board.tree()
                    .node(path)
                    .orElseThrow(() -> new BoardException("%s: --fail: there is no node %s"
                            .formatted(board.tree().name(), path)));
            if (drivers.stream().noneMatch(driver -> driver.matches(node)) || !node.available()) {
                throw new BoardException("%s: --fail: %s is no available IOMMU that a driver is asked to probe"
                        .formatted(board.tree().name(), path));
            }
            failures.add(new ProbeFailures.Failure(node, errno.get(), probe));
        }
        return failures;
    }

    /** Makes domain 0, gives it the devices, and lets each do DMA. */
    private List<BootReport.MasterResult> useDevices(IommuOptions iommuOptions) {
        Domain domain0 = domain(0, iommuOptions.sharePt());
        long limit = 1L << domain0.ioP2m().ipaBits();
        long mapped = 0;
        for (AddressRange range : board.plan().domain0()) {
            long size = Math.min(range.size(), limit - range.base());
            if (size < range.size()) {
                log.warning(
                        SUBSYSTEM,
                        "RAM beyond 0x%x is not for domain 0: guest-physical addresses have %d bits"
                                .formatted(limit, domain0.ioP2m().ipaBits()));
            }
            if (size > 0) {
                domain0.mapRam(range.base(), range.base(), size);
                mapped += size;
            }
        }
        log.info(
                SUBSYSTEM,
                "d0: %d MiB, P2M of %d bits at 0x%x, %s"
                        .formatted(
                                mapped >> 20,
                                domain0.ioP2m().ipaBits(),
                                domain0.ioP2m().root(),
                                iommuOptions.sharePt() ? "shared with the IOMMUs" : "copied for the IOMMUs"));
        openWindow(domain0);
        List<BootReport.MasterResult> results = new ArrayList<>();
        for (Master master : board.masters()) {
            OwnTables own = iommus.ownTables(master.specifiers().get(0).node()).orElse(null);
            results.add(use(own == null ? domain0 : ownDomain(master), master, own));
        }
        return results;
    }

    /**
     * Maps a page near the end of the guest-physical space to RAM elsewhere, so that DMA which arrives was translated: the
     * rest of domain 0 is mapped one to one.
     */
    private void openWindow(Domain domain) {
        long physical = board.plan().domain0().get(0).base();
        window = (1L << domain.ioP2m().ipaBits()) - PAGE;
        while (window >= 0 && domain.resolve(window) != -1) {
            window -= 1 << 30;
        }
        if (window < 0) {
            window = physical; // RAM everywhere.
        } else {
            domain.mapRam(window, physical, PAGE);
        }
    }

    private Domain ownDomain(Master master) {
        return ownDomains.computeIfAbsent(
                master.specifiers().get(0).node(), unit -> domain(1 + ownDomains.size(), true));
    }

    private Domain domain(int id, boolean shared) {
        Domain made = new Domain(id, board.memory(), heap, platform.ipaBits(), shared);
        domains.add(made);
        return made;
    }

    /** @param own the tables of the driver; null if it shares the domain's */
    private BootReport.MasterResult use(Domain domain, Master master, OwnTables own) {
        Device device = new Device(master.node());
        Errno rc = iommus.addDevice(device, master.specifiers());
        if (rc == Errno.OK) {
            rc = iommus.assign(domain, device);
        }
        String iommu = master.specifiers().get(0).node().path();
        List<Integer> ids = master.specifiers().stream()
                .flatMap(s -> s.args().stream())
                .distinct()
                .toList();
        String dma = "not assigned: " + rc;
        String fault = null;
        if (rc == Errno.OK) {
            DeviceTreeNode unit = device.fwspec().iommu();
            if (own != null) {
                dma = transferAsLinux(own, domain, unit, ids);
                // Nothing is mapped there any more, and nothing may be cached of it.
                fault = provoke(unit, ids.get(0), LINUX_IOVA);
            } else {
                dma = transferAll(unit, ids, window, domain.resolve(window));
                fault = provoke(unit, ids.get(0), heap.base());
            }
        }
        log.say(
                dma.equals("ok") && fault != null ? Log.Level.INFO : Log.Level.ERROR,
                SUBSYSTEM,
                "%s behind %s: %d stream%s, dma %s, provoked fault %s"
                        .formatted(device, iommu, ids.size(), ids.size() == 1 ? "" : "s", dma, fault));
        return new BootReport.MasterResult(
                master.node().path(),
                iommu,
                ids.stream().map(Integer::toUnsignedLong).toList(),
                rc == Errno.OK ? domain.id() : null,
                dma,
                fault);
    }

    /** Maps a page of RAM for the transfers and unmaps it again, as Linux' DMA API does. */
    private String transferAsLinux(OwnTables own, Domain domain, DeviceTreeNode unit, List<Integer> ids) {
        long physical = board.plan().domain0().get(0).base();
        int protection = OwnTables.READ | OwnTables.WRITE | LinuxIpmmuDriver.CACHE;
        Errno rc = own.map(domain, LINUX_IOVA, physical, PAGE, protection);
        if (rc != Errno.OK) {
            return "not mapped: " + rc;
        }
        String dma = transferAll(unit, ids, LINUX_IOVA, physical);
        return own.unmap(domain, LINUX_IOVA, PAGE) == PAGE ? dma : "not unmapped";
    }

    private String transferAll(DeviceTreeNode unit, List<Integer> ids, long page, long physical) {
        for (int id : ids) {
            String answer = transfer(page, physical, board.port(unit, id), id);
            if (!answer.equals("ok")) {
                return answer;
            }
        }
        return "ok";
    }

    /**
     * Writes and reads a line of RAM as the master does, and looks at it where it should be.
     *
     * @param page that the master uses
     * @param physical where that page is
     */
    private String transfer(long page, long physical, DmaPort port, int id) {
        long offset = (id & 0xfL) * 64;
        byte[] line = new byte[64];
        for (int i = 0; i < line.length; i++) {
            line[i] = (byte) (id * 31 + i);
        }
        PhysicalMemory memory = board.memory();
        DmaPort.Response response = port.write(page + offset, line, 0, line.length);
        byte[] seen = new byte[line.length];
        if (response == DmaPort.Response.OK) {
            memory.read(physical + offset, seen, 0, seen.length);
            if (!Arrays.equals(line, seen)) {
                return "the write did not arrive";
            }
            memory.write64(physical + offset, ~id);
            response = port.read(page + offset, seen, 0, seen.length);
            if (response == DmaPort.Response.OK) {
                return seen[0] == (byte) ~id && seen[8] == line[8] ? "ok" : "the read gave something else";
            }
        }
        return takeFault(response.name());
    }

    /** Reads where the device may not reach: for a domain's, RAM of the hypervisor. */
    private String provoke(DeviceTreeNode unit, int id, long address) {
        byte[] line = new byte[64];
        DmaPort.Response response = board.port(unit, id).read(address, line, 0, line.length);
        if (response == DmaPort.Response.OK) {
            log.error(SUBSYSTEM, "%s: %d reached 0x%x".formatted(unit, id, address));
            return null;
        }
        String fault = takeFault(response + ", not reported");
        if (!faults.isEmpty() && faults.get(faults.size() - 1).address() != address) {
            log.error(SUBSYSTEM, "%s reports another address than 0x%x".formatted(unit, address));
            return null;
        }
        return fault;
    }

    /** The fault that a driver reports once its interrupt is let in. */
    private String takeFault(String otherwise) {
        faults.clear();
        board.interrupts().dispatch();
        return faults.isEmpty() ? otherwise : faults.get(faults.size() - 1).fault();
    }
}
