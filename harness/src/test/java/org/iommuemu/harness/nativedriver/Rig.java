package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.CopyOnWriteArrayList;
import org.iommuemu.harness.Board;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
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

/** A board with one driver under test; whether that is in C or in Java makes no difference to who uses it. */
final class Rig implements AutoCloseable {
    static final long PAGE = 4096;

    /** Guest-physical or I/O virtual address that scenarios map. */
    static final long INPUT = 0x4000_0000L;

    private static final long HEAP_OFFSET = 0x1000_0000L;

    /** Where a driver comes from. */
    enum Source {
        JAVA,
        JNA,
        JNR,
        FFM,
        PROCESS;

        Via via() {
            return Via.valueOf(name());
        }
    }

    /** A kind of IOMMU, and two masters behind different units of a board with it. */
    enum Kind {
        SMMUV3("smmuv3-pcie.dtb", "smmuv3", 0x9000_0000L, "/dma-controller@2c000000", "/usb@2c200000"),
        IPMMU("rcar-gen3.dtb", "ipmmu", 0x6000_0000L, "/soc/sata@ee300000", "/soc/ethernet@e6800000");

        final String tree;
        final String stub;
        /** RAM that scenarios may use; the heap is some way behind it. */
        final long ram;

        final String first;
        final String second;

        Kind(String tree, String stub, long ram, String first, String second) {
            this.tree = tree;
            this.stub = stub;
            this.ram = ram;
            this.first = first;
            this.second = second;
        }
    }

    /** What was said, by all threads. */
    static final class Lines implements Log {
        final List<String> said = new CopyOnWriteArrayList<>();
        final List<FaultReport> faults = new CopyOnWriteArrayList<>();

        @Override
        public void say(Level level, String subsystem, String text) {
            said.add(level + " " + subsystem + ": " + text);
        }

        @Override
        public void fault(FaultReport fault) {
            faults.add(fault);
        }

        boolean has(String text) {
            return said.stream().anyMatch(line -> line.contains(text));
        }
    }

    final Lines log = new Lines();
    final Board board;
    final Iommus iommus;
    final Platform platform;
    final IommuDriver driver;
    final HypervisorHeap heap;
    private final Kind kind;
    private final SharedRam ram;
    private final Map<DeviceTreeNode, Device> devices = new IdentityHashMap<>();

    private Rig(Kind kind, long heapBytes, Factory factory) throws IOException {
        this.kind = kind;
        Path tree = Path.of("..", "boards", kind.tree);
        board = Board.of(DeviceTree.read(tree), OptionalInt.empty(), MisuseListener.NONE);
        ram = SharedRam.of(board.memory());
        heap = new HypervisorHeap(board.memory(), kind.ram + HEAP_OFFSET, heapBytes);
        platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), log, 48);
        iommus = new Iommus(platform);
        driver = factory.make(platform, ram);
    }

    interface Factory {
        IommuDriver make(Platform platform, SharedRam ram);
    }

    /** A board with a driver from anywhere, before anything was probed. */
    static Rig of(Kind kind, Factory factory) throws IOException {
        return of(kind, 128 << 20, factory);
    }

    /** The same with this much RAM for the hypervisor. */
    static Rig of(Kind kind, long heapBytes, Factory factory) throws IOException {
        return new Rig(kind, heapBytes, factory);
    }

    /** A board with a driver that works. */
    static Rig of(Kind kind, Source source) throws IOException {
        if (source != Source.JAVA) {
            return stub(kind, kind.stub, source.via(), NativeDriver.TIMEOUT);
        }
        return of(
                kind, (platform, ram) -> kind == Kind.SMMUV3 ? new Smmuv3Driver(platform) : new IpmmuDriver(platform));
    }

    /** A board with a stub. */
    static Rig stub(Kind kind, String stub, Via via, Duration timeout) throws IOException {
        Path library = Library.made("stubs/" + stub + ".so");
        return of(kind, (platform, ram) -> NativeDrivers.load(platform, ram, library, via, timeout));
    }

    NativeDriver nativeDriver() {
        return (NativeDriver) driver;
    }

    IommuSetup.Outcome boot() {
        return new IommuSetup(platform, List.of(driver), iommus, new ProbeFailures()).run(IommuOptions.parse(""));
    }

    Rig booted() {
        assertTrue(boot().enabled(), log.said::toString);
        return this;
    }

    Domain domain(int id) {
        return new Domain(id, board.memory(), heap, platform.ipaBits(), true);
    }

    Device device(String path) {
        return devices.computeIfAbsent(board.tree().node(path).orElseThrow(), node -> {
            Device device = new Device(node);
            assertEquals(Errno.OK, iommus.addDevice(device, node.iommus()), log.said::toString);
            return device;
        });
    }

    void attach(Domain domain, Device device) {
        assertEquals(Errno.OK, iommus.assign(domain, device), log.said::toString);
    }

    private OwnTables ownTables() {
        return driver.ops().ownTables().orElse(null);
    }

    /** Maps as whoever keeps the tables does: the driver, or the host. */
    void map(Domain domain, long input, long physical, long size) {
        if (ownTables() == null) {
            domain.mapRam(input, physical, size);
        } else {
            assertEquals(
                    Errno.OK,
                    ownTables().map(domain, input, physical, size, OwnTables.READ | OwnTables.WRITE),
                    log.said::toString);
        }
    }

    void unmap(Domain domain, long input, long size) {
        if (ownTables() == null) {
            domain.unmap(input, size);
        } else {
            assertEquals(size, ownTables().unmap(domain, input, size), log.said::toString);
        }
    }

    long resolve(Domain domain, long input) {
        return ownTables() == null ? domain.resolve(input) : ownTables().iovaToPhys(domain, input);
    }

    /** Physical address of RAM that is the scenario's. */
    long ram(long offset) {
        return kind.ram + offset;
    }

    DmaPort port(Device device) {
        return board.port(device.fwspec().iommu(), device.fwspec().ids().get(0));
    }

    DmaPort.Response write(Device device, long address) {
        return port(device).write(address, new byte[] {1, 2, 3, 4}, 0, 4);
    }

    void assertReaches(Device device, long address, long physical) {
        board.memory().write32(physical, 0);
        assertEquals(DmaPort.Response.OK, write(device, address), log.said::toString);
        assertEquals(0x04030201, board.memory().read32(physical));
    }

    void assertDoesNotReach(Device device, long address, long physical) {
        board.memory().write32(physical, 0);
        write(device, address);
        assertEquals(0, board.memory().read32(physical));
    }

    /** Two devices in two domains, one address: each reaches its own domain's memory, and an unmap concerns one. */
    void assertDomainsAreApart(Kind kind) {
        Device one = device(kind.first);
        Device two = device(kind.second);
        Domain a = domain(1);
        Domain b = domain(2);
        attach(a, one);
        attach(b, two);
        map(a, INPUT, ram(0), PAGE);
        map(b, INPUT, ram(PAGE), PAGE);
        assertReaches(one, INPUT, ram(0));
        assertReaches(two, INPUT, ram(PAGE));
        unmap(a, INPUT, PAGE);
        assertEquals(DmaPort.Response.ABORT, write(one, INPUT));
        assertReaches(two, INPUT, ram(PAGE));
    }

    List<String> up() {
        List<String> up = new ArrayList<>();
        board.tree().nodes().stream().filter(iommus::isRegistered).forEach(node -> up.add(node.path()));
        return up;
    }

    @Override
    public void close() {
        if (driver instanceof NativeDriver attached) {
            attached.close();
        }
        ram.close();
    }
}
