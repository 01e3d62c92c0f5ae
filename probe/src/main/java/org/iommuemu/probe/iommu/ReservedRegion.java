package org.iommuemu.probe.iommu;

import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * Memory that a device uses before its driver runs, and must go on reaching: {@code iommu-addresses} of a child of {@code
 * /reserved-memory}.
 *
 * @param device who uses it
 * @param range device addresses, which are guest-physical ones too
 */
public record ReservedRegion(DeviceTreeNode device, AddressRange range) {}
