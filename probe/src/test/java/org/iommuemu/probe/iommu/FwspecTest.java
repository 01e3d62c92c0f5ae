package org.iommuemu.probe.iommu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.OptionalInt;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.mock.MockDriver;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a device's firmware spec is made of (Xen iommu_fwspec_init, iommu_add_dt_device). */
class FwspecTest {
    private final Rig rig = new Rig(Rig.iommus()
            .begin("reserved-memory")
            .begin("splash")
            .cells("iommu-addresses", 4, 0x7f000000, 0x10000, 5, 0x1000, 0x1000)
            .end()
            .begin("unused")
            .strings("status", "disabled")
            .cells("iommu-addresses", 4, 0, 0x1000)
            .end()
            .end()
            .begin("bus")
            .cells("#address-cells", 1)
            .cells("#size-cells", 1)
            .begin("display")
            .cells("phandle", 4)
            .cells("iommus", 1, 1)
            .end()
            .begin("camera")
            .cells("phandle", 5)
            .cells("iommus", 2, 1)
            .end()
            .end()
            .parse());
    private final MockDriver driver = new MockDriver("mock", false);
    private final Iommus iommus = new Iommus(rig.platform);

    @BeforeEach
    void twoUnitsOfOneDriver() {
        for (String path : List.of("/iommu@1", "/iommu@2")) {
            DeviceTreeNode node = rig.tree.node(path).orElseThrow();
            driver.probe(node);
            iommus.register(node, driver);
        }
    }

    private Errno add(Device device) {
        return iommus.addDevice(device, device.node().iommus());
    }

    @Test
    void idsAccumulateAndEachIsThereOnce() {
        Device device = rig.device("/one");
        assertEquals(Errno.OK, add(device));
        assertEquals("/iommu@1", device.fwspec().iommu().path());
        assertEquals(List.of(0x10, 0x11), device.fwspec().ids());
    }

    @Test
    void twoIommusForOneDeviceAreEinvalAlsoOfOneDriver() {
        Device device = rig.device("/both");
        assertEquals(Errno.EINVAL, add(device));
        assertNull(device.fwspec());
        assertEquals(OptionalInt.empty(), device.group());
        assertEquals(List.of(), driver.offered());
    }

    @Test
    void anIommuThatIsNotAvailableIsSkipped() {
        Device device = rig.device("/disabled");
        assertEquals(Errno.ENODEV, add(device));
        Device partly = rig.device("/partly");
        assertEquals(Errno.OK, add(partly));
        assertEquals("/iommu@1", partly.fwspec().iommu().path());
        assertEquals(List.of(0x51), partly.fwspec().ids());
    }

    @Test
    void addingADeviceTwiceDoesNoHarm() {
        Device device = rig.device("/one");
        assertEquals(Errno.OK, add(device));
        int group = device.group().getAsInt();
        assertEquals(Errno.OK, add(device));
        assertEquals(group, device.group().getAsInt());
        assertEquals(1, driver.offered().size());
    }

    @Test
    void onlyAFreeDeviceIsRemoved() {
        Device device = rig.device("/one");
        assertEquals(Errno.EINVAL, iommus.removeDevice(device));
        add(device);
        Domain domain = iommus.createDomain(1);
        iommus.assign(domain, device);
        assertEquals(Errno.EBUSY, iommus.removeDevice(device));
        iommus.deassign(domain, device);
        assertEquals(Errno.OK, iommus.removeDevice(device));
        assertNull(device.fwspec());
        assertEquals(Errno.OK, add(device), "and comes back");
    }

    @Test
    void reservedMemoryIsThatOfDevicesBehindTheUnitsAsked() {
        DeviceTreeNode display = rig.tree.node("/bus/display").orElseThrow();
        assertEquals(
                List.of(new ReservedRegion(display, new AddressRange(0x7f000000, 0x10000), false)),
                rig.platform.reservedMemory(
                        java.util.Set.of(rig.tree.node("/iommu@1").orElseThrow())));
        assertTrue(iommus.reservedMemory().isEmpty(), "the mock knows none");
    }
}
