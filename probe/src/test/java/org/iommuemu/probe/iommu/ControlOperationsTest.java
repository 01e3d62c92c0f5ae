package org.iommuemu.probe.iommu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.driver.mock.MockDriver;
import org.iommuemu.probe.pci.PciAddress;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What a toolstack is answered (Xen iommu_do_domctl, iommu_do_pci_domctl, iommu_do_dt_domctl). */
class ControlOperationsTest {
    private static final String FUNCTION = "0000:01:00.1";

    private final Rig rig = new Rig(Rig.iommus().parse());
    private final MockDriver driver = new MockDriver("mock", false);
    private final Iommus iommus = new Iommus(rig.platform);
    private final ControlOperations control = new ControlOperations(rig.platform, iommus, true);
    private final Device function = new Device(rig.tree.root(), FUNCTION);
    private final Domain dom0 = iommus.createDomain(0);
    private final Domain dom1 = iommus.createDomain(1);
    private final Domain dom2 = iommus.createDomain(2);

    @BeforeEach
    void oneIommuAndAPciFunctionOfDomain0() {
        DeviceTreeNode node = rig.tree.node("/iommu@1").orElseThrow();
        driver.probe(node);
        iommus.register(node, driver);
        assertEquals(Errno.OK, iommus.addDevice(function, List.of(new Specifier(node, List.of(0x101)))));
        assertEquals(Errno.OK, iommus.assign(dom0, function));
        control.found(PciAddress.parse(FUNCTION).orElseThrow(), function);
    }

    private Errno assign(Domain domain, String name) {
        return control.assign(domain, dom0, name);
    }

    @Test
    void withoutIoVirtualisationEverythingIsEnosys() {
        ControlOperations off = new ControlOperations(rig.platform, iommus, false);
        assertEquals(Errno.ENOSYS, off.assign(dom1, dom0, "/one"));
        assertEquals(Errno.ENOSYS, off.deassign(dom1, "/one"));
        assertEquals(Errno.ENOSYS, off.testAssign(dom0, "/nowhere"));
    }

    @Test
    void whatNeitherPciNorTheTreeKnowsIsEnodev() {
        for (String name : List.of("0000:02:00.0", "/nowhere", "nonsense", "")) {
            assertEquals(Errno.ENODEV, assign(dom1, name), name);
            assertEquals(Errno.ENODEV, control.deassign(dom1, name), name);
            assertEquals(Errno.ENODEV, control.testAssign(dom0, name), name);
        }
    }

    @Test
    void aDeviceOfTheTreeIsAddedWhenItIsAssigned() {
        assertEquals(Errno.OK, control.testAssign(dom0, "/one"));
        assertEquals(Errno.OK, assign(dom1, "/one"));
        assertSame(dom1, control.device("/one").orElseThrow().domain().orElseThrow());
        assertEquals(Errno.EINVAL, control.testAssign(dom0, "/one"));
        assertEquals(Errno.EBUSY, assign(dom2, "/one"));
        assertEquals(Errno.EBUSY, assign(dom1, "/one"));
        assertEquals(Errno.ESRCH, control.deassign(dom2, "/one"));
        assertEquals(Errno.OK, control.deassign(dom1, "/one"));
        assertEquals(Errno.OK, assign(dom2, "/one"));
    }

    @Test
    void aDeviceOfTheTreeThatDomain0HasIsTaken() {
        Device device = control.device("/one").orElseThrow();
        iommus.addDevice(device, device.node().iommus());
        iommus.assign(dom0, device);
        assertEquals(Errno.EINVAL, control.testAssign(dom0, "/one"));
        assertEquals(Errno.EBUSY, assign(dom1, "/one"));
    }

    @Test
    void whatNoIommuProtectsIsEinval() {
        assertEquals(Errno.EINVAL, assign(dom1, "/none"));
        assertEquals(Errno.EINVAL, assign(dom1, "/disabled"));
        assertEquals(Errno.EINVAL, control.deassign(dom1, "/none"));
        assertEquals(Errno.OK, control.testAssign(dom0, "/none"), "nobody has it");
    }

    @Test
    void aFunctionThatDomain0HasIsFreeForGuests() {
        assertEquals(Errno.OK, control.testAssign(dom0, FUNCTION));
        assertEquals(Errno.OK, assign(dom1, FUNCTION));
        assertSame(dom1, function.domain().orElseThrow());
        assertEquals(Errno.EINVAL, control.testAssign(dom0, FUNCTION));
        assertEquals(Errno.EBUSY, assign(dom2, FUNCTION));
        assertEquals(Errno.ENODEV, control.deassign(dom2, FUNCTION), "it is no function of d2");
        assertEquals(Errno.OK, control.deassign(dom1, "01:00.1"));
        assertTrue(function.domain().isEmpty(), "in quarantine");
        assertEquals(Errno.OK, assign(dom2, FUNCTION));
    }

    @Test
    void aDyingDomainIsEinval() {
        iommus.destroy(dom1);
        assertEquals(Errno.EINVAL, assign(dom1, "/one"));
        assertEquals(Errno.EINVAL, assign(dom1, FUNCTION));
        assertSame(dom0, function.domain().orElseThrow(), "it stays where it was");
    }
}
