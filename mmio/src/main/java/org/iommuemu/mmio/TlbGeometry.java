package org.iommuemu.mmio;

/**
 * The shape of a TLB, for a given piece of silicon, or for the worst that the architecture allows.
 *
 * @param sets a power of two
 * @param ways entries per set
 * @param replacement what gives way to a new entry in a full set
 * @param seed of {@link Replacement#RANDOM}
 */
public record TlbGeometry(int sets, int ways, Replacement replacement, long seed) {
    /** What gives way in a set that is full of valid entries. Stale entries always do. */
    public enum Replacement {
        /** The entry that was not hit for longest, nearly: one bit per way, as much silicon has it. */
        PSEUDO_LRU,
        /** Any entry, the same ones for the same seed and accesses of one thread. */
        RANDOM,
        /** The entries in turn: only a lack of room ever evicts. */
        CAPACITY_ONLY,
        /** None: what is cached stays until it is invalidated, and what finds no room is not cached. */
        CACHE_FOR_EVER,
        /** Nothing is cached at all. */
        NEVER_CACHE
    }

    /** Checks the shape. */
    public TlbGeometry {
        if (sets < 1 || Integer.bitCount(sets) != 1 || ways < 1 || ways > 64) {
            throw new IllegalArgumentException("TLB of %d sets, %d ways".formatted(sets, ways));
        }
    }

    /** A TLB with pseudo-LRU replacement. */
    public static TlbGeometry of(int sets, int ways) {
        return new TlbGeometry(sets, ways, Replacement.PSEUDO_LRU, 0);
    }

    /** The same with another replacement. */
    public TlbGeometry with(Replacement other) {
        return new TlbGeometry(sets, ways, other, seed);
    }

    /** The same with random replacement. */
    public TlbGeometry random(long withSeed) {
        return new TlbGeometry(sets, ways, Replacement.RANDOM, withSeed);
    }
}
