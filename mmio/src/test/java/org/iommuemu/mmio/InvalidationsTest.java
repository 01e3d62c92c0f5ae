package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A port's micro-TLB and what its unit invalidates. */
class InvalidationsTest {
    private static final long RAM = 0x40000000L;
    private static final long PAGE = 4096;

    /** A unit that maps page n of every stream to base + n pages, in blocks of one size, and counts how often it is asked. */
    private static final class Unit implements Translator {
        private final Invalidations invalidations = new Invalidations();
        private final int log2Size;
        private volatile long base = RAM;
        private volatile boolean writable = true;
        private int asked;

        private Unit(int log2Size) {
            this.log2Size = log2Size;
        }

        @Override
        public long translate(int streamId, int substreamId, long address, int access) {
            asked++;
            if ((access & Access.WRITE) != 0 && !writable) {
                return Translation.ABORT;
            }
            return Translation.of(base + (address & 0xff000), log2Size, 0xff, 3);
        }

        @Override
        public Invalidations invalidations() {
            return invalidations;
        }
    }

    private final Bus bus = bus();
    private final Unit unit = new Unit(12);
    private final DmaPort port = new DmaPort(bus, unit, 7);

    private static Bus bus() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(RAM, 1 << 24);
        return new Bus(memory);
    }

    private static long page(long translation) {
        return Translation.address(translation, 0);
    }

    @Test
    void aHitDoesNotAskTheUnit() {
        assertEquals(RAM + PAGE, page(port.translate(PAGE + 4, false)));
        assertEquals(RAM + PAGE + 8, Translation.address(port.translate(PAGE + 8, false), PAGE + 8));
        assertEquals(1, unit.asked);
        port.translate(2 * PAGE, false);
        assertEquals(2, unit.asked);
    }

    @Test
    void aWriteAsksTheUnitEvenIfAReadWentThrough() {
        unit.writable = false;
        assertTrue(Translation.translated(port.translate(PAGE, false)));
        assertEquals(Translation.ABORT, port.translate(PAGE, true));
        unit.writable = true;
        assertTrue(Translation.translated(port.translate(PAGE, true)), "a fault is not cached");
        int asked = unit.asked;
        port.translate(PAGE, true);
        port.translate(PAGE, false);
        assertEquals(asked, unit.asked, "both went through it");
    }

    @Test
    void whatIsNotInvalidatedStays() {
        port.translate(PAGE, false);
        unit.base = RAM + (1 << 20);
        assertEquals(RAM + PAGE, page(port.translate(PAGE, false)), "stale, as hardware would be");
        unit.invalidations.address(2 * PAGE);
        unit.invalidations.stream(8);
        assertEquals(RAM + PAGE, page(port.translate(PAGE, false)));
    }

    @Test
    void anAddressThatIsInvalidatedIsAskedForAgain() {
        port.translate(PAGE, false);
        port.translate(3 * PAGE, false);
        unit.base = RAM + (1 << 20);
        unit.invalidations.address(PAGE);
        assertEquals(RAM + (1 << 20) + PAGE, page(port.translate(PAGE, false)));
        assertEquals(RAM + 3 * PAGE, page(port.translate(3 * PAGE, false)));
    }

    @Test
    void anyAddressOfABlockInvalidatesAllPagesOfIt() {
        Unit blocks = new Unit(21);
        DmaPort other = new DmaPort(bus, blocks, 7);
        other.translate(PAGE, false);
        blocks.base = RAM + (1 << 20);
        blocks.invalidations.address(5 * PAGE);
        assertEquals(RAM + (1 << 20) + PAGE, page(other.translate(PAGE, false)));
    }

    @Test
    void aStreamThatIsInvalidatedIsAskedForAgain() {
        port.translate(PAGE, false);
        unit.base = RAM + (1 << 20);
        unit.invalidations.stream(7);
        assertEquals(RAM + (1 << 20) + PAGE, page(port.translate(PAGE, false)));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 63, 64, 65, 200})
    void aPortThatMissedManyRecordsHeedsThemAll(int others) {
        port.translate(PAGE, false);
        unit.base = RAM + (1 << 20);
        unit.invalidations.address(PAGE);
        for (int i = 1; i < others; i++) {
            unit.invalidations.stream(8);
        }
        assertEquals(RAM + (1 << 20) + PAGE, page(port.translate(PAGE, false)));
    }

    @Test
    void whatWasInvalidatedWhileTheUnitAnsweredIsNotKept() {
        AtomicBoolean overtake = new AtomicBoolean(true);
        Translator overtaken = new Translator() {
            @Override
            public long translate(int streamId, int substreamId, long address, int access) {
                long answer = unit.translate(streamId, substreamId, address, access);
                if (overtake.getAndSet(false)) {
                    unit.base = RAM + (1 << 20);
                    unit.invalidations.all();
                }
                return answer;
            }

            @Override
            public Invalidations invalidations() {
                return unit.invalidations;
            }
        };
        DmaPort other = new DmaPort(bus, overtaken, 7);
        assertEquals(RAM, page(other.translate(0, false)), "under way");
        assertEquals(RAM + (1 << 20), page(other.translate(0, false)));
    }

    @Test
    void aPortWithoutAMicroTlbAlwaysAsks() {
        DmaPort other = new DmaPort(
                bus, unit, 7, Translator.NO_SUBSTREAM, 0, DmaPort.MICRO_TLB.with(TlbGeometry.Replacement.NEVER_CACHE));
        other.translate(0, false);
        other.translate(0, false);
        assertEquals(2, unit.asked);
    }

    @ParameterizedTest
    @CsvSource({
        "256, 1, PSEUDO_LRU",
        "1, 1, PSEUDO_LRU",
        "4, 4, PSEUDO_LRU",
        "1, 64, PSEUDO_LRU",
        "2, 3, RANDOM",
        "4, 2, CAPACITY_ONLY",
        "2, 2, CACHE_FOR_EVER",
        "1, 1, CACHE_FOR_EVER",
        "4, 4, NEVER_CACHE"
    })
    void whateverItsShapeAMicroTlbGivesWhatTheUnitWould(int sets, int ways, TlbGeometry.Replacement replacement) {
        long[] pages = new long[32];
        Invalidations log = new Invalidations();
        Translator mapped = new Translator() {
            @Override
            public long translate(int streamId, int substreamId, long address, int access) {
                return Translation.of(pages[(int) (address >>> 12)], 12, 0xff, 3);
            }

            @Override
            public Invalidations invalidations() {
                return log;
            }
        };
        DmaPort shaped = new DmaPort(
                bus,
                mapped,
                7,
                Translator.NO_SUBSTREAM,
                0,
                TlbGeometry.of(sets, ways).with(replacement));
        SplittableRandom random = new SplittableRandom(sets * 100L + ways);
        for (int i = 0; i < 20_000; i++) {
            int page = random.nextInt(pages.length);
            if (random.nextInt(4) == 0) {
                pages[page] = RAM + random.nextInt(4096) * PAGE;
                log.address(page * PAGE + random.nextInt(4096));
            }
            assertEquals(pages[page], page(shaped.translate(page * PAGE, random.nextBoolean())));
        }
    }

    @Test
    void ourOwnOpenBurstIsNotWaitedFor() {
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            port.beginBurst();
            port.beginBurst();
            port.translate(0, false);
            unit.invalidations.all();
            unit.invalidations.synchronise(this);
            port.endBurst();
            port.endBurst();
        });
    }

    @Test
    void twoThreadsWithOpenBurstsThatBothSynchroniseDoNotWaitForEachOther() {
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            CountDownLatch open = new CountDownLatch(2);
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < 2; i++) {
                DmaPort own = new DmaPort(bus, unit, i);
                Thread thread = new Thread(() -> {
                    own.beginBurst();
                    open.countDown();
                    try {
                        open.await();
                    } catch (InterruptedException e) {
                        return;
                    }
                    for (int n = 0; n < 1000; n++) {
                        own.translate(0, false);
                        unit.invalidations.all();
                        unit.invalidations.synchronise(unit);
                    }
                    own.endBurst();
                });
                thread.start();
                threads.add(thread);
            }
            for (Thread thread : threads) {
                thread.join();
            }
        });
    }

    @Test
    void anAccessThatNeedsTheMonitorOfWhoWaitsForItGetsIt() {
        Object monitor = new Object();
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            CountDownLatch open = new CountDownLatch(1);
            Thread master = new Thread(() -> {
                port.beginBurst();
                open.countDown();
                synchronized (monitor) {
                    port.endBurst();
                }
            });
            synchronized (monitor) {
                master.start();
                open.await();
                unit.invalidations.all();
                unit.invalidations.synchronise(monitor);
            }
            master.join();
        });
    }

    @Test
    void whoWaitsGivesTheMonitorUpAlsoIfItIsInterrupted() {
        Object monitor = new Object();
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            CountDownLatch open = new CountDownLatch(1);
            Thread master = new Thread(() -> {
                port.beginBurst();
                open.countDown();
                synchronized (monitor) {
                    port.endBurst();
                }
            });
            synchronized (monitor) {
                master.start();
                open.await();
                unit.invalidations.all();
                Thread.currentThread().interrupt();
                unit.invalidations.synchronise(monitor);
                assertTrue(Thread.interrupted(), "still interrupted afterwards");
            }
            master.join();
        });
    }

    @Test
    void aBurstIsEndedByTheThreadThatOpenedItAlsoIfAnotherOneUsedThePortMeanwhile() {
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            port.beginBurst();
            Thread other = new Thread(() -> port.write(0, new byte[1], 0, 1));
            other.start();
            other.join();
            port.endBurst();
            Thread driver = new Thread(() -> {
                unit.invalidations.all();
                unit.invalidations.synchronise(this);
            });
            driver.start();
            driver.join(); // Our burst is not open any more.
        });
    }

    /** The device's own DMA says nothing of the access that set it off, of which there is more to come. */
    @Test
    void anAccessIsNotCompleteWhenTheDeviceItWritesToDoesDma() {
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            Thread driver = new Thread(() -> unit.invalidations.synchronise(this));
            List<Boolean> waited = new ArrayList<>();
            DmaPort devices = new DmaPort(bus, unit, 8);
            bus.attach("doorbells", 0x1000, PAGE, new BusDevice() {
                @Override
                public long read(long offset, int size) {
                    return 0;
                }

                @Override
                public void write(long offset, int size, long value) {
                    if (offset == 0) {
                        unit.invalidations.all();
                        driver.start();
                        devices.read(0, new byte[1], 0, 1);
                        try {
                            driver.join(200);
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                        }
                    }
                    waited.add(driver.isAlive());
                }
            });
            unit.base = 0x1000;
            port.write(0, new byte[16], 0, 16);
            driver.join();
            assertEquals(List.of(true, true), waited, "both halves were written before the driver went on");
        });
    }

    /** A burst of another unit's ports is none of our business, and must not delay us. */
    @Test
    void anotherUnitsBurstIsNotWaitedFor() {
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            CountDownLatch open = new CountDownLatch(1);
            CountDownLatch done = new CountDownLatch(1);
            Thread master = new Thread(() -> {
                DmaPort other = new DmaPort(bus, new Unit(12), 1);
                other.beginBurst();
                open.countDown();
                try {
                    done.await();
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                other.endBurst();
            });
            master.start();
            open.await();
            unit.invalidations.all();
            unit.invalidations.synchronise(this);
            done.countDown();
            master.join();
        });
    }

    /**
     * Masters write through their ports without pause; the unit moves the page, invalidates, synchronises. After that no
     * write may arrive in the page's old place: not by an entry, not by a walk, not by an access that was under way.
     */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void afterSynchroniseNothingArrivesInTheOldPlace(boolean bursts) throws InterruptedException {
        AtomicBoolean stop = new AtomicBoolean();
        CountDownLatch writing = new CountDownLatch(3);
        List<Thread> masters = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            int master = i;
            Thread thread = new Thread(() -> {
                DmaPort own = new DmaPort(bus, unit, master);
                byte[] value = new byte[8];
                long n = 0;
                own.write(master * 8L, value, 0, 8);
                writing.countDown();
                while (!stop.get()) {
                    if (bursts && n % 100 == 0) {
                        own.beginBurst();
                    }
                    for (int b = 0; b < 8; b++) {
                        value[b] = (byte) (++n >>> 8 * b);
                    }
                    own.write(master * 8L, value, 0, 8);
                    if (bursts && n % 100 == 0) {
                        own.endBurst();
                    }
                }
            });
            masters.add(thread);
            thread.start();
        }
        writing.await();
        PhysicalMemory memory = bus.memory();
        long old = RAM;
        // An open burst is waited for until its thread has run again: that takes time where there are few processors.
        for (int moves = 0; moves < (bursts ? 40 : 1000); moves++) {
            long next = RAM + (long) ((moves + 1) % 16) * PAGE;
            unit.base = next;
            unit.invalidations.address(0);
            unit.invalidations.synchronise(this);
            long[] left = {memory.read64(old), memory.read64(old + 8), memory.read64(old + 16)};
            for (int spin = 0; spin < 200; spin++) {
                Thread.onSpinWait();
            }
            for (int master = 0; master < 3; master++) {
                assertEquals(left[master], memory.read64(old + master * 8L), "a write arrived in the old place");
            }
            old = next;
        }
        stop.set(true);
        for (Thread master : masters) {
            master.join();
        }
    }
}
