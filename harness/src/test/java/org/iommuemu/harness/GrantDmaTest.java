package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import org.iommuemu.harness.grant.Backend;
import org.iommuemu.harness.grant.GrantTables;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.Test;

/** Xen's grant table as an IOMMU: the driver of a virtio device on one side, its backend in another domain on the other. */
class GrantDmaTest {
    static final long GUEST = 0x40000000L;
    static final int PAGE = 4096;
    static final int BACKEND = 1;

    private static final int READING = 1 << 3;
    private static final int WRITING = 1 << 4;

    final MixedBoard mixed = new MixedBoard();
    final Domain domain = mixed.iommus.createDomain(5);
    final Device device;
    private final Backend backend = mixed.backend(domain, BACKEND);

    GrantDmaTest() {
        domain.mapRam(GUEST, mixed.ram(0), 16 * PAGE);
        device = mixed.assigned(domain, MixedBoard.GRANT_MASTER);
    }

    long map(long guest, long size, boolean readOnly) {
        return mixed.grants.mapPage(device, guest, size, readOnly);
    }

    private int flags(long address) {
        return (int) mixed.tables.entry(5, (address & Long.MAX_VALUE) >>> 12) & 0xffff;
    }

    private void assertRefused(String fault, Backend by, boolean write, long address) {
        byte[] bytes = new byte[4];
        assertEquals(
                DmaPort.Response.ABORT, write ? by.write(address, bytes, 0, 4) : by.read(address, bytes, 0, 4), fault);
        assertEquals(address, mixed.log.faults.get(0).address());
        assertEquals(List.of(fault), mixed.takeFaults());
    }

    @Test
    void aDmaAddressIsTheTopBitTheReferenceAndTheOffset() {
        assertEquals(1L << 63 | 8L << 12 | 0x123, map(GUEST + 0x123, 16, false));
        assertEquals(1L << 63 | 9L << 12, map(GUEST, 3 * PAGE, false));
        assertEquals(1L << 63 | 12L << 12 | 0xfff, map(GUEST + 0xfff, 2, false), "two pages for two bytes");
        assertEquals(1L << 63 | 14L << 12, map(GUEST, 1, false));
    }

    @Test
    void aLongBufferHasReferencesThatFollowOneAnotherAndPagesThatNeedNot() {
        domain.unmap(GUEST + PAGE, PAGE);
        domain.mapRam(GUEST + PAGE, mixed.ram(100 * PAGE), PAGE);
        long address = map(GUEST + 0x800, 2 * PAGE, false);
        byte[] bytes = new byte[2 * PAGE];
        new Random(1).nextBytes(bytes);
        assertEquals(DmaPort.Response.OK, backend.write(address, bytes, 0, bytes.length));
        byte[] seen = new byte[2 * PAGE];
        mixed.board.memory().read(mixed.ram(0x800), seen, 0, 0x800);
        mixed.board.memory().read(mixed.ram(100 * PAGE), seen, 0x800, PAGE);
        mixed.board.memory().read(mixed.ram(2 * PAGE), seen, 0x800 + PAGE, 0x800);
        assertArrayEquals(bytes, seen);
        byte[] back = new byte[2 * PAGE];
        assertEquals(DmaPort.Response.OK, backend.read(address, back, 0, back.length));
        assertArrayEquals(bytes, back);
    }

    @Test
    void theHypervisorMarksEntriesThatAreUsed() {
        long address = map(GUEST, PAGE, false);
        assertEquals(1, flags(address));
        Backend.Held reading = backend.hold(address, PAGE, false).orElseThrow();
        assertEquals(1 | READING, flags(address));
        Backend.Held writing = backend.hold(address, PAGE, true).orElseThrow();
        assertEquals(1 | READING | WRITING, flags(address));
        writing.close();
        assertEquals(1 | READING, flags(address));
        reading.close();
        reading.close();
        assertEquals(1, flags(address));
    }

