package org.iommuemu.probe.iommu;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.pagetables.TableWriter;

/**
 * A domain's guest-physical to machine address table: a stage 2 table in RAM that the CPU walks, and every IOMMU that
 * shares it (Xen arch/arm/p2m.c).
 */
public final class P2m {
    private final TableWriter tables;

    /**
     * An empty table.
     *
     * @param ipaBits width of a guest-physical address that everything which shares the table can take, 32 to 48
     * @param invalidation invalidates the TLBs of everything that shares the table
     */
    public P2m(PhysicalMemory memory, PageAllocator allocator, int ipaBits, TableWriter.Invalidation invalidation) {
        int bits = supported(ipaBits);
        // 42 bits and less start at level 1 with up to eight concatenated tables (Xen setup_virt_paging,
        // pa_range_info).
        int startLevel = bits <= 42 ? 1 : 0;
        tables = new TableWriter(
                memory, allocator, new TableWriter.Geometry(Granule.KIB_4, startLevel, bits, 48), invalidation);
    }

    /** The largest width of Xen's pa_range_info that is not larger. */
    private static int supported(int ipaBits) {
        for (int bits : new int[] {48, 44, 42, 40, 36, 32}) {
            if (bits <= ipaBits) {
                return bits;
            }
        }
        throw new IllegalArgumentException("a P2M of " + ipaBits + " bits is too small");
    }

    /** Physical address of the first table. */
    public long root() {
        return tables.root();
    }

    /** Width of a guest-physical address in bits. */
    public int ipaBits() {
        return tables.geometry().inputBits();
    }

    /** The level at which a walk starts. */
    public int startLevel() {
        return tables.geometry().startLevel();
    }

    /** Maps RAM, readable and writable. See {@link TableWriter#map} for errors. */
    public void mapRam(long guestPhysical, long machine, long size) {
        tables.map(guestPhysical, machine, size, Descriptor.STAGE2_RAM);
    }

    /** Unmaps a range and invalidates it everywhere. */
    public void unmap(long guestPhysical, long size) {
        tables.unmap(guestPhysical, size);
    }

    /** Is told of what is mapped. */
    @FunctionalInterface
    public interface Run {
        /** A run: guest-physical and machine addresses that follow one another. */
        void run(long guestPhysical, long machine, long size);
    }

    /** Tells what is mapped, in runs that are as long as possible. */
    void forEachRun(Run action) {
        tables.runs(0, 1L << ipaBits(), (input, output, size, attributes) -> action.run(input, output, size));
    }

    /** The machine address that a guest-physical one leads to, or -1. */
    public long resolve(long guestPhysical) {
        return tables.resolve(guestPhysical);
    }

    void destroy() {
        tables.destroy();
    }
}
