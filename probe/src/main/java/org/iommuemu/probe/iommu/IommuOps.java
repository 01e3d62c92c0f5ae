package org.iommuemu.probe.iommu;

import java.util.List;
import java.util.Optional;

/**
 * The operations of a kind of IOMMU (Xen struct iommu_ops). Errors are answers; what happened is in the log.
 *
 * <p>Operations on a device or a domain reach the IOMMUs that they concern; those on pages of a domain may also reach one
 * that has nothing to do with it, and do nothing then. The others, from {@link #suspend} on, have
 * nothing that tells the target: {@link Iommus} offers them as what is done for each registered IOMMU.
 */
public interface IommuOps {
    /**
     * Takes one IOMMU specifier of a device into its firmware spec.
     *
     * @param args the specifier's cells
     */
    Errno dtXlate(Device device, List<Integer> args);

    /**
     * Gets to know a device whose firmware spec is complete, and protects it.
     *
     * @return ENODEV if the device is not behind an IOMMU of this kind
     */
    Errno addDevice(Device device);

    /** Forgets a device that no domain owns; it is not protected any more. */
    default Errno removeDevice(Device device) {
        device.setProtected(false);
        return Errno.OK;
    }

    /** Whether an ID tells a unit whose DMA it is, so that devices with the same one can be in one domain only. */
    default boolean idsTellMasters() {
        return true;
    }

    /** Attaches a device to a domain: from now on its DMA goes through the domain's tables. */
    Errno assignDevice(Domain domain, Device device);

    /** Detaches a device from its domain. */
    Errno deassignDevice(Domain domain, Device device);

    /**
     * Keeps a table of the IOMMU's own in step: a range was mapped in the domain. Nothing to do for an IOMMU that walks
     * {@link Domain#ioP2m}.
     *
     * @throws org.iommuemu.pagetables.MappingException if it cannot be; then nothing of the range is mapped
     */
    default void mapPages(Domain domain, long guestPhysical, long machine, long size) {}

    /** Keeps a table of the IOMMU's own in step: a range was unmapped. {@link #iotlbFlush} follows. */
    default void unmapPages(Domain domain, long guestPhysical, long size) {}

    /**
     * Invalidates what the domain's units hold of a range; returns when no access uses it any more.
     *
     * @param address first guest-physical address
     * @param size in bytes
     */
    void iotlbFlush(Domain domain, long address, long size);

    /** Frees what was made for a domain that has no devices behind this kind any more. */
    void teardown(Domain domain);

    /** Tables of its own, where the driver does not walk the domain's; empty where it does. */
    default Optional<OwnTables> ownTables() {
        return Optional.empty();
    }

    /** Makes the units ready to lose their registers: the system goes to sleep, and masters are quiet. */
    default Errno suspend() {
        return Errno.OK;
    }

    /** Brings the units back to where they were at {@link #suspend}. */
    default void resume() {}

    /** The hypervisor has crashed: no DMA may reach more than before, and no interrupt may disturb a crash kernel. */
    default void crashShutdown() {}

    /** The memory that devices behind these units use before a driver of theirs runs (reserved-memory binding). */
    default List<ReservedRegion> reservedMemory() {
        return List.of();
    }

    /**
     * A domain's P2M was made (Xen share_p2m).
     *
     * @return OK if the units can walk it; otherwise no device behind them can be assigned to the domain
     */
    default Errno shareP2m(Domain domain) {
        return Errno.OK;
    }
}
