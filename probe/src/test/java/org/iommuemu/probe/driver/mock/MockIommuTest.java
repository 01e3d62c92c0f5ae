package org.iommuemu.probe.driver.mock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Rig;
import org.junit.jupiter.api.Test;

/**
 * A mock IOMMU beside one that stands for the real ones of a machine. Offered only the devices that name it, it does no
 * harm, however careless; where every driver is asked in turn, a careless one takes what is not its own.
 */
class MockIommuTest {
    /** The machine. */
    private final Rig rig = new Rig(Rig.iommus().parse());

    private final MockDriver real = new MockDriver("real", false);
    private final DeviceTreeNode realNode = rig.tree.node("/iommu@1").orElseThrow();

    /** The mock has a firmware node of its own, which is in no tree of the machine. */
    private final DeviceTree own = TreeBuilder.tree()
            .begin("mock")
            .strings("compatible", MockDriver.COMPATIBLE)
            .cells("#iommu-cells", 1)
            .cells("phandle", 1)
            .end()
            .begin("selftest-device")
            .cells("iommus", 1, 7)
            .end()
            .parse();

    private final DeviceTreeNode mockNode = own.node("/mock").orElseThrow();

    private Iommus system(Iommus.Probing probing, MockDriver... inOrder) {
        Iommus iommus = new Iommus(rig.platform, Iommus.Mode.MIXED, probing);
        for (MockDriver driver : inOrder) {
            DeviceTreeNode node = driver == real ? realNode : mockNode;
            driver.probe(node);
            iommus.register(node, driver);
        }
        return iommus;
    }

    private static Errno add(Iommus iommus, Device device) {
        return iommus.addDevice(device, device.node().iommus());
    }

    @Test
    void aMockIsOnlyOfferedTheDevicesThatNameIt() {
        MockDriver mock = new MockDriver("mock", true);
        Iommus iommus = system(Iommus.Probing.FIRMWARE_SPEC, mock, real);
        Device one = rig.device("/one");
        Device selftest = new Device(own.node("/selftest-device").orElseThrow());
        assertEquals(Errno.OK, add(iommus, one));
        assertEquals(Errno.OK, add(iommus, selftest));
        assertEquals(List.of(one), real.claimed());
        assertEquals(List.of(selftest), mock.offered());
    }

    @Test
    void aDeviceOnAnotherBusThatIsCreatedLaterGetsNoGroup() {
        Iommus iommus = system(Iommus.Probing.FIRMWARE_SPEC, new MockDriver("mock", true), real);
        Device usb = rig.device("/none");
        assertEquals(Errno.ENODEV, add(iommus, usb));
        assertFalse(usb.isProtected());
        assertTrue(usb.group().isEmpty());
    }

    @Test
    void removingTheMockLeavesTheOthersUntouched() {
        MockDriver mock = new MockDriver("mock", false);
        Iommus iommus = system(Iommus.Probing.FIRMWARE_SPEC, mock, real);
        Device one = rig.device("/one");
        Device selftest = new Device(own.node("/selftest-device").orElseThrow());
        add(iommus, one);
        add(iommus, selftest);
        Domain domain = iommus.createDomain(1);
        domain.mapRam(0, Rig.RAM, 4096);
        iommus.assign(domain, one);
        iommus.assign(domain, selftest);
        assertEquals(Errno.EBUSY, iommus.unregister(mockNode));
        iommus.deassign(domain, selftest);
        real.takeAsked();

        assertEquals(Errno.OK, iommus.unregister(mockNode));
        assertEquals(Errno.ENODEV, iommus.unregister(mockNode));
        assertFalse(selftest.isProtected());
        assertTrue(selftest.group().isEmpty());
        assertEquals(List.of(), real.takeAsked());
        assertTrue(one.isProtected());
        assertTrue(one.group().isPresent());
        mock.takeAsked();
        domain.unmap(0, 4096);
        assertEquals(List.of("flush d1 0x0 0x1000"), real.takeAsked());
        iommus.crashShutdown();
        assertEquals(List.of(), mock.takeAsked());
        assertEquals(Errno.ENODEV, add(iommus, selftest), "nobody is asked in its stead");
    }

    /** The failure that the rule prevents. */
    @Test
    void whereEveryDriverIsAskedACarelessOneClaimsEverything() {
        MockDriver mock = new MockDriver("mock", true);
        Iommus iommus = system(Iommus.Probing.ASK_EVERY_DRIVER, mock, real);
        Device one = rig.device("/one");
        Device usb = rig.device("/none");
        assertEquals(Errno.OK, add(iommus, one));
        assertEquals(Errno.OK, add(iommus, usb));
        assertEquals(List.of(one, usb), mock.claimed(), "what the real one is in front of, and what nothing is");
        assertEquals(List.of(), real.claimed());
        assertTrue(usb.group().isPresent(), "a group by accident");
        // The domain's operations go to the wrong IOMMU: the real one never hears of the device.
        iommus.assign(iommus.createDomain(1), one);
        assertEquals(List.of(), real.takeAsked());
    }

    @Test
    void whereEveryDriverIsAskedAllIsWellAsLongAsEachLooks() {
        MockDriver mock = new MockDriver("mock", false);
        Iommus iommus = system(Iommus.Probing.ASK_EVERY_DRIVER, mock, real);
        Device one = rig.device("/one");
        assertEquals(Errno.OK, add(iommus, one));
        assertEquals(List.of(one), real.claimed());
        assertEquals(Errno.ENODEV, add(iommus, rig.device("/none")));
        assertEquals(2, mock.offered().size());
    }

    @Test
    void whereEveryDriverIsAskedTheOrderInWhichTheyCameDecides() {
        MockDriver mock = new MockDriver("mock", true);
        Iommus iommus = system(Iommus.Probing.ASK_EVERY_DRIVER, real, mock);
        Device one = rig.device("/one");
        add(iommus, one);
        assertEquals(List.of(one), real.claimed(), "by luck: the real one was there first");
    }
}
