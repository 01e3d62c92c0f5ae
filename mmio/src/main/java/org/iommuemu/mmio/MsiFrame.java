package org.iommuemu.mmio;

/**
 * A doorbell for message-signalled interrupts: a 32-bit write of an interrupt number to {@link #SETSPI_NS} raises it, as
 * in the MSI frame of a GICv2m (Arm DEN 0029, MSI_SETSPI_NS).
 */
public final class MsiFrame implements BusDevice {
    /** Offset of the doorbell. */
    public static final long SETSPI_NS = 0x40;
    /** Size of the window in bytes. */
    public static final long SIZE = 0x1000;

    private final InterruptController interrupts;

    /** A frame that raises interrupts of a controller. */
    public MsiFrame(InterruptController interrupts) {
        this.interrupts = interrupts;
    }

    @Override
    public long read(long offset, int size) {
        return 0;
    }

    @Override
    public void write(long offset, int size, long value) {
        if (offset == SETSPI_NS) {
            interrupts.raise((int) value);
        }
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size == 4;
    }
}
