/* Answers with a number that is no error. */
#include "misbehaving.h"

static int add_device(void *driver, const struct iommu_emu_master *master)
{
    (void)driver;
    (void)master;
    return 4711;
}

EXPORT_WITH(smmuv3_stub, "errno", copy.add_device = add_device)
