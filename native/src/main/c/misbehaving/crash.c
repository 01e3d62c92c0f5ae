/* Stores through a null pointer when a device is attached. */
#include "misbehaving.h"

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    volatile uint32_t *volatile nowhere = NULL;
    int rc = smmuv3_stub.attach(driver, domain, master);
    *nowhere = 1;
    return rc;
}

EXPORT_WITH(smmuv3_stub, "crash", copy.attach = attach)
