package org.iommuemu.probe.iommu;

import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;

/**
 * The IOMMUs that came up, and what is done with devices behind them (Xen passthrough/device_tree.c). The operations for a
 * device are those of the IOMMU that its firmware spec names.
 */
public final class Iommus {
    private static final String SUBSYSTEM = "iommu";

    private final Platform platform;
    private final Map<DeviceTreeNode, IommuOps> registered = new IdentityHashMap<>();

    /** No IOMMUs yet. */
    public Iommus(Platform platform) {
        this.platform = platform;
    }

    /** An IOMMU came up. */
    public void register(DeviceTreeNode node, IommuOps ops) {
        registered.put(node, ops);
    }

    /** Whether an IOMMU came up. */
    public boolean isRegistered(DeviceTreeNode node) {
        return registered.containsKey(node);
    }

    /** The tables of the driver of an IOMMU that came up; empty if it shares the domain's. */
    public Optional<OwnTables> ownTables(DeviceTreeNode node) {
        return Optional.ofNullable(registered.get(node)).flatMap(IommuOps::ownTables);
    }

    /**
     * Makes a device's firmware spec from its specifiers and adds it to the IOMMU that they name (Xen
     * iommu_add_dt_device).
     *
     * @param specifiers where its DMA goes; those of an IOMMU that is not available are as if they were not there
     * @return OK if it is protected now; ENODEV if no IOMMU stands in front of it; an error otherwise
     */
    public Errno addDevice(Device device, Iterable<Specifier> specifiers) {
        for (Specifier specifier : specifiers) {
            DeviceTreeNode node = specifier.node();
            IommuOps ops = registered.get(node);
            if (!node.available() || ops == null) {
                platform.log()
                        .info(
                                SUBSYSTEM,
                                "%s: %s is %s, not protected by it"
                                        .formatted(device, node.path(), node.available() ? "not up" : "disabled"));
                continue;
            }
            Errno rc = device.initFwspec(node);
            if (rc == Errno.OK) {
                rc = ops.dtXlate(device, specifier.args());
            }
            if (rc != Errno.OK) {
                platform.log()
                        .error(
                                SUBSYSTEM,
                                "%s: specifier %s %s: %s".formatted(device, node.path(), specifier.args(), rc));
                device.freeFwspec();
                return rc;
            }
        }
        if (device.fwspec() == null) {
            return Errno.ENODEV;
        }
        Errno rc = ops(device).addDevice(device);
        if (rc != Errno.OK) {
            platform.log().error(SUBSYSTEM, "%s: cannot be added: %s".formatted(device, rc));
            device.freeFwspec();
        }
        return rc;
    }

    /**
     * Gives a device to a domain (Xen iommu_assign_dt_device).
     *
     * @return EINVAL if no IOMMU protects it, EBUSY if a domain owns it, or the driver's answer
     */
    public Errno assign(Domain domain, Device device) {
        if (!device.isProtected()) {
            return Errno.EINVAL;
        }
        if (device.domain().isPresent()) {
            return Errno.EBUSY;
        }
        Errno rc = ops(device).assignDevice(domain, device);
        if (rc == Errno.OK) {
            domain.attached(device, ops(device));
        } else {
            platform.log().error(SUBSYSTEM, "%s: cannot be assigned to %s: %s".formatted(device, domain, rc));
        }
        return rc;
    }

    /**
     * Takes a device from a domain (Xen iommu_deassign_dt_device).
     *
     * @return EINVAL if no IOMMU protects it, ESRCH if the domain does not own it, or the driver's answer
     */
    public Errno deassign(Domain domain, Device device) {
        if (!device.isProtected()) {
            return Errno.EINVAL;
        }
        if (device.domain().orElse(null) != domain) {
            return Errno.ESRCH;
        }
        Errno rc = ops(device).deassignDevice(domain, device);
        if (rc == Errno.OK) {
            domain.detached(device);
        }
        return rc;
    }

    /** Takes all devices from a domain and frees what it has (Xen iommu_release_dt_devices, iommu_domain_destroy). */
    public void destroy(Domain domain) {
        domain.devices().forEach(device -> deassign(domain, device));
        domain.destroy();
    }

    private IommuOps ops(Device device) {
        return registered.get(device.fwspec().iommu());
    }
}
