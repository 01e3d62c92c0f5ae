/* Never returns from attaching a device: it waits for a word of RAM that nobody ever writes (and burns no processor). */
#include <poll.h>
#include <stddef.h>

#include "misbehaving.h"

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    uint64_t physical;
    int rc = smmuv3_stub.attach(driver, domain, master);
    if (rc != 0 || host->alloc(host->context, 4096, &physical) != 0)
        return rc;
    volatile uint32_t *word = iommu_emu_ram_at(host, physical, 4);
    while (*word == 0)
        poll(NULL, 0, 10);
    return 0;
}

EXPORT_WITH(smmuv3_stub, "hang", copy.attach = attach)
