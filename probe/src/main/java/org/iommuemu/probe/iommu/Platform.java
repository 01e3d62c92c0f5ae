package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * What a driver has of the machine it runs on: the bus, interrupts, RAM to build its structures in, the device tree and a
 * log. Never a model.
 */
public final class Platform {
    private final Bus bus;
    private final InterruptController interrupts;
    private final PageAllocator pages;
    private final DeferredPages tables;
    private final DeviceTree tree;
    private final Log log;
    private int ipaBits;
    private boolean sharePt = true;
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
        tables = new DeferredPages(pages);
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

    /** RAM for translation tables of domains: what is given back is free after {@link Iommus#freePageTables}. */
    public PageAllocator tables() {
        return tables;
    }

    int freeTables(int most) {
        return tables.drain(most);
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

    /** Whether IOMMUs are to walk the P2M itself ({@code iommu=sharept}, Xen iommu_hap_pt_share). */
    public boolean sharePt() {
        return sharePt;
    }

    /** The command line asks for private tables, or not. */
    public void setSharePt(boolean shared) {
        sharePt = shared;
    }

    /**
     * The memory that devices use before a driver of theirs runs (reserved-memory binding, {@code iommu-addresses}: the
     * device's phandle, then an address and a size in the cells of the bus that it is on; Linux
     * of_iommu_get_resv_regions).
     *
     * @param iommus of devices whose {@code iommus} names one of these
     */
    public List<ReservedRegion> reservedMemory(Set<DeviceTreeNode> iommus) {
        List<ReservedRegion> regions = new ArrayList<>();
        DeviceTreeNode parent = tree.node("/reserved-memory").orElse(null);
        for (DeviceTreeNode node : parent == null ? List.<DeviceTreeNode>of() : parent.children()) {
            if (node.available()) {
                List<AddressRange> memory = node.reg();
                for (ReservedRegion region : node.iommuAddresses(
                        (device, range) -> new ReservedRegion(device, range, memory.contains(range)))) {
                    if (region.device().available()
                            && region.device().iommus().stream().anyMatch(s -> iommus.contains(s.node()))) {
                        regions.add(region);
                    }
                }
            }
        }
        return regions;
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
