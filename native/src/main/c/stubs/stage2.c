#include "stage2.h"

#define PAGE 4096u
#define ENTRIES 512u
#define ADDRESS_MASK 0x0000fffffffff000u

/* Bits of a descriptor: VALID, TABLE (a page at level 3), MemAttr Normal write-back, S2AP, SH inner, AF. */
#define VALID 1u
#define TABLE 2u
#define MEMATTR_NORMAL (0xfu << 2)
#define S2AP_READ (1u << 6)
#define S2AP_WRITE (1u << 7)
#define SH_INNER (3u << 8)
#define AF (1u << 10)

/* NULL where a descriptor leads to no RAM, which is when somebody else has written it. */
static uint64_t *table_at(const struct stage2 *table, uint64_t physical)
{
    return iommu_emu_ram_at(table->host, physical & ADDRESS_MASK, PAGE);
}

static unsigned index_at(uint64_t input, int level)
{
    return input >> (39 - 9 * level) & (ENTRIES - 1);
}

/* The unit may walk at any time: a descriptor changes by one store, after everything that it leads to. */
static void store(uint64_t *entry, uint64_t descriptor)
{
    __atomic_store_n(entry, descriptor, __ATOMIC_RELEASE);
}

/* The level 3 entry of an input address; NULL if there is none and none was asked for, or there is no RAM for it. */
static uint64_t *entry_of(struct stage2 *table, uint64_t input, int make)
{
    uint64_t *entries = table_at(table, table->root);
    for (int level = STAGE2_START_LEVEL; level < 3 && entries != NULL; level++) {
        uint64_t *entry = &entries[index_at(input, level)];
        if (!(*entry & VALID)) {
            uint64_t next;
            if (!make || table->host->alloc(table->host->context, PAGE, &next) != 0)
                return NULL;
            store(entry, next | TABLE | VALID);
        }
        entries = table_at(table, *entry);
    }
    return entries == NULL ? NULL : &entries[index_at(input, 3)];
}

static int refused(uint64_t input, uint64_t size)
{
    return (input | size) % PAGE != 0 || input >> STAGE2_INPUT_BITS != 0 || size > (1ull << STAGE2_INPUT_BITS) - input;
}

int stage2_init(struct stage2 *table, const struct iommu_emu_host *host)
{
    table->host = host;
    return host->alloc(host->context, PAGE, &table->root);
}

int stage2_map(struct stage2 *table, uint64_t input, uint64_t output, uint64_t size, uint64_t protection)
{
    uint64_t attributes = MEMATTR_NORMAL | SH_INNER | AF | TABLE | VALID;
    if (refused(input, size) || (output & ~ADDRESS_MASK) != 0)
        return -IOMMU_EMU_EINVAL;
    if (protection & IOMMU_EMU_READ)
        attributes |= S2AP_READ;
    if (protection & IOMMU_EMU_WRITE)
        attributes |= S2AP_WRITE;
    for (uint64_t done = 0; done < size; done += PAGE) {
        uint64_t *entry = entry_of(table, input + done, 1);
        int rc = entry == NULL ? -IOMMU_EMU_ENOMEM : *entry & VALID ? -IOMMU_EMU_EBUSY : 0;
        if (rc != 0) {
            stage2_unmap(table, input, done); /* All or nothing. */
            return rc;
        }
        store(entry, (output + done) | attributes);
    }
    return 0;
}

int stage2_unmap(struct stage2 *table, uint64_t input, uint64_t size)
{
    if (refused(input, size))
        return -IOMMU_EMU_EINVAL;
    for (uint64_t done = 0; done < size; done += PAGE) {
        uint64_t *entry = entry_of(table, input + done, 0);
        if (entry == NULL || !(*entry & VALID))
            return -IOMMU_EMU_EINVAL;
        store(entry, 0);
    }
    return 0;
}

int stage2_resolve(struct stage2 *table, uint64_t input, uint64_t *output)
{
    uint64_t *entry = input >> STAGE2_INPUT_BITS != 0 ? NULL : entry_of(table, input, 0);
    if (entry == NULL || !(*entry & VALID))
        return -IOMMU_EMU_EFAULT;
    *output = (*entry & ADDRESS_MASK) | (input & (PAGE - 1));
    return 0;
}

static void free_level(struct stage2 *table, uint64_t physical, int level)
{
    if (level < 3) {
        uint64_t *entries = table_at(table, physical);
        for (unsigned i = 0; i < ENTRIES && entries != NULL; i++)
            if (entries[i] & VALID)
                free_level(table, entries[i] & ADDRESS_MASK, level + 1);
    }
    table->host->free(table->host->context, physical, PAGE);
}

void stage2_free(struct stage2 *table)
{
    free_level(table, table->root, STAGE2_START_LEVEL);
}
