package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;

/**
 * Chooses which entry of a full set gives way. Its state is a hint: threads write it without order, and on a hit only if
 * something changes, so that hits on the same entries do not contend; racing fills may choose the same entry.
 */
public final class TlbReplacement {
    private static final VarHandle LONGS = MethodHandles.arrayElementVarHandle(long[].class);

    private final TlbGeometry geometry;
    private final int ways;

    /** Pseudo-LRU, by set: bit n says that way n was used since all bits were last cleared. Null where there is no choice. */
    private final long[] recentlyUsed;

    /** Whose turn it is, or the state of the random numbers. */
    private long next;

    /** Nothing was used yet. */
    public TlbReplacement(TlbGeometry geometry) {
        this.geometry = geometry;
        ways = geometry.ways();
        next = geometry.seed();
        recentlyUsed = geometry.replacement() == TlbGeometry.Replacement.PSEUDO_LRU && ways > 1
                ? new long[geometry.sets()]
                : null;
    }

    /** An entry was hit or filled. */
    public void used(int set, int way) {
        if (recentlyUsed != null) {
            long used = (long) LONGS.getOpaque(recentlyUsed, set);
            long all = used | 1L << way;
            if (all != used) {
                LONGS.setOpaque(recentlyUsed, set, all == -1L >>> 64 - ways ? 1L << way : all);
            }
        }
    }

    /** The way of a full set that gives way, or -1 for none. */
    public int victim(int set) {
        return switch (geometry.replacement()) {
            case PSEUDO_LRU ->
                recentlyUsed == null
                        ? 0
                        : Math.min(Long.numberOfTrailingZeros(~(long) LONGS.getOpaque(recentlyUsed, set)), ways - 1);
            case RANDOM -> {
                next = next * 0x5851f42d4c957f2dL + 0x14057b7ef767814fL;
                yield (int) ((next >>> 33) % ways);
            }
            case CAPACITY_ONLY -> (int) ((next++ & Long.MAX_VALUE) % ways);
            case CACHE_FOR_EVER, NEVER_CACHE -> -1;
        };
    }
}
