package org.iommuemu.mmio;

/**
 * A synchronous external abort: what the CPU that runs a driver sees when nothing answers its access. It is thrown only
 * to software ({@link Bus#read}, {@link Bus#write}); hardware that meets the same condition gets a value.
 */
public final class BusError extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** Why nothing answered. */
    public enum Reason {
        /** No device and no RAM at the address. */
        UNMAPPED("nothing is mapped there"),
        /** The address is not a multiple of the size. */
        MISALIGNED("it is misaligned"),
        /** The size is not 1, 2, 4 or 8, or the device does not take accesses of this size there. */
        BAD_SIZE("the size is not supported there");

        private final String text;

        Reason(String text) {
            this.text = text;
        }
    }

    private final Reason reason;
    private final boolean write;
    private final long address;
    private final int size;

    BusError(Reason reason, boolean write, long address, int size) {
        super("bus error: %s of %d bytes at 0x%x: %s".formatted(write ? "write" : "read", size, address, reason.text));
        this.reason = reason;
        this.write = write;
        this.address = address;
        this.size = size;
    }

    /** Why nothing answered. */
    public Reason reason() {
        return reason;
    }

    /** Whether it was a write. */
    public boolean isWrite() {
        return write;
    }

    /** The physical address. */
    public long address() {
        return address;
    }

    /** The size of the access in bytes. */
    public int size() {
        return size;
    }
}
