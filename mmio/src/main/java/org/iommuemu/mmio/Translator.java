package org.iommuemu.mmio;

/** What stands between a DMA master and the bus: the unit side of a {@link DmaPort}. Called from any thread. */
@FunctionalInterface
public interface Translator {
    /** The SubstreamID of an access that has none. */
    int NO_SUBSTREAM = -1;

    /**
     * Translates one access, which does not cross a 4 KiB boundary. A fault is recorded by the unit and comes back as a
     * value.
     *
     * @param streamId which master: a StreamID (SMMUv3) or micro-TLB number (IPMMU)
     * @param substreamId 0 to 2^20 - 1, or {@link #NO_SUBSTREAM}
     * @param address input address of the access
     * @param access bits of {@link Access}
     * @return bits of {@link Translation}
     */
    long translate(int streamId, int substreamId, long address, int access);

    /** A stream's configuration in a unit, for a port to keep and to ask first, as long as it is current. */
    interface Stream {
        /** Whether nothing has invalidated it. */
        boolean isCurrent();

        /**
         * What the unit has cached for an access, and nothing when no longer current.
         *
         * @param access bits of {@link Access}
         * @return as {@link Translator#translate}; or 0, which is none, for who has to ask that
         */
        long lookUp(long address, int access);
    }

    /**
     * The configuration of a stream, if the unit has it at hand and need not see every access; else null.
     *
     * @param streamId as in {@link #translate}
     * @param substreamId as in {@link #translate}
     */
    default Stream stream(int streamId, int substreamId) {
        return null;
    }

    /**
     * What the unit invalidates, for ports to keep what they cache true; null if it does not tell, and they must not cache.
     */
    default Invalidations invalidations() {
        return null;
    }

    /**
     * Asks what has become of an access that stalled. Whoever makes accesses asks until there is an answer: the unit keeps
     * the access until then.
     *
     * @param stalled what {@link #translate} returned, or this
     * @return as {@link #translate}: {@link Translation#isStalled stalled} still, or again
     */
    default long resume(long stalled, int streamId, int substreamId, long address, int access) {
        return translate(streamId, substreamId, address, access);
    }

    /**
     * Waits until an access that stalled may have been answered, or a moment. The caller holds no lock of the unit.
     *
     * @param stalled what {@link #translate} or {@link #resume} returned
     * @throws InterruptedException if the thread is interrupted
     */
    default void awaitResumption(long stalled) throws InterruptedException {
        Thread.sleep(1);
    }
}
