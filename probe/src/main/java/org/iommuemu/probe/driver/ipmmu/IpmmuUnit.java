package org.iommuemu.probe.driver.ipmmu;

import org.iommuemu.mmio.Bus;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** One unit as the driver sees it: registers at a bus address. */
final class IpmmuUnit {
    private final Bus bus;
    private final long base;
    private final DeviceTreeNode node;
    private final IpmmuLayout layout;
    /** By micro-TLB: how many devices use it. */
    private final int[] utlbUsers = new int[IpmmuLayout.UTLBS];

    IpmmuUnit(Bus bus, long base, DeviceTreeNode node, IpmmuLayout layout) {
        this.bus = bus;
        this.base = base;
        this.node = node;
        this.layout = layout;
    }

    DeviceTreeNode node() {
        return node;
    }

    IpmmuLayout layout() {
        return layout;
    }

    int readContext(int context, int register) {
        return bus.read32(base + layout.context(context, register));
    }

    void writeContext(int context, int register, int value) {
        bus.write32(base + layout.context(context, register), value);
    }

    void writeUtlb(int utlb, int imuctr) {
        bus.write32(base + layout.imuctr(utlb), imuctr);
    }

    void writeAsid(int utlb, int imuasid) {
        bus.write32(base + layout.imuasid(utlb), imuasid);
    }

    /** Sets and clears bits of a control register, keeping what firmware put into the others. */
    void changeControl(int register, int set, int clear) {
        long address = base + layout.control(register);
        bus.write32(address, bus.read32(address) & ~clear | set);
    }

    /**
     * Sends a micro-TLB through a context (ipmmu_utlb_enable).
     *
     * @return the context that it goes through already, if that is another; else -1
     */
    int enableUtlb(int utlb, int context) {
        int control = bus.read32(base + layout.imuctr(utlb));
        if ((control & IpmmuLayout.IMUCTR_MMUEN) != 0) {
            int current = (control & layout.ttselMask()) >>> IpmmuLayout.IMUCTR_TTSEL_SHIFT;
            if (current != context) {
                return current;
            }
        }
        if (utlbUsers[utlb]++ == 0) {
            bus.write32(base + layout.imuasid(utlb), 0);
            bus.write32(
                    base + layout.imuctr(utlb),
                    control | context << IpmmuLayout.IMUCTR_TTSEL_SHIFT | IpmmuLayout.IMUCTR_MMUEN);
        }
        return -1;
    }

    /** Lets a micro-TLB's accesses through untranslated once nobody uses it (ipmmu_utlb_disable). */
    void disableUtlb(int utlb) {
        if (--utlbUsers[utlb] == 0) {
            bus.write32(base + layout.imuctr(utlb), 0);
        }
    }

    @Override
    public String toString() {
        return node.path();
    }
}
