/** Xen's grant table as an IOMMU: DMA addresses are grant references (Linux drivers/xen/grant-dma-ops.c). */
package org.iommuemu.probe.driver.grantdma;
