package org.iommuemu.probe.iommu;

import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** A driver built into the system: what it matches, and how it brings a unit up (Xen DT_DEVICE_START, DEVICE_IOMMU). */
public interface IommuDriver {
    /** Its short name, "smmuv3" for instance. */
    String name();

    /** Whether the node's {@code compatible} is one of the driver's. */
    boolean matches(DeviceTreeNode node);

    /** Brings the unit of a matching, available node up. May be called again after {@link ProbeAnswer.Deferred}. */
    ProbeAnswer probe(DeviceTreeNode node);

    /** What can be done with the units that came up. */
    IommuOps ops();
}
