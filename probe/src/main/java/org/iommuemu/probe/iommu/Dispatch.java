package org.iommuemu.probe.iommu;

import java.util.List;

/**
 * How an operation on a device or domain finds the operations object that it is for. Chosen at boot: {@link
 * UniformDispatch} where there is one, {@link MixedDispatch} where there may be several. Operations that have neither a
 * device nor a domain are not here: {@link Iommus} does them for each registered IOMMU.
 */
interface Dispatch {
    Errno dtXlate(Device device, List<Integer> args);

    Errno addDevice(Device device);

    Errno removeDevice(Device device);

    Errno assignDevice(Domain domain, Device device);

    Errno deassignDevice(Domain domain, Device device);

    /** In every IOMMU that the domain uses; what one could not do is undone in the others. */
    void mapPages(Domain domain, long guestPhysical, long machine, long size);

    /** In every IOMMU that the domain uses. */
    void unmapPages(Domain domain, long guestPhysical, long size);

    /** In every IOMMU that the domain uses, once. */
    void iotlbFlush(Domain domain, long address, long size);
}
