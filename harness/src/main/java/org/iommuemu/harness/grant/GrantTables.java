package org.iommuemu.harness.grant;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongUnaryOperator;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.PageAllocator;

/**
 * What Xen does with grant tables (common/grant_table.c): it has a table for each domain that asked for one, and lets
 * backends use what entries of it grant them. An entry of version 1 in RAM:
 *
 * <table>
 * <caption>public/grant_table.h, struct grant_entry_v1</caption>
 * <tr><td>15:0</td><td>flags: 1:0 type (1: permit access), 2 read-only, 3 reading, 4 writing, 8 sub-page</td></tr>
 * <tr><td>31:16</td><td>the domain that may access</td></tr>
 * <tr><td>63:32</td><td>guest frame number</td></tr>
 * </table>
 *
 * <p>Reading and writing are Xen's: set while a backend uses the entry, cleared after the last use.
 */
public final class GrantTables {
    /** Xen's default for gnttab_max_frames. */
    public static final int MOST_FRAMES = 64;

    private static final int PAGE = 4096;
    private static final int ENTRIES = PAGE / 8;
    private static final int TYPE_MASK = 3;
    private static final int PERMIT_ACCESS = 1;
    private static final int READ_ONLY = 1 << 2;
    private static final int READING = 1 << 3;
    private static final int WRITING = 1 << 4;
    private static final int SUB_PAGE = 1 << 8;

    /** Looks at an entry that changes meanwhile. */
    private static final int TRIES = 5;

    /** Uses of an entry. */
    private static final class Pins {
        private int readers;
        private int writers;
    }

    private static final class Table {
        private final LongUnaryOperator p2m;
        private final List<Long> frames = new ArrayList<>();
        private final Map<Integer, Pins> pins = new HashMap<>();

        private Table(LongUnaryOperator p2m) {
            this.p2m = p2m;
        }

        private long entry(int reference) {
            return frames.get(reference / ENTRIES) + reference % ENTRIES * 8L;
        }
    }

    private final PhysicalMemory memory;
    private final PageAllocator pages;
    private final Map<Integer, Table> tables = new HashMap<>();

    /**
     * No tables yet.
     *
     * @param pages RAM of the hypervisor, for the tables
     */
    public GrantTables(PhysicalMemory memory, PageAllocator pages) {
        this.memory = memory;
        this.pages = pages;
    }

    /**
     * GNTTABOP_setup_table: makes a domain's table at least so large.
     *
     * @param p2m gives the machine address of a guest-physical one, or -1
     * @param frames of 512 entries
     * @return where the frames are; fewer than asked for at the limit of {@link #MOST_FRAMES} and where RAM runs out
     */
    public synchronized List<Long> setup(int domain, LongUnaryOperator p2m, int frames) {
        Table table = tables.computeIfAbsent(domain, d -> new Table(p2m));
        while (table.frames.size() < Math.min(frames, MOST_FRAMES)) {
            long frame = pages.allocate(PAGE);
            if (frame == PageAllocator.NONE) {
                break;
            }
            table.frames.add(frame);
        }
        return List.copyOf(table.frames);
    }

    /** A domain is gone, and its table. */
    public synchronized void drop(int domain) {
        Table table = tables.remove(domain);
        if (table != null) {
            table.frames.forEach(frame -> pages.free(frame, PAGE));
        }
    }

    /**
     * A backend begins to use an entry (GNTTABOP_map_grant_ref).
     *
     * @param domain who granted
     * @param reference an unsigned number
     * @param backend who asks
     * @return null, or why it may not
     */
    synchronized GrantFault pin(int domain, long reference, int backend, boolean write) {
        Table table = tables.get(domain);
        if (table == null) {
            return GrantFault.BAD_DOMAIN;
        }
        if (reference >= (long) table.frames.size() * ENTRIES) {
            return GrantFault.BAD_REFERENCE;
        }
        long entry = table.entry((int) reference);
        for (int tries = 0; tries < TRIES; tries++) {
            long old = memory.read64(entry);
            if ((old & (TYPE_MASK | SUB_PAGE)) != PERMIT_ACCESS) {
                return GrantFault.NOT_GRANTED;
            }
            if ((old >>> 16 & 0xffff) != backend) {
                return GrantFault.FOREIGN_DOMAIN;
            }
            if (write && (old & READ_ONLY) != 0) {
                return GrantFault.READ_ONLY;
            }
            if (memory.compareAndSet64(entry, old, old | READING | (write ? WRITING : 0))) {
                Pins pins = table.pins.computeIfAbsent((int) reference, r -> new Pins());
                pins.readers++;
                pins.writers += write ? 1 : 0;
                return null;
            }
        }
        return GrantFault.UNSTABLE;
    }

    /** A use ends (GNTTABOP_unmap_grant_ref): the last one clears the status bits. */
    synchronized void unpin(int domain, long reference, boolean write) {
        Table table = tables.get(domain);
        Pins pins = table == null ? null : table.pins.get((int) reference);
        if (pins == null) {
            return; // The domain is gone, and was perhaps made again.
        }
        pins.readers--;
        pins.writers -= write ? 1 : 0;
        long clear = (pins.writers == 0 ? WRITING : 0) | (pins.readers == 0 ? READING : 0);
        long entry = table.entry((int) reference);
        for (long old = memory.read64(entry);
                !memory.compareAndSet64(entry, old, old & ~clear);
                old = memory.read64(entry)) {
            Thread.onSpinWait();
        }
        if (pins.readers == 0) {
            table.pins.remove((int) reference);
        }
    }

    /** The machine address of a page whose entry is in use, or -1 if the granting domain does not have it (any more). */
    synchronized long machine(int domain, long reference) {
        Table table = tables.get(domain);
        if (table == null || !table.pins.containsKey((int) reference)) {
            return -1;
        }
        return table.p2m.applyAsLong((memory.read64(table.entry((int) reference)) >>> 32) * PAGE);
    }

    /** What an entry holds, for messages and tests; 0 if there is none. */
    public synchronized long entry(int domain, long reference) {
        Table table = tables.get(domain);
        return table == null || reference >= (long) table.frames.size() * ENTRIES
                ? 0
                : memory.read64(table.entry((int) reference));
    }
}
