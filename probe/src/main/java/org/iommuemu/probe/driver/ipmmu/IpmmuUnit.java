package org.iommuemu.probe.driver.ipmmu;

import java.util.function.Predicate;
import org.iommuemu.mmio.Bus;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Platform;

/** One unit as the driver sees it: registers at a bus address. */
final class IpmmuUnit {
    private static final int FLUSH_POLLS = 100;
    private static final int FAULTS =
            IpmmuLayout.IMSTR_MHIT | IpmmuLayout.IMSTR_ABORT | IpmmuLayout.IMSTR_PF | IpmmuLayout.IMSTR_TF;

    /**
     * What a context had recorded.
     *
     * @param status IMSTR
     * @param address the input address
     */
    record Fault(int status, long address) {}

    private final Platform platform;
    private final Bus bus;
    private final long base;
    private final DeviceTreeNode node;
    private final IpmmuLayout layout;
    /** By micro-TLB: how many devices use it, and what it was sent through. */
    private final int[] utlbUsers = new int[IpmmuLayout.UTLBS];

    private final int[] utlbControl = new int[IpmmuLayout.UTLBS];

    IpmmuUnit(Platform platform, long base, DeviceTreeNode node, IpmmuLayout layout) {
        this.platform = platform;
        this.bus = platform.bus();
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

    /**
     * The root that a cache waits for. Any root will do, as both public drivers take the one there is; only where the cache
     * names a root is it certain which one that will be.
     *
     * @param isOurs whether a node is one of the driver's
     */
    static DeviceTreeNode namedRoot(Platform platform, DeviceTreeNode cache, Predicate<DeviceTreeNode> isOurs) {
        return cache.property("renesas,ipmmu-main")
                .filter(p -> p.cells() > 0)
                .flatMap(p -> platform.tree().byPhandle(p.cell(0)))
                .filter(main -> isOurs.test(main) && !main.has("renesas,ipmmu-main"))
                .orElse(null);
    }

    /** Brings a unit to where no context is on (ipmmu_device_reset). */
    void disableContexts() {
        for (int n = 0; n < layout.contexts(); n++) {
            writeContext(n, IpmmuLayout.IMCTR, 0);
        }
    }

    /** Waits until the flush of a context is over (ipmmu_tlb_sync). */
    void waitForFlush(int context) {
        for (int polls = 0; (readContext(context, IpmmuLayout.IMCTR) & IpmmuLayout.IMCTR_FLUSH) != 0; polls++) {
            if (polls == FLUSH_POLLS) {
                platform.log().error(IpmmuDriver.NAME, this + ": TLB sync timed out -- MMU may be deadlocked");
                return;
            }
            platform.relax();
        }
    }

    /**
     * Reads the fault of a context and clears it (ipmmu_domain_irq). The address reads as 0 once the status is cleared, and
     * the status is cleared by writing 0.
     *
     * @return null if there is none
     */
    Fault takeFault(int context) {
        int status = readContext(context, IpmmuLayout.IMSTR);
        if ((status & FAULTS) == 0) {
            return null;
        }
        long address = readContext(context, IpmmuLayout.IMELAR) & 0xffff_ffffL;
        if (layout.hasCaches()) { // Gen2 has addresses of 32 bits.
            address |= (readContext(context, IpmmuLayout.IMEUAR) & 0xffff_ffffL) << 32;
        }
        writeContext(context, IpmmuLayout.IMSTR, 0);
        return new Fault(status, address);
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
            utlbControl[utlb] = control | context << IpmmuLayout.IMUCTR_TTSEL_SHIFT | IpmmuLayout.IMUCTR_MMUEN;
            switchOn(utlb);
        }
        return -1;
    }

    private void switchOn(int utlb) {
        writeAsid(utlb, 0);
        writeUtlb(utlb, utlbControl[utlb]);
    }

    /** Sends the micro-TLBs that are used where they went before the registers were lost. */
    void restoreUtlbs() {
        for (int utlb = 0; utlb < utlbUsers.length; utlb++) {
            if (utlbUsers[utlb] > 0) {
                switchOn(utlb);
            }
        }
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
