/*
 * A driver for Renesas' IPMMU-VMSA of R-Car Gen3, as short as one can be. It makes no tables: the root walks the host's
 * stage 2 tables, as Xen's driver shares the P2M. The caches wait for the root, which may stand behind them in the tree.
 * Offsets and order are those of the public drivers.
 */
#include <stdlib.h>
#include <string.h>

#include "stubs.h"

#define CONTEXTS 8u
#define UTLBS 48u
#define MAX_CACHES 32u
#define INPUT_BITS 40u
#define TIMEOUT 100u /* looks, 1 us each */

/* Registers of a context, 0x40 apart; IMUCTR of a micro-TLB. */
#define IMCTR 0x00
#define IMTTBCR 0x08
#define IMTTLBR0 0x10
#define IMTTUBR0 0x14
#define IMSTR 0x20
#define IMELAR 0x30
#define IMEUAR 0x34
#define IMSCTLR 0x500
#define IMSAUXCTLR 0x504

#define IMCTR_MMUEN 1u
#define IMCTR_FLUSH 2u
#define IMCTR_INTEN 4u
#define IMCTR_VA64 (1u << 29)
#define IMCTR_COMMON 7u /* what a cache has of it */
#define IMTTBCR_EAE (1u << 31)
#define IMTTBCR_PMB (1u << 30)
#define IMTTBCR_SL0_LEVEL_1 (1u << 6)
#define IMSTR_FAULTS 0x17u /* MHIT, ABORT, PF, TF */
#define IMUCTR_MMUEN 1u
#define IMSCTLR_USE_SECGRP (1u << 28)
#define IMSAUXCTLR_S2PTE (1u << 3)

struct cache {
    uint32_t node;
    uint64_t base;
};

struct ipmmu {
    const struct iommu_emu_host *host;
    struct cache root; /* base 0: not up yet */
    uint32_t irq;
    struct cache cache[MAX_CACHES];
    unsigned caches;
    struct iommu_emu_domain *owner[CONTEXTS]; /* context 0 is left to secure firmware */
};

static uint32_t read32(const struct ipmmu *mmu, const struct cache *unit, uint32_t reg)
{
    return iommu_emu_read32(mmu->host, unit->base + reg);
}

static void write32(const struct ipmmu *mmu, const struct cache *unit, uint32_t reg, uint32_t value)
{
    iommu_emu_write32(mmu->host, unit->base + reg, value);
}

static uint32_t context(unsigned number, uint32_t reg)
{
    return number * 0x40 + reg;
}

static uint32_t imuctr(uint32_t utlb)
{
    return utlb < 32 ? 0x300 + 0x10 * utlb : 0x600 + 0x10 * (utlb - 32);
}

static int open_driver(const struct iommu_emu_host *host, void **driver)
{
    struct ipmmu *mmu = calloc(1, sizeof *mmu);
    if (mmu == NULL)
        return -IOMMU_EMU_ENOMEM;
    mmu->host = host;
    *driver = mmu;
    return 0;
}

static void close_driver(void *driver)
{
    free(driver);
}

static int is_cache(const struct iommu_emu_device *node)
{
    for (uint32_t i = 0; i < node->property_count; i++)
        if (strcmp(node->properties[i].name, "renesas,ipmmu-main") == 0)
            return 1;
    return 0;
}

static int probe_root(struct ipmmu *mmu, const struct cache *unit, const struct iommu_emu_device *node)
{
    if (mmu->root.base != 0)
        return -IOMMU_EMU_ENODEV;
    if (node->interrupt_count == 0)
        return -IOMMU_EMU_ENXIO;
    mmu->irq = node->interrupts[0].number;
    int rc = mmu->host->request_irq(mmu->host->context, mmu->irq);
    if (rc != 0)
        return rc;
    for (unsigned n = 0; n < CONTEXTS; n++)
        write32(mmu, unit, context(n, IMCTR), 0);
    write32(mmu, unit, IMSAUXCTLR, read32(mmu, unit, IMSAUXCTLR) | IMSAUXCTLR_S2PTE);
    mmu->host->limit_input(mmu->host->context, INPUT_BITS);
    mmu->root = *unit;
    return 0;
}

