package org.iommuemu.probe.driver.grantdma;

import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;

/**
 * The driver for {@code xen,grant-dma}, whose one specifier cell is the domain ID of a device's backend. The node has no
 * registers; the driver is there so that nothing waits for one (Linux grant-dma-iommu.c). A device's pages are granted to
 * its backend, and the DMA address of a page is its grant reference (Linux grant-dma-ops.c):
 *
 * <table>
 * <caption>DMA address</caption>
 * <tr><td>63</td><td>1</td></tr>
 * <tr><td>43:12</td><td>grant reference; a longer buffer has references that follow one another</td></tr>
 * <tr><td>11:0</td><td>offset in the page</td></tr>
 * </table>
 *
 * <p>Nothing of a P2M is cached here: the hypervisor looks at it on every access.
 */
public final class GrantDmaDriver implements IommuDriver, IommuOps {
    /** Its short name. */
    public static final String NAME = "grant-dma";

    /** What {@link #mapPage} returns if it cannot map (DMA_MAPPING_ERROR). */
    public static final long MAPPING_ERROR = -1;

    private static final String COMPATIBLE = "xen,grant-dma";
    private static final String OLDER_BINDING = "xen,backend-domid";

    /** Domain IDs from here on mean something else (DOMID_FIRST_RESERVED). */
    private static final int FIRST_RESERVED_DOMAIN = 0x7ff0;

    private static final int PAGE_SHIFT = 12;
    private static final int PAGE = 1 << PAGE_SHIFT;
    private static final long IS_GRANT = 1L << 63;

    /** Of a guest frame number in an entry of version 1. */
    private static final int FRAME_BITS = 32;

    /** More than any grant table holds. */
    private static final long MOST_BYTES = 1L << 30;

    /** What a device has granted: by first reference, how many. */
    private static final class Grants {
        private final GrantTable table;
        private final Map<Integer, Integer> references = new TreeMap<>();
        /** A backend did not give a page back: no more for it. */
        private boolean broken;

        private Grants(GrantTable table) {
            this.table = table;
        }
    }

    private final Platform platform;
    private final Log log;
    private final GrantHypercalls hypercalls;
    private final Set<DeviceTreeNode> nodes = new HashSet<>();
    private final Map<Domain, GrantTable> tables = new IdentityHashMap<>();
    private final Map<Device, Grants> devices = new IdentityHashMap<>();

    /** A driver without nodes. */
    public GrantDmaDriver(Platform platform, GrantHypercalls hypercalls) {
        this.platform = platform;
        this.log = platform.log();
        this.hypercalls = hypercalls;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return isGrantDma(node);
    }

    /** Whether a node is {@code xen,grant-dma}, or a device with the older binding, which is its own. */
    public static boolean isGrantDma(DeviceTreeNode node) {
        return node.isCompatible(COMPATIBLE) || hasOlderBinding(node);
    }

    /** Whether a device says by the older binding, {@code xen,backend-domid}, that its DMA is grants. */
    public static boolean hasOlderBinding(DeviceTreeNode node) {
        return node.has(OLDER_BINDING) && !node.has("iommus");
    }

    /** The specifier that a device with the older binding would have. */
    public static Specifier olderSpecifier(DeviceTreeNode node) {
        return new Specifier(
                node, List.of(node.property(OLDER_BINDING).orElseThrow().u32()));
    }

    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        if (!node.isCompatible(COMPATIBLE)) {
            log.warning(
                    NAME,
                    node.path() + ": " + OLDER_BINDING + " is the older binding: name a " + COMPATIBLE
                            + " node in iommus");
        } else if (node.property("#iommu-cells").map(p -> p.u32()).orElse(0) != 1) {
            return new ProbeAnswer.Failed(Errno.EINVAL, "#iommu-cells is not 1");
        }
        platform.restrictIpaBits(FRAME_BITS + PAGE_SHIFT);
        nodes.add(node);
        return new ProbeAnswer.Initialised();
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    /** An ID is where a device's backend is: one domain may have the backends of many. */
    @Override
    public boolean idsTellMasters() {
        return false;
    }

