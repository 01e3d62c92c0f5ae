package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import org.iommuemu.ipmmu.IpmmuOption;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.ipmmu.LinuxIpmmuDriver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Platform;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** IPMMUs driven as Linux does, on boards of all generations. */
class LinuxIpmmuTest {
    private static final int RW = LinuxIpmmuDriver.READ | LinuxIpmmuDriver.WRITE | LinuxIpmmuDriver.CACHE;
    private static final long PAGE = 4096;
    private static final long TOP = (1L << 32) - PAGE;

    // A board with two masters behind one unit and a third behind another.
    private static final String GEN2 = "rcar-gen2.dtb, /soc/vsp@fe928000, /soc/vsp@fe930000, /soc/gpu@fd800000";
    private static final String GEN3 =
            "rcar-gen3.dtb, /soc/mmc@ee100000, /soc/dma-controller@e7310000, /soc/sata@ee300000";
    private static final String GEN4 =
            "rcar-gen4-s4.dtb, /soc/dma-controller@e7350000, /soc/mmc@ee140000, /soc/dma-engine@ea000000";

    private final BootTest.Lines log = new BootTest.Lines();
    private Board board;
    private HypervisorHeap heap;
    private Platform platform;
    private LinuxIpmmuDriver driver;
    private Iommus iommus;

    private static BootOptions linux(IpmmuOption... options) {
        return new BootOptions("", List.of(), Set.of(), OptionalInt.empty(), true, Set.of(options));
    }

    private BootReport bootReport(String name, IpmmuOption... options) throws IOException {
        return BootRun.run(DeviceTree.read(BootTest.BOARDS.resolve(name)), linux(options), log);
    }

