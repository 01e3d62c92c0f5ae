package org.iommuemu.probe.iommu;

import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * A fault as a driver read it from its unit.
 *
 * @param iommu the unit's node
 * @param fault its name in the specification: "F_TRANSLATION", "TF"
 * @param streamId the StreamID, or -1 where the unit does not tell
 * @param address the input address
 * @param details the rest, for the log
 */
public record FaultReport(DeviceTreeNode iommu, String fault, long streamId, long address, String details) {}
