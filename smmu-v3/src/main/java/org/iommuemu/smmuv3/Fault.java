package org.iommuemu.smmuv3;

/**
 * Why an access is not translated, and what becomes of it (IHI 0070, 3.12 and 5.5). Also what a StreamID or SubstreamID
 * without a configuration has instead of one; that is never cached (5.2.1, 5.4.1).
 *
 * @param event what would be recorded; null for silence
 * @param recorded whether it is; a stall always is
 * @param mergeable STE.MEV: it may be merged with others like it (7.3.1)
 */
record Fault(Event event, boolean recorded, boolean mergeable, Response response) implements Configuration {
    /** What the client device sees. */
    enum Response {
        /** An abort. */
        ABORT,
        /** Success; reads give zeros, writes are dropped. */
        RAZ_WI,
        /** Nothing until software resumes or terminates the access. */
        STALL
    }

    /** Aborts, and nobody is told. */
    static final Fault SILENT = new Fault(null, false, false, Response.ABORT);

    /** A configuration error, or any other fault that CD.{A, R, S} and STE.{S2R, S2S} have no say in. */
    static Fault terminated(Event event, boolean mergeable) {
        return new Fault(event, true, mergeable, Response.ABORT);
    }

    /**
     * What becomes of Translation-related faults (5.5).
     *
     * @param recordStage1 CD.R
     * @param abortStage1 CD.A: abort, otherwise RAZ/WI
     * @param stallStage1 CD.S
     * @param recordStage2 STE.S2R
     * @param stallStage2 STE.S2S
     * @param mergeable STE.MEV
     */
    record Model(
            boolean recordStage1,
            boolean abortStage1,
            boolean stallStage1,
            boolean recordStage2,
            boolean stallStage2,
            boolean mergeable) {

        Fault stage1(Event event) {
            Response terminated = abortStage1 ? Response.ABORT : Response.RAZ_WI;
            return new Fault(event, recordStage1 || stallStage1, mergeable, stallStage1 ? Response.STALL : terminated);
        }

        Fault stage2(Event event) {
            return new Fault(
                    event, recordStage2 || stallStage2, mergeable, stallStage2 ? Response.STALL : Response.ABORT);
        }

        /** An external abort, or a fault of a stage that bypasses: neither stalled nor suppressed (7.3.12, 3.4). */
        Fault other(Event event) {
            return terminated(event, mergeable);
        }
    }
}
