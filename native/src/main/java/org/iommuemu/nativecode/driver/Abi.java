package org.iommuemu.nativecode.driver;

/** Sizes and offsets of {@code iommu_emu.h}, in bytes; {@code layout.c} compiles only if the C compiler agrees. */
final class Abi {
    static final int MAJOR = 1;
    static final int VERSION = MAJOR << 16;

    static final int RANGE_SIZE = 16;
    static final int RAM_SIZE = 24;
    static final int RAM_POINTER = 16;
    static final int INTERRUPT_SIZE = 16;
    static final int STREAM_SIZE = 8;
    static final int PROPERTY_SIZE = 24;
    static final int DEVICE_SIZE = 80;
    static final int BOARD_SIZE = 48;
    static final int MASTER_SIZE = 24;
    static final int DOMAIN_SIZE = 32;
    static final int FAULT_SIZE = 40;

    /** The functions of the host, one pointer each, in the order of {@link HostFunctions}. */
    static final int HOST_FUNCTIONS = 24;

    static final int HOST_SIZE = 168;

    static final int DRIVER_SIZE = 136;
    static final int DRIVER_NAME = 8;
    static final int DRIVER_COMPATIBLE = 16;
    static final int DRIVER_FLAGS = 24;
    /** The operations, one pointer each, in the order of {@link Operation}. */
    static final int DRIVER_OPERATIONS = 32;

    static final int NO_DEVICE = -1;
    static final long SHARES_TABLES = 1;

    private Abi() {}
}