    @Test
    void anEntryInUseIsNotRevokedAndTheDeviceIsDisabled() {
        long address = map(GUEST, 2 * PAGE, false);
        Backend.Held held = backend.hold(address + PAGE, PAGE, true).orElseThrow();
        assertEquals(Errno.EBUSY, mixed.grants.unmapPage(device, address));
        assertEquals(List.of("IN_USE"), mixed.takeFaults());
        assertEquals(GrantDmaDriver.MAPPING_ERROR, map(GUEST, PAGE, false), "disabled for further use");
        assertEquals(Errno.EBUSY, mixed.iommus.destroy(domain), "the domain's pages are in use");
        assertEquals(List.of("IN_USE"), mixed.takeFaults());
        held.close();
        assertEquals(Errno.OK, mixed.iommus.destroy(domain));
        assertRefused("BAD_DOMAIN", backend, false, address);
    }

    @Test
    void aForeignDomainIsRefused() {
        assertRefused("FOREIGN_DOMAIN", mixed.backend(domain, 2), false, map(GUEST, PAGE, false));
    }

    @Test
    void aWriteThroughAReadOnlyGrantIsRefused() {
        long address = map(GUEST, PAGE, true);
        assertRefused("READ_ONLY", backend, true, address);
        assertEquals(DmaPort.Response.OK, backend.read(address, new byte[4], 0, 4));
        assertEquals(5, flags(address), "nothing is left marked");
        assertEquals(List.of(), mixed.takeFaults());
    }

    @Test
    void aReferencePastTheTableIsRefused() {
        long address = map(GUEST, PAGE, false);
        assertRefused("BAD_REFERENCE", backend, false, address + 512L * PAGE);
        assertRefused("BAD_REFERENCE", backend, false, -1L << 12);
        assertRefused("NOT_GRANTED", backend, false, 1L << 63 | 511L << 12);
    }

    @Test
    void anAccessEndsAtTheFirstPageThatIsNotGranted() {
        long address = map(GUEST, PAGE, false);
        byte[] line = {1, 2, 3, 4};
        assertEquals(DmaPort.Response.ABORT, backend.write(address + PAGE - 2, line, 0, 4));
        assertEquals(List.of("NOT_GRANTED"), mixed.takeFaults());
        assertEquals(0x0201_0000, mixed.board.memory().read32(mixed.ram(PAGE - 4)));
        assertEquals(1, flags(address));
        assertTrue(backend.hold(address, 2 * PAGE, true).isEmpty());
        assertEquals(1, flags(address), "all or nothing is held");
    }

    @Test
    void whatIsNoGrantIsRefused() {
        assertRefused("NOT_A_GRANT", backend, false, mixed.ram(0));
    }

    @Test
    void whatWasTakenBackIsRefused() {
        long address = map(GUEST, PAGE, false);
        assertEquals(Errno.OK, mixed.grants.unmapPage(device, address));
        assertRefused("NOT_GRANTED", backend, false, address);
        assertEquals(Errno.EINVAL, mixed.grants.unmapPage(device, address));
    }

    @Test
    void aFrameThatTheDomainDoesNotHaveIsRefused() {
        assertRefused("BAD_FRAME", backend, false, map(0x1234_5000L, PAGE, false));
        assertEquals(GrantDmaDriver.MAPPING_ERROR, map(1L << 44, PAGE, false), "an entry has 32 bits for the frame");
    }

    @Test
    void aFrameThatAnEntryHasNoRoomForIsNotGranted() {
        for (long guest : new long[] {1L << 44, (1L << 44) - 1, -1, Long.MIN_VALUE}) {
            assertEquals(GrantDmaDriver.MAPPING_ERROR, map(guest, 64, false));
        }
        assertEquals(0, mixed.grants.granted(domain));
    }

