/*
 * A driver for Arm's SMMUv3 (IHI 0070), as short as one can be that survives a fault: the example to start from. It keeps a
 * stage 2 table of its own for each domain, one VMID for each, invalidates by VMID, and reads the event queue and global
 * errors by interrupt. Two-level stream tables only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stage2.h"
#include "stubs.h"

/* Registers (6.3). */
#define IDR0 0x00
#define IDR1 0x04
#define CR0 0x20
#define CR0ACK 0x24
#define CR1 0x28
#define CR2 0x2c
#define GBPA 0x44
#define IRQ_CTRL 0x50
#define IRQ_CTRLACK 0x54
#define GERROR 0x60
#define GERRORN 0x64
#define STRTAB_BASE 0x80
#define STRTAB_BASE_CFG 0x88
#define CMDQ_BASE 0x90
#define CMDQ_PROD 0x98
#define CMDQ_CONS 0x9c
#define EVENTQ_BASE 0xa0
#define EVENTQ_PROD 0x100a8
#define EVENTQ_CONS 0x100ac

#define IDR0_S2P 1u
#define CR0_SMMUEN 1u
#define CR0_EVENTQEN 4u
#define CR0_CMDQEN 8u
#define GBPA_UPDATE (1u << 31)
#define GBPA_ABORT (1u << 20)
#define GERROR_CMDQ_ERR 1u
#define BASE_RA (1ull << 62)

/* Commands (4.1). */
#define CFGI_STE 0x03
#define CFGI_ALL 0x04
#define TLBI_S12_VMALL 0x28
#define TLBI_NSNH_ALL 0x30
#define SYNC 0x46
#define SYNC_SEV (2u << 12)

/* Queues of one page: 256 commands of 16 bytes, 128 events of 32. */
#define PAGE 4096u
#define CMDQ_BITS 8u
#define EVENTQ_BITS 7u
#define SPLIT 8u /* log2 of the stream table entries behind one descriptor */
#define STE_WORDS 8u

#define MAX_UNITS 16u
#define MAX_IRQS 2u
#define TIMEOUT 1000000000ull /* 1 s, in ns */

struct unit {
    uint32_t node;
    uint64_t base;
    unsigned sid_bits;
    uint64_t *l1;        /* stream table, first level */
    uint64_t *cmdq;      /* two words a command */
    uint64_t *eventq;    /* four words an event */
    uint32_t cmdq_prod;  /* index and wrap bit */
    uint32_t irq[MAX_IRQS];
    unsigned irqs;
};

struct smmuv3 {
    const struct iommu_emu_host *host;
    struct unit unit[MAX_UNITS];
    unsigned units;
    uint8_t vmid_used[256];
};

struct domain {
    struct stage2 table;
    uint16_t vmid;
};

static uint32_t read32(const struct smmuv3 *smmu, const struct unit *unit, uint32_t reg)
{
    return iommu_emu_read32(smmu->host, unit->base + reg);
}

static void write32(const struct smmuv3 *smmu, const struct unit *unit, uint32_t reg, uint32_t value)
{
    iommu_emu_write32(smmu->host, unit->base + reg, value);
}

/* Waits until a register has a value in the bits of a mask. */
static int poll(const struct smmuv3 *smmu, const struct unit *unit, uint32_t reg, uint32_t mask, uint32_t value)
{
    const struct iommu_emu_host *host = smmu->host;
    uint64_t end = host->time(host->context) + TIMEOUT;
    while ((read32(smmu, unit, reg) & mask) != value) {
        if (host->time(host->context) > end) {
            stub_log(host, IOMMU_EMU_ERROR, "%s: register 0x%x does not become 0x%x", stub_path(host, unit->node), reg, value);
            return -IOMMU_EMU_ETIMEDOUT;
        }
        host->delay(host->context, 1000);
    }
    return 0;
}

/* Writes a register and waits until its acknowledgement says that the write has taken effect (6.3.9.1). */
static int write_sync(const struct smmuv3 *smmu, const struct unit *unit, uint32_t reg, uint32_t ack, uint32_t value)
{
    write32(smmu, unit, reg, value);
    return poll(smmu, unit, ack, UINT32_MAX, value);
}

