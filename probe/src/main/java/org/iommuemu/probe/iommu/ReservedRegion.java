package org.iommuemu.probe.iommu;

import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * Memory that a device uses before its driver runs, and must go on reaching: {@code iommu-addresses} of a child of {@code
 * /reserved-memory}.
 *
 * @param device who uses it
 * @param range device addresses
 * @param direct whether the memory is at these very addresses, and to be mapped one to one; otherwise they are only not to be
 *     used
 */
public record ReservedRegion(DeviceTreeNode device, AddressRange range, boolean direct) {}
