package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.TableWriter.Geometry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Several threads use one writer, and hardware walks and updates the table meanwhile. */
@Timeout(60)
class TableWriterThreadsTest {
    private static final long PAGE = 0x1000;
    private static final long MIB_2 = 2L << 20;
    private static final long OUT = 0x10_0000_0000L;
    private static final int THREADS = 4;
    private static final Geometry GEOMETRY = new Geometry(Granule.KIB_4, 1, 39, 40);

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Pages pages = new Pages(memory);
    private final AtomicReference<Throwable> failure = new AtomicReference<>();

    private interface Work {
        void run(int thread) throws Exception;
    }

    private void inThreads(int count, Work work) throws InterruptedException {
        Thread[] threads = new Thread[count];
        for (int i = 0; i < count; i++) {
            int number = i;
            threads[i] = new Thread(() -> {
                try {
                    work.run(number);
                } catch (Throwable t) {
                    failure.compareAndSet(null, t);
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertNull(failure.get(), () -> failure.get().toString());
    }

    /** Slots of pages that share tables, and now and then a block: every thread maps, checks, changes and unmaps its own. */
    @Test
    void threadsWithRangesThatDoNotOverlapDoNotDisturbOneAnother() throws InterruptedException {
        for (boolean contiguous : new boolean[] {false, true}) {
            TableWriter writer = new TableWriter(
                    memory, pages, GEOMETRY, new TableWriter.Options(true, false, contiguous, 0), (i, s) -> {});
            TableWalk walk = TableWalk.stage2(memory, Granule.KIB_4, writer.root(), 39, 40, 1)
                    .build();
            inThreads(THREADS, thread -> {
                SplittableRandom random = new SplittableRandom(thread);
                for (int round = 0; round < 3000; round++) {
                    // Of each run of 64 KiB one page in four, or a quarter of every 2 MiB.
                    long at;
                    long size;
                    if (random.nextInt(4) == 0) {
                        at = MIB_2 * (8 + random.nextInt(3)) + thread * (MIB_2 / THREADS);
                        size = MIB_2 / THREADS;
                    } else {
                        at = MIB_2 * random.nextInt(3) + (random.nextInt(8) * THREADS + thread) * PAGE;
                        size = PAGE;
                    }
                    writer.map(at, OUT + at, size, Descriptor.STAGE2_RAM);
                    expect(writer, walk, at, OUT + at);
                    expect(writer, walk, at + size - PAGE, OUT + at + size - PAGE);
                    if (size > PAGE) {
                        writer.unmap(at + PAGE, PAGE);
                        expect(writer, walk, at + PAGE, -1);
                        expect(writer, walk, at + 2 * PAGE, OUT + at + 2 * PAGE);
                    }
                    writer.unmap(at, size);
                    expect(writer, walk, at, -1);
                }
            });
            assertEquals(0, writer.tables(), "no table is left behind");
            writer.destroy();
            assertEquals(0, pages.count());
            assertFalse(pages.misused());
        }
    }

    private static void expect(TableWriter writer, TableWalk walk, long input, long output) {
        if (writer.resolve(input) != output) {
            throw new AssertionError("0x%x resolves to 0x%x".formatted(input, writer.resolve(input)));
        }
        long result = walk.walk(input, Access.WRITE);
        if ((WalkResult.isFault(result) ? -1 : Translation.address(result, 0)) != output) {
            throw new AssertionError("0x%x is translated to 0x%x".formatted(input, result));
        }
    }

    /** Both threads need the same new tables at the same time, and take their last entries away at the same time. */
    @Test
    void threadsInstallAndRemoveTheSameTablesAtOnce() throws InterruptedException {
        TableWriter writer = new TableWriter(memory, pages, GEOMETRY, (input, size) -> {});
        AtomicInteger arrived = new AtomicInteger();
        int rounds = 3000;
        inThreads(2, thread -> {
            int phase = 0;
            for (int round = 0; round < rounds && failure.get() == null; round++) {
                long at = (long) (round % 64) << 30 | thread * PAGE;
                meet(arrived, ++phase);
                writer.map(at, OUT + at, PAGE, Descriptor.STAGE2_RAM);
                meet(arrived, ++phase);
                if (writer.resolve(at) != OUT + at || writer.tables() != 2) {
                    throw new AssertionError("lost in round " + round + ", tables " + writer.tables());
                }
                meet(arrived, ++phase);
                writer.unmap(at, PAGE);
                meet(arrived, ++phase);
                if (writer.tables() != 0) {
                    throw new AssertionError("left behind in round " + round);
                }
            }
        });
        assertEquals(1, pages.count());
    }

    /** What is another thread's doing otherwise, done between the look at an entry and the new table for it. */
    @Test
    void aTableThatAnotherHasInstalledMeanwhileIsUsed() {
        TableWriter[] writer = new TableWriter[1];
        PageAllocator interrupted = new PageAllocator() {
            private boolean once = true;

            @Override
            public long allocate(long size) {
                if (writer[0] != null && once) {
                    once = false;
                    writer[0].map(PAGE, OUT + PAGE, PAGE, Descriptor.STAGE2_RAM);
                }
                return pages.allocate(size);
            }

            @Override
            public void free(long address, long size) {
                pages.free(address, size);
            }
        };
        writer[0] = new TableWriter(memory, interrupted, GEOMETRY, (input, size) -> {});
        writer[0].map(0, OUT, PAGE, Descriptor.STAGE2_RAM);
        assertEquals(OUT, writer[0].resolve(0));
        assertEquals(OUT + PAGE, writer[0].resolve(PAGE));
        assertEquals(2, writer[0].tables());
        assertEquals(3, pages.count());
    }

    private void meet(AtomicInteger arrived, int phase) {
        arrived.incrementAndGet();
        for (int spins = 0; arrived.get() < 2 * phase && failure.get() == null; spins++) {
            if (spins > 1000) {
                Thread.yield();
            } else {
                Thread.onSpinWait();
            }
        }
    }

    /** Parts of the same blocks, which one of the threads has to split. */
    @Test
    void threadsUnmapPartsOfTheSameBlocks() throws InterruptedException {
        TableWriter writer = new TableWriter(memory, pages, GEOMETRY, (input, size) -> Thread.yield());
        for (int round = 0; round < 300; round++) {
            writer.map(0, OUT, 1 << 30, Descriptor.STAGE2_RAM);
            inThreads(THREADS, thread -> {
                writer.unmap(MIB_2 + thread * 4 * PAGE, PAGE);
                writer.protect(MIB_2 + thread * 4 * PAGE + PAGE, PAGE, Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE);
            });
            for (int i = 0; i < 4 * THREADS; i++) {
                assertEquals(i % 4 == 0 ? -1 : OUT + MIB_2 + i * PAGE, writer.resolve(MIB_2 + i * PAGE));
            }
            writer.unmap(0, 1 << 30);
            assertEquals(0, writer.tables());
        }
    }

    @Test
    void withoutEnoughMemoryNobodyLosesWhatIsMappedAndNoTableIsLeftBehind() throws InterruptedException {
        TableWriter writer = new TableWriter(memory, pages, GEOMETRY, (input, size) -> {});
        AtomicLong refused = new AtomicLong();
        for (int round = 0; round < 300; round++) {
            pages.budget(round % 6);
            inThreads(THREADS, thread -> {
                for (int i = 0; i < 4; i++) {
                    long at = (long) i << 30 | thread * PAGE;
                    try {
                        writer.map(at, OUT + at, PAGE, Descriptor.STAGE2_RAM);
                    } catch (MappingException e) {
                        refused.incrementAndGet();
                        continue;
                    }
                    if (writer.resolve(at) != OUT + at) {
                        throw new AssertionError("lost");
                    }
                    writer.unmap(at, PAGE);
                }
            });
            assertEquals(0, writer.tables());
        }
        assertEquals(1, pages.count());
        assertFalse(refused.get() == 0);
    }

    /** A page that hardware makes dirty after a harvest is in the next one. */
    @Test
    void noWriteEscapesAHarvest() throws InterruptedException {
        int count = 64;
        TableWriter writer = new TableWriter(memory, pages, GEOMETRY, (input, size) -> {});
        long clean = Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE | Descriptor.DBM;
        for (int i = 0; i < count; i++) {
            writer.map(i * PAGE, OUT + i * 2 * PAGE, PAGE, clean);
        }
        TableWalk walk = TableWalk.stage2(memory, Granule.KIB_4, writer.root(), 39, 40, 1)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();
        AtomicBoolean done = new AtomicBoolean();
        AtomicLongArray writes = new AtomicLongArray(count);
        long[] harvested = new long[count];
        TableWriter.Dirty harvest = (input, size) -> harvested[(int) (input / PAGE)] = writes.get((int) (input / PAGE));
        inThreads(2, thread -> {
            if (thread == 0) {
                SplittableRandom random = new SplittableRandom(1);
                for (int i = 0; i < 300_000; i++) {
                    int page = random.nextInt(count);
                    writes.incrementAndGet(page);
                    walk.walk(page * PAGE, Access.WRITE);
                }
                done.set(true);
            } else {
                while (!done.get()) {
                    writer.harvestDirty(0, count * PAGE, harvest);
                }
            }
        });
        writer.harvestDirty(0, count * PAGE, harvest);
        for (int i = 0; i < count; i++) {
            assertEquals(writes.get(i), harvested[i], "page " + i);
        }
    }
}
