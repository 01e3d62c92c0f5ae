package org.iommuemu.pagetables;

/** Where software takes the RAM for its tables from. A {@link TableWriter} calls it holding its monitor. */
public interface PageAllocator {
    /** What {@link #allocate} returns when there is nothing left. */
    long NONE = -1;

    /**
     * Takes zeroed RAM.
     *
     * @param size in bytes, a power of two of at least 4096
     * @return its physical address, aligned to {@code size}, or {@link #NONE}
     */
    long allocate(long size);

    /** Gives back what {@link #allocate} returned. */
    void free(long address, long size);
}
