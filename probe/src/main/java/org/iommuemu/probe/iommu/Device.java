package org.iommuemu.probe.iommu;

import java.util.Optional;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** A DMA master as the framework knows it. */
public final class Device {
    private final DeviceTreeNode node;
    private Fwspec fwspec;
    private boolean isProtected;
    private Domain domain;

    /** A device that nobody knows yet. */
    public Device(DeviceTreeNode node) {
        this.node = node;
    }

    /** Its node; the host bridge's for functions behind a PCIe host bridge. */
    public DeviceTreeNode node() {
        return node;
    }

    /** Its firmware spec; null before the first specifier was translated. */
    public Fwspec fwspec() {
        return fwspec;
    }

    /**
     * Makes the firmware spec (Xen iommu_fwspec_init).
     *
     * @return EINVAL if the device is behind another IOMMU already
     */
    public Errno initFwspec(DeviceTreeNode iommu) {
        if (fwspec == null) {
            fwspec = new Fwspec(iommu);
        }
        return fwspec.iommu() == iommu ? Errno.OK : Errno.EINVAL;
    }

    /** Forgets the firmware spec, after a failure. */
    public void freeFwspec() {
        fwspec = null;
    }

    /** Whether an IOMMU stands in front of it. */
    public boolean isProtected() {
        return isProtected;
    }

    /** Called by the driver of the IOMMU. */
    public void setProtected(boolean on) {
        isProtected = on;
    }

    /** The domain that owns it. */
    public Optional<Domain> domain() {
        return Optional.ofNullable(domain);
    }

    void setDomain(Domain owner) {
        domain = owner;
    }

    @Override
    public String toString() {
        return node.path();
    }
}
