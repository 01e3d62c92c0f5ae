package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.OptionalInt;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Platform;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Domains and their devices, with drivers and models of both kinds of IOMMU. */
class DomainTest {
    private static final long GUEST = 0x40000000L;
    private static final long MIB_2 = 2 << 20;
    private static final long PAGE = 4096;

    private final BootTest.Lines log = new BootTest.Lines();
    private Board board;
    private HypervisorHeap heap;
    private Platform platform;
    private Iommus iommus;

    private void boot(String name) throws IOException {
        board = Board.of(DeviceTree.read(BootTest.BOARDS.resolve(name)), OptionalInt.empty(), MisuseListener.NONE);
        AddressRange range = board.plan().heap();
        heap = new HypervisorHeap(board.memory(), range.base(), range.size());
        platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), log, 48);
        iommus = new Iommus(platform);
        assertTrue(new IommuSetup(
                        platform,
                        List.of(new Smmuv3Driver(platform), new IpmmuDriver(platform)),
                        iommus,
                        new ProbeFailures())
                .run(IommuOptions.parse(""))
                .enabled());
    }

    private Domain domain(int id, boolean shared) {
        return new Domain(id, board.memory(), heap, platform.ipaBits(), shared);
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

    /** RAM that is domain 0's on this board, aligned to 2 MiB. */
    private long ram(long offset) {
        return (board.plan().domain0().get(0).base() + MIB_2 & -MIB_2) + MIB_2 + offset;
    }

    private static final String SMMU = "smmuv3-pcie.dtb, /dma-controller@2c000000, /usb@2c200000";
    private static final String ONE_SMMU = "smmuv3-pcie.dtb, /dma-controller@2c000000, /sata@2c100000";
    private static final String IPMMU = "rcar-gen3.dtb, /soc/sata@ee300000, /soc/ethernet@e6800000";
    private static final String ONE_CACHE = "rcar-gen3.dtb, /soc/mmc@ee100000, /soc/mmc@ee140000";

    @ParameterizedTest
    @CsvSource({SMMU, ONE_SMMU, IPMMU, ONE_CACHE})
    void eachDeviceSeesItsOwnDomainsMemory(String tree, String first, String second) throws IOException {
        boot(tree);
        Device one = device(first);
        Device two = device(second);
        Domain a = domain(1, true);
        Domain b = domain(2, true);
        a.mapRam(GUEST, ram(0), MIB_2);
        b.mapRam(GUEST, ram(MIB_2), MIB_2);
        assertEquals(Errno.OK, iommus.assign(a, one));
        assertEquals(Errno.OK, iommus.assign(b, two));
        assertReaches(one, GUEST + 0x123000, ram(0x123000));
        assertReaches(two, GUEST + 0x123000, ram(MIB_2 + 0x123000));
    }

    @ParameterizedTest
    @CsvSource({SMMU + ", true", SMMU + ", false", IPMMU + ", true", IPMMU + ", false", ONE_CACHE + ", true"})
    void whatIsUnmappedIsGoneForEveryDeviceAtOnce(String tree, String first, String second, boolean shared)
            throws IOException {
        boot(tree);
        Device one = device(first);
        Device two = device(second);
        Domain domain = domain(1, shared);
        domain.mapRam(GUEST, ram(0), MIB_2);
        assertEquals(Errno.OK, iommus.assign(domain, one));
        assertEquals(Errno.OK, iommus.assign(domain, two));
        // Both have the block in their TLBs; one page of it goes.
        assertReaches(one, GUEST + PAGE, ram(PAGE));
        assertReaches(two, GUEST + PAGE, ram(PAGE));
        domain.unmap(GUEST + PAGE, PAGE);
        for (Device device : List.of(one, two)) {
            assertEquals(DmaPort.Response.ABORT, write(device, GUEST + PAGE));
            assertReaches(device, GUEST, ram(0));
            assertReaches(device, GUEST + 2 * PAGE, ram(2 * PAGE));
        }
        board.interrupts().dispatch();
        assertTrue(log.faults.stream().allMatch(f -> f.address() == GUEST + PAGE), log.faults::toString);
        assertTrue(log.faults.size() >= 1, "an IPMMU keeps the first fault of a context only");
    }

    @ParameterizedTest
    @CsvSource({SMMU + ", ABORT", IPMMU + ", OK"})
    void aDeviceThatIsTakenAwayNoLongerGoesThroughTheDomain(
            String tree, String first, String second, DmaPort.Response untranslated) throws IOException {
        boot(tree);
        Device device = device(first);
        Domain domain = domain(1, true);
        long other = ram(3 * MIB_2);
        domain.mapRam(other, ram(0), MIB_2);
        assertEquals(Errno.OK, iommus.assign(domain, device));
        assertReaches(device, other, ram(0));
        assertEquals(Errno.OK, iommus.deassign(domain, device));
        // The SMMU's driver refuses streams that nobody owns; the IPMMU's lets them through untranslated, as Xen's
        // does.
        board.memory().write32(ram(0), 0);
        assertEquals(untranslated, write(device, other));
        assertEquals(0, board.memory().read32(ram(0)));
        assertEquals(List.of(), domain.devices());
    }

    @ParameterizedTest
    @CsvSource({SMMU, IPMMU})
    void aDeviceIsOwnedByOneDomain(String tree, String first, String second) throws IOException {
        boot(tree);
        Device device = device(first);
        Domain domain = domain(1, true);
        assertEquals(Errno.EINVAL, iommus.assign(domain, new Device(device.node())), "not protected");
        assertEquals(Errno.OK, iommus.assign(domain, device));
        assertEquals(Errno.EBUSY, iommus.assign(domain(2, true), device));
        assertEquals(Errno.ESRCH, iommus.deassign(domain(3, true), device));
    }

    @ParameterizedTest
    @CsvSource({SMMU + ", true", IPMMU + ", true", IPMMU + ", false"})
    void destroyingADomainGivesEverythingBack(String tree, String first, String second, boolean shared)
            throws IOException {
        boot(tree);
        Device one = device(first);
        Device two = device(second);
        long before = heap.taken();
        for (int round = 0; round < 40; round++) {
            // More domains than an IPMMU has contexts: those of destroyed ones are used again.
            Domain domain = domain(1 + round, shared);
            domain.mapRam(GUEST, ram(0), MIB_2 + PAGE);
            assertEquals(Errno.OK, iommus.assign(domain, one));
            assertEquals(Errno.OK, iommus.assign(domain, two));
            assertReaches(one, GUEST, ram(0));
            iommus.destroy(domain);
            assertEquals(before, heap.taken());
        }
    }

    @ParameterizedTest
    @CsvSource({IPMMU})
    void contextsRunOut(String tree, String first, String second) throws IOException {
        boot(tree);
        List<String> paths = List.of(
                "/soc/sata@ee300000",
                "/soc/ethernet@e6800000",
                "/soc/mmc@ee100000",
                "/soc/mmc@ee140000",
                "/soc/mmc@ee160000",
                "/soc/fcp@fea27000",
                "/soc/fcp@fea2f000");
        for (int i = 0; i < paths.size(); i++) {
            assertEquals(Errno.OK, iommus.assign(domain(i + 1, true), device(paths.get(i))));
        }
        assertEquals(Errno.EBUSY, iommus.assign(domain(9, true), device("/soc/gpu@fd000000")));
    }

    @ParameterizedTest
    @CsvSource({SMMU, IPMMU})
    void guestRamCanBeScattered(String tree, String first, String second) throws IOException {
        boot(tree);
        Device device = device(first);
        Domain domain = domain(1, true);
        domain.mapRam(GUEST, ram(5 * PAGE), PAGE);
        domain.mapRam(GUEST + PAGE, ram(0), PAGE);
        assertEquals(Errno.OK, iommus.assign(domain, device));
        byte[] line = new byte[128];
        for (int i = 0; i < line.length; i++) {
            line[i] = (byte) i;
        }
        assertEquals(DmaPort.Response.OK, port(device).write(GUEST + PAGE - 64, line, 0, 128));
        byte[] seen = new byte[128];
        board.memory().read(ram(6 * PAGE) - 64, seen, 0, 64);
        board.memory().read(ram(0), seen, 64, 64);
        assertArrayEquals(line, seen);
    }
}
