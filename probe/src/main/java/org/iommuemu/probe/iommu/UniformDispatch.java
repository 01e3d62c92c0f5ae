package org.iommuemu.probe.iommu;

import java.util.List;

/** One operations object in the system. {@link PatchedCalls} makes its calls on pages direct ones. */
final class UniformDispatch implements Dispatch {
    private final IommuOps ops;

    UniformDispatch(IommuOps ops) {
        this.ops = ops;
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        return ops.dtXlate(device, args);
    }

    @Override
    public Errno addDevice(Device device) {
        return ops.addDevice(device);
    }

    @Override
    public Errno removeDevice(Device device) {
        return ops.removeDevice(device);
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        return ops.assignDevice(domain, device);
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        return ops.deassignDevice(domain, device);
    }

    @Override
    public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        ops.mapPages(domain, guestPhysical, machine, size);
    }

    @Override
    public void unmapPages(Domain domain, long guestPhysical, long size) {
        ops.unmapPages(domain, guestPhysical, size);
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        ops.iotlbFlush(domain, address, size);
    }
}
