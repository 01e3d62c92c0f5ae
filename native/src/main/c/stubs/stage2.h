/*
 * A stage 2 table of VMSAv8-64 (Arm ARM, D8.2 and D8.3): 4 KiB granule, input addresses of 39 bits, so that a walk starts at
 * level 1 with one table. Pages only, no blocks. One thread.
 */
#ifndef STAGE2_H
#define STAGE2_H

#include "iommu_emu.h"

#define STAGE2_INPUT_BITS 39
#define STAGE2_START_LEVEL 1

struct stage2 {
    const struct iommu_emu_host *host;
    uint64_t root; /* physical address of the level 1 table */
};

/* An empty table. 0 or -ENOMEM. */
int stage2_init(struct stage2 *table, const struct iommu_emu_host *host);

/* Maps whole pages. -EINVAL if something is misaligned or too wide, -EBUSY if a page is mapped already, -ENOMEM. */
int stage2_map(struct stage2 *table, uint64_t input, uint64_t output, uint64_t size, uint64_t protection);

/* Unmaps whole pages that are mapped; -EINVAL if one is not. The caller invalidates TLBs. */
int stage2_unmap(struct stage2 *table, uint64_t input, uint64_t size);

/* The output address of an input address; -EFAULT if it is not mapped. */
int stage2_resolve(struct stage2 *table, uint64_t input, uint64_t *output);

/* Frees all tables. */
void stage2_free(struct stage2 *table);

#endif
