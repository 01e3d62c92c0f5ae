/* Drivers that do one thing wrong, to see what the emulator makes of it. Everything else they leave to a stub that works. */
#ifndef MISBEHAVING_H
#define MISBEHAVING_H

#include "stubs.h"

static const struct iommu_emu_host *host;

/* Exports a copy of a driver with changes: assignments to members of `copy`. Its open keeps `host`. */
#define EXPORT_WITH(base, title, changes)                                                                              \
    static int open_driver(const struct iommu_emu_host *its, void **driver)                                            \
    {                                                                                                                  \
        host = its;                                                                                                    \
        return (base).open(its, driver);                                                                               \
    }                                                                                                                  \
    const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)                                              \
    {                                                                                                                  \
        static struct iommu_emu_driver copy;                                                                           \
        copy = (base);                                                                                                 \
        copy.name = (title);                                                                                           \
        copy.open = open_driver;                                                                                       \
        changes;                                                                                                       \
        return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &copy : NULL;                                                \
    }

#endif
