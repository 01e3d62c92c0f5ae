/** A PCIe host bridge and the functions behind it: DMA masters that software programs as on a board. */
package org.iommuemu.harness.pcie;
