/** A driver for Arm's SMMUv3 that shares the domain's stage 2 tables, in the register order of Xen's smmu-v3.c. */
package org.iommuemu.probe.driver.smmuv3;