/* The queue is never full: each command is followed by a CMD_SYNC that is waited for. */
static void issue(const struct smmuv3 *smmu, struct unit *unit, uint64_t word0, uint64_t word1)
{
    uint64_t *entry = unit->cmdq + 2 * (unit->cmdq_prod & ((1u << CMDQ_BITS) - 1));
    entry[0] = word0;
    entry[1] = word1;
    unit->cmdq_prod = (unit->cmdq_prod + 1) & ((2u << CMDQ_BITS) - 1);
    write32(smmu, unit, CMDQ_PROD, unit->cmdq_prod);
}

static int command(const struct smmuv3 *smmu, struct unit *unit, uint64_t word0, uint64_t word1)
{
    issue(smmu, unit, word0, word1);
    issue(smmu, unit, SYNC | SYNC_SEV, 0);
    return poll(smmu, unit, CMDQ_CONS, (2u << CMDQ_BITS) - 1, unit->cmdq_prod);
}

static struct unit *find(struct smmuv3 *smmu, uint32_t node)
{
    for (unsigned i = 0; i < smmu->units; i++)
        if (smmu->unit[i].node == node)
            return &smmu->unit[i];
    return NULL;
}

static int open_driver(const struct iommu_emu_host *host, void **driver)
{
    struct smmuv3 *smmu = calloc(1, sizeof *smmu);
    if (smmu == NULL)
        return -IOMMU_EMU_ENOMEM;
    smmu->host = host;
    smmu->vmid_used[0] = 1; /* kept for streams that bypass stage 2 */
    *driver = smmu;
    return 0;
}

static void close_driver(void *driver)
{
    free(driver);
}

/* A structure in RAM; NULL if there is no room. */
static uint64_t *structure(const struct smmuv3 *smmu, uint64_t size, uint64_t *physical)
{
    if (smmu->host->alloc(smmu->host->context, size, physical) != 0)
        return NULL;
    return iommu_emu_ram_at(smmu->host, *physical, size);
}

/* The interrupt that names one purpose, or the one for all of them. */
static int request(struct smmuv3 *smmu, struct unit *unit, const char *name)
{
    const struct iommu_emu_device *node = &smmu->host->board->devices[unit->node];
    for (uint32_t i = 0; i < node->interrupt_count; i++) {
        if (strcmp(node->interrupts[i].name, name) == 0) {
            int rc = smmu->host->request_irq(smmu->host->context, node->interrupts[i].number);
            if (rc != 0 && rc != -IOMMU_EMU_EBUSY) /* Another unit of ours may have the same one. */
                return rc;
            unit->irq[unit->irqs++] = node->interrupts[i].number;
            return 0;
        }
    }
    return -IOMMU_EMU_ENXIO;
}

