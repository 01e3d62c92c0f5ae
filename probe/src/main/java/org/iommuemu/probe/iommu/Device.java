package org.iommuemu.probe.iommu;

import java.util.Optional;
import java.util.OptionalInt;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** A DMA master as the framework knows it. */
public final class Device {
    private static final int NONE = -1;

    private final DeviceTreeNode node;
    private final String name;
    private Fwspec fwspec;
    private IommuOps ops;
    private boolean isProtected;
    private int group = NONE;
    private Domain domain;

    /** A device that nobody knows yet. */
    public Device(DeviceTreeNode node) {
        this(node, node.path());
    }

    /**
     * A device that nobody knows yet, one of several of its node.
     *
     * @param name for messages: the PCI address of a function
     */
    public Device(DeviceTreeNode node, String name) {
        this.node = node;
        this.name = name;
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
    Errno initFwspec(DeviceTreeNode iommu) {
        if (fwspec == null) {
            fwspec = new Fwspec(iommu);
        }
        return fwspec.iommu() == iommu ? Errno.OK : Errno.EINVAL;
    }

    /** Forgets the firmware spec, after a failure. */
    void freeFwspec() {
        fwspec = null;
    }

    /** The operations of the IOMMU in front of it; null if there is none. */
    IommuOps ops() {
        return ops;
    }

    void setOps(IommuOps operations) {
        ops = operations;
    }

    /** Whether an IOMMU stands in front of it. */
    public boolean isProtected() {
        return isProtected;
    }

    /** Called by the driver of the IOMMU. */
    public void setProtected(boolean on) {
        isProtected = on;
    }

    /** The number of its IOMMU group, which it has as long as an IOMMU stands in front of it. */
    public OptionalInt group() {
        return group == NONE ? OptionalInt.empty() : OptionalInt.of(group);
    }

    void setGroup(int number) {
        group = number;
    }

    void leaveGroup() {
        group = NONE;
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
        return name;
    }
}
