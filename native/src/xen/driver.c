/*
 * Xen's drivers as a driver of the emulator's (iommu_emu.h), and the machine that they believe to run on. Xen is one per
 * machine: it has its state in static memory. That is put back as it was when a driver is opened; a second one that is
 * open at the same time is refused.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "report.h"

#define DEFAULT_ALIGNMENT 16u
#define PAGE 4096u

/* Memory that Xen has; before each piece of it that is not in RAM. */
struct piece {
    struct piece *next;
    struct piece *previous;
    unsigned long size;
    unsigned long unused; /* What follows is aligned to 16. */
};

/* The same for RAM, where nothing may stand before it. */
struct ram_piece {
    struct ram_piece *next;
    void *memory;
    unsigned long physical;
    unsigned long size;
};

static struct {
    const struct iommu_emu_host *host;
    char *initial; /* the state of Xen before anything ran */
    void *fdt;
    struct piece pieces; /* a ring */
    struct ram_piece *ram;
    struct xen_device **devices; /* by master number */
    uint32_t device_count;
    unsigned long skipped; /* time that passed without interrupts coming in, in ns */
    jmp_buf *operation;    /* the innermost one */
    int crashed;
    int set_up;
} machine;

/* ------------------------------------------------------------------------------------------------- registers, time, RAM */

unsigned long machine_read(unsigned long physical, unsigned int size)
{
    const struct iommu_emu_host *host = machine.host;
    switch (size) {
    case 1: return host->read8(host->context, physical);
    case 2: return host->read16(host->context, physical);
    case 4: return host->read32(host->context, physical);
    default: return host->read64(host->context, physical);
    }
}

void machine_write(unsigned long physical, unsigned int size, unsigned long value)
{
    const struct iommu_emu_host *host = machine.host;
    switch (size) {
    case 1: host->write8(host->context, physical, (uint8_t)value); break;
    case 2: host->write16(host->context, physical, (uint16_t)value); break;
    case 4: host->write32(host->context, physical, (uint32_t)value); break;
    default: host->write64(host->context, physical, value); break;
    }
}

unsigned long machine_time(void)
{
    return machine.host->time(machine.host->context) + machine.skipped;
}

void machine_delay(unsigned long nanoseconds, int interrupts)
{
    if (interrupts)
        machine.host->delay(machine.host->context, nanoseconds);
    else
        machine.skipped += nanoseconds;
}

static void *ram_allocate(unsigned long size, unsigned long alignment)
{
    const struct iommu_emu_host *host = machine.host;
    unsigned long whole = PAGE;
    while (whole < size || whole < alignment)
        whole *= 2;
    struct ram_piece *piece = malloc(sizeof *piece);
    uint64_t physical;
    if (piece == NULL || host->alloc(host->context, whole, &physical) != 0) {
        free(piece);
        return NULL;
    }
    *piece = (struct ram_piece){machine.ram, iommu_emu_ram_at(host, physical, whole), physical, whole};
    machine.ram = piece;
    return piece->memory;
}

void *machine_allocate(unsigned long size, unsigned long alignment)
{
    if (alignment > DEFAULT_ALIGNMENT)
        return ram_allocate(size, alignment);
    struct piece *piece = calloc(1, sizeof *piece + size);
    if (piece == NULL)
        return NULL;
    piece->size = size;
    piece->previous = &machine.pieces;
    piece->next = machine.pieces.next;
    piece->next->previous = piece;
    machine.pieces.next = piece;
    return piece + 1;
}

static struct ram_piece **find_ram(const void *memory)
{
    struct ram_piece **at = &machine.ram;
    while (*at != NULL && (*at)->memory != memory)
        at = &(*at)->next;
    return at;
}

unsigned long machine_size_of(const void *memory)
{
    const struct ram_piece *ram = *find_ram(memory);
    return ram != NULL ? ram->size : ((const struct piece *)memory - 1)->size;
}