static int probe(void *driver, uint32_t node)
{
    struct smmuv3 *smmu = driver;
    const struct iommu_emu_device *device = &smmu->host->board->devices[node];
    if (device->reg_count == 0 || device->reg[0].size < 0x20000 || smmu->units == MAX_UNITS)
        return -IOMMU_EMU_EINVAL;
    struct unit *unit = &smmu->unit[smmu->units];
    *unit = (struct unit){.node = node, .base = device->reg[0].base};

    uint32_t idr0 = read32(smmu, unit, IDR0);
    unit->sid_bits = read32(smmu, unit, IDR1) & 0x3f;
    if (!(idr0 & IDR0_S2P) || (idr0 >> 27 & 3) != 1 || unit->sid_bits <= SPLIT || unit->sid_bits > 25) {
        stub_log(smmu->host, IOMMU_EMU_WARNING, "%s: no stage 2, or no two-level stream table", device->path);
        return -IOMMU_EMU_ENODEV;
    }
    uint64_t l1, cmdq, eventq, l1_size = 8ull << (unit->sid_bits - SPLIT);
    unit->l1 = structure(smmu, l1_size < PAGE ? PAGE : l1_size, &l1);
    unit->cmdq = structure(smmu, PAGE, &cmdq);
    unit->eventq = structure(smmu, PAGE, &eventq);
    if (unit->l1 == NULL || unit->cmdq == NULL || unit->eventq == NULL)
        return -IOMMU_EMU_ENOMEM;

    /* Off, then structures, then queues, then translation (6.3.9). Inner shareable, write-back. */
    int rc = write_sync(smmu, unit, CR0, CR0ACK, 0);
    if (rc != 0)
        return rc;
    write32(smmu, unit, CR1, 0xd75);
    write32(smmu, unit, CR2, 6); /* PTM, RECINVSID */
    iommu_emu_write64(smmu->host, unit->base + STRTAB_BASE, l1 | BASE_RA);
    write32(smmu, unit, STRTAB_BASE_CFG, 1u << 16 | SPLIT << 6 | unit->sid_bits);
    iommu_emu_write64(smmu->host, unit->base + CMDQ_BASE, cmdq | BASE_RA | CMDQ_BITS);
    write32(smmu, unit, CMDQ_PROD, 0);
    write32(smmu, unit, CMDQ_CONS, 0);
    iommu_emu_write64(smmu->host, unit->base + EVENTQ_BASE, eventq | BASE_RA | EVENTQ_BITS);
    write32(smmu, unit, EVENTQ_PROD, 0);
    write32(smmu, unit, EVENTQ_CONS, 0);
    rc = write_sync(smmu, unit, CR0, CR0ACK, CR0_CMDQEN | CR0_EVENTQEN);
    if (rc == 0)
        rc = command(smmu, unit, CFGI_ALL, 31);
    if (rc == 0)
        rc = command(smmu, unit, TLBI_NSNH_ALL, 0);
    if (rc == 0 && request(smmu, unit, "combined") != 0 && request(smmu, unit, "eventq") == 0)
        request(smmu, unit, "gerror");
    smmu->units++; /* From here on interrupts find it. */
    if (rc == 0)
        rc = write_sync(smmu, unit, IRQ_CTRL, IRQ_CTRLACK, 5);
    if (rc == 0)
        rc = write_sync(smmu, unit, CR0, CR0ACK, CR0_CMDQEN | CR0_EVENTQEN | CR0_SMMUEN);
    return rc;
}

/* A stream's entry; its second-level table is made where `make` says so. NULL if there is none. */
static uint64_t *ste(struct smmuv3 *smmu, struct unit *unit, uint32_t stream, int make)
{
    uint64_t *descriptor = &unit->l1[stream >> SPLIT];
    uint64_t size = 64ull << SPLIT, physical;
    if (*descriptor == 0) {
        uint64_t *entries = make ? structure(smmu, size, &physical) : NULL;
        if (entries == NULL)
            return NULL;
        for (unsigned i = 0; i < 1u << SPLIT; i++)
            entries[i * STE_WORDS] = 1; /* V, Config = abort */
        __atomic_store_n(descriptor, physical | (SPLIT + 1), __ATOMIC_RELEASE);
    }
    uint64_t *entries = iommu_emu_ram_at(smmu->host, *descriptor & ~0x3full, size);
    return entries == NULL ? NULL : entries + STE_WORDS * (stream & ((1u << SPLIT) - 1));
}

