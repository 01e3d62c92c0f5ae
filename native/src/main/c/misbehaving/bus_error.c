/* Reads a register where there is none. */
#include "misbehaving.h"

static int probe(void *driver, uint32_t unit)
{
    (void)driver;
    (void)unit;
    return iommu_emu_read32(host, 0xfffffff0000u) == UINT32_MAX ? 0 : -IOMMU_EMU_EIO;
}

EXPORT_WITH(smmuv3_stub, "bus_error", copy.probe = probe)
