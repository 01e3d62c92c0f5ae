package org.iommuemu.smmuv3;

/**
 * An architected event that a performance monitor counts; the ordinal is its number (IHI 0070, 10.3). Terminated
 * transactions are counted with the others, ATOS requests and prefetches are not.
 */
public enum MonitorEvent {
    /** A period of the monitor's clock. The only one that no StreamID filters. */
    CLOCK_CYCLE,
    /**
     * A request to the unit: a transaction that its port's micro-TLB could not answer, or an ATS Translation Request. The
     * unit is the component that ports ask; what they answer themselves it does not see.
     */
    TRANSACTION,
    /** A request that the TLB could not answer. */
    TLB_MISS,
    /** A request whose configuration was not cached. */
    CONFIGURATION_CACHE_MISS,
    /** A descriptor that a walk read. */
    TRANSLATION_TABLE_ACCESS,
    /** A Stream table descriptor, STE or CD that was read. */
    CONFIGURATION_STRUCTURE_ACCESS,
    /** An ATS Translation Request, whatever came of it. */
    ATS_TRANSLATION_REQUEST,
    /** An ATS Translated transaction, whatever came of it. */
    ATS_TRANSLATED_TRANSACTION
}
