package org.iommuemu.probe.iommu;

import java.util.List;

/** Several kinds of IOMMU: through the device, or the set of IOMMUs that the domain uses. */
final class MixedDispatch implements Dispatch {
    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        return device.ops().dtXlate(device, args);
    }

    @Override
    public Errno addDevice(Device device) {
        return device.ops().addDevice(device);
    }

    @Override
    public Errno removeDevice(Device device) {
        return device.ops().removeDevice(device);
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        return device.ops().assignDevice(domain, device);
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        return device.ops().deassignDevice(domain, device);
    }

    @Override
    public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        IommuOps[] used = domain.used();
        int done = 0;
        try {
            for (; done < used.length; done++) {
                used[done].mapPages(domain, guestPhysical, machine, size);
            }
        } finally {
            while (done < used.length && --done >= 0) {
                used[done].unmapPages(domain, guestPhysical, size);
            }
        }
    }

    @Override
    public void unmapPages(Domain domain, long guestPhysical, long size) {
        for (IommuOps ops : domain.used()) {
            ops.unmapPages(domain, guestPhysical, size);
        }
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        for (IommuOps ops : domain.used()) {
            ops.iotlbFlush(domain, address, size);
        }
    }
}
