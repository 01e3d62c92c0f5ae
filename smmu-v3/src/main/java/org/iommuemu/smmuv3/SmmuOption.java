package org.iommuemu.smmuv3;

/**
 * A choice that the architecture leaves to the implementation (IMPLEMENTATION DEFINED or CONSTRAINED UNPREDICTABLE). All
 * are off unless {@link SmmuFeatures.Builder#with(SmmuOption...)} names them; software that is right works with each.
 */
public enum SmmuOption {
    /** Offsets 0xa8 to 0xcc of page 0 are the queue registers of page 1; otherwise RAZ/WI (6.2). */
    PAGE_0_ALIASES_PAGE_1,
    /** SMMU_GBPA.ABORT is 1 after reset: nothing passes until software says so (6.3.14). */
    ABORTS_AFTER_RESET,
    /** A write to SMMU_GERRORN that acknowledges what is not active is ignored; otherwise it activates the error (6.3.20). */
    IGNORES_FALSE_ACKNOWLEDGEMENT,
    /**
     * SMMUv3.0 and 3.1: a write to a base register while it is in use is stored and takes effect; otherwise it is ignored,
     * as SMMUv3.2 requires (6.3.24 to 6.3.33).
     */
    STORES_GUARDED_WRITES,
    /** Equal events that software has not consumed share a record, where STE.MEV permits it (3.5.5, 7.3.1). */
    MERGES_EVENTS,
    /** Stalled accesses are tried again whenever their master asks, before software has answered (3.12.2.2). */
    EARLY_RETRY,
    /**
     * An access that stalls like one that software has been told of has no event of its own, and is tried again when
     * software has answered that one (3.12.2.1).
     */
    SUPPRESSES_DUPLICATE_STALLS,
    /**
     * SMMUv3.0: CD.TxSZ and STE.S2TxSZ that are out of range behave as the nearest that is not; otherwise they are ILLEGAL,
     * as SMMUv3.1 requires (5.2, 5.4).
     */
    CLAMPS_TXSZ,
    /**
     * SMMUv3.0: STE.EATS == 0b01 with S2S == 1 is ILLEGAL without stage 2, too; otherwise, as SMMUv3.1 requires, only with
     * it (5.2).
     */
    EATS_CHECKS_S2S_ALWAYS,
    /**
     * With stage 2, STE.S1ContextPtr and L1CD.L2Ptr beyond the IPA size are stage 2 Translation faults; otherwise
     * C_BAD_STE and C_BAD_SUBSTREAMID (3.4.3).
     */
    STAGE_2_CHECKS_CONTEXT_POINTERS,
    /**
     * A walk that finds a block or page of another size than what is cached for a part of it is F_TLB_CONFLICT, until
     * software invalidates: it has changed a table without break-before-make. Otherwise both are used (3.17, 7.3.17). Every
     * miss costs a search of the TLB.
     */
    DETECTS_TLB_CONFLICTS,
    /**
     * An STE that differs from a cached one, where STE.CONT of either says that all of a range are identical, is
     * F_CFG_CONFLICT, until software invalidates; otherwise STE.CONT means nothing (5.2, 7.3.18). Every fetch costs a search
     * of the configuration cache.
     */
    DETECTS_CONFIGURATION_CONFLICTS
}