static int add_device(void *driver, const struct iommu_emu_master *master)
{
    struct smmuv3 *smmu = driver;
    struct unit *unit = find(smmu, master->iommu);
    for (uint32_t i = 0; i < master->stream_count; i++) {
        uint32_t stream = master->stream_ids[i];
        if (stream >> unit->sid_bits != 0)
            return -IOMMU_EMU_ERANGE;
        if (ste(smmu, unit, stream, 1) == NULL)
            return -IOMMU_EMU_ENOMEM;
        int rc = command(smmu, unit, CFGI_STE | (uint64_t)stream << 32, 1);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int make_domain(struct smmuv3 *smmu, struct iommu_emu_domain *domain)
{
    unsigned vmid = 1;
    while (vmid < 256 && smmu->vmid_used[vmid])
        vmid++;
    if (vmid == 256)
        return -IOMMU_EMU_ENOSPC;
    struct domain *own = calloc(1, sizeof *own);
    if (own == NULL)
        return -IOMMU_EMU_ENOMEM;
    int rc = stage2_init(&own->table, smmu->host);
    if (rc != 0) {
        free(own);
        return rc;
    }
    smmu->vmid_used[vmid] = 1;
    own->vmid = (uint16_t)vmid;
    domain->data = own;
    return 0;
}

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    struct smmuv3 *smmu = driver;
    struct unit *unit = find(smmu, master->iommu);
    int rc = domain->data == NULL ? make_domain(smmu, domain) : 0;
    if (rc != 0)
        return rc;
    struct domain *own = domain->data;
    /* S2T0SZ, S2SL0, write-back walks, inner shareable, S2PS 48 bits (5.2). */
    uint64_t vtcr = (64 - STAGE2_INPUT_BITS) | (2 - STAGE2_START_LEVEL) << 6 | 1 << 8 | 1 << 10 | 3 << 12 | 5 << 16;
    for (uint32_t i = 0; i < master->stream_count && rc == 0; i++) {
        uint32_t stream = master->stream_ids[i];
        uint64_t *entry = ste(smmu, unit, stream, 0);
        if (entry == NULL)
            return -IOMMU_EMU_EIO;
        entry[1] = 1ull << 44;                                            /* SHCFG: incoming */
        entry[2] = own->vmid | vtcr << 32 | 1ull << 51 | 1ull << 54 | 1ull << 58; /* S2AA64, S2PTW, S2R */
        entry[3] = own->table.root;
        __atomic_store_n(entry, 1 | 6 << 1, __ATOMIC_RELEASE); /* V, Config = stage 2 */
        rc = command(smmu, unit, CFGI_STE | (uint64_t)stream << 32, 1);
    }
    return rc;
}

static int detach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    struct smmuv3 *smmu = driver;
    struct unit *unit = find(smmu, master->iommu);
    int rc = 0;
    (void)domain;
    for (uint32_t i = 0; i < master->stream_count && rc == 0; i++) {
        uint32_t stream = master->stream_ids[i];
        uint64_t *entry = ste(smmu, unit, stream, 0);
        if (entry == NULL)
            return -IOMMU_EMU_EIO;
        __atomic_store_n(entry, 1, __ATOMIC_RELEASE); /* V, Config = abort */
        rc = command(smmu, unit, CFGI_STE | (uint64_t)stream << 32, 1);
    }
    return rc;
}

static int flush(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size)
{
    struct smmuv3 *smmu = driver;
    struct domain *own = domain->data;
    int rc = 0;
    (void)iova;
    (void)size;
    for (unsigned i = 0; i < smmu->units && own != NULL && rc == 0; i++)
        rc = command(smmu, &smmu->unit[i], TLBI_S12_VMALL | (uint64_t)own->vmid << 32, 0);
    return rc;
}

static int map(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t physical, uint64_t size,
               uint64_t protection)
{
    struct domain *own = domain->data;
    (void)driver;
    return own == NULL ? -IOMMU_EMU_EINVAL : stage2_map(&own->table, iova, physical, size, protection);
}

static int unmap(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size)
{
    struct domain *own = domain->data;
    int rc = own == NULL ? -IOMMU_EMU_EINVAL : stage2_unmap(&own->table, iova, size);
    int flushed = flush(driver, domain, iova, size);
    return rc != 0 ? rc : flushed;
}

static int iova_to_phys(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t *physical)
{
    struct domain *own = domain->data;
    (void)driver;
    return own == NULL ? -IOMMU_EMU_EFAULT : stage2_resolve(&own->table, iova, physical);
}

static int release(void *driver, struct iommu_emu_domain *domain)
{
    struct smmuv3 *smmu = driver;
    struct domain *own = domain->data;
    if (own == NULL)
        return 0;
    int rc = flush(driver, domain, 0, UINT64_MAX);
    stage2_free(&own->table);
    smmu->vmid_used[own->vmid] = 0;
    free(own);
    domain->data = NULL;
    return rc;
}

/* Names of event records (7.3). */
static const char *event_name(unsigned type)
{
    switch (type) {
    case 0x02: return "C_BAD_STREAMID";
    case 0x03: return "F_STE_FETCH";
    case 0x04: return "C_BAD_STE";
    case 0x06: return "F_STREAM_DISABLED";
    case 0x0b: return "F_WALK_EABT";
    case 0x10: return "F_TRANSLATION";
    case 0x11: return "F_ADDR_SIZE";
    case 0x12: return "F_ACCESS";
    case 0x13: return "F_PERMISSION";
    default: return "another event";
    }
}

