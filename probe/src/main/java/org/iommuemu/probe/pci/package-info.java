/**
 * PCI functions, what isolates them from each other, and the IOMMU groups that follow: a topology as {@code lspci -F}
 * reads it or in a short text form of our own ({@link org.iommuemu.probe.pci.PciFile}), requester IDs, ACS, groups from
 * topology alone, and the two algorithms that looked at probe order. See docs/pci-groups.md.
 *
 * <p>Facts come from the PCI Express Base Specification (sections as of 5.0), and from Linux 6.1: {@code
 * drivers/iommu/iommu.c}, {@code drivers/pci/search.c}, {@code pci.c} and {@code quirks.c}. Everything here is immutable,
 * unless its comment says otherwise.
 */
package org.iommuemu.probe.pci;
