package org.iommuemu.probe.iommu;

import java.util.List;
import java.util.Optional;

/** The operations of a kind of IOMMU (Xen struct iommu_ops). Errors are answers; what happened is in the log. */
public interface IommuOps {
    /**
     * Takes one IOMMU specifier of a device into its firmware spec.
     *
     * @param args the specifier's cells
     */
    Errno dtXlate(Device device, List<Integer> args);

    /** Gets to know a device whose firmware spec is complete, and protects it. */
    Errno addDevice(Device device);

    /** Attaches a device to a domain: from now on its DMA goes through the domain's tables. */
    Errno assignDevice(Domain domain, Device device);

    /** Detaches a device from its domain. */
    Errno deassignDevice(Domain domain, Device device);

    /**
     * Invalidates what the domain's units hold of a range; returns when no access uses it any more.
     *
     * @param address first guest-physical address
     * @param size in bytes
     */
    void iotlbFlush(Domain domain, long address, long size);

    /** Frees what was made for a domain that has no devices any more. */
    void teardown(Domain domain);

    /** Tables of its own, where the driver does not share the domain's; empty where it does. */
    default Optional<OwnTables> ownTables() {
        return Optional.empty();
    }
}
