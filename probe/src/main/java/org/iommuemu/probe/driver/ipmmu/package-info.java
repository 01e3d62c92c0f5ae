/**
 * Two drivers for Renesas' IPMMU-VMSA: one that shares the domain's stage 2 tables, in the register order of Xen's
 * ipmmu-vmsa.c, and one that maps I/O virtual addresses in stage 1 tables, in that of Linux' ipmmu-vmsa.c.
 */
package org.iommuemu.probe.driver.ipmmu;
