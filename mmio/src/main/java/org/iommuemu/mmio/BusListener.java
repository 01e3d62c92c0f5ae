package org.iommuemu.mmio;

/**
 * Sees every access on a bus, in the order in which each thread makes them, after it took effect. Called on the thread
 * that made the access; must not make accesses of its own.
 */
public interface BusListener {
    /**
     * A read by software.
     *
     * @param address physical address
     * @param size in bytes
     * @param value what was read, zero-extended
     */
    default void onRead(long address, int size, long value) {}

    /**
     * A write by software.
     *
     * @param address physical address
     * @param size in bytes
     * @param value what was written, zero-extended
     */
    default void onWrite(long address, int size, long value) {}

    /**
     * An access by hardware: a DMA master behind its translation, or a message-signalled interrupt.
     *
     * @param write whether it was a write
     * @param address physical address
     * @param length in bytes
     */
    default void onDma(boolean write, long address, int length) {}

    /**
     * An access that nothing answered, by software or by hardware.
     *
     * @param error what was wrong with it
     */
    default void onError(BusError error) {}
}
