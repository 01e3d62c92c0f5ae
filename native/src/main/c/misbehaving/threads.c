/* Misbehaves the least: reads registers on threads of its own, which the ABI allows, before it probes as usual. */
#include <pthread.h>

#include "misbehaving.h"

#define THREADS 4
#define READS 200

static void *read_registers(void *argument)
{
    uint64_t base = *(const uint64_t *)argument;
    uint64_t start = host->time(host->context);
    uint32_t idr0 = iommu_emu_read32(host, base);
    for (unsigned i = 0; i < READS; i++)
        if (iommu_emu_read32(host, base) != idr0 || host->time(host->context) < start)
            return NULL;
    stub_log(host, IOMMU_EMU_INFO, "a thread has read IDR0 0x%08x", idr0);
    return argument;
}

static int probe(void *driver, uint32_t unit)
{
    pthread_t thread[THREADS];
    uint64_t base = host->board->devices[unit].reg[0].base;
    int rc = 0;
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, read_registers, &base) != 0)
            return -IOMMU_EMU_ENOMEM;
    for (unsigned i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(thread[i], &result);
        if (result == NULL)
            rc = -IOMMU_EMU_EIO;
    }
    return rc != 0 ? rc : smmuv3_stub.probe(driver, unit);
}

EXPORT_WITH(smmuv3_stub, "threads", copy.probe = probe)
