package org.iommuemu.probe.driver.ipmmu;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.iommu.Errno;

/**
 * A stage 1 table of 32-bit input addresses in long descriptors, as Linux makes it for the IPMMU (io-pgtable-arm.c,
 * ARM_32_LPAE_S1 with IO_PGTABLE_QUIRK_ARM_NS): a level 1 of four entries, NSTable in every table and NS in every leaf, as
 * the hardware wants them from non-secure masters.
 */
final class LinuxPageTable {
    /** Access of devices to a mapping, as bits (Linux iommu.h, IOMMU_READ and others). */
    static final int READ = 1;

    static final int WRITE = 2;
    static final int CACHE = 4;
    static final int NOEXEC = 8;
    static final int MMIO = 16;
    static final int PRIV = 32;

    /** Sizes of leaves, by level. */
    private static final long[] SIZES = {0, 1 << 30, 2 << 20, 4096};

    /** Input addresses have 32 bits, output addresses 40. */
    private static final long INPUT_END = 1L << 32;

    private static final long OUTPUT_END = 1L << 40;
    private static final long ADDRESS = OUTPUT_END - 4096;
    private static final long XN = Descriptor.PXN | Descriptor.UXN;

    private final PhysicalMemory memory;
    private final PageAllocator pages;
    private final long root;

    /** @throws OutOfMemory if there is no page for the root */
    LinuxPageTable(PhysicalMemory memory, PageAllocator pages) {
        this.memory = memory;
        this.pages = pages;
        root = newTable();
    }

    /** No page is left for a table. */
    static final class OutOfMemory extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    long root() {
        return root;
    }

    /**
     * Maps a range with leaves as large as fit.
     *
     * @return EINVAL if a value is not aligned or too large, EEXIST if an address is mapped already, ENOMEM
     */
    Errno map(long iova, long physical, long size, int protection) {
        if (((iova | physical | size) & 4095) != 0
                || size <= 0
                || iova < 0
                || iova > INPUT_END - size
                || physical < 0
                || physical > OUTPUT_END - size) {
            return Errno.EINVAL;
        }
        try {
            for (long done = 0; done < size; ) {
                int level = level(iova + done | physical + done, size - done);
                long entry = entry(iova + done, level, true);
                if (entry == 0 || memory.read64(entry) != 0) {
                    return Errno.EEXIST;
                }
                memory.write64(entry, physical + done | leaf(level, protection));
                done += SIZES[level];
            }
        } catch (OutOfMemory e) {
            return Errno.ENOMEM;
        }
        return Errno.OK;
    }

    /**
     * Clears the leaves of a range. Tables stay.
     *
     * @return how many bytes were unmapped, up to the first address that is not mapped or is in the middle of a larger leaf
     */
    long unmap(long iova, long size) {
        long done = 0;
        while (done < size && iova + done < INPUT_END) {
            int level = 1;
            long entry = entry(iova + done, 1, false);
            while (level < 3 && isTable(memory.read64(entry))) {
                entry = entry(iova + done, ++level, false);
            }
            boolean whole = (iova + done & SIZES[level] - 1) == 0 && size - done >= SIZES[level];
            if (memory.read64(entry) == 0 || !whole) {
                break;
            }
            memory.write64(entry, 0);
            done += SIZES[level];
        }
        return done;
    }

    /** The physical address that an input address leads to, or -1. */
    long resolve(long iova) {
        if (iova < 0 || iova >= INPUT_END) {
            return -1;
        }
        int level = 1;
        long entry = entry(iova, 1, false);
        while (level < 3 && isTable(memory.read64(entry))) {
            entry = entry(iova, ++level, false);
        }
        long descriptor = memory.read64(entry);
        return descriptor == 0 ? -1 : (descriptor & ADDRESS & -SIZES[level]) + iova % SIZES[level];
    }

    /** Gives all tables back. */
    void free() {
        free(root, 1);
    }

    private void free(long table, int level) {
        for (int i = 0; level < 3 && i < (level == 1 ? 4 : 512); i++) {
            long descriptor = memory.read64(table + 8L * i);
            if (isTable(descriptor)) {
                free(descriptor & ADDRESS, level + 1);
            }
        }
        pages.free(table, 4096);
    }

    private static int level(long addresses, long left) {
        int level = 1;
        while ((addresses & SIZES[level] - 1) != 0 || left < SIZES[level]) {
            level++;
        }
        return level;
    }

    /** Where the entry of an address at a level is; 0 if a leaf stands above, or a table is missing and is not to be made. */
    private long entry(long iova, int level, boolean make) {
        long table = root;
        for (int at = 1; ; at++) {
            long entry = table + (iova / SIZES[at] % (at == 1 ? 4 : 512)) * 8;
            if (at == level) {
                return entry;
            }
            long descriptor = memory.read64(entry);
            if (descriptor == 0 && make) {
                descriptor = newTable() | Descriptor.NS_TABLE | Descriptor.TABLE | Descriptor.VALID;
                memory.write64(entry, descriptor);
            }
            if (!isTable(descriptor)) {
                return 0;
            }
            table = descriptor & ADDRESS;
        }
    }

    private static boolean isTable(long descriptor) {
        return (descriptor & 3) == 3;
    }

    private long newTable() {
        long table = pages.allocate(4096);
        if (table == PageAllocator.NONE) {
            throw new OutOfMemory();
        }
        return table;
    }

    /** A leaf's attributes; what MAIR has at 0, 1 and 2: not cached, cached, device. */
    static long leaf(int level, int protection) {
        boolean cached = (protection & (CACHE | MMIO)) == CACHE;
        long index = (protection & MMIO) != 0 ? 2 : cached ? 1 : 0;
        return Descriptor.VALID
                | (level == 3 ? Descriptor.TABLE : 0)
                | index << Descriptor.ATTR_INDX_SHIFT
                | Descriptor.NS
                | ((protection & PRIV) == 0 ? Descriptor.AP_UNPRIVILEGED : 0)
                | ((protection & WRITE) == 0 ? Descriptor.AP_READ_ONLY : 0)
                | (cached ? 3L : 2L) << Descriptor.SH_SHIFT
                | Descriptor.AF
                | Descriptor.NG
                | ((protection & NOEXEC) != 0 ? XN : 0);
    }
}
