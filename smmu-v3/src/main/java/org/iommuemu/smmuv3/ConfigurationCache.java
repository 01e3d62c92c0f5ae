package org.iommuemu.smmuv3;

import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReferenceArray;

/**
 * Decoded STEs and CDs (IHI 0070, 3.21.3), two ways by StreamID and SubstreamID. A hit takes no lock and allocates
 * nothing; an invalidation moves generations on, and entries of older ones miss.
 *
 * <p>Whoever fills takes the {@link #generation} before reading the structures, so what an invalidation overtook is
 * stale from the start. Streams share generations by hash: invalidating one may cost another a fetch, never the reverse.
 */
final class ConfigurationCache {
    private static final int LOG2_ENTRIES = 12;
    private static final int STREAMS = 1024;

    record Entry(int streamId, int substreamId, int generation, Configuration configuration) {
        private boolean isFor(int otherStreamId, int otherSubstreamId) {
            return streamId == otherStreamId && substreamId == otherSubstreamId;
        }
    }

    private final AtomicReferenceArray<Entry> entries = new AtomicReferenceArray<>(1 << LOG2_ENTRIES);

    /** Slot {@link #STREAMS} counts invalidations of everything. They only grow, so sums are equal only if all are. */
    private final AtomicIntegerArray generations = new AtomicIntegerArray(STREAMS + 1);

    /** What is cached, or null. */
    Entry lookUp(int streamId, int substreamId) {
        int index = index(streamId, substreamId);
        Entry entry = entries.getAcquire(index);
        if (entry == null || !entry.isFor(streamId, substreamId)) {
            entry = entries.getAcquire(index ^ 1);
            if (entry == null || !entry.isFor(streamId, substreamId)) {
                return null;
            }
        }
        return isCurrent(entry) ? entry : null;
    }

    boolean isCurrent(Entry entry) {
        return entry.generation == generation(entry.streamId);
    }

    int generation(int streamId) {
        return generations.get(STREAMS) + generations.get(stream(streamId));
    }

    /** Caches an entry; what it displaces takes the other way. */
    void fill(Entry entry) {
        int index = index(entry.streamId, entry.substreamId);
        Entry displaced = entries.getAndSet(index, entry);
        if (displaced != null && isCurrent(displaced) && !displaced.isFor(entry.streamId, entry.substreamId)) {
            entries.setRelease(index ^ 1, displaced);
        }
    }

    void invalidateAll() {
        generations.incrementAndGet(STREAMS);
    }

    void invalidateStream(int streamId) {
        generations.incrementAndGet(stream(streamId));
    }

    /** Invalidates 2^log2Count StreamIDs. */
    void invalidateStreams(int first, int log2Count) {
        if (log2Count > 6) {
            invalidateAll();
            return;
        }
        for (int i = 0; i < 1 << log2Count; i++) {
            invalidateStream(first + i);
        }
    }

    private static int stream(int streamId) {
        return streamId & STREAMS - 1;
    }

    private static int index(int streamId, int substreamId) {
        return (streamId * 0x9e3779b1 + substreamId * 0x85ebca6b) >>> 32 - LOG2_ENTRIES;
    }
}
