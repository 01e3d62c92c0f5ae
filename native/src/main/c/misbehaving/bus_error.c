/* Reads a register where there is none. */
#include "misbehaving.h"

static const struct iommu_emu_host *host;

static int open_driver(const struct iommu_emu_host *its, void **driver)
{
    host = its;
    return smmuv3_stub.open(its, driver);
}

static int probe(void *driver, uint32_t unit)
{
    (void)driver;
    (void)unit;
    return iommu_emu_read32(host, 0xfffffff0000u) == UINT32_MAX ? 0 : -IOMMU_EMU_EIO;
}

const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)
{
    static struct iommu_emu_driver copy;
    copy = smmuv3_stub;
    copy.name = "bus_error";
    copy.open = open_driver;
    copy.probe = probe;
    return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &copy : NULL;
}