static int probe(void *driver, uint32_t number)
{
    struct ipmmu *mmu = driver;
    const struct iommu_emu_device *node = &mmu->host->board->devices[number];
    if (node->reg_count == 0 || mmu->caches == MAX_CACHES)
        return -IOMMU_EMU_EINVAL;
    struct cache unit = {.node = number, .base = node->reg[0].base};
    if (is_cache(node)) {
        if (mmu->root.base == 0)
            return -IOMMU_EMU_EAGAIN;
    } else {
        int rc = probe_root(mmu, &unit, node);
        if (rc != 0)
            return rc;
    }
    write32(mmu, &unit, IMSCTLR, read32(mmu, &unit, IMSCTLR) & ~IMSCTLR_USE_SECGRP);
    mmu->cache[mmu->caches++] = unit;
    return 0;
}

static struct cache *find(struct ipmmu *mmu, uint32_t node)
{
    for (unsigned i = 0; i < mmu->caches; i++)
        if (mmu->cache[i].node == node)
            return &mmu->cache[i];
    return NULL;
}

static int add_device(void *driver, const struct iommu_emu_master *master)
{
    (void)driver;
    for (uint32_t i = 0; i < master->stream_count; i++)
        if (master->stream_ids[i] >= UTLBS)
            return -IOMMU_EMU_ERANGE;
    return 0;
}

/* The context of a domain; 0 if it has none. */
static unsigned context_of(const struct ipmmu *mmu, const struct iommu_emu_domain *domain)
{
    unsigned n = CONTEXTS - 1;
    while (n > 0 && mmu->owner[n] != domain)
        n--;
    return n;
}

static int flush(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size)
{
    struct ipmmu *mmu = driver;
    unsigned n = context_of(mmu, domain);
    (void)iova; /* There is no selective flush. */
    (void)size;
    if (n == 0)
        return 0;
    uint32_t control = read32(mmu, &mmu->root, context(n, IMCTR)) | IMCTR_FLUSH;
    for (unsigned i = 0; i < mmu->caches; i++)
        if (mmu->cache[i].base != mmu->root.base)
            write32(mmu, &mmu->cache[i], context(n, IMCTR), control & IMCTR_COMMON);
    write32(mmu, &mmu->root, context(n, IMCTR), control);
    for (unsigned looks = 0; read32(mmu, &mmu->root, context(n, IMCTR)) & IMCTR_FLUSH; looks++) {
        if (looks == TIMEOUT)
            return -IOMMU_EMU_ETIMEDOUT;
        mmu->host->delay(mmu->host->context, 1000);
    }
    return 0;
}

static void enable_context(struct ipmmu *mmu, unsigned n, const struct iommu_emu_domain *domain)
{
    write32(mmu, &mmu->root, context(n, IMTTLBR0), (uint32_t)domain->table);
    write32(mmu, &mmu->root, context(n, IMTTUBR0), (uint32_t)(domain->table >> 32));
    write32(mmu, &mmu->root, context(n, IMTTBCR),
            IMTTBCR_EAE | IMTTBCR_PMB | IMTTBCR_SL0_LEVEL_1 | (64 - domain->input_bits));
    write32(mmu, &mmu->root, context(n, IMSTR), 0);
    write32(mmu, &mmu->root, context(n, IMCTR), IMCTR_VA64 | IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
}

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    struct ipmmu *mmu = driver;
    const struct cache *cache = find(mmu, master->iommu);
    unsigned n = context_of(mmu, domain);
    if (domain->start_level != 1 || domain->input_bits > INPUT_BITS)
        return -IOMMU_EMU_EINVAL;
    if (n == 0) {
        n = 1;
        while (n < CONTEXTS && mmu->owner[n] != NULL)
            n++;
        if (n == CONTEXTS)
            return -IOMMU_EMU_EBUSY;
        mmu->owner[n] = domain;
        enable_context(mmu, n, domain);
    }
    int rc = flush(driver, domain, 0, UINT64_MAX); /* Switches the context on in the caches, too. */
    for (uint32_t i = 0; i < master->stream_count && rc == 0; i++)
        write32(mmu, cache, imuctr(master->stream_ids[i]), n << 4 | IMUCTR_MMUEN);
    return rc;
}

