package org.iommuemu.smmuv3;

/** Global errors: their bits in SMMU_GERROR and SMMU_GERRORN (IHI 0070, 6.3.18). */
enum GlobalError {
    CMDQ_ERR(0),
    EVENTQ_ABT_ERR(2),
    MSI_CMDQ_ABT_ERR(4),
    MSI_EVENTQ_ABT_ERR(5),
    MSI_GERROR_ABT_ERR(7);

    private final int bit;

    GlobalError(int bit) {
        this.bit = bit;
    }

    long mask() {
        return 1L << bit;
    }
}
