/*
 * In place of Xen's header of this name, which is Arm instructions: where Xen's own addresses are in RAM. There are no caches
 * to maintain and Xen's own tables are not walked.
 */
#ifndef XEN_SHADOW_ARM64_PAGE_H
#define XEN_SHADOW_ARM64_PAGE_H

#define __invalidate_dcache_one(R) ""
#define __clean_dcache_one(R) ""
#define __clean_and_invalidate_dcache_one(R) ""

static inline void write_pte(lpae_t *entry, lpae_t value)
{
    __atomic_store_n(&entry->bits, value.bits, __ATOMIC_SEQ_CST);
}

/* The physical address as PAR_EL1 has it. */
uint64_t __va_to_par(vaddr_t va);

/* No guest runs here. */
uint64_t gva_to_ma_par(vaddr_t va, unsigned int flags);
uint64_t gva_to_ipa_par(vaddr_t va, unsigned int flags);

#endif
