package org.iommuemu.harness;

import java.time.Instant;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.harness.grant.Backend;
import org.iommuemu.harness.grant.GrantTables;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.boot.DeferredProbe;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.Panic;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.driver.grantdma.GrantHypercalls;
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
import org.iommuemu.probe.pci.PciAddress;
import org.iommuemu.probe.pci.StreamIds;

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
    private final DmaTrial trial;
    private final GrantTables grantTables;
    private final GrantDmaDriver grants;
    private final List<IommuDriver> drivers;
    private final Iommus iommus;
    /** Null where no driver is in C. */
    private final SharedRam ram;

    private final List<NativeDriver> driversInC = new ArrayList<>();
    /** Where drivers have tables of their own: as Linux has it, one domain for all devices behind a unit. */
    private final Map<DeviceTreeNode, Domain> ownDomains = new LinkedHashMap<>();

    private Domain domain0;

    /** Guest-physical address of the page that the masters' DMA goes to. */
    private long window;

    /** A master with its devices, which were added to the IOMMUs that they name. */
    private record Added(Master master, Map<Device, List<Specifier>> devices, Map<Device, Errno> answers) {
        private Errno rc() {
            return answers.values().stream()
                    .filter(rc -> rc != Errno.OK)
                    .findFirst()
                    .orElse(Errno.OK);
        }
    }

    private BootRun(Board board, BootOptions options, Log log) {
        this.board = board;
        this.options = options;
        this.log = log;
        ram = options.driversInC().isEmpty() ? null : SharedRam.of(board.memory());
        heap = board.heap();
        trial = new DmaTrial(board, log);
        platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), trial.collector(), CPU_IPA_BITS);
        grantTables = new GrantTables(board.memory(), heap);
        grants = new GrantDmaDriver(platform, hypercalls(grantTables));
        try {
            drivers = drivers();
        } catch (RuntimeException e) {
            close();
            throw e;
        }
        iommus = new Iommus(platform, options.dispatch().orElseGet(this::mode), Iommus.Probing.FIRMWARE_SPEC);
    }

    /** The drivers in the order in which they are asked: those in C, then those in Java that none of them stands for. */
    private List<IommuDriver> drivers() {
        List<IommuDriver> made = new ArrayList<>();
        for (DriverInC driver : options.driversInC()) {
            NativeDriver attached = driver.opener().open(platform, ram);
            driversInC.add(attached);
            made.add(attached);
            if (board.iommus().stream().noneMatch(attached::matches)) {
                log.warning(
                        SUBSYSTEM,
                        "driver %s drives %s: no IOMMU of this board"
                                .formatted(attached.name(), attached.compatible()));
            }
        }
        List<IommuDriver> inJava = List.of(
                new Smmuv3Driver(platform),
                options.linuxIpmmu() ? new LinuxIpmmuDriver(platform) : new IpmmuDriver(platform),
                grants);
        for (IommuDriver driver : inJava) {
            if (options.driversInC().stream().noneMatch(c -> driver.name().equals(c.replaces()))) {
                made.add(driver);
            }
        }
        return made;
    }

    /** Lets drivers in C go, once they have nothing left that they would have to give back. */
    @Override
    public void close() {
        if (domain0 != null && !driversInC.isEmpty()) {
            ownDomains.values().forEach(iommus::destroy);
            iommus.destroy(domain0);
        }
        driversInC.forEach(NativeDriver::close);
        if (ram != null) {
            ram.close();
        }
    }

    /** Uniform if one driver at most finds anything to drive. */
    private Iommus.Mode mode() {
        long kinds = drivers.stream()
                .filter(driver -> !options.withoutDrivers().contains(driver.name()))
                .filter(driver -> board.iommus().stream().anyMatch(driver::matches))
                .count();
        return kinds > 1 ? Iommus.Mode.MIXED : Iommus.Mode.UNIFORM;
    }

    /** What traps to the hypervisor, whose other half is hardware to the domain. */
    private static GrantHypercalls hypercalls(GrantTables tables) {
        return new GrantHypercalls() {
            @Override
            public List<Long> setupTable(Domain caller, int frames) {
                return tables.setup(caller.id(), caller::resolve, frames);
            }

            @Override
            public void dropTable(Domain caller) {
                tables.drop(caller.id());
            }
        };
    }

    /**
     * Builds the board of a tree and boots it.
     *
     * @throws BoardException if the tree describes what cannot be built, or an option names what is not in it
     * @throws org.iommuemu.nativecode.driver.NativeDriverException if a driver in C cannot be attached
     */
    public static BootReport run(DeviceTree tree, BootOptions options, Log log) {
        Optional<StreamIds> pci = options.pci().map(functions -> StreamIds.of(tree, functions));
        pci.ifPresent(ids -> ids.warnings().forEach(warning -> log.warning(SUBSYSTEM, warning)));
        Board board = Board.of(
                tree,
                options.product(),
                options.ipmmuOptions(),
                pci,
                (unit, what) -> log.warning("misuse", unit + ": " + what));
        try (BootRun run = new BootRun(board, options, log)) {
            return run.run();
        }
    }

    private BootReport run() {
        // Before anything is said: an option that names what is not there is not a boot.
        ProbeFailures failures = failures();
        options.operations().forEach(Toolstack::check);
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
                                board.masters().stream()
                                        .filter(Master::hasModel)
                                        .count()));
        if (!options.commandLine().isEmpty()) {
            log.info(SUBSYSTEM, "Command line: " + options.commandLine());
        }
        drivers.removeIf(driver -> options.withoutDrivers().contains(driver.name()));
        IommuSetup setup = new IommuSetup(platform, drivers, iommus, failures);
        String panic = null;
        Used used = new Used(List.of(), null, List.of());
        try {
            IommuOptions iommuOptions = IommuOptions.parse(options.commandLine());
            if (setup.run(iommuOptions).enabled()) {
                used = useDevices(iommuOptions);
            } else if (!options.operations().isEmpty()) {
                used = new Used(
                        List.of(),
                        null,
                        new Toolstack(platform, iommus, heap, false, Map.of(), this::path, trial, null)
                                .run(options.operations(), log));
            }
        } catch (Panic p) {
            panic = p.getMessage();
        } catch (BusError abort) {
            // A driver touched registers that are not there: a CPU takes an external abort, which a hypervisor survives
            // where it expects one only, at a probe.
            panic = "external abort: " + abort.getMessage();
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
                used.masters,
                outcome.enabled() ? iommus.mode().name().toLowerCase(Locale.ROOT) : null,
                used.unmap,
                used.operations);
    }

    /** What was done with the devices, as the report has it. */
    private record Used(
            List<BootReport.MasterResult> masters, BootReport.Unmap unmap, List<BootReport.Operation> operations) {}

    private static BootReport.Iommu row(DeviceTreeNode node, List<Errno> answers) {
        return new BootReport.Iommu(
                node.path(),
                node.compatible().stream().findFirst().orElse(null),
                IommuKind.of(node).orElseThrow().toString(),
                node.reg().isEmpty() || IommuKind.of(node).orElseThrow() == IommuKind.GRANT_DMA
                        ? null
                        : "0x%x".formatted(node.reg().get(0).base()),
                answers.stream().map(Errno::name).toList());
    }

    /** Reads {@code PATH=ERRNO[@N]}; the path may have '@' and '=' of its own. */
    private ProbeFailures failures() {
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
    private Used useDevices(IommuOptions iommuOptions) {
        Domain0 made = Domain0.make(board, iommus, iommuOptions.sharePt(), log);
        domain0 = made.domain();
        window = made.window();
        List<BootReport.MasterResult> results = new ArrayList<>();
        List<Added> own = new ArrayList<>();
        List<Added> all = addDevices();
        for (Added added : all) {
            OwnTables tables =
                    iommus.ownTables(added.master.specifiers().get(0).node()).orElse(null);
            results.add(use(tables == null ? domain0 : ownDomain(added.master), added, tables));
            if (tables == null) {
                own.add(added);
            }
        }
        BootReport.Unmap unmap = domain0.iommus().size() > 1 ? unmapUnderUse(domain0, own) : null;
        GrantOperations grantOperations = new GrantOperations(
                grants,
                (device, id) -> backend(device, device.domain().orElseThrow().id(), id),
                trial);
        Toolstack toolstack =
                new Toolstack(platform, iommus, heap, true, Map.of(0, domain0), this::path, trial, grantOperations);
        for (Added added : all) {
            Iterator<PciAddress> functions = added.master.functions().keySet().iterator();
            added.devices
                    .keySet()
                    .forEach(device -> toolstack.found(device, functions.hasNext() ? functions.next() : null));
        }
        return new Used(results, unmap, toolstack.run(options.operations(), log));
    }

    /** Adds all devices to the IOMMUs that they name; whoever names one that never comes goes on without. */
    private List<Added> addDevices() {
        Instant[] now = {Instant.EPOCH};
        DeferredProbe probing = new DeferredProbe(iommus, log, () -> now[0], DeferredProbe.TIMEOUT);
        List<Added> all = new ArrayList<>();
        for (Master master : board.masters()) {
            if (master.isForPassthrough()) {
                log.info(SUBSYSTEM, master.node() + ": xen,passthrough: it is not for d0");
                continue;
            }
            Added added = new Added(master, master.devices(), new LinkedHashMap<>());
            added.devices.forEach((device, specifiers) -> added.answers.put(device, probing.probe(device, specifiers)));
            if (master.hasModel()) {
                all.add(added);
            }
        }
        // Nothing else is going to happen on this board: its time may pass at once.
        now[0] = now[0].plus(DeferredProbe.TIMEOUT);
        Map<Device, Errno> settled = probing.retry();
        all.forEach(added -> added.answers.replaceAll(settled::getOrDefault));
        return all;
    }

    private Domain ownDomain(Master master) {
        return ownDomains.computeIfAbsent(
                master.specifiers().get(0).node(),
                unit -> new Domain(1 + ownDomains.size(), board.memory(), heap, platform.ipaBits(), true));
    }

    /** @param tables of the driver; null if it walks the domain's */
    private BootReport.MasterResult use(Domain domain, Added added, OwnTables tables) {
        Master master = added.master;
        Errno rc = added.rc();
        for (Device device : added.devices.keySet()) {
            rc = rc == Errno.OK ? iommus.assign(domain, device) : rc;
        }
        DeviceTreeNode unit = master.specifiers().get(0).node();
        List<Integer> ids = master.specifiers().stream()
                .flatMap(s -> s.args().stream())
                .distinct()
                .toList();
        String dma = "not assigned: " + rc;
        String fault = null;
        if (rc == Errno.OK) {
            Device first = added.devices.keySet().iterator().next();
            DmaPath path = path(first, ids.get(0), domain.id());
            String who = unit.path() + " " + ids.get(0);
            if (tables != null) {
                dma = transferAsLinux(tables, domain, added);
                // Nothing is mapped there any more, and nothing may be cached of it.
                fault = trial.provoke(path, who, LINUX_IOVA);
            } else {
                dma = transferAll(added, domain.id(), window, domain.resolve(window));
                fault = trial.provoke(path, who, heap.base());
            }
        }
        log.say(
                dma.equals(DmaTrial.OK) && fault != null ? Log.Level.INFO : Log.Level.ERROR,
                SUBSYSTEM,
                "%s behind %s: %d stream%s, dma %s, provoked fault %s"
                        .formatted(master.node(), unit.path(), ids.size(), ids.size() == 1 ? "" : "s", dma, fault));
        return new BootReport.MasterResult(
                master.node().path(),
                unit.path(),
                ids.stream().map(Integer::toUnsignedLong).toList(),
                rc == Errno.OK ? domain.id() : null,
                dma,
                fault);
    }

    /** The way of a device's DMA with one of its IDs, if the device belongs to that domain. */
    private DmaPath path(Device device, int id, int domain) {
        DeviceTreeNode iommu = device.fwspec().iommu();
        if (IommuKind.of(iommu).orElseThrow() != IommuKind.GRANT_DMA) {
            return DmaPath.through(board.port(iommu, id));
        }
        return DmaPath.byGrants(grants, device, backend(device, domain, id));
    }

    /** What a domain's backend sees of the grants of the domain that has a device. */
    private Backend backend(Device device, int frontend, int domain) {
        DeviceTreeNode iommu = device.fwspec().iommu();
        return new Backend(
                board.bus(), grantTables, frontend, domain, (fault, asking, address, details) -> platform.log()
                        .fault(new FaultReport(
                                iommu, fault.name(), -1, address, "d%d: %s".formatted(asking, details))));
    }

    /** Maps a page of RAM for the transfers and unmaps it again, as Linux' DMA API does. */
    private String transferAsLinux(OwnTables tables, Domain domain, Added added) {
        long physical = board.plan().domain0().get(0).base();
        int protection = OwnTables.READ | OwnTables.WRITE | LinuxIpmmuDriver.CACHE;
        Errno rc = tables.map(domain, LINUX_IOVA, physical, PAGE, protection);
        if (rc != Errno.OK) {
            return "not mapped: " + rc;
        }
        String dma = transferAll(added, domain.id(), LINUX_IOVA, physical);
        return tables.unmap(domain, LINUX_IOVA, PAGE) == PAGE ? dma : "not unmapped";
    }

    private String transferAll(Added added, int domain, long page, long physical) {
        for (Device device : added.devices.keySet()) {
            for (int id : device.fwspec().ids()) {
                String answer = trial.transfer(path(device, id, domain), page, physical, id);
                if (!answer.equals(DmaTrial.OK)) {
                    return answer;
                }
            }
        }
        return DmaTrial.OK;
    }

    /**
     * Takes the page that all masters use out of the P2M: whatever IOMMU is in front of them, and whatever it has cached, no
     * access reaches the page any more.
     */
    private BootReport.Unmap unmapUnderUse(Domain domain, List<Added> own) {
        record Way(Device device, int id, DmaPath path, String before) {}
        long physical = domain.resolve(window);
        List<Way> ways = new ArrayList<>();
        for (Added added : own) {
            for (Device device : added.devices.keySet()) {
                for (int id : device.domain().isPresent() ? device.fwspec().ids() : List.<Integer>of()) {
                    DmaPath path = path(device, id, domain.id());
                    ways.add(new Way(device, id, path, trial.transfer(path, window, physical, id)));
                }
            }
        }
        domain.unmap(window, PAGE);
        List<BootReport.Path> paths = ways.stream()
                .map(way -> new BootReport.Path(
                        way.device.node().path(),
                        way.device.fwspec().iommu().path(),
                        IommuKind.of(way.device.fwspec().iommu()).orElseThrow().toString(),
                        Integer.toUnsignedLong(way.id),
                        way.before,
                        trial.provoke(way.path, way.device.toString(), window)))
                .toList();
        domain.mapRam(window, physical, PAGE);
        BootReport.Unmap unmap = new BootReport.Unmap(
                domain.id(),
                "0x%x".formatted(window),
                "0x%x".formatted(domain.ioP2m().root()),
                paths);
        log.say(
                unmap.ok() ? Log.Level.INFO : Log.Level.ERROR,
                SUBSYSTEM,
                "%s: page 0x%x unmapped, %d of %d paths fault now"
                        .formatted(
                                domain,
                                window,
                                paths.stream().filter(p -> p.after() != null).count(),
                                paths.size()));
        return unmap;
    }
}