void machine_free(void *memory)
{
    struct ram_piece **at = find_ram(memory);
    struct ram_piece *ram = *at;
    if (ram != NULL) {
        *at = ram->next;
        machine.host->free(machine.host->context, ram->physical, ram->size);
        free(ram);
        return;
    }
    struct piece *piece = (struct piece *)memory - 1;
    piece->previous->next = piece->next;
    piece->next->previous = piece->previous;
    free(piece);
}

unsigned long machine_physical(const void *memory)
{
    const struct iommu_emu_board *board = machine.host->board;
    for (uint32_t i = 0; i < board->ram_count; i++) {
        const struct iommu_emu_ram *ram = &board->ram[i];
        uintptr_t offset = (uintptr_t)memory - (uintptr_t)ram->pointer;
        if (offset < ram->size)
            return ram->base + offset;
    }
    return ~0ul;
}

int machine_request_irq(unsigned int number)
{
    return machine.host->request_irq(machine.host->context, number);
}

int machine_release_irq(unsigned int number)
{
    return machine.host->release_irq(machine.host->context, number);
}

void machine_limit_input(unsigned int bits)
{
    machine.host->limit_input(machine.host->context, bits);
}

void machine_crash(void)
{
    machine.crashed = 1;
    longjmp(*machine.operation, 1);
}

void report_line(unsigned int level, const char *text)
{
    report(machine.host, level, text);
}

/* ---------------------------------------------------------------------------------------------------------- operations */

struct call {
    int (*function)(const struct call *call);
    uint32_t number;
    const struct iommu_emu_master *master;
    struct iommu_emu_domain *domain;
    uint64_t address;
    uint64_t size;
};

/*
 * Into Xen and out of it. A bug of Xen's comes back here; after it, there is no Xen any more. An interrupt may come in while
 * another operation waits; tasklets run when that one is through.
 */
static int in_xen(const struct call *call)
{
    jmp_buf here;
    jmp_buf *const outer = machine.operation;
    if (machine.crashed)
        return -IOMMU_EMU_EIO;
    machine.operation = &here;
    int rc;
    if (setjmp(here) == 0) {
        rc = call->function(call);
        if (outer == NULL)
            xen_run_tasklets();
    } else {
        rc = -IOMMU_EMU_EFAULT;
    }
    machine.operation = outer;
    return rc;
}

static const struct iommu_emu_device *node(uint32_t number)
{
    return &machine.host->board->devices[number];
}

static int start(const struct call *call)
{
    (void)call;
    xen_start(machine.fdt);
    return 0;
}

static void close_driver(void *driver)
{
    (void)driver;
    while (machine.pieces.next != &machine.pieces)
        machine_free(machine.pieces.next + 1);
    while (machine.ram != NULL) { /* The host frees the RAM itself. */
        struct ram_piece *next = machine.ram->next;
        free(machine.ram);
        machine.ram = next;
    }
    free(machine.devices);
    free(machine.fdt);
    machine.devices = NULL;
    machine.fdt = NULL;
    machine.host = NULL;
}

static int open_driver(const struct iommu_emu_host *host, void **driver)
{
    const size_t state = (size_t)(xen_state_end - xen_state_start);
    if (machine.host != NULL)
        return -IOMMU_EMU_EBUSY;
    if (machine.initial == NULL) {
        machine.initial = malloc(state);
        if (machine.initial == NULL)
            return -IOMMU_EMU_ENOMEM;
        memcpy(machine.initial, xen_state_start, state);
    } else {
        memcpy(xen_state_start, machine.initial, state);
    }
    machine.host = host;
    machine.pieces.next = machine.pieces.previous = &machine.pieces;
    machine.crashed = 0;
    machine.set_up = 0;
    machine.skipped = 0;
    machine.operation = NULL;
    machine.device_count = 0;
    report_start();
    machine.fdt = malloc(host->board->fdt_size);
    int rc = -IOMMU_EMU_ENOMEM;
    if (machine.fdt != NULL) {
        memcpy(machine.fdt, host->board->fdt, host->board->fdt_size);
        rc = in_xen(&(struct call){.function = start});
    }
    if (rc != 0)
        close_driver(NULL);
    *driver = &machine;
    return rc;
}

