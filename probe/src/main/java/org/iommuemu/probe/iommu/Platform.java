package org.iommuemu.probe.iommu;

import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.devicetree.DeviceTree;

/**
 * What a driver has of the machine it runs on: the bus, interrupts, RAM to build its structures in, the device tree and a
 * log. Never a model.
 */
public final class Platform {
    private final Bus bus;
    private final InterruptController interrupts;
    private final PageAllocator pages;
    private final DeviceTree tree;
    private final Log log;
    private int ipaBits;
    private boolean inHandler;

    /**
     * A machine.
     *
     * @param pages RAM of the hypervisor
     * @param ipaBits width of a guest-physical address that the CPU can take
     */
    public Platform(
            Bus bus, InterruptController interrupts, PageAllocator pages, DeviceTree tree, Log log, int ipaBits) {
        this.bus = bus;
        this.interrupts = interrupts;
        this.pages = pages;
        this.tree = tree;
        this.log = log;
        this.ipaBits = ipaBits;
    }

    /** Registers and RAM. */
    public Bus bus() {
        return bus;
    }

    /** Interrupts, by the numbers of {@link DeviceTree#interruptNumber}. */
    public InterruptController interrupts() {
        return interrupts;
    }

    /** RAM for tables and queues. */
    public PageAllocator pages() {
        return pages;
    }

    /** The device tree. */
    public DeviceTree tree() {
        return tree;
    }

    /** The boot log. */
    public Log log() {
        return log;
    }

    /** Width of a guest-physical address, restricted by what every IOMMU can take so far. */
    public int ipaBits() {
        return ipaBits;
    }

    /** An IOMMU takes no wider guest-physical addresses (Xen p2m_restrict_ipa_bits). */
    public void restrictIpaBits(int bits) {
        ipaBits = Math.min(ipaBits, bits);
    }

    /**
     * What a polling loop does between two looks: lets pending interrupts in, as a CPU would between two instructions.
     * Inside a handler interrupts are masked.
     */
    public void relax() {
        if (!inHandler) {
            inHandler = true;
            try {
                interrupts.dispatch();
            } finally {
                inHandler = false;
            }
        }
        Thread.onSpinWait();
    }
}
