package org.iommuemu.smmuv3;

/**
 * What commands ask of the endpoints behind the SMMU (IHI 0070, 4.5). Called under the registers' monitor, by commands
 * that are legal and while SMMUEN == 1.
 */
interface Endpoints {
    /** An Invalidate Request that was sent. */
    interface Invalidation {
        /** How far it has come. */
        enum State {
            /** The endpoint has not answered yet. */
            PENDING,
            /** The endpoint has completed it, or refused it (3.9.1.5). */
            COMPLETE,
            /** The endpoint did not answer in time (3.9.1.4). */
            TIMED_OUT
        }

        /** When it changes, {@link CommandQueue#consume} goes on. */
        State state();
    }

    /**
     * Sends an Invalidate Request to a stream's endpoint.
     *
     * @param substreamId or {@link org.iommuemu.mmio.Translator#NO_SUBSTREAM}
     * @param global whether entries of all SubstreamIDs are meant
     * @param address the first one, aligned
     * @param log2Size of the range in bytes, 12 to 64
     */
    Invalidation invalidate(int streamId, int substreamId, boolean global, long address, int log2Size);

    /**
     * Sends a PRG Response to a stream's endpoint.
     *
     * @param substreamId or {@link org.iommuemu.mmio.Translator#NO_SUBSTREAM}
     * @param response 0 ResponseFailure, 1 InvalidRequest, 2 Success
     */
    void respond(int streamId, int substreamId, int prgIndex, int response);
}
