package org.iommuemu.nativecode.driver;

import java.util.Locale;

/** What a driver is asked for, in the order of {@code struct iommu_emu_driver} and of {@code enum call}. */
enum Operation {
    OPEN(2, true),
    CLOSE(1, false),
    PROBE(2, true),
    ADD_DEVICE(2, true),
    ATTACH(3, true),
    DETACH(3, true),
    MAP(6, false),
    UNMAP(4, false),
    IOVA_TO_PHYS(4, false),
    FLUSH(4, true),
    RELEASE(2, true),
    IRQ(2, true),
    REMOVE(2, true);

    /** Parameters of the C function. */
    final int arity;

    /** Whether every driver has it. */
    final boolean required;

    Operation(int arity, boolean required) {
        this.arity = arity;
        this.required = required;
    }

    /** Its name in C. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
