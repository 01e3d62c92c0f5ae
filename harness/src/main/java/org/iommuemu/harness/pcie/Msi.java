package org.iommuemu.harness.pcie;

/**
 * An MSI capability for one message with a 64-bit address and without masking (PCI Local Bus Specification 3.0, 6.8.1).
 */
final class Msi {
    private static final int SIZE = 0xe;
    private static final int CAPABILITY_ID = 0x05;
    private static final int CONTROL = 2;
    private static final int ADDRESS = 4;
    private static final int DATA = 0xc;
    private static final int ENABLE = 1;
    private static final int MULTIPLE_MESSAGE_ENABLE = 7 << 4;
    private static final int ADDRESS_64 = 1 << 7;

    private final ConfigSpace config;
    private final int offset;

    /** Puts the capability at the head of the list. */
    Msi(ConfigSpace config, int offset) {
        this.config = config;
        this.offset = offset;
        for (int i = 0; i < SIZE; i++) {
            config.writable(offset + i, 1, 0);
        }
        config.set(offset, 1, CAPABILITY_ID);
        config.set(offset + 1, 1, config.read(ConfigSpace.CAPABILITY_LIST, 1));
        config.set(ConfigSpace.CAPABILITY_LIST, 1, offset);
        config.set(ConfigSpace.STATUS, 2, config.read(ConfigSpace.STATUS, 2) | ConfigSpace.STATUS_CAP_LIST);
        config.set(offset + CONTROL, 2, ADDRESS_64);
        config.writable(offset + CONTROL, 2, MULTIPLE_MESSAGE_ENABLE | ENABLE);
        config.writable(offset + ADDRESS, 8, -4L);
        config.writable(offset + DATA, 2, 0xffff);
    }

    /** Software enabled more messages than there are: it has the one. */
    void limit() {
        long control = config.read(offset + CONTROL, 2);
        config.set(offset + CONTROL, 2, control & ~MULTIPLE_MESSAGE_ENABLE);
    }

    boolean isEnabled() {
        return config.isSet(offset + CONTROL, ENABLE);
    }

    long address() {
        return config.read(offset + ADDRESS, 4) | config.read(offset + ADDRESS + 4, 4) << 32;
    }

    int data() {
        return (int) config.read(offset + DATA, 2);
    }
}
