/* Never returns from attaching a device: it waits for a word of RAM that nobody ever writes (and burns no processor). */
#include <poll.h>
#include <stddef.h>

#include "misbehaving.h"

static const struct iommu_emu_host *host;

static int open_driver(const struct iommu_emu_host *its, void **driver)
{
    host = its;
    return smmuv3_stub.open(its, driver);
}

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

const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)
{
    static struct iommu_emu_driver copy;
    copy = smmuv3_stub;
    copy.name = "hang";
    copy.open = open_driver;
    copy.attach = attach;
    return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &copy : NULL;
}
