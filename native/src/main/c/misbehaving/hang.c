/* Never returns from attaching a device. */
#include "misbehaving.h"

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    static volatile int never;
    int rc = smmuv3_stub.attach(driver, domain, master);
    while (!never)
        ;
    return rc;
}

EXPORT_WITH(smmuv3_stub, "hang", attach, attach)
