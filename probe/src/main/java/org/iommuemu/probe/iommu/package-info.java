/** The IOMMU framework: what a driver offers, devices and their firmware specs, domains and their P2M. */
package org.iommuemu.probe.iommu;