static void read_events(const struct smmuv3 *smmu, const struct unit *unit)
{
    const uint32_t mask = (2u << EVENTQ_BITS) - 1;
    uint32_t cons = read32(smmu, unit, EVENTQ_CONS);
    for (uint32_t prod; ((prod = read32(smmu, unit, EVENTQ_PROD)) & mask) != (cons & mask);) {
        const uint64_t *record = unit->eventq + 4 * (cons & ((1u << EVENTQ_BITS) - 1));
        char details[64];
        snprintf(details, sizeof details, "%s, stage %d", record[1] >> 35 & 1 ? "read" : "write", record[1] >> 39 & 1 ? 2 : 1);
        stub_fault(smmu->host, unit->node, event_name(record[0] & 0xff), record[0] >> 32, record[2], details);
        cons = (prod & 1u << 31) | ((cons + 1) & mask); /* The overflow flag is acknowledged with it (7.4). */
        write32(smmu, unit, EVENTQ_CONS, cons);
    }
}

/* A command that the unit cannot execute stops the queue: a CMD_SYNC takes its place (7.1). */
static void handle_gerror(const struct smmuv3 *smmu, const struct unit *unit)
{
    uint32_t gerror = read32(smmu, unit, GERROR);
    uint32_t active = gerror ^ read32(smmu, unit, GERRORN);
    if (active == 0)
        return;
    stub_log(smmu->host, IOMMU_EMU_ERROR, "%s: global error 0x%x", stub_path(smmu->host, unit->node), active);
    if (active & GERROR_CMDQ_ERR) {
        uint64_t *entry = unit->cmdq + 2 * (read32(smmu, unit, CMDQ_CONS) & ((1u << CMDQ_BITS) - 1));
        entry[0] = SYNC;
        entry[1] = 0;
    }
    write32(smmu, unit, GERRORN, gerror);
}

static int irq(void *driver, uint32_t number)
{
    struct smmuv3 *smmu = driver;
    for (unsigned i = 0; i < smmu->units; i++) {
        struct unit *unit = &smmu->unit[i];
        for (unsigned n = 0; n < unit->irqs; n++) {
            if (unit->irq[n] == number) {
                read_events(smmu, unit);
                handle_gerror(smmu, unit);
                break;
            }
        }
    }
    return 0;
}

static int has_irq(const struct smmuv3 *smmu, uint32_t number)
{
    for (unsigned i = 0; i < smmu->units; i++)
        for (unsigned n = 0; n < smmu->unit[i].irqs; n++)
            if (smmu->unit[i].irq[n] == number)
                return 1;
    return 0;
}

static int remove_unit(void *driver, uint32_t node)
{
    struct smmuv3 *smmu = driver;
    struct unit *unit = find(smmu, node);
    if (unit == NULL)
        return -IOMMU_EMU_EINVAL;
    /* With translation off GBPA decides (6.3.15): nothing gets through. */
    write32(smmu, unit, GBPA, GBPA_UPDATE | GBPA_ABORT);
    int rc = poll(smmu, unit, GBPA, GBPA_UPDATE, 0);
    if (rc == 0)
        rc = write_sync(smmu, unit, IRQ_CTRL, IRQ_CTRLACK, 0);
    if (rc == 0)
        rc = write_sync(smmu, unit, CR0, CR0ACK, 0);
    struct unit removed = *unit;
    *unit = smmu->unit[--smmu->units]; /* Its structures stay allocated: the board is going down. */
    for (unsigned n = 0; n < removed.irqs; n++)
        if (!has_irq(smmu, removed.irq[n]))
            smmu->host->release_irq(smmu->host->context, removed.irq[n]);
    return rc;
}

static const char *const compatible[] = {"arm,smmu-v3", NULL};

const struct iommu_emu_driver smmuv3_stub = {
    .abi_version = IOMMU_EMU_ABI_VERSION,
    .size = sizeof(struct iommu_emu_driver),
    .name = "smmuv3-stub",
    .compatible = compatible,
    .open = open_driver,
    .close = close_driver,
    .probe = probe,
    .add_device = add_device,
    .attach = attach,
    .detach = detach,
    .map = map,
    .unmap = unmap,
    .iova_to_phys = iova_to_phys,
    .flush = flush,
    .release = release,
    .irq = irq,
    .remove = remove_unit,
};
