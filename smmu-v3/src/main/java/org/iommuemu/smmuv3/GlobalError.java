package org.iommuemu.smmuv3;

/** Global errors: their bits in SMMU_GERROR and SMMU_GERRORN (IHI 0070, 6.3.19). */
enum GlobalError {
    CMDQ_ERR(0),
    EVENTQ_ABT_ERR(2),
    PRIQ_ABT_ERR(3),
    MSI_CMDQ_ABT_ERR(4),
    MSI_EVENTQ_ABT_ERR(5),
    MSI_PRIQ_ABT_ERR(6),
    MSI_GERROR_ABT_ERR(7),
    CMDQP_ERR(9);

    private final int bit;

    GlobalError(int bit) {
        this.bit = bit;
    }

    long mask() {
        return 1L << bit;
    }
}
