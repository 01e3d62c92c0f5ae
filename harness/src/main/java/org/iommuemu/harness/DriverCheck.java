package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.Panic;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.OwnTables;
import org.iommuemu.probe.iommu.Platform;

/**
 * Takes a driver in C through all that it is asked for, one step after the other, on a board of its own: what
 * {@code iommu-emu attach} does. A step that fails ends it, as the later ones build on it.
 */
public final class DriverCheck {
    /**
     * One step.
     *
     * @param name what was tried
     * @param ok whether it came out as it should
     * @param detail what was seen
     */
    public record Step(String name, boolean ok, String detail) {}

    private static final class Failed extends RuntimeException {
        private static final long serialVersionUID = 1;

        private Failed(String message) {
            super(message);
        }
    }

    private interface Body {
        /** @return what was seen */
        String run();
    }

    private static final long PAGE = 4096;
    private static final long PAGES = 16;
    private static final int MOST_ERRORS = 8;

    /** Below what Linux' IPMMU tables and 39-bit tables reach, and no address of RAM on our boards. */
    private static final long INPUT = 0x1000_0000L;

    private final Board board;
    private final HypervisorHeap heap;
    private final Platform platform;
    private final Iommus iommus;
    private final NativeDriver driver;
    private final long physical;
    private final List<FaultReport> faults = new CopyOnWriteArrayList<>();
    private final List<Step> steps = new ArrayList<>();

    /** Errors that were said in the step that runs: the first one, and the last ones. */
    private final List<String> errors = new CopyOnWriteArrayList<>();

    private Device first;
    private Device second;
    private Domain domain;
    private Domain other;
    private long before;

