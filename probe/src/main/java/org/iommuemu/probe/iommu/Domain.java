package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PageAllocator;

/** A domain: a guest with its own physical address space, and the devices that it owns. */
public final class Domain {
    private final int id;
    private final P2m p2m;
    private final P2m ioP2m;
    private final List<Device> devices = new ArrayList<>();
    /** The kinds of IOMMU that stand in front of its devices: who must hear of changes. */
    private final Set<IommuOps> iommus = new LinkedHashSet<>();

    /**
     * A domain without RAM and devices.
     *
     * @param ipaBits width of its guest-physical addresses
     * @param shared whether IOMMUs walk the P2M itself; if not, they walk a copy that is kept in step
     */
    public Domain(int id, PhysicalMemory memory, PageAllocator allocator, int ipaBits, boolean shared) {
        this.id = id;
        if (shared) {
            p2m = new P2m(memory, allocator, ipaBits, this::flush);
            ioP2m = p2m;
        } else {
            p2m = new P2m(memory, allocator, ipaBits, (address, size) -> {});
            ioP2m = new P2m(memory, allocator, ipaBits, this::flush);
        }
    }

    /** Its number; 0 is the hardware domain. */
    public int id() {
        return id;
    }

    /** The table that IOMMUs walk for it. */
    public P2m ioP2m() {
        return ioP2m;
    }

    /** Gives it RAM. */
    public void mapRam(long guestPhysical, long machine, long size) {
        p2m.mapRam(guestPhysical, machine, size);
        if (ioP2m != p2m) {
            ioP2m.mapRam(guestPhysical, machine, size);
        }
    }

    /** Takes RAM away; when it returns, neither the CPU nor a device can reach it any more. */
    public void unmap(long guestPhysical, long size) {
        p2m.unmap(guestPhysical, size);
        if (ioP2m != p2m) {
            ioP2m.unmap(guestPhysical, size);
        }
    }

    /** The machine address that a guest-physical one leads to, or -1. */
    public long resolve(long guestPhysical) {
        return p2m.resolve(guestPhysical);
    }

    /** The devices that it owns. */
    public List<Device> devices() {
        return List.copyOf(devices);
    }

    void attached(Device device, IommuOps ops) {
        devices.add(device);
        iommus.add(ops);
        device.setDomain(this);
    }

    void detached(Device device) {
        devices.remove(device);
        device.setDomain(null);
    }

    void destroy() {
        iommus.forEach(ops -> ops.teardown(this));
        iommus.clear();
        p2m.destroy();
        if (ioP2m != p2m) {
            ioP2m.destroy();
        }
    }

    private void flush(long address, long size) {
        iommus.forEach(ops -> ops.iotlbFlush(this, address, size));
    }

    @Override
    public String toString() {
        return "d" + id;
    }
}
