package org.iommuemu.mmio;

/**
 * Sees interrupts as they arrive at an {@link InterruptController}. Called on the thread that raised them, under the
 * controller's monitor: it must not wait for another thread.
 */
@FunctionalInterface
public interface InterruptListener {
    /**
     * An interrupt's input changed. A level interrupt changes with the OR of its lines; an edge or a message is a rise and a
     * fall.
     *
     * @param number in the board's flat number space
     * @param level whether it is asserted now
     */
    void changed(int number, boolean level);
}
