/* The symbol that the emulator looks for. Which driver it is the build says: -DDRIVER=smmuv3_stub. */
#include "stubs.h"

const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)
{
    return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &DRIVER : NULL;
}
