package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.junit.jupiter.api.Test;

/**
 * Look-ups, walks and fills of several threads while another one changes the table and invalidates. Every page maps to
 * an address that tells how often it was changed, so that an old value shows.
 */
class TlbStressTest {
    private static final int MAX_PAGES = 16;
    private static final long ROOT = 0x4000_0000L;
    private static final int SPACE = 3;
    private static final int ASID = 7;
    private static final long BITS = Descriptor.AF | Descriptor.AP_UNPRIVILEGED | Descriptor.VALID | Descriptor.TABLE;

    @Test
    void noLookUpThatStartsAfterAnInvalidationGivesTheOldValue() throws InterruptedException {
        // Few sets and pages, so that fills, evictions and invalidations meet in the same entries.
        stress(new Tlb(1, 1), 2, Descriptor.NG, 0, 1);
        stress(new Tlb(1, 1), 2, Descriptor.NG, 2);
        stress(new Tlb(1, 2), 2, Descriptor.NG, 4);
        stress(new Tlb(2, 2), 16, Descriptor.NG, 0, 1, 2, 3, 4);
        stress(new Tlb(16, 4), 16, 0, 0, 1, 2, 3);
    }

    /** @param kinds the invalidations to use, see {@link #invalidate} */
    private void stress(Tlb tlb, int pages, long notGlobal, int... kinds) throws InterruptedException {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(ROOT, 1 << 16);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 48).build();
        // By page: the oldest value that a look-up starting now may give.
        AtomicLongArray settled = new AtomicLongArray(pages);
        for (int page = 0; page < pages; page++) {
            memory.write64(ROOT + page * 8L, BITS | notGlobal | value(page, 0));
        }
        AtomicBoolean stop = new AtomicBoolean();
        AtomicLong hits = new AtomicLong();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int t = 0; t < 3; t++) {
            SplittableRandom random = new SplittableRandom(t);
            Thread thread = new Thread(() -> {
                long hit = 0;
                try {
                    while (!stop.get()) {
                        int page = random.nextInt(pages);
                        long input = (long) page << 12;
                        long oldest = settled.get(page);
                        long found = tlb.lookUp(SPACE, ASID, input);
                        if (found != Tlb.MISS) {
                            hit++;
                        } else {
                            long before = tlb.epoch();
                            found = walk.walk(input, Access.READ);
                            tlb.fill(SPACE, ASID, input, found, before);
                        }
                        long address = Translation.address(found, 0);
                        assertEquals(page, (int) (address >>> 12) % MAX_PAGES, "another page's translation");
                        assertTrue(address >>> 16 >= oldest, () -> "page %d: %d, but %d was settled"
                                .formatted(page, address >>> 16, oldest));
                    }
                } catch (Throwable e) {
                    failure.compareAndSet(null, e);
                }
                hits.addAndGet(hit);
            });
            thread.start();
            threads.add(thread);
        }
        SplittableRandom random = new SplittableRandom(99);
        long end = System.nanoTime() + 700_000_000L;
        long[] version = new long[pages];
        int changes = 0;
        while (System.nanoTime() < end && failure.get() == null) {
            int page = random.nextInt(pages);
            version[page]++;
            memory.write64(ROOT + page * 8L, BITS | notGlobal | value(page, version[page]));
            invalidate(tlb, kinds[random.nextInt(kinds.length)], page);
            settled.set(page, version[page]);
            changes++;
            // Time to be filled and hit.
            long pause = System.nanoTime() + random.nextInt(2000);
            while (System.nanoTime() < pause) {
                Thread.onSpinWait();
            }
        }
        stop.set(true);
        for (Thread thread : threads) {
            thread.join(10_000);
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
        assertTrue(threads.stream().noneMatch(Thread::isAlive), "threads hang");
        assertTrue(changes > 100 && hits.get() > 100, changes + " changes, " + hits + " hits");
    }

    private static void invalidate(Tlb tlb, int kind, int page) {
        switch (kind) {
            case 0 -> tlb.invalidateAddress(SPACE, ASID, (long) page << 12);
            case 1 -> tlb.invalidateAddress(SPACE, -1, (long) page << 12 | 0x123);
            case 2 -> tlb.invalidateSpace(SPACE);
            case 3 -> tlb.invalidateAll();
            default -> tlb.invalidateAsid(SPACE, ASID);
        }
    }

    private static long value(int page, long version) {
        return version << 16 | (long) page << 12;
    }
}
