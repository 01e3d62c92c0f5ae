/* Drivers that do one thing wrong, to see what the emulator makes of it. Everything else they leave to a stub that works. */
#ifndef MISBEHAVING_H
#define MISBEHAVING_H

#include "stubs.h"

/* Exports a copy of a driver in which one operation is another. */
#define EXPORT_WITH(base, title, operation, function)                                                                  \
    const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)                                              \
    {                                                                                                                  \
        static struct iommu_emu_driver copy;                                                                           \
        copy = (base);                                                                                                 \
        copy.name = (title);                                                                                           \
        copy.operation = (function);                                                                                   \
        return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &copy : NULL;                                                \
    }

#endif
