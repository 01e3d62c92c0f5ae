package org.iommuemu.mmio;

/** The kinds of access that a DMA master makes, as bits of an {@code int}: 0 is an unprivileged, non-secure data read. */
public final class Access {
    /** A read. */
    public static final int READ = 0;
    /** Bit 0: a write. */
    public static final int WRITE = 1;
    /** Bit 1: privileged. */
    public static final int PRIVILEGED = 2;
    /** Bit 2: an instruction fetch. */
    public static final int INSTRUCTION = 4;
    /** Bit 3: from the Secure world. */
    public static final int SECURE = 8;

    private Access() {}
}
