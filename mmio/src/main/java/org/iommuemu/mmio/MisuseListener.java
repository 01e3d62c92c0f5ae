package org.iommuemu.mmio;

/** Hears of what software did that the architecture calls UNPREDICTABLE or ignores: the driver's bugs. */
@FunctionalInterface
public interface MisuseListener {
    /** Hears nothing. */
    MisuseListener NONE = (unit, what) -> {};

    /**
     * Software did something wrong.
     *
     * @param unit which unit, its name on the bus
     * @param what one line: the register or structure, the value, the rule
     */
    void misuse(String unit, String what);
}
