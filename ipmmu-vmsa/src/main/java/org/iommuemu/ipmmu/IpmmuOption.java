package org.iommuemu.ipmmu;

/**
 * What nobody outside Renesas knows, one constant for each way in which silicon may differ from what the model does
 * unless it is told. Switch them on with {@link IpmmuVariant#with}. The number is that of the open question, and
 * docs/ipmmu-vmsa.md has the evidence for each.
 */
public enum IpmmuOption {
    /**
     * Registers start as power-on leaves them: all 0 but IMSCTLR.USE_SECGRP, which is known to be undefined then and is 1.
     * Otherwise they start as boot firmware hands them over: root IMSCTLR = 0xc0000000, and on Gen3 IMSAUXCTLR =
     * 0x01000000 and IMSCTLR = 0xe0000000 in caches with a defect ({@link IpmmuVariant#firmwareDisablesTlb}).
     */
    COLD_RESET(1),
    /** IMSTR is plain storage that software may set bits of. Otherwise writing 0 clears and writing 1 does nothing. */
    STATUS_READ_WRITE(2),
    /** A fault overwrites the record of one that software has not cleared. Otherwise the first is kept. */
    LAST_FAULT_KEPT(3),
    /** SL0 = 2 with stage 2 tables is the level 0 start of VTCR_EL2, which 40 bits cannot have. Otherwise it is level 1. */
    STRICT_SL0(4),
    /** IMTTBCR.PMB selects stage 2 tables also where IMSAUXCTLR.S2PTE is 0. Otherwise both must be set. */
    PMB_ALONE(5),
    /** IMSAUXCTLR.S2PTE selects stage 2 tables also where IMTTBCR.PMB is 0. Otherwise both must be set. */
    S2PTE_ALONE(5),
    /** An enabled micro-TLB whose context is disabled in cache or root aborts. Otherwise it passes untranslated. */
    STRICT_CONTEXTS(6),
    /** IMUCTR.FIXADD also replaces bits 39:32 of translated addresses. Otherwise only of those that pass untranslated. */
    FIXADD_ALWAYS(7),
    /** What selects the physical memory buffer (TTSEL 8 on Gen2 and Gen3) passes untranslated. Otherwise it aborts. */
    PMB_PASSES(8),
    /** IMCTR.AFE has no effect. Otherwise a descriptor with AF = 0 is a permission fault while it is set. */
    AFE_IGNORED(9),
    /** IMSTR.ERRLVL is the level of the failing step. Otherwise that less one. */
    ERRLVL_IS_LEVEL(10),
    /**
     * NS bits are checked before bit 0 of a descriptor: an empty entry of a stage 1 table is a security fault (PF, ERRCODE
     * 5). Otherwise it is a translation fault. Bits 5 and 63 of invalid descriptors are taken to be 0, as drivers clear
     * whole descriptors.
     */
    NON_SECURE_FIRST(11),
    /** Caches show the root's IMSTR, IMELAR and IMEUAR, read-only. Otherwise these read as zero there. */
    CACHE_STATUS(12),
    /** A fault interrupts only if INTEN is set in the cache that it came through, too. Otherwise the root's counts. */
    CACHE_INTEN_GATES(13),
    /** A fault sets the root's own bit of IMSSTR as well, where it is known ({@link Soc#imsstrRootBit}). */
    IMSSTR_ROOT_BIT(14),
    /** Gen4 roots have an IMSSTR, at 0x1540 as on Gen3 beside IMSCTLR. Otherwise that offset reads as zero. */
    GEN4_IMSSTR(15),
    /** A fault gives the master zeros and drops its writes without an error. Otherwise the master sees an error. */
    SILENT_FAULTS(16),
    /**
     * An address that had no translation has none until its context is flushed in the root, whatever the tables say by
     * then. Otherwise what is invalid is cached nowhere.
     */
    KEPT_FAULTS(17),
    /** TTBR1 is not used with VA64. Otherwise it translates the top 2^(64 - TSZ1) of the 40-bit addresses. */
    NO_TTBR1(20),
    /** An address beyond 40 bits in a descriptor is a translation fault. Otherwise bits from 40 on are ignored. */
    HIGH_ADDRESS_FAULTS(21),
    /** A Gen2 unit has one context. Otherwise four. */
    ONE_CONTEXT(22),
    /**
     * Units have a secure bank ({@link Ipmmu#secureRegisters}) that translates secure masters and has the second
     * interrupt. Otherwise secure masters share the non-secure bank, and may use descriptors with NS = 0.
     */
    SECURE_BANK(22),
    /** While IMSCTLR.USE_SECGRP is set accesses pass untranslated. Otherwise they abort, without a record. */
    SECURITY_GROUPS_PASS(23),
    /** Accesses that are not of 32 bits read as zero and write nothing. Otherwise they are bus errors. */
    ODD_ACCESSES_IGNORED(24),
    /** Registers of a unit without power answer with bus errors. Otherwise they read as zero and ignore writes. */
    OFF_IS_BUS_ERROR(25),
    /** Registers and TLBs survive while a unit has no power. Otherwise they are lost. */
    RETENTION(25),
    /** IMELAR gives the page of the faulting address. Otherwise the byte. */
    PAGE_OF_FAULT(26),
    /** Writes to IMCTR are ignored while FLUSH is busy. Otherwise they are taken, and the flush goes on. */
    LOCKED_WHILE_FLUSHING(27);

    private final int question;

    IpmmuOption(int question) {
        this.question = question;
    }

    /** The number of the open question in docs/ipmmu-vmsa.md. */
    public int question() {
        return question;
    }
}
