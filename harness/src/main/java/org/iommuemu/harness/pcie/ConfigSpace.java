package org.iommuemu.harness.pcie;

import java.util.Arrays;

/**
 * The configuration space of a conventional PCI function with a type 0 header (PCI Local Bus Specification 3.0, 6.1): 256
 * bytes, each with the bits that software may write and those that writing one clears.
 */
final class ConfigSpace {
    static final int SIZE = 0x100;

    static final int VENDOR_ID = 0x00;
    static final int DEVICE_ID = 0x02;
    static final int COMMAND = 0x04;
    static final int STATUS = 0x06;
    static final int REVISION_ID = 0x08;
    static final int CLASS_DEVICE = 0x0a;
    static final int CACHE_LINE_SIZE = 0x0c;
    static final int HEADER_TYPE = 0x0e;
    static final int BASE_ADDRESS_0 = 0x10;
    static final int SUBSYSTEM_VENDOR_ID = 0x2c;
    static final int SUBSYSTEM_ID = 0x2e;
    static final int CAPABILITY_LIST = 0x34;
    static final int INTERRUPT_LINE = 0x3c;
    static final int INTERRUPT_PIN = 0x3d;
    static final int HEADER_SIZE = 0x40;

    static final int COMMAND_IO = 1;
    static final int COMMAND_MEMORY = 1 << 1;
    static final int COMMAND_MASTER = 1 << 2;
    static final int COMMAND_SERR = 1 << 8;
    static final int COMMAND_INTX_DISABLE = 1 << 10;
    static final int STATUS_INTERRUPT = 1 << 3;
    static final int STATUS_CAP_LIST = 1 << 4;
    static final int STATUS_ERRORS = 0xf900; // Bits 15:11 and 8, all write-one-to-clear.
    static final int MULTI_FUNCTION = 0x80;

    private final byte[] values = new byte[SIZE];
    private final byte[] writable = new byte[SIZE];
    private final byte[] clearable = new byte[SIZE];

    ConfigSpace() {
        writable(COMMAND, 2, COMMAND_IO | COMMAND_MEMORY | COMMAND_MASTER | COMMAND_SERR | COMMAND_INTX_DISABLE);
        writable(CACHE_LINE_SIZE, 1, 0xff);
        writable(INTERRUPT_LINE, 1, 0xff);
        put(clearable, STATUS, 2, STATUS_ERRORS);
        // What no capability occupies is scratch space.
        Arrays.fill(writable, HEADER_SIZE, SIZE, (byte) 0xff);
    }

    /** The value of 1, 2 or 4 bytes; those behind the end read as ones. */
    long read(int offset, int size) {
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | (offset + i < SIZE ? values[offset + i] & 0xff : 0xff);
        }
        return value;
    }

    /** A write by software. */
    void write(int offset, int size, long value) {
        for (int i = 0; i < size && offset + i < SIZE; i++) {
            int at = offset + i;
            int written = (int) (value >>> 8 * i);
            int stored = values[at] & ~writable[at] | written & writable[at];
            values[at] = (byte) (stored & ~(written & clearable[at]));
        }
    }

    /** Sets a value by hardware. */
    void set(int offset, int size, long value) {
        put(values, offset, size, value);
    }

    /** Declares which bits software may write. */
    void writable(int offset, int size, long mask) {
        put(writable, offset, size, mask);
    }

    boolean isSet(int offset, int bit) {
        return (read(offset, 2) & bit) != 0;
    }

    private static void put(byte[] bytes, int offset, int size, long value) {
        for (int i = 0; i < size; i++) {
            bytes[offset + i] = (byte) (value >>> 8 * i);
        }
    }
}
