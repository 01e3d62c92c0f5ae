/* No misbehaviour: looks whether a pending interrupt is let in by a delay inside of an operation, and by that only. */
#include "misbehaving.h"

static int in_irq;
static int nested;
static int handled;

static int irq(void *driver, uint32_t number)
{
    handled++;
    nested += in_irq++;
    host->delay(host->context, 1000); /* Interrupts are masked: none comes in here. */
    int rc = smmuv3_stub.irq(driver, number);
    in_irq--;
    return rc;
}

static int detach(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master)
{
    int before = handled;
    int rc = smmuv3_stub.detach(driver, domain, master);
    if (handled != before)
        return -IOMMU_EMU_EBUSY;
    host->delay(host->context, 1000);
    stub_log(host, IOMMU_EMU_INFO, "handled %d in a delay, %d nested", handled - before, nested);
    return rc;
}

EXPORT_WITH(smmuv3_stub, "nested", copy.irq = irq; copy.detach = detach)