static int detach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    struct ipmmu *mmu = driver;
    (void)domain;
    for (uint32_t i = 0; i < master->stream_count; i++)
        write32(mmu, find(mmu, master->iommu), imuctr(master->stream_ids[i]), 0);
    return 0;
}

static int release(void *driver, struct iommu_emu_domain *domain)
{
    struct ipmmu *mmu = driver;
    unsigned n = context_of(mmu, domain);
    if (n != 0) {
        for (unsigned i = 0; i < mmu->caches; i++)
            write32(mmu, &mmu->cache[i], context(n, IMCTR), IMCTR_FLUSH);
        mmu->owner[n] = NULL;
    }
    return 0;
}

/* The interrupt does not tell which context it is. Clearing the status clears the address, too. */
static int irq(void *driver, uint32_t number)
{
    struct ipmmu *mmu = driver;
    (void)number;
    for (unsigned n = 1; n < CONTEXTS; n++) {
        uint32_t status = mmu->owner[n] == NULL ? 0 : read32(mmu, &mmu->root, context(n, IMSTR));
        if (!(status & IMSTR_FAULTS))
            continue;
        uint64_t address = read32(mmu, &mmu->root, context(n, IMELAR));
        address |= (uint64_t)read32(mmu, &mmu->root, context(n, IMEUAR)) << 32;
        write32(mmu, &mmu->root, context(n, IMSTR), 0);
        char details[64];
        snprintf(details, sizeof details, "status 0x%08x, context %u", status, n);
        stub_fault(mmu->host, mmu->root.node, status & 1 ? "TF" : status & 2 ? "PF" : status & 4 ? "ABORT" : "MHIT",
                   IOMMU_EMU_NO_STREAM, address, details);
    }
    return 0;
}

/* As Linux does: no context is on. */
static int remove_unit(void *driver, uint32_t node)
{
    struct ipmmu *mmu = driver;
    struct cache *unit = find(mmu, node);
    if (unit == NULL)
        return -IOMMU_EMU_EINVAL;
    for (unsigned n = 0; n < CONTEXTS; n++)
        write32(mmu, unit, context(n, IMCTR), 0);
    if (unit->base == mmu->root.base) {
        mmu->host->release_irq(mmu->host->context, mmu->irq);
        mmu->root.base = 0;
    }
    *unit = mmu->cache[--mmu->caches];
    return 0;
}

/* The units of Gen3 whose stage 2 works. */
static const char *const compatible[] = {
    "renesas,ipmmu-r8a7795",  "renesas,ipmmu-r8a77961", "renesas,ipmmu-r8a77965",
    "renesas,ipmmu-r8a774b1", "renesas,ipmmu-r8a774e1", NULL};

const struct iommu_emu_driver ipmmu_stub = {
    .abi_version = IOMMU_EMU_ABI_VERSION,
    .size = sizeof(struct iommu_emu_driver),
    .name = "ipmmu-stub",
    .compatible = compatible,
    .flags = IOMMU_EMU_SHARES_TABLES,
    .open = open_driver,
    .close = close_driver,
    .probe = probe,
    .add_device = add_device,
    .attach = attach,
    .detach = detach,
    .flush = flush,
    .release = release,
    .irq = irq,
    .remove = remove_unit,
};
