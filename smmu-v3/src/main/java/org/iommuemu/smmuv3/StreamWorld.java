package org.iommuemu.smmuv3;

/** The translation regime of a stream's stage 1, by STE.STRW and SMMU_CR2.E2H (IHI 0070, 3.3.4). */
enum StreamWorld {
    /** EL1 and EL0: ASIDs, VMIDs, two address ranges. */
    NS_EL1,
    /** EL2 without E2H: one address range, one privilege level, no ASIDs, no VMIDs. */
    NS_EL2,
    /** EL2 with E2H: as EL1, without VMIDs. */
    NS_EL2_E2H
}
