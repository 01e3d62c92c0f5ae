package org.iommuemu.mmio;

/**
 * Something on the bus that software programs through memory-mapped registers.
 *
 * <p>The bus has checked alignment, size and window; what a device does with an offset that it does not implement is its
 * architecture's business. A device never throws: a fault of hardware is a value, an interrupt or a register.
 */
public interface BusDevice {
    /**
     * A read by software.
     *
     * @param offset from the base of the window, aligned to {@code size}
     * @param size in bytes: 1, 2, 4 or 8
     * @return the value, zero-extended
     */
    long read(long offset, int size);

    /**
     * A write by software.
     *
     * @param offset from the base of the window, aligned to {@code size}
     * @param size in bytes: 1, 2, 4 or 8
     * @param value the value in the low bits; the rest is not defined
     */
    void write(long offset, int size, long value);

    /**
     * Whether messages of units arrive here ({@link Bus#message}). Not where a write takes a lock under which such a message
     * may be sent: two units could wait for each other, and one could go on for ever at its own behest.
     */
    default boolean takesMessages() {
        return true;
    }

    /**
     * Whether the device answers accesses of this size at this offset; where it does not, the bus reports an error.
     *
     * @param offset from the base of the window
     * @param size in bytes: 1, 2, 4 or 8
     */
    default boolean accepts(long offset, int size) {
        return true;
    }
}
