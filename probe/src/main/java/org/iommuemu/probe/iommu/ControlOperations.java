package org.iommuemu.probe.iommu;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.pci.PciAddress;

/**
 * What a toolstack asks the hypervisor to do with devices (Xen iommu_do_domctl): by the address of a PCI function, or by a
 * path in the device tree. PCI is tried first, and the device tree if that answers ENODEV.
 *
 * <p>Where releases of Xen differ, or answer more finely: without I/O virtualisation the answer is ENOSYS, as it was until
 * Xen 4.12 (EOPNOTSUPP since); a path of no node is ENODEV (Xen: ESRCH), and so is test-assign of a function that is not
 * there (Xen: EINVAL). The toolstack is no domain of its own here, so that none is refused because it asks for itself
 * (Xen: EINVAL).
 */
public final class ControlOperations {
    private final DeviceTree tree;
    private final Iommus iommus;
    private final boolean enabled;
    private final Log log;
    private final Map<PciAddress, Device> functions = new HashMap<>();
    private final Map<DeviceTreeNode, Device> nodes = new HashMap<>();

    /**
     * No devices yet.
     *
     * @param enabled whether I/O virtualisation is on
     */
    public ControlOperations(Platform platform, Iommus iommus, boolean enabled) {
        this.tree = platform.tree();
        this.iommus = iommus;
        this.enabled = enabled;
        this.log = platform.log();
    }

    /** A PCI function was found; it was added to its IOMMU, if it has one. */
    public void found(PciAddress address, Device device) {
        functions.put(address, device);
    }

    /** A device of the tree was added to its IOMMU. Others are when they are assigned. */
    public void found(Device device) {
        nodes.put(device.node(), device);
    }

    /** The device that a name means: a PCI address or a path. */
    public Optional<Device> device(String name) {
        return function(name).or(() -> tree.node(name).map(node -> nodes.computeIfAbsent(node, n -> new Device(node))));
    }

    private Optional<Device> function(String name) {
        return PciAddress.parse(name).map(functions::get);
    }

    /**
     * XEN_DOMCTL_assign_device.
     *
     * @param hardwareDomain who has PCI functions that no guest has
     */
    public Errno assign(Domain domain, Domain hardwareDomain, String name) {
        if (!enabled) {
            return Errno.ENOSYS;
        }
        Errno rc = assignFunction(domain, hardwareDomain, name);
        return rc == Errno.ENODEV ? assignNode(domain, name) : rc;
    }

    /** A function that the hardware domain has is free for guests (device_assigned, assign_device). */
    private Errno assignFunction(Domain domain, Domain hardwareDomain, String name) {
        Device device = function(name).orElse(null);
        if (device == null) {
            return Errno.ENODEV;
        }
        Domain owner = device.domain().orElse(null);
        if (owner == null) {
            return iommus.assign(domain, device);
        }
        return owner == hardwareDomain && owner != domain ? iommus.reassign(owner, domain, device) : Errno.EBUSY;
    }

    /** It is added to its IOMMU if it was not (iommu_do_dt_domctl). */
    private Errno assignNode(Domain domain, String name) {
        Device device = device(name).orElse(null);
        if (device == null) {
            return Errno.ENODEV;
        }
        if (!device.isProtected()) {
            Errno rc = iommus.addDevice(device, device.node().iommus());
            // ENODEV: no IOMMU stands in front of it, which iommu_add_dt_device tells by 1. It cannot be assigned then.
            if (rc != Errno.OK && rc != Errno.ENODEV) {
                return rc;
            }
        }
        return iommus.assign(domain, device);
    }

    /** XEN_DOMCTL_test_assign_device: whether nobody has it; EINVAL if a guest does. */
    public Errno testAssign(Domain hardwareDomain, String name) {
        if (!enabled) {
            return Errno.ENOSYS;
        }
        Device device = device(name).orElse(null);
        if (device == null) {
            return Errno.ENODEV;
        }
        Domain owner = device.domain().orElse(null);
        if (owner == null || owner == hardwareDomain && function(name).isPresent()) {
            return Errno.OK;
        }
        log.error("iommu", device + " already assigned.");
        return Errno.EINVAL;
    }

    /**
     * XEN_DOMCTL_deassign_device. The device belongs to nobody then, and its DMA goes nowhere; a PCI function is in
     * quarantine.
     */
    public Errno deassign(Domain domain, String name) {
        if (!enabled) {
            return Errno.ENOSYS;
        }
        Device function = function(name).orElse(null);
        if (function != null) {
            // A function that the domain does not have is no function of it (pci_get_pdev).
            return function.domain().orElse(null) == domain ? iommus.deassign(domain, function) : Errno.ENODEV;
        }
        return device(name).map(device -> iommus.deassign(domain, device)).orElse(Errno.ENODEV);
    }
}
