package org.iommuemu.pagetables;

import java.util.HashMap;
import java.util.Map;
import org.iommuemu.mmio.PhysicalMemory;

/** Gives out RAM, spoils what comes back, counts, and has as little of it as a test wants. */
final class Pages implements PageAllocator {
    private static final long START = 0x40_0000_0000L;

    private final PhysicalMemory memory;
    private final Map<Long, Long> taken = new HashMap<>();
    private final Map<Long, java.util.ArrayDeque<Long>> free = new HashMap<>();
    private long next = START;
    private int budget = Integer.MAX_VALUE;
    private boolean misused;

    Pages(PhysicalMemory memory) {
        this.memory = memory;
        memory.addRam(START, 1L << 32);
    }

    @Override
    public long allocate(long size) {
        if (budget == 0) {
            return NONE;
        }
        budget--;
        java.util.ArrayDeque<Long> again = free.get(size);
        long address;
        if (again != null && !again.isEmpty()) {
            address = again.remove();
        } else {
            address = (next + size - 1) / size * size;
            next = address + size;
        }
        memory.zero(address, size);
        taken.put(address, size);
        return address;
    }

    @Override
    public void free(long address, long size) {
        if (!Long.valueOf(size).equals(taken.remove(address))) {
            misused = true;
            throw new AssertionError("0x%x was not given out".formatted(address));
        }
        // Whoever still walks here goes astray.
        for (long at = 0; at < size; at += 8) {
            memory.write64(address + at, 0x0000_dead_dead_d7c3L);
        }
        free.computeIfAbsent(size, s -> new java.util.ArrayDeque<>()).add(address);
    }

    /** How many pages or groups of pages are taken. */
    int count() {
        return taken.size();
    }

    /** How many more allocations succeed. */
    void budget(int allocations) {
        budget = allocations;
    }

    boolean misused() {
        return misused;
    }
}