    /** The cell is a domain that there can be; a device has one backend. */
    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        if (args.size() != 1 || Integer.compareUnsigned(args.get(0), FIRST_RESERVED_DOMAIN) >= 0) {
            return Errno.EINVAL;
        }
        device.fwspec().addId(args.get(0));
        return device.fwspec().ids().size() == 1 ? Errno.OK : Errno.EINVAL;
    }

    @Override
    public Errno addDevice(Device device) {
        if (device.fwspec() == null || !nodes.contains(device.fwspec().iommu())) {
            return Errno.ENODEV;
        }
        device.setProtected(true);
        log.debug(NAME, "%s: its backend is d%d".formatted(device, backend(device)));
        return Errno.OK;
    }

    private static int backend(Device device) {
        return device.fwspec().ids().get(0);
    }

    /** The domain gets its grant table with its first device. */
    @Override
    public Errno assignDevice(Domain domain, Device device) {
        GrantTable table = tables.get(domain);
        if (table == null) {
            table = new GrantTable(platform.bus(), frames -> hypercalls.setupTable(domain, frames));
            tables.put(domain, table);
            if (!table.setUp()) {
                return Errno.ENOMEM;
            }
        }
        devices.put(device, new Grants(table));
        return Errno.OK;
    }

    /**
     * Takes everything back that the device had granted.
     *
     * @return EBUSY if its backend still uses some of it; that is reported, and the device is of no use any more
     */
    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        Grants grants = devices.get(device);
        for (int first : new LinkedHashSet<>(grants.references.keySet())) {
            if (!revoke(device, grants, first)) {
                return Errno.EBUSY;
            }
        }
        devices.remove(device);
        return Errno.OK;
    }

    /**
     * Grants a buffer to a device's backend (xen_grant_dma_map_page). The device belongs to a domain.
     *
     * @param guestPhysical its first byte
     * @param size in bytes
     * @param readOnly whether the backend may only read it (DMA_TO_DEVICE)
     * @return its DMA address, or {@link #MAPPING_ERROR} if there are not so many references, an entry cannot hold the frame
     *     number, or the device is of no use any more
     */
    public long mapPage(Device device, long guestPhysical, long size, boolean readOnly) {
        Grants grants = devices.get(device);
        if (grants == null
                || grants.broken
                || size <= 0
                || size > MOST_BYTES
                || (guestPhysical | guestPhysical + size - 1) >>> FRAME_BITS + PAGE_SHIFT != 0) {
            return MAPPING_ERROR;
        }
        int pages = pages(guestPhysical, size);
        int first = grants.table.allocate(pages);
        if (first == GrantTable.NONE) {
            return MAPPING_ERROR;
        }
        for (int i = 0; i < pages; i++) {
            grants.table.grant(first + i, backend(device), (guestPhysical >>> PAGE_SHIFT) + i, readOnly);
        }
        grants.references.put(first, pages);
        return IS_GRANT | (long) first << PAGE_SHIFT | guestPhysical & PAGE - 1;
    }

    /**
     * Takes a buffer back (xen_grant_dma_unmap_page).
     *
     * @param address what {@link #mapPage} returned
     * @return EINVAL if the device has granted no such buffer; EBUSY if the backend still uses it: that is reported, and the
     *     device is of no use any more
     */
    public Errno unmapPage(Device device, long address) {
        Grants grants = devices.get(device);
        int first = (int) (address >>> PAGE_SHIFT);
        if (grants == null || !grants.references.containsKey(first)) {
            return Errno.EINVAL;
        }
        return revoke(device, grants, first) ? Errno.OK : Errno.EBUSY;
    }

    private boolean revoke(Device device, Grants grants, int first) {
        int count = grants.references.get(first);
        for (int i = 0; i < count; i++) {
            if (!grants.table.end(first + i)) {
                grants.broken = true;
                log.fault(new FaultReport(
                        device.fwspec().iommu(),
                        "IN_USE",
                        -1,
                        IS_GRANT | (long) (first + i) << PAGE_SHIFT,
                        device + ": grant still in use by backend domain, disabled for further use"));
                return false;
            }
        }
        grants.references.remove(first);
        grants.table.release(first, count);
        return true;
    }

    /** References that the domain's devices have granted and not taken back. */
    public int granted(Domain domain) {
        GrantTable table = tables.get(domain);
        return table == null ? 0 : table.used();
    }

    private static int pages(long address, long size) {
        return (int) (((address & PAGE - 1) + size + PAGE - 1) >>> PAGE_SHIFT);
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {}

    @Override
    public void teardown(Domain domain) {
        if (tables.remove(domain) != null) {
            hypercalls.dropTable(domain);
        }
    }
}