    @Test
    void referencesRunOutAtTheHypervisorsLimit() {
        long all = (GrantTables.MOST_FRAMES * 512L - 8) * PAGE;
        assertEquals(GrantDmaDriver.MAPPING_ERROR, map(GUEST, all + 1, false));
        long address = map(GUEST, all, false);
        assertEquals(1L << 63 | 8L << 12, address);
        assertEquals(GrantDmaDriver.MAPPING_ERROR, map(GUEST, 1, false));
        assertEquals(Errno.OK, mixed.grants.unmapPage(device, address));
        assertEquals(0, mixed.grants.granted(domain));
    }

    @Test
    void aDeviceHasOneBackendThatCanBeADomain() {
        for (int[] cells : new int[][] {{1, 0x7ff0}, {1, -1}, {1, 1, 1, 2}}) {
            DeviceTree tree = tree(builder -> builder.cells("iommus", cells));
            MixedBoard small = new MixedBoard(tree, "", OptionalInt.empty());
            Device virtio = new Device(tree.node("/virtio@1000").orElseThrow());
            assertEquals(
                    Errno.EINVAL, small.iommus.addDevice(virtio, virtio.node().iommus()));
        }
    }

    private interface Wiring {
        TreeBuilder of(TreeBuilder builder);
    }

    /** A guest's tree, which has no IOMMU but Xen's. */
    private static DeviceTree tree(Wiring wiring) {
        return wiring.of(TreeBuilder.tree()
                        .cells("#address-cells", 1)
                        .cells("#size-cells", 1)
                        .begin("memory@40000000")
                        .strings("device_type", "memory")
                        .cells("reg", 0x40000000, 0x4000000)
                        .end()
                        .begin("virtio@1000")
                        .strings("compatible", "virtio,mmio")
                        .cells("reg", 0x1000, 0x200))
                .end()
                .begin("iommu")
                .strings("compatible", "xen,grant-dma")
                .cells("#iommu-cells", 1)
                .cells("phandle", 1)
                .end()
                .parse();
    }

    @Test
    void aVirtioDeviceThatNamesTheGrantTableBootsAtOnce() {
        BootTest.Lines log = new BootTest.Lines();
        BootReport report = BootRun.run(tree(builder -> builder.cells("iommus", 1, 3)), BootOptions.DEFAULT, log);
        assertEquals("grant-dma", report.iommus().get(0).kind());
        assertEquals(List.of("OK"), report.iommus().get(0).answers());
        assertEquals("uniform", report.dispatch());
        BootReport.MasterResult virtio = report.masters().get(0);
        assertEquals("/iommu", virtio.iommu());
        assertEquals(List.of(3L), virtio.ids());
        assertTrue(virtio.ok(), virtio::toString);
        assertFalse(log.lines.toString().contains("timeout"), log.lines::toString);
    }

    @Test
    void withoutItsDriverTheDeviceWaitsForTheTimeout() {
        MixedBoard board = new MixedBoard();
        BootTest.Lines log = new BootTest.Lines();
        BootReport report = BootRun.run(
                board.board.tree(),
                new BootOptions("", List.of(), java.util.Set.of("grant-dma"), OptionalInt.empty()),
                log);
        assertTrue(
                log.lines.contains("WARNING iommu: /virtio@2000000: deferred probe timeout, ignoring dependency"),
                log.lines::toString);
        assertEquals(
                "not assigned: ENODEV",
                report.masters().stream()
                        .filter(master -> master.path().equals(MixedBoard.GRANT_MASTER))
                        .findFirst()
                        .orElseThrow()
                        .dma());
    }

    @Test
    void theOlderBindingIsReadWithAWarning() {
        BootTest.Lines log = new BootTest.Lines();
        BootReport report =
                BootRun.run(tree(builder -> builder.cells("xen,backend-domid", 4)), BootOptions.DEFAULT, log);
        assertTrue(
                log.lines.contains("WARNING grant-dma: /virtio@1000: xen,backend-domid is the older binding: name a"
                        + " xen,grant-dma node in iommus"),
                log.lines::toString);
        assertEquals(List.of(4L), report.masters().get(0).ids());
        assertTrue(report.masters().get(0).ok());
    }
}
