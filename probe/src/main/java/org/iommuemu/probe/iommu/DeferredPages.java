package org.iommuemu.probe.iommu;

import java.util.ArrayDeque;
import org.iommuemu.pagetables.PageAllocator;

/**
 * Page tables that are no longer used, to be freed later in small steps: whoever unmaps or destroys a domain does not wait
 * for it (Xen's tasklet iommu_pt_cleanup, and the preemptible p2m_teardown).
 */
final class DeferredPages implements PageAllocator {
    private record Piece(long address, long size) {}

    private final PageAllocator allocator;
    private final ArrayDeque<Piece> queue = new ArrayDeque<>();

    DeferredPages(PageAllocator allocator) {
        this.allocator = allocator;
    }

    /** Takes from the allocator; where that has nothing left, what waits is freed first. */
    @Override
    public synchronized long allocate(long size) {
        long address = allocator.allocate(size);
        if (address == NONE && !queue.isEmpty()) {
            drain(Integer.MAX_VALUE);
            address = allocator.allocate(size);
        }
        return address;
    }

    @Override
    public synchronized void free(long address, long size) {
        queue.add(new Piece(address, size));
    }

    /**
     * Frees some.
     *
     * @param most how many tables at most
     * @return how many are left
     */
    synchronized int drain(int most) {
        for (int i = 0; i < most && !queue.isEmpty(); i++) {
            Piece piece = queue.remove();
            allocator.free(piece.address, piece.size);
        }
        return queue.size();
    }
}
