/*
 * The same driver object on a machine of its own: a host whose accessors are loads and stores of real addresses, as on a
 * board without an operating system. What stands for silicon is memory that `delay` lets time pass in: an SMMUv3 that
 * acknowledges what is written to it and consumes its commands. No emulator is linked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stubs.h"

#define CR0 0x20
#define CR0ACK 0x24
#define IRQ_CTRL 0x50
#define IRQ_CTRLACK 0x54
#define CMDQ_PROD 0x98
#define CMDQ_CONS 0x9c

static uint32_t device[0x20000 / 4];
static _Alignas(1 << 20) uint8_t ram[1 << 20];
static size_t taken;
static uint64_t now;

static uint32_t read32(void *context, uint64_t address)
{
    (void)context;
    return *(volatile uint32_t *)(uintptr_t)address;
}

static void write32(void *context, uint64_t address, uint32_t value)
{
    (void)context;
    *(volatile uint32_t *)(uintptr_t)address = value;
}

static void write64(void *context, uint64_t address, uint64_t value)
{
    (void)context;
    *(volatile uint64_t *)(uintptr_t)address = value;
}

static void delay(void *context, uint64_t nanoseconds)
{
    (void)context;
    now += nanoseconds;
    device[CR0ACK / 4] = device[CR0 / 4];
    device[IRQ_CTRLACK / 4] = device[IRQ_CTRL / 4];
    device[CMDQ_CONS / 4] = device[CMDQ_PROD / 4];
}

static uint64_t get_time(void *context)
{
    (void)context;
    return now;
}

static void say(void *context, int32_t level, const char *text)
{
    (void)context;
    (void)level;
    puts(text);
}

static int alloc(void *context, uint64_t size, uint64_t *physical)
{
    (void)context;
    size_t start = (taken + size - 1) & ~(size_t)(size - 1);
    if (start + size > sizeof ram)
        return -IOMMU_EMU_ENOMEM;
    taken = start + size;
    *physical = (uintptr_t)(ram + start);
    return 0;
}

static int request_irq(void *context, uint32_t number)
{
    (void)context;
    return number == 77 ? 0 : -IOMMU_EMU_EINVAL;
}

int main(void)
{
    const struct iommu_emu_range reg = {.base = (uintptr_t)device, .size = sizeof device};
    const struct iommu_emu_interrupt interrupt = {.name = "combined", .number = 77};
    const struct iommu_emu_device unit = {
        .path = "/silicon", .reg_count = 1, .reg = &reg, .interrupt_count = 1, .interrupts = &interrupt};
    const struct iommu_emu_ram bank = {.base = (uintptr_t)ram, .size = sizeof ram, .pointer = ram};
    const struct iommu_emu_board board = {.device_count = 1, .devices = &unit, .ram_count = 1, .ram = &bank};
    const struct iommu_emu_host host = {.abi_version = IOMMU_EMU_ABI_VERSION,
                                        .size = sizeof host,
                                        .board = &board,
                                        .read32 = read32,
                                        .write32 = write32,
                                        .write64 = write64,
                                        .delay = delay,
                                        .time = get_time,
                                        .log = say,
                                        .alloc = alloc,
                                        .request_irq = request_irq};
    void *driver;
    device[0] = 1u << 27 | 1; /* IDR0: two-level stream tables, stage 2 */
    device[1] = 16;           /* IDR1: StreamIDs of 16 bits */
    int rc = smmuv3_stub.open(&host, &driver);
    if (rc == 0)
        rc = smmuv3_stub.probe(driver, 0);
    const uint32_t stream = 0x42;
    const struct iommu_emu_master master = {.stream_count = 1, .stream_ids = &stream};
    if (rc == 0)
        rc = smmuv3_stub.add_device(driver, &master);
    printf("rc %d, CR0 0x%x, commands %u\n", rc, device[CR0 / 4], device[CMDQ_PROD / 4]);
    smmuv3_stub.close(driver);
    return rc == 0 ? 0 : 1;
}
