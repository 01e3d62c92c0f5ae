package org.iommuemu.probe.driver.grantdma;

import java.util.BitSet;
import java.util.List;
import java.util.function.IntFunction;
import org.iommuemu.mmio.Bus;

/**
 * A domain's own grant table as the domain sees it (Linux drivers/xen/grant-table.c). An entry of version 1 is 8 bytes: u16
 * flags, u16 domain ID, u32 frame.
 */
final class GrantTable {
    /** What {@link #allocate} returns if there are no such references. */
    static final int NONE = -1;

    /** Console and xenstore have some of them (GNTTAB_NR_RESERVED_ENTRIES). */
    static final int RESERVED = 8;

    static final int PERMIT_ACCESS = 1;
    static final int READ_ONLY = 1 << 2;
    static final int READING = 1 << 3;
    static final int WRITING = 1 << 4;

    private static final int ENTRY_BYTES = 8;
    private static final int ENTRIES = 4096 / ENTRY_BYTES;

    private final Bus bus;
    private final IntFunction<List<Long>> setup;
    private final BitSet taken = new BitSet();
    private List<Long> frames = List.of();

    /** @param setup asks the hypervisor for so many frames */
    GrantTable(Bus bus, IntFunction<List<Long>> setup) {
        this.bus = bus;
        this.setup = setup;
        taken.set(0, RESERVED);
    }

    /** Gets the first frame, if it can be had. */
    boolean setUp() {
        return grow(1);
    }

    private boolean grow(int wanted) {
        frames = setup.apply(wanted);
        return frames.size() >= wanted;
    }

    /**
     * Takes references that follow one another (gnttab_alloc_grant_reference_seq); the table grows where it must.
     *
     * @return the first, or {@link #NONE}
     */
    int allocate(int count) {
        int first = taken.nextClearBit(0);
        for (int used; (used = taken.nextSetBit(first)) >= 0 && used < first + count; ) {
            first = taken.nextClearBit(used);
        }
        int wanted = (first + count + ENTRIES - 1) / ENTRIES;
        if (wanted > frames.size() && !grow(wanted)) {
            return NONE;
        }
        taken.set(first, first + count);
        return first;
    }

    void release(int first, int count) {
        taken.clear(first, first + count);
    }

    /** References that are taken. */
    int used() {
        return taken.cardinality() - RESERVED;
    }

    /** Lets a domain access a page. The flags come last: an entry is valid when they are there (gnttab_update_entry_v1). */
    void grant(int reference, int domain, long guestFrame, boolean readOnly) {
        long entry = entry(reference);
        bus.write(entry + 2, 2, domain);
        bus.write(entry + 4, 4, guestFrame);
        bus.write(entry, 2, PERMIT_ACCESS | (readOnly ? READ_ONLY : 0));
    }

    /**
     * Takes the access back, unless the entry is in use (gnttab_end_foreign_access_ref_v1).
     *
     * @return whether it is taken back
     */
    boolean end(int reference) {
        long entry = entry(reference);
        for (; ; ) {
            long old = bus.read64(entry);
            if ((old & (READING | WRITING)) != 0) {
                return false;
            }
            // A CPU's compare-and-exchange: the hypervisor changes the same flags.
            if (bus.memory().compareAndSet64(entry, old, old & ~0xffffL)) {
                return true;
            }
        }
    }

    private long entry(int reference) {
        return frames.get(reference / ENTRIES) + (long) (reference % ENTRIES) * ENTRY_BYTES;
    }
}
