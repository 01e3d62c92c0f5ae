package org.iommuemu.probe.devicetree;

/**
 * One entry of {@code iommu-map} (the pci-iommu binding): the requester IDs {@code [requesterIdBase, requesterIdBase +
 * length)}, after {@code iommu-map-mask}, are the IDs from {@code iommuBase} on at {@code iommu}. The numbers are
 * unsigned 32-bit ones, and neither sum goes past 2<sup>32</sup>.
 *
 * @param requesterIdBase the first requester ID (bus 15:8, device 7:3, function 2:0)
 * @param iommu the IOMMU that translates them
 * @param iommuBase the first one's ID at the IOMMU, such as a StreamID
 * @param length how many IDs the entry maps
 */
public record IommuMapEntry(long requesterIdBase, DeviceTreeNode iommu, long iommuBase, long length) {}