    private void boot(String name) throws IOException {
        board = Board.of(
                DeviceTree.read(BootTest.BOARDS.resolve(name)),
                OptionalInt.empty(),
                (unit, what) -> log.warning("misuse", unit + ": " + what));
        AddressRange range = board.plan().heap();
        heap = new HypervisorHeap(board.memory(), range.base(), range.size());
        platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), log, 48);
        iommus = new Iommus(platform);
        driver = new LinuxIpmmuDriver(platform);
        assertTrue(new IommuSetup(platform, List.of(driver), iommus, new ProbeFailures())
                .run(IommuOptions.parse(""))
                .enabled());
    }

    private Domain domain(int id) {
        return new Domain(id, board.memory(), heap, 40, true);
    }

    private Device device(String path) {
        Device device = new Device(board.tree().node(path).orElseThrow());
        assertEquals(Errno.OK, iommus.addDevice(device, device.node().iommus()));
        return device;
    }

    private DmaPort port(Device device) {
        return board.port(device.fwspec().iommu(), device.fwspec().ids().get(0));
    }

    private DmaPort.Response write(Device device, long address) {
        return port(device).write(address, new byte[] {1, 2, 3, 4}, 0, 4);
    }

    private void assertReaches(Device device, long address, long physical) {
        board.memory().write32(physical, 0);
        assertEquals(DmaPort.Response.OK, write(device, address));
        assertEquals(0x04030201, board.memory().read32(physical));
    }

    private long ram(long offset) {
        long mask = (2 << 20) - 1;
        return (board.plan().domain0().get(0).base() + mask & ~mask) + offset;
    }

    private List<String> faults() {
        log.faults.clear();
        board.interrupts().dispatch();
        return log.faults.stream()
                .map(f -> "%s 0x%x".formatted(f.fault(), f.address()))
                .toList();
    }

    private List<String> misuse() {
        return log.lines.stream().filter(l -> l.contains("misuse")).toList();
    }

    @ParameterizedTest
    @CsvSource({"rcar-gen2.dtb, 7, 6", "rcar-gen3.dtb, 11, 6", "rcar-gen4.dtb, 5, 3", "rcar-gen4-s4.dtb, 6, 4"})
    void everyMasterDoesDmaInItsUnitsDomain(String name, int masters, int domains) throws IOException {
        BootReport report = bootReport(name);
        assertNull(report.panic());
        assertTrue(report.ioVirtualisation());
        report.iommus().forEach(iommu -> assertTrue(iommu.up(), iommu::toString));
        assertEquals(masters, report.masters().size());
        report.masters().forEach(master -> assertTrue(master.ok(), master::toString));
        assertEquals(
                domains,
                report.masters().stream()
                        .map(BootReport.MasterResult::domain)
                        .distinct()
                        .count());
        assertEquals(masters, log.faults.size(), "one provoked fault a master");
        assertEquals(List.of(), misuse());
    }

    @Test
    void cachesBeforeTheirRootAreDeferred() throws IOException {
        for (BootReport.Iommu iommu : bootReport("rcar-gen4-s4.dtb").iommus()) {
            assertEquals(iommu.kind().equals("ipmmu-root") ? List.of("OK") : List.of("EAGAIN", "OK"), iommu.answers());
        }
    }

    @Test
    void xensDriverDoesNotKnowGen2() throws IOException {
        BootReport report =
                BootRun.run(DeviceTree.read(BootTest.BOARDS.resolve("rcar-gen2.dtb")), BootOptions.DEFAULT, log);
        assertNull(report.panic());
        assertFalse(report.ioVirtualisation());
        report.iommus().forEach(iommu -> assertEquals(List.of("EBADF"), iommu.answers()));
    }

    /**
     * Both drivers work whatever silicon does where nothing is known, but for two things that Linux does not do: clear
     * USE_SECGRP, and flush after a fault where faults are kept.
     */
    @ParameterizedTest
    @EnumSource
    void boardsBootWithEveryOption(IpmmuOption option) throws IOException {
        for (String name : List.of("rcar-gen3.dtb", "rcar-gen4.dtb", "rcar-gen2.dtb")) {
            for (BootReport.MasterResult master : bootReport(name, option).masters()) {
                boolean works = option != IpmmuOption.COLD_RESET || name.equals("rcar-gen2.dtb");
                boolean mayKeepFault =
                        option == IpmmuOption.KEPT_FAULTS && master.dma().equals("TF");
                assertTrue(
                        mayKeepFault || master.dma().equals(works ? "ok" : "ABORT"),
                        () -> option + " " + name + " " + master);
            }
            BootOptions xen = new BootOptions("", List.of(), Set.of(), OptionalInt.empty(), false, Set.of(option));
            BootRun.run(DeviceTree.read(BootTest.BOARDS.resolve(name)), xen, log)
                    .masters()
                    .forEach(master -> assertTrue(master.ok(), () -> option + " " + name + " " + master));
        }
    }

    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void devicesBehindOneUnitShareADomainAndOthersCannot(String name, String one, String two, String other)
            throws IOException {
        boot(name);
        Domain domain = domain(1);
        Device first = device(one);
        Device second = device(two);
        Device elsewhere = device(other);
        assertEquals(Errno.EINVAL, driver.map(domain, 0, ram(0), PAGE, RW), "there is no context yet");
        assertEquals(Errno.OK, iommus.assign(domain, first));
        assertEquals(Errno.OK, iommus.assign(domain, second));
        assertEquals(Errno.EINVAL, iommus.assign(domain, elsewhere));
        assertEquals(Errno.OK, driver.map(domain, TOP, ram(0), PAGE, RW));
        assertReaches(first, TOP + 8, ram(8));
        assertReaches(second, TOP + 16, ram(16));
        assertEquals(Errno.OK, iommus.assign(domain(2), elsewhere));
        assertEquals(DmaPort.Response.ABORT, write(elsewhere, TOP));
        assertEquals(List.of("TF 0xfffff000"), faults());
        assertEquals(List.of(), misuse());
    }

    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void whatIsUnmappedIsGoneAndFaultsAreReported(String name, String one, String two, String other)
            throws IOException {
        boot(name);
        Domain domain = domain(1);
        Device device = device(one);
        assertEquals(Errno.OK, iommus.assign(domain, device));
        assertEquals(DmaPort.Response.ABORT, write(device, 0x1234000));
        // No flush after a mapping.
        assertEquals(Errno.OK, driver.map(domain, 0x1234000, ram(0), 2 * PAGE, RW));
        assertReaches(device, 0x1234000, ram(0));
        assertReaches(device, 0x1235000, ram(PAGE));
        assertEquals(List.of("TF 0x1234000"), faults());
        assertEquals(PAGE, driver.unmap(domain, 0x1234000, PAGE));
        assertEquals(DmaPort.Response.ABORT, write(device, 0x1234000));
        assertReaches(device, 0x1235000, ram(PAGE));
        assertEquals(List.of("TF 0x1234000"), faults());
        assertEquals(Errno.OK, driver.map(domain, 0x5000, ram(0), PAGE, LinuxIpmmuDriver.READ));
        assertEquals(DmaPort.Response.ABORT, write(device, 0x5000));
        assertEquals(List.of("PF 0x5000"), faults());
        assertEquals(List.of(), misuse());
    }

    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void multipleHitIsLoggedAndNotReported(String name, String one, String two, String other) throws IOException {
        boot(name);
        Device device = device(one);
        assertEquals(Errno.OK, iommus.assign(domain(1), device));
        DeviceTreeNode root = board.iommus().stream()
                .filter(n -> IommuKind.of(n).orElseThrow() == IommuKind.IPMMU_ROOT)
                .filter(n ->
                        !name.equals("rcar-gen2.dtb") || n == device.fwspec().iommu())
                .findFirst()
                .orElseThrow();
        board.ipmmu(root).injectMultipleHit(name.equals("rcar-gen2.dtb") ? 0 : 1, 0x5000);
        assertEquals(List.of(), faults());
        assertTrue(log.lines.stream().anyMatch(l -> l.contains("multiple TLB hits at 0x5000")), log.lines::toString);
        assertEquals(0, board.interrupts().dispatch());
    }

    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void resumeBringsBackWhatLossOfPowerTook(String name, String one, String two, String other) throws IOException {
        boot(name);
        Device first = device(one);
        Device second = device(other);
        Domain a = domain(1);
        Domain b = domain(2);
        assertEquals(Errno.OK, iommus.assign(a, first));
        assertEquals(Errno.OK, iommus.assign(b, second));
        assertEquals(Errno.OK, driver.map(a, TOP, ram(0), PAGE, RW));
        assertEquals(Errno.OK, driver.map(b, TOP, ram(PAGE), PAGE, RW));
        assertReaches(first, TOP, ram(0));
        board.iommus().forEach(node -> board.ipmmu(node).power(false));
        assertEquals(DmaPort.Response.ABORT, write(first, TOP));
        board.iommus().forEach(node -> board.ipmmu(node).power(true));
        driver.resume();
        assertReaches(first, TOP, ram(0));
        assertReaches(second, TOP, ram(PAGE));
        assertEquals(List.of(), faults());
    }

    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void destroyedDomainsGiveContextsAndTablesBack(String name, String one, String two, String other)
            throws IOException {
        boot(name);
        Device device = device(one);
        long before = heap.taken();
        for (int i = 0; i < 20; i++) {
            Domain domain = domain(i);
            assertEquals(Errno.OK, iommus.assign(domain, device));
            assertEquals(Errno.OK, driver.map(domain, TOP - PAGE, ram(0), 2 * PAGE, RW));
            assertReaches(device, TOP, ram(PAGE));
            iommus.destroy(domain);
            assertEquals(before, heap.taken());
            assertReaches(device, ram(0), ram(0)); // detached: untranslated
        }
        driver.remove(device.fwspec().iommu());
        assertEquals(List.of(), misuse());
    }

    /** Gen2 has one for each unit that stands alone, Gen3 seven. */
    @Test
    void contextsRunOut() throws IOException {
        boot("rcar-gen2.dtb");
        assertEquals(Errno.OK, iommus.assign(domain(1), device("/soc/vsp@fe928000")));
        assertEquals(Errno.EBUSY, iommus.assign(domain(2), device("/soc/vsp@fe930000")));
        boot("rcar-gen3.dtb");
        int taken = 0;
        for (String path : List.of("mmc@ee100000", "mmc@ee140000", "mmc@ee160000", "sata@ee300000", "fcp@fea27000")) {
            assertEquals(Errno.OK, iommus.assign(domain(++taken), device("/soc/" + path)));
        }
        assertEquals(Errno.OK, iommus.assign(domain(6), device("/soc/fcp@fea2f000")));
        assertEquals(Errno.OK, iommus.assign(domain(7), device("/soc/ethernet@e6800000")));
        assertEquals(Errno.EBUSY, iommus.assign(domain(8), device("/soc/gpu@fd000000")));
    }

    /** LNX-1 to LNX-8 as the bus saw them. */
    @Test
    void registersAreAccessedInLinuxOrder() throws IOException {
        boot("rcar-gen3.dtb");
        List<String> accesses = new ArrayList<>();
        board.bus().addListener(new BusListener() {
            private void heard(long address, String what, long value) {
                if (address >>> 12 == 0xe67b0 || address >>> 12 == 0xe7740) {
                    accesses.add("%s%03x%s%x"
                            .formatted(address >>> 12 == 0xe67b0 ? "R" : "C", address & 0xfff, what, value));
                }
            }

            @Override
            public void onRead(long address, int size, long value) {
                heard(address, "?", value);
            }

            @Override
            public void onWrite(long address, int size, long value) {
                heard(address, "=", value & 0xffff_ffffL);
            }
        });
        Domain domain = domain(1);
        Device device = device("/soc/mmc@ee100000");
        iommus.assign(domain, device);
        String table = Integer.toHexString(board.bus().read32(0xe67b0000L + 0x50));
        String upper = Integer.toHexString(board.bus().read32(0xe67b0000L + 0x54));
        assertEquals(
                List.of(
                        "R050=" + table,
                        "R054=" + upper,
                        "R048=80000080",
                        "R068=f404ff44",
                        "R060?0",
                        "R060=0",
                        "C040=7",
                        "R040=7",
                        "C608=0",
                        "C600=13"),
                accesses.subList(0, 10));
        accesses.clear();
        driver.map(domain, TOP, ram(0), PAGE, RW);
        assertEquals(List.of(), accesses);
        driver.unmap(domain, TOP, PAGE);
        assertEquals(List.of("R040?5", "C040=7", "R040=7", "R040?5"), accesses);
        accesses.clear();
        write(device, TOP);
        faults();
        assertEquals(List.of("R060?2101", "R070?fffff000", "R074?0", "R060=0"), accesses);
        accesses.clear();
        iommus.destroy(domain);
        assertEquals(List.of("C600=0", "C040=2", "R040=2", "R040?0"), accesses);
    }

    @ParameterizedTest
    @ValueSource(strings = {"rcar-gen2.dtb", "rcar-gen3.dtb", "rcar-gen4.dtb"})
    void mappingsThatCannotBeAreRefused(String name) throws IOException {
        boot(name);
        Domain domain = domain(1);
        Device device = device(board.masters().get(0).node().path());
        assertEquals(Errno.OK, iommus.assign(domain, device));
        assertEquals(Errno.EINVAL, driver.map(domain, 0x1001, 0, PAGE, RW));
        assertEquals(Errno.EINVAL, driver.map(domain, 0, 0, 0, RW));
        assertEquals(Errno.EINVAL, driver.map(domain, TOP, 0, 2 * PAGE, RW));
        assertEquals(Errno.EINVAL, driver.map(domain, 0, 1L << 40, PAGE, RW));
        assertEquals(Errno.OK, driver.map(domain, 0, 1 << 30, 1 << 30, RW));
        assertEquals(Errno.EEXIST, driver.map(domain, 0x5000, 0, PAGE, RW));
        assertEquals(0, driver.unmap(domain, 0x5000, PAGE), "the middle of a block");
        assertEquals(1 << 30, driver.unmap(domain, 0, 1 << 30));
    }

    /** Random mappings and unmappings: masters reach what is mapped, and nothing else. */
    @ParameterizedTest
    @CsvSource({GEN2, GEN3, GEN4})
    void randomMappings(String name, String one, String two, String other) throws IOException {
        boot(name);
        Domain domain = domain(1);
        Device device = device(one);
        assertEquals(Errno.OK, iommus.assign(domain, device));
        Random random = new Random(5);
        TreeMap<Long, Long> mapped = new TreeMap<>(); // I/O virtual to physical, by page
        for (int i = 0; i < 2000; i++) {
            long slot = random.nextInt(64);
            long iova = slot % 2 == 0 ? slot * PAGE : TOP - slot * PAGE;
            switch (random.nextInt(3)) {
                case 0 -> {
                    long physical = ram(random.nextInt(64) * PAGE);
                    Errno rc = driver.map(domain, iova, physical, PAGE, RW);
                    assertEquals(mapped.putIfAbsent(iova, physical) == null ? Errno.OK : Errno.EEXIST, rc);
                }
                case 1 -> assertEquals(mapped.remove(iova) == null ? 0 : PAGE, driver.unmap(domain, iova, PAGE));
                default -> {
                    if (mapped.containsKey(iova)) {
                        assertReaches(device, iova + 4, mapped.get(iova) + 4);
                    } else {
                        assertEquals(DmaPort.Response.ABORT, write(device, iova));
                        assertEquals(List.of("TF 0x%x".formatted(iova)), faults());
                    }
                }
            }
        }
    }
}