#ifdef WHOLE_SETUP
/* With the first unit that the host asks for, Xen asks for all of them: its loop, its list of deferred ones. */
static int do_probe(const struct call *call)
{
    if (!machine.set_up) {
        machine.set_up = 1;
        xen_setup();
    }
    return xen_answer(node(call->number)->path);
}
#else
static int do_probe(const struct call *call)
{
    return xen_probe(node(call->number)->path);
}
#endif

static int probe(void *driver, uint32_t unit)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_probe, .number = unit});
}

/* Whether a master is its node: all of its StreamIDs are in the node's `iommus`. Otherwise iommu-map has put it there. */
static int is_node(const struct iommu_emu_master *master)
{
    const struct iommu_emu_device *device = node(master->device);
    for (uint32_t i = 0; i < master->stream_count; i++) {
        uint32_t n = 0;
        while (n < device->stream_count
               && (device->streams[n].iommu != master->iommu || device->streams[n].id != master->stream_ids[i]))
            n++;
        if (n == device->stream_count)
            return 0;
    }
    return 1;
}

static int do_add_device(const struct call *call)
{
    const struct iommu_emu_master *master = call->master;
    return xen_add_device(node(master->device)->path, is_node(master), node(master->iommu)->path, master->stream_ids,
                          master->stream_count, &machine.devices[master->number]);
}

static int add_device(void *driver, const struct iommu_emu_master *master)
{
    (void)driver;
    if (master->number >= machine.device_count) {
        uint32_t count = master->number * 2 + 16;
        struct xen_device **devices = realloc(machine.devices, count * sizeof *devices);
        if (devices == NULL)
            return -IOMMU_EMU_ENOMEM;
        memset(devices + machine.device_count, 0, (count - machine.device_count) * sizeof *devices);
        machine.devices = devices;
        machine.device_count = count;
    }
    return in_xen(&(struct call){.function = do_add_device, .master = master});
}

static int do_attach(const struct call *call)
{
    struct iommu_emu_domain *domain = call->domain;
    struct xen_domain *d = domain->data;
    if (d == NULL) {
        int rc = xen_create_domain(domain->id, domain->input_bits, domain->start_level, domain->table, &d);
        domain->data = d;
        if (rc != 0)
            return rc;
    }
    return xen_assign(d, machine.devices[call->master->number]);
}

static int attach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_attach, .domain = domain, .master = master});
}

static int do_detach(const struct call *call)
{
    return xen_deassign(call->domain->data, machine.devices[call->master->number]);
}

static int detach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_detach, .domain = domain, .master = master});
}

static int do_flush(const struct call *call)
{
    return xen_flush(call->domain->data, call->address, call->size);
}

static int flush(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_flush, .domain = domain, .address = iova, .size = size});
}

static int do_release(const struct call *call)
{
    struct xen_domain *d = call->domain->data;
    call->domain->data = NULL;
    return d == NULL ? 0 : xen_destroy_domain(d);
}

static int release(void *driver, struct iommu_emu_domain *domain)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_release, .domain = domain});
}

static int do_irq(const struct call *call)
{
    xen_irq(call->number);
    return 0;
}

static int irq(void *driver, uint32_t number)
{
    (void)driver;
    return in_xen(&(struct call){.function = do_irq, .number = number});
}

/* Xen never takes an IOMMU out of use. */
static int remove_unit(void *driver, uint32_t unit)
{
    (void)driver;
    (void)unit;
    return -IOMMU_EMU_ENOSYS;
}

static const char *const compatible[] = {
    "arm,smmu-v3",
    "renesas,ipmmu-r8a7795",
    "renesas,ipmmu-r8a77965",
    "renesas,ipmmu-r8a7796",
    "renesas,ipmmu-r8a77961",
    "renesas,ipmmu-r8a779f0",
    NULL,
};

static const struct iommu_emu_driver xen = {
    .abi_version = IOMMU_EMU_ABI_VERSION,
    .size = sizeof(struct iommu_emu_driver),
    .name = "xen",
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

const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)
{
    return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &xen : NULL;
}
