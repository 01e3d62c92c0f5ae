/* What the stubs share: one line for the log, one fault, and the drivers that the misbehaving ones are made of. */
#ifndef STUBS_H
#define STUBS_H

#include <stdarg.h>
#include <stdio.h>

#include "iommu_emu.h"

extern const struct iommu_emu_driver smmuv3_stub;
extern const struct iommu_emu_driver ipmmu_stub;

__attribute__((format(printf, 3, 4))) static inline void stub_log(const struct iommu_emu_host *host,
                                                                  enum iommu_emu_log_level level, const char *format, ...)
{
    char line[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    host->log(host->context, level, line);
}

static inline const char *stub_path(const struct iommu_emu_host *host, uint32_t node)
{
    return host->board->devices[node].path;
}

static inline void stub_fault(const struct iommu_emu_host *host, uint32_t node, const char *name, uint64_t stream,
                              uint64_t address, const char *details)
{
    struct iommu_emu_fault fault = {
        .name = name, .details = details, .address = address, .stream_id = stream, .iommu = node};
    host->fault(host->context, &fault);
}

#endif
