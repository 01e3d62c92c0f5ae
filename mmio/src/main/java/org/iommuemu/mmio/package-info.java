/** The only place where software and hardware meet: bus, guest memory, registers, interrupts and DMA ports. */
package org.iommuemu.mmio;
