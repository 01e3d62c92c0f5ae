package org.iommuemu.probe.iommu;

import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PageAllocator;

/** The RAM that the hypervisor keeps for itself, given out in powers of two. */
public final class HypervisorHeap implements PageAllocator {
    private final PhysicalMemory memory;
    private final long base;
    private final long size;
    private final Map<Long, ArrayDeque<Long>> freed = new HashMap<>();
    private long used;
    private long taken;

    /**
     * A heap.
     *
     * @param base first byte, page-aligned
     * @param size in bytes
     */
    public HypervisorHeap(PhysicalMemory memory, long base, long size) {
        this.memory = memory;
        this.base = base;
        this.size = size;
    }

    /** First byte. */
    public long base() {
        return base;
    }

    /** Size in bytes. */
    public long size() {
        return size;
    }

    /** Bytes that are given out. */
    public synchronized long taken() {
        return taken;
    }

    @Override
    public synchronized long allocate(long bytes) {
        if (bytes < 4096 || Long.bitCount(bytes) != 1) {
            throw new IllegalArgumentException("allocation of 0x%x bytes".formatted(bytes));
        }
        ArrayDeque<Long> reusable = freed.get(bytes);
        long address;
        if (reusable != null && !reusable.isEmpty()) {
            address = reusable.pop();
        } else {
            address = base + used + bytes - 1 & -bytes;
            // What aligning leaves out is kept for smaller allocations.
            for (long gap = base + used; gap < address && address + bytes <= base + size; ) {
                long piece = Math.min(Long.lowestOneBit(gap), Long.highestOneBit(address - gap));
                freed.computeIfAbsent(piece, s -> new ArrayDeque<>()).push(gap);
                gap += piece;
            }
            if (address + bytes > base + size) {
                return NONE;
            }
            used = address + bytes - base;
        }
        taken += bytes;
        memory.zero(address, bytes);
        return address;
    }

    @Override
    public synchronized void free(long address, long bytes) {
        taken -= bytes;
        freed.computeIfAbsent(bytes, s -> new ArrayDeque<>()).push(address);
    }
}
