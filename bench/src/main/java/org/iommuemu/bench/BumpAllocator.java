package org.iommuemu.bench;

import java.util.ArrayDeque;
import java.util.Deque;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PageAllocator;

/** RAM for tables: a range from its start on; pages of 4 KiB that come back are given out again. */
final class BumpAllocator implements PageAllocator {
    private static final long PAGE = 4096;

    private final PhysicalMemory memory;
    private final long end;
    private final Deque<Long> freed = new ArrayDeque<>();
    private long next;

    BumpAllocator(PhysicalMemory memory, long base, long size) {
        this.memory = memory;
        next = base;
        end = base + size;
    }

    @Override
    public long allocate(long size) {
        if (size == PAGE && !freed.isEmpty()) {
            long page = freed.pop();
            memory.zero(page, PAGE);
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
            freed.push(address);
        }
    }
}
