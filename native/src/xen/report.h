/* The console of Xen goes to the log; what a driver's interrupt handler prints of a fault is reported as one. */
#ifndef REPORT_H
#define REPORT_H

#include "iommu_emu.h"

/* Nothing was said yet. */
void report_start(void);

/* A line; `level` as in machine.h. */
void report(const struct iommu_emu_host *host, unsigned int level, const char *text);

#endif
