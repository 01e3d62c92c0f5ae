/** Drivers in C: the ABI of {@code iommu_emu.h}, the ways in, and the driver that stands where a Java driver can. */
package org.iommuemu.nativecode.driver;
