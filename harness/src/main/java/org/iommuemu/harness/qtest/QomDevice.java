package org.iommuemu.harness.qtest;

/**
 * A device as the protocol and the monitor name it.
 *
 * @param path in the tree of objects
 * @param type of the object
 * @param inputs its unnamed inputs, which can be intercepted and driven
 * @param outputs its outputs, named {@code sysbus-irq}
 */
record QomDevice(String path, String type, Pins inputs, Pins outputs) {
    /** The name of all outputs. */
    static final String OUTPUT = "sysbus-irq";

    /**
     * Pins of a device as interrupts of the machine.
     *
     * @param first interrupt number of pin 0
     */
    record Pins(int first, int count) {
        static final Pins NONE = new Pins(0, 0);

        boolean has(int interrupt) {
            return interrupt >= first && interrupt < first + count;
        }
    }

    /** Whether there is a list of pins at all. */
    boolean hasPins() {
        return inputs.count > 0 || outputs.count > 0;
    }

    String name() {
        return path.substring(path.lastIndexOf('/') + 1);
    }

    String parent() {
        return path.substring(0, path.lastIndexOf('/'));
    }
}
