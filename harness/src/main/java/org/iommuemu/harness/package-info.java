/** Boards put together from a device tree: models on the bus, DMA masters, the software that boots. */
package org.iommuemu.harness;
