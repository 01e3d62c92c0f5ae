package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.pagetables.PageAllocator;

/**
 * A domain: a guest with its own physical address space, and the devices that it owns. It has one P2M, and knows the
 * kinds of IOMMU that stand in front of its devices: all of them walk that table, and each hears of a change once.
 */
public final class Domain {
    private static final IommuOps[] NONE = {};

    private final int id;
    private final P2m p2m;
    private final P2m ioP2m;
    private final List<Device> devices = new ArrayList<>();

    /** The kinds of IOMMU whose units cannot walk the P2M. */
    private final List<IommuOps> refused = new ArrayList<>();

    // Changes of the table and of the devices have the domain's lock: an IOMMU either hears of a change, or walks a
    // table
    // that was changed before.

    /** The kinds of IOMMU in front of the devices. */
    private IommuOps[] used = NONE;

    /** Null until there is a device. */
    private Dispatch dispatch;

    private boolean dying;

    /**
     * A domain without RAM and devices.
     *
     * @param ipaBits width of its guest-physical addresses
     * @param shared whether IOMMUs walk the P2M itself; if not, they walk a copy that is kept in step
     */
    public Domain(int id, PhysicalMemory memory, PageAllocator allocator, int ipaBits, boolean shared) {
        this.id = id;
        if (shared) {
            p2m = new P2m(memory, allocator, ipaBits, this::iotlbFlush);
            ioP2m = p2m;
        } else {
            p2m = new P2m(memory, allocator, ipaBits, (address, size) -> {});
            ioP2m = new P2m(memory, allocator, ipaBits, this::iotlbFlush);
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

    /**
     * Gives it RAM.
     *
     * @throws MappingException if it cannot be mapped, for the CPU or an IOMMU; then it is mapped for none
     */
    public synchronized void mapRam(long guestPhysical, long machine, long size) {
        p2m.mapRam(guestPhysical, machine, size);
        boolean copied = ioP2m == p2m;
        try {
            if (ioP2m != p2m) {
                ioP2m.mapRam(guestPhysical, machine, size);
                copied = true;
            }
            PatchedCalls.mapPages(this, guestPhysical, machine, size);
        } catch (MappingException e) {
            if (copied && ioP2m != p2m) {
                ioP2m.unmap(guestPhysical, size);
            }
            p2m.unmap(guestPhysical, size);
            throw e;
        }
    }

    /** Takes RAM away; when it returns, neither the CPU nor a device can reach it any more. */
    public synchronized void unmap(long guestPhysical, long size) {
        PatchedCalls.unmapPages(this, guestPhysical, size);
        p2m.unmap(guestPhysical, size);
        if (ioP2m != p2m) {
            ioP2m.unmap(guestPhysical, size);
        }
    }

    /** The machine address that a guest-physical one leads to, or -1. */
    public long resolve(long guestPhysical) {
        return p2m.resolve(guestPhysical);
    }

    /** Tells what is mapped, in runs that are as long as possible; for an IOMMU with a table of its own. */
    public void forEachRun(P2m.Run action) {
        p2m.forEachRun(action);
    }

    /**
     * Invalidates a range in every IOMMU that its devices use, once (Xen iommu_iotlb_flush). Called where the table has
     * changed, with the domain's lock.
     */
    public void iotlbFlush(long address, long size) {
        PatchedCalls.iotlbFlush(this, address, size);
    }

    /** The devices that it owns. */
    public synchronized List<Device> devices() {
        return List.copyOf(devices);
    }

    /** The kinds of IOMMU that its devices use, in the order in which they came. */
    public synchronized List<IommuOps> iommus() {
        return List.of(used);
    }

    Dispatch dispatch() {
        return dispatch;
    }

    IommuOps[] used() {
        return used;
    }

    /** A kind of IOMMU cannot walk its P2M. */
    void refuse(IommuOps ops) {
        refused.add(ops);
    }

    boolean refused(IommuOps ops) {
        return refused.contains(ops);
    }

    /** Whether it is being destroyed. */
    boolean isDying() {
        return dying;
    }

    /** Attaches a device. The domain is locked meanwhile, so that a table of the IOMMU's own misses nothing. */
    synchronized Errno attach(Device device, Dispatch calls) {
        IommuOps ops = device.ops();
        if (!List.of(used).contains(ops)) {
            IommuOps[] more = Arrays.copyOf(used, used.length + 1);
            more[used.length] = ops;
            used = more;
        }
        dispatch = calls;
        Errno rc = calls.assignDevice(this, device);
        if (rc == Errno.OK) {
            devices.add(device);
            device.setDomain(this);
        } else {
            drop(ops);
        }
        return rc;
    }

    /** Detaches a device. With the last one behind a kind of IOMMU goes what that had made for the domain. */
    synchronized Errno detach(Device device, Dispatch calls) {
        Errno rc = calls.deassignDevice(this, device);
        if (rc == Errno.OK) {
            devices.remove(device);
            device.setDomain(null);
            drop(device.ops());
        }
        return rc;
    }

    private void drop(IommuOps ops) {
        if (devices.stream().noneMatch(device -> device.ops() == ops)) {
            ops.teardown(this);
            used = Arrays.stream(used).filter(other -> other != ops).toArray(IommuOps[]::new);
            if (used.length == 0) {
                dispatch = null;
            }
        }
    }

    /** No device is left: frees the tables. */
    synchronized void destroy() {
        p2m.destroy();
        if (ioP2m != p2m) {
            ioP2m.destroy();
        }
    }

    synchronized void die() {
        dying = true;
    }

    @Override
    public String toString() {
        return "d" + id;
    }
}
