/**
 * The flattened device tree (DTB), as a kernel reads it at boot: the blob's format (Devicetree Specification v0.4,
 * chapter 5), the standard properties (2.3), interrupts (2.4), and the iommu and pci-iommu bindings.
 *
 * <p>A tree is read once and never changes; every type here is safe for use by any number of threads. What is wrong
 * with the blob itself is reported by {@link org.iommuemu.probe.devicetree.DeviceTree#parse}; what is wrong with one
 * property is reported when that property is used, because a board's tree may well hold nodes that nobody needs.
 * Either way it is one {@link org.iommuemu.probe.devicetree.DeviceTreeException}.
 */
package org.iommuemu.probe.devicetree;
