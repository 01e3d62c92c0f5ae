package org.iommuemu.harness.qtest;

import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.InterruptController;

/** The MSI frame of a GICv2m (Arm DEN 0029, appendix E): messages that name an interrupt of a range raise it. */
final class V2mFrame implements BusDevice {
    static final long SIZE = 0x1000;

    private static final int MSI_TYPER = 0x008;
    private static final int MSI_SETSPI_NS = 0x040;
    private static final int MSI_IIDR = 0xfcc;
    private static final int PRODUCT = 0x51 << 20; // What QEMU's frame says.

    private final InterruptController interrupts;
    private final int first;
    private final int count;

    V2mFrame(InterruptController interrupts, int first, int count) {
        this.interrupts = interrupts;
        this.first = first;
        this.count = count;
    }

    @Override
    public long read(long offset, int size) {
        return switch ((int) offset) {
            case MSI_TYPER -> (long) first << 16 | count;
            case MSI_IIDR -> PRODUCT;
            default -> 0;
        };
    }

    @Override
    public void write(long offset, int size, long value) {
        int number = (int) value & 0x3ff;
        if (offset == MSI_SETSPI_NS && number >= first && number < first + count) {
            interrupts.raise(number);
        }
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size == 4;
    }
}
