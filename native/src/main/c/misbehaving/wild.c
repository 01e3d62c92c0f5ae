/*
 * Attaches a device, then writes all over the RAM that its structures are in, as a driver with a stray pointer does: the
 * unit finds garbage where its tables and queues were.
 */
#include "misbehaving.h"

#define AROUND 0x400000u /* 4 MiB, in both directions */

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    uint64_t physical;
    int rc = smmuv3_stub.attach(driver, domain, master);
    if (rc != 0 || host->alloc(host->context, 4096, &physical) != 0)
        return rc;
    uint64_t seed = 0x9e3779b97f4a7c15u;
    for (uint64_t at = physical - AROUND; at < physical + AROUND; at += 8) {
        uint64_t *word = iommu_emu_ram_at(host, at, 8);
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (word != NULL)
            *word = seed;
    }
    return 0;
}

EXPORT_WITH(smmuv3_stub, "wild", copy.attach = attach)
