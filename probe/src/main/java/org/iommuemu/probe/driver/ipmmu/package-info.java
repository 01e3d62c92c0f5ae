/** A driver for Renesas' IPMMU-VMSA that shares the domain's stage 2 tables, in the register order of Xen's ipmmu-vmsa.c. */
package org.iommuemu.probe.driver.ipmmu;
