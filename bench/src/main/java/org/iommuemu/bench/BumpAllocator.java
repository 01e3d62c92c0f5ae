package org.iommuemu.bench;

import java.util.Arrays;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PageAllocator;

/**
 * RAM for tables: a range from its start on; pages of 4 KiB that come back are given out again. Allocates next to nothing
 * itself, so that it does not show in what others are measured to allocate.
 */
final class BumpAllocator implements PageAllocator {
    private static final long PAGE = 4096;

    private final PhysicalMemory memory;
    private final long end;
    private long[] freed = new long[64];
    private int freedCount;
    private long next;

    BumpAllocator(PhysicalMemory memory, long base, long size) {
        this.memory = memory;
        next = base;
        end = base + size;
    }

    @Override
    public long allocate(long size) {
        if (size == PAGE && freedCount > 0) {
            long page = freed[--freedCount];
            for (long at = 0; at < PAGE; at += 8) {
                memory.write64(page + at, 0);
            }
            return page;
        }
        long aligned = next + size - 1 & -size;
        if (aligned + size > end) {
            return NONE;
        }
        next = aligned + size;
        return aligned;
    }

    @Override
    public void free(long address, long size) {
        if (size == PAGE) {
            if (freedCount == freed.length) {
                freed = Arrays.copyOf(freed, 2 * freedCount);
            }
            freed[freedCount++] = address;
        }
    }
}
