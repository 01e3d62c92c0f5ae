package org.iommuemu.smmuv3;

/**
 * A feature that one bit of an identification register tells (IHI 0070, 6.3.1 to 6.3.6); named as there. Features with
 * more than two values are methods of {@link SmmuFeatures.Builder}.
 */
public enum SmmuFeature {
    /** Stage 2 translation. */
    S2P(0, 0, 0),
    /** Stage 1 translation. */
    S1P(0, 1, 0),
    /** TTF[0]: VMSAv8-32 LPAE tables. */
    VMSAV8_32(0, 2, 0),
    /** TTF[1]: VMSAv8-64 tables. */
    VMSAV8_64(0, 3, 0),
    /** Accesses to tables, structures and queues are coherent. The model's always are; this is what it tells. */
    COHACC(0, 4, 0),
    /** Broadcast TLB maintenance by PEs. */
    BTM(0, 5, 0),
    /** The dormant hint in SMMU_STATUSR. */
    DORMHINT(0, 8, 0),
    /** EL2 contexts: StreamWorlds NS-EL2 and NS-EL2-E2H. */
    HYP(0, 9, 0),
    /** PCIe ATS. */
    ATS(0, 10, 0),
    /** Split-stage ATS (STE.EATS == 0b10) is <em>not</em> supported. */
    NS1ATS(0, 11, 0),
    /** ASIDs of 16 bits instead of 8. */
    ASID16(0, 12, 0),
    /** Message-signalled interrupts. */
    MSI(0, 13, 0),
    /** CMD_SYNC can wake PEs that wait for an event. */
    SEV(0, 14, 0),
    /** Address translation by register (SMMU_GATOS_*). */
    ATOS(0, 15, 0),
    /** PCIe page requests. */
    PRI(0, 16, 0),
    /** Wildcards for VMIDs in TLB invalidation (SMMU_CR0.VMW). */
    VMW(0, 17, 0),
    /** VMIDs of 16 bits instead of 8. */
    VMID16(0, 18, 0),
    /** Two-level context descriptor tables. */
    CD2L(0, 19, 0),
    /** The page for virtual machines to translate addresses by register (SMMU_VATOS_*). */
    VATOS(0, 20, 0),
    /** Configuration errors of ATS and PRI requests can be recorded (SMMU_CR2.REC_CFG_ATS). */
    ATSRECERR(0, 23, 3),
    /** Terminated accesses always abort, so CD.A == 0 is ILLEGAL. */
    TERM_MODEL(0, 26, 0),
    /** Two-level Stream tables. */
    ST_LEVEL(0, 27, 0),
    /** STEs and SMMU_GBPA override privilege and instruction of what comes in. */
    ATTR_PERMS_OVR(1, 26, 0),
    /** STEs and SMMU_GBPA override memory type, shareability and hints of what comes in. */
    ATTR_TYPES_OVR(1, 27, 0),
    /** Enhanced Command queues. */
    ECMDQ(1, 31, 3),
    /** Hierarchical attributes can be disabled (CD.HAD0, HAD1). */
    HAD(3, 2, 1),
    /** Stage 2 tells privileged and unprivileged execution apart. */
    XNX(3, 4, 1),
    /** The PASID of a page request is used in an automatic response, whatever STE.PPAR says. */
    PPS(3, 5, 0),
    /** Memory partitioning: partition IDs in structures and registers. They leave no trace in the model's accesses. */
    MPAM(3, 7, 2),
    /** Stage 2 decides memory types alone (STE.S2FWB). */
    FWB(3, 8, 2),
    /** Small translation tables: larger TxSZ. */
    STT(3, 9, 2),
    /** TLB invalidation by range, and level hints. */
    RIL(3, 10, 2),
    /** Unprivileged accesses to half of the address space can be prevented (CD.E0PD0, E0PD1). */
    E0PD(3, 13, 3),
    /** STE.S2PTW == 0 takes stage 1 tables in Device memory for Non-cacheable. */
    PTWNNC(3, 14, 3),
    /** ATS Translated transactions may have a PASID. */
    PASIDTT(3, 16, 4),
    /** 4 KiB granules. */
    GRAN4K(5, 4, 0),
    /** 16 KiB granules. */
    GRAN16K(5, 5, 0),
    /** 64 KiB granules. */
    GRAN64K(5, 6, 0),
    /** 52-bit addresses with 4 and 16 KiB granules. */
    DS(5, 7, 4);

    final int register;
    final int bit;
    /** The {@code x} of the SMMUv3.x that brought it: SMMUv3.(x-1) may have it, too (2.9). */
    final int since;

    SmmuFeature(int register, int bit, int since) {
        this.register = register;
        this.bit = bit;
        this.since = since;
    }
}