    private DriverCheck(Board board, SharedRam ram, DriverInC source, Log log) {
        this.board = board;
        heap = board.heap();
        Log collector = new Log() {
            @Override
            public void say(Level level, String subsystem, String text) {
                if (level == Level.ERROR) {
                    errors.add(text);
                    if (errors.size() > MOST_ERRORS) {
                        errors.remove(1);
                    }
                }
                log.say(level, subsystem, text);
            }

            @Override
            public void fault(FaultReport fault) {
                faults.add(fault);
                log.fault(fault);
            }
        };
        platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), collector, BootRun.CPU_IPA_BITS);
        iommus = new Iommus(platform);
        physical = board.plan().domain0().get(0).base();
        driver = source.opener().open(platform, ram);
    }

    /**
     * Runs the steps.
     *
     * @return those that were tried, the one that failed last
     * @throws BoardException if the tree describes what cannot be built
     * @throws org.iommuemu.nativecode.driver.NativeDriverException if the driver cannot be attached
     */
    public static List<Step> run(DeviceTree tree, DriverInC source, Log log) {
        Board board = Board.of(tree, OptionalInt.empty(), (unit, what) -> log.warning("misuse", unit + ": " + what));
        try (SharedRam ram = SharedRam.of(board.memory())) {
            DriverCheck check = new DriverCheck(board, ram, source, log);
            try {
                check.all();
            } finally {
                check.driver.close();
            }
            return check.steps;
        }
    }

    private void all() {
        try {
            step("probe", this::probe);
            step("add_device", this::addDevices);
            step("attach", () -> {
                domain = domain(1);
                return attach(domain, first);
            });
            step("map", this::map);
            step("unmap", this::unmap);
            step("fault", this::fault);
            step("two units", this::twoUnits);
            step("two domains", this::twoDomains);
            step("detach, release", this::release);
            step("remove", this::remove);
        } catch (Failed e) {
            // It is the last of the steps.
        }
    }

    private void step(String name, Body body) {
        String detail;
        errors.clear();
        try {
            detail = body.run();
        } catch (Failed e) {
            // An error that a later one repeats is not told twice.
            String said = errors.stream()
                    .filter(error -> errors.stream().noneMatch(other -> other != error && other.contains(error)))
                    .collect(Collectors.joining("; ", errors.isEmpty() ? "" : "; said: ", ""));
            steps.add(new Step(name, false, driver.lost().orElse(e.getMessage() + said)));
            throw e;
        }
        steps.add(new Step(name, true, detail));
    }

    private static void check(boolean holds, String message, Object... values) {
        if (!holds) {
            throw new Failed(message.formatted(values));
        }
    }

    private static void ok(Errno rc, String what) {
        check(rc == Errno.OK, "%s answers %s", what, rc);
    }

    private String probe() {
        List<DeviceTreeNode> matching =
                board.iommus().stream().filter(driver::matches).toList();
        check(!matching.isEmpty(), "%s has no IOMMU that is %s", board.tree().name(), driver.compatible());
        IommuSetup setup = new IommuSetup(platform, List.of(driver), iommus, new ProbeFailures());
        try {
            setup.run(IommuOptions.parse(""));
        } catch (Panic e) {
            check(false, "%s: %s", setup.outcome().rc(), e.getMessage());
        }
        long up = matching.stream().filter(iommus::isRegistered).count();
        check(up > 0, "no unit came up");
        long deferred = setup.outcome().answers().values().stream()
                .filter(answers -> answers.contains(Errno.EAGAIN))
                .count();
        return "%d of %d units up, %d deferred".formatted(up, matching.size(), deferred);
    }

    /** The first two masters that are behind different units, or behind one where there is one only. */
    private String addDevices() {
        Map<DeviceTreeNode, Master> byUnit = new IdentityHashMap<>();
        List<Master> masters = new ArrayList<>();
        for (Master master : board.masters()) {
            DeviceTreeNode unit = master.specifiers().get(0).node();
            if (iommus.isRegistered(unit) && byUnit.putIfAbsent(unit, master) == null) {
                masters.add(master);
            }
        }
        check(
                !masters.isEmpty(),
                "%s has no master behind a unit that is up",
                board.tree().name());
        first = add(masters.get(0));
        second = masters.size() < 2 ? null : add(masters.get(1));
        before = heap.taken();
        return second == null ? first.toString() : first + ", " + second;
    }

    private Device add(Master master) {
        Device device = new Device(master.node());
        ok(iommus.addDevice(device, master.specifiers()), "add_device of " + device);
        return device;
    }

    private Domain domain(int id) {
        return new Domain(id, board.memory(), heap, platform.ipaBits(), true);
    }

    private String attach(Domain to, Device device) {
        ok(iommus.assign(to, device), "attach of %s to %s".formatted(device, to));
        return "%s to %s".formatted(device, to);
    }

    private void map(Domain in, long input, long output, long size) {
        if (driver.ownTables().isEmpty()) {
            in.mapRam(input, output, size);
        } else {
            ok(driver.map(in, input, output, size, OwnTables.READ | OwnTables.WRITE), "map");
        }
    }

    private void unmap(Domain in, long input, long size) {
        if (driver.ownTables().isEmpty()) {
            in.unmap(input, size);
        } else {
            check(driver.unmap(in, input, size) == size, "unmap fails");
        }
    }

    private String map() {
        map(domain, INPUT, physical, PAGES * PAGE);
        for (long page = 0; page < PAGES; page++) {
            reaches(first, INPUT + page * PAGE, physical + page * PAGE);
            if (driver.ownTables().isPresent()) {
                long found = driver.iovaToPhys(domain, INPUT + page * PAGE + 8);
                check(
                        found == physical + page * PAGE + 8,
                        "iova_to_phys of 0x%x gives 0x%x",
                        INPUT + page * PAGE + 8,
                        found);
            }
        }
        return "%d pages, DMA reaches each".formatted(PAGES);
    }

    private void reaches(Device device, long input, long output) {
        byte[] line = new byte[64];
        Arrays.fill(line, (byte) (output >> 12 ^ 0x5a));
        byte[] seen = new byte[64];
        board.memory().zero(output, 64);
        DmaPort port = port(device);
        DmaPort.Response response = port.write(input, line, 0, 64);
        board.memory().read(output, seen, 0, 64);
        check(
                response == DmaPort.Response.OK && Arrays.equals(line, seen),
                "DMA of %s to 0x%x does not arrive at 0x%x: %s",
                device,
                input,
                output,
                response);
        Arrays.fill(seen, (byte) 0);
        response = port.read(input, seen, 0, 64);
        check(
                response == DmaPort.Response.OK && Arrays.equals(line, seen),
                "DMA of %s from 0x%x: %s",
                device,
                input,
                response);
    }

    private DmaPort port(Device device) {
        return board.port(device.fwspec().iommu(), device.fwspec().ids().get(0));
    }

    private void doesNotReach(Device device, long input, long output) {
        board.memory().zero(output, 64);
        byte[] line = new byte[64];
        Arrays.fill(line, (byte) 0xff);
        port(device).write(input, line, 0, 64);
        check(board.memory().read64(output) == 0, "DMA of %s to 0x%x still arrives at 0x%x", device, input, output);
    }

    private String unmap() {
        unmap(domain, INPUT, PAGE);
        doesNotReach(first, INPUT, physical);
        reaches(first, INPUT + PAGE, physical + PAGE);
        map(domain, INPUT, physical + PAGES * PAGE, PAGE);
        reaches(first, INPUT, physical + PAGES * PAGE);
        unmap(domain, INPUT, PAGES * PAGE);
        doesNotReach(first, INPUT, physical + PAGES * PAGE);
        return "what was cached is gone at once";
    }

    private String fault() {
        board.interrupts().dispatch();
        faults.clear();
        long address = INPUT + 5 * PAGE;
        doesNotReach(first, address, physical);
        board.interrupts().dispatch();
        check(!faults.isEmpty(), "no fault was reported: irq did not call the host's fault");
        FaultReport fault = faults.get(0);
        check(fault.address() == address, "the fault's address is 0x%x, not 0x%x", fault.address(), address);
        check(board.interrupts().dispatch() == 0, "the interrupt stays pending: irq did not acknowledge it");
        return "%s at 0x%x, by interrupt".formatted(fault.fault(), fault.address());
    }

    private String twoUnits() {
        if (second == null) {
            return "the board has one with masters";
        }
        attach(domain, second);
        map(domain, INPUT, physical, PAGE);
        reaches(first, INPUT, physical);
        reaches(second, INPUT, physical);
        unmap(domain, INPUT, PAGE);
        doesNotReach(first, INPUT, physical);
        doesNotReach(second, INPUT, physical);
        ok(iommus.deassign(domain, second), "detach of " + second);
        return "unmap reaches both";
    }

    private String twoDomains() {
        if (second == null) {
            return "the board has one master";
        }
        other = domain(2);
        attach(other, second);
        map(domain, INPUT, physical, PAGE);
        map(other, INPUT, physical + PAGE, PAGE);
        reaches(first, INPUT, physical);
        reaches(second, INPUT, physical + PAGE);
        unmap(domain, INPUT, PAGE);
        doesNotReach(first, INPUT, physical);
        reaches(second, INPUT, physical + PAGE);
        return "each sees its own";
    }

    private String release() {
        map(domain, INPUT, physical, PAGE);
        reaches(first, INPUT, physical);
        iommus.destroy(domain);
        if (other != null) {
            iommus.destroy(other);
        }
        check(driver.lost().isEmpty(), "the driver is lost");
        doesNotReach(first, INPUT, physical);
        check(
                heap.taken() == before,
                "%d bytes of RAM that belonged to the domains are not given back",
                heap.taken() - before);
        return "all RAM is given back";
    }

    private String remove() {
        List<DeviceTreeNode> up =
                board.iommus().stream().filter(iommus::isRegistered).toList();
        for (int i = up.size() - 1; i >= 0; i--) {
            Errno rc = driver.remove(up.get(i));
            if (rc == Errno.ENOSYS) {
                return "the driver never lets a unit go";
            }
            ok(rc, "remove of " + up.get(i));
        }
        doesNotReach(first, INPUT, physical);
        return "%d units".formatted(up.size());
    }
}
