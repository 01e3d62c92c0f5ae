package org.iommuemu.smmuv3;

import java.util.List;
import org.iommuemu.mmio.BusDevice;

/** The register window of an SMMU that has optional pages behind pages 0 and 1 (IHI 0070, 6.1). */
record RegisterPages(BusDevice pages0And1, List<BusDevice> optional) implements BusDevice {
    static final int LOG2_PAGE = 16;

    private BusDevice page(long offset) {
        return offset < Smmu.WINDOW ? pages0And1 : optional.get((int) (offset - Smmu.WINDOW >>> LOG2_PAGE));
    }

    private static long within(long offset) {
        return offset < Smmu.WINDOW ? offset : offset & (1L << LOG2_PAGE) - 1;
    }

    @Override
    public boolean accepts(long offset, int size) {
        return page(offset).accepts(within(offset), size);
    }

    @Override
    public boolean takesMessages() {
        return pages0And1.takesMessages();
    }

    @Override
    public long read(long offset, int size) {
        return page(offset).read(within(offset), size);
    }

    @Override
    public void write(long offset, int size, long value) {
        page(offset).write(within(offset), size, value);
    }
}
