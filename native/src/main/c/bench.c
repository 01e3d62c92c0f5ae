/*
 * What benchmarks load: a driver that drives nothing. Its operations make as many accesses as their argument says, to a
 * register of the first SMMUv3 of the board: `irq` reads, `remove` writes, `probe` makes none.
 */
#include <string.h>

#include "iommu_emu.h"

#define IDR0 0x00
#define GERROR_IRQ_CFG1 0x70 /* plain storage while IRQ_CTRL is 0 */

static const struct iommu_emu_host *host;
static uint64_t base;

static int open_driver(const struct iommu_emu_host *its, void **driver)
{
    host = its;
    *driver = NULL;
    for (uint32_t i = 0; i < host->board->device_count; i++) {
        const struct iommu_emu_device *device = &host->board->devices[i];
        if (device->compatible_count > 0 && device->reg_count > 0 && strcmp(device->compatible[0], "arm,smmu-v3") == 0) {
            base = device->reg[0].base;
            return 0;
        }
    }
    return -IOMMU_EMU_ENODEV;
}

static int nothing(void *driver, uint32_t count)
{
    (void)driver;
    (void)count;
    return 0;
}

static int read_registers(void *driver, uint32_t count)
{
    uint32_t seen = 0;
    (void)driver;
    for (uint32_t i = 0; i < count; i++)
        seen |= iommu_emu_read32(host, base + IDR0);
    return seen != 0 ? 0 : -IOMMU_EMU_EIO;
}

static int write_registers(void *driver, uint32_t count)
{
    (void)driver;
    for (uint32_t i = 0; i < count; i++)
        iommu_emu_write32(host, base + GERROR_IRQ_CFG1, i);
    return 0;
}

static int no_device(void *driver, const struct iommu_emu_master *master)
{
    (void)driver;
    (void)master;
    return -IOMMU_EMU_ENODEV;
}

static int no_domain(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    (void)driver;
    (void)domain;
    (void)master;
    return -IOMMU_EMU_ENODEV;
}

static int flush(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size)
{
    (void)driver;
    (void)domain;
    (void)iova;
    (void)size;
    return 0;
}

static int release(void *driver, struct iommu_emu_domain *domain)
{
    (void)driver;
    (void)domain;
    return 0;
}

static const char *const compatible[] = {NULL};

static const struct iommu_emu_driver bench = {
    .abi_version = IOMMU_EMU_ABI_VERSION,
    .size = sizeof(struct iommu_emu_driver),
    .name = "bench",
    .compatible = compatible,
    .flags = IOMMU_EMU_SHARES_TABLES,
    .open = open_driver,
    .probe = nothing,
    .add_device = no_device,
    .attach = no_domain,
    .detach = no_domain,
    .flush = flush,
    .release = release,
    .irq = read_registers,
    .remove = write_registers,
};

const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version)
{
    return abi_version >> 16 == IOMMU_EMU_ABI_MAJOR ? &bench : NULL;
}
