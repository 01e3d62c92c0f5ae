package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE_INTERESTING;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.pagetables.WalkResult;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;
import org.openjdk.jcstress.infra.results.I_Result;
import org.openjdk.jcstress.infra.results.JJ_Result;
import org.openjdk.jcstress.infra.results.J_Result;

/**
 * Guest RAM as its observers see it: aligned accesses are single-copy atomic, reads acquire, writes release (the class
 * comment of {@link PhysicalMemory}; Arm ARM, B2.2.1 and B2.3).
 */
public final class MemoryOrdering {
    private static final PhysicalMemory MEMORY = new PhysicalMemory();
    private static final long LINE = 128;

    static {
        MEMORY.addRam(0, Place.RAM_SIZE);
    }

    private MemoryOrdering() {}

    /** Some bytes of RAM of its own, zero at first. */
    public abstract static class Bytes {
        private static final java.util.concurrent.atomic.AtomicInteger NUMBERS =
                new java.util.concurrent.atomic.AtomicInteger();

        /** Where they are, two lines. */
        protected final long address = (NUMBERS.getAndIncrement() & 0xffffL) * 2 * LINE;

        /** Clears them. */
        protected Bytes() {
            MEMORY.write64(address, 0);
            MEMORY.write64(address + LINE, 0);
        }
    }

    /** RAM that nobody has touched. */
    public abstract static class Untouched extends Meeting {
        private static final long CHUNK = 1 << 16;
        private static final int SHARERS = 64;
        private static PhysicalMemory shared;

        /** With a chunk for this state. */
        protected final PhysicalMemory memory = fresh(number);

        /** The chunk. */
        protected final long address = number % SHARERS * CHUNK;

        private static synchronized PhysicalMemory fresh(int number) {
            // Some states share a memory, or most of the time would go into zeroing.
            if (shared == null || number % SHARERS == 0) {
                shared = new PhysicalMemory();
                shared.addRam(0, SHARERS * CHUNK);
            }
            return shared;
        }
    }

    /** Two writers touch it: who comes second must not lose what the first one wrote. */
    @JCStressTest
    @State
    @Outcome(id = "1, 2", expect = ACCEPTABLE, desc = "Both writes are there.")
    @Outcome(expect = FORBIDDEN, desc = "A write went into RAM that was thrown away.")
    public static class FirstTouch extends Untouched {
        /** Writes here. */
        @Actor
        public void here() {
            meet(0);
            memory.write64(address, 1);
        }

        /** Writes there. */
        @Actor
        public void there() {
            meet(1);
            memory.write64(address + 8, 2);
        }

        /** Reads both. */
        @Arbiter
        public void arbiter(JJ_Result result) {
            result.r1 = memory.read64(address);
            result.r2 = memory.read64(address + 8);
        }
    }

    /** Two words of RAM that nobody has touched: publication also holds for them, and there is nothing but zeros before. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 1", "2, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "Bytes that were never zeroed, or the second write without the first.")
    public static class FirstTouchPublishes extends Untouched {
        /** Writes. */
        @Actor
        public void writer() {
            meet(0);
            memory.write64(address, 1);
            memory.write64(address + LINE, 2);
        }

        /** Reads, the other way round. */
        @Actor
        public void reader(JJ_Result result) {
            meet(1);
            result.r1 = memory.read64(address + LINE);
            result.r2 = memory.read64(address);
        }
    }

    /** 64 bits are written at once. */
    @JCStressTest
    @State
    @Outcome(id = {"0", "-1"}, expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "Torn.")
    public static class Atomic64 extends Bytes {
        /** Writes. */
        @Actor
        public void writer() {
            MEMORY.write64(address, -1);
        }

        /** Reads. */
        @Actor
        public void reader(J_Result result) {
            result.r1 = MEMORY.read64(address);
        }
    }

    /** Message passing: a driver writes a structure, then what makes it valid; hardware reads them the other way round. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 1", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "Valid, but not there.")
    public static class Publication extends Bytes {
        /** Software. */
        @Actor
        public void driver() {
            MEMORY.write64(address, 1);
            MEMORY.write64(address + LINE, 1);
        }

        /** Hardware. */
        @Actor
        public void unit(JJ_Result result) {
            result.r1 = MEMORY.read64(address + LINE);
            result.r2 = MEMORY.read64(address);
        }
    }

    /** The same with single bytes, which have no acquire and release of their own, and 32 bits. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 1", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "Valid, but not there.")
    public static class PublicationOfBytes extends Bytes {
        /** Software. */
        @Actor
        public void driver() {
            MEMORY.write32(address, 1);
            MEMORY.write8(address + LINE, 1);
        }

        /** Hardware. */
        @Actor
        public void unit(II_Result result) {
            result.r1 = MEMORY.read8(address + LINE);
            result.r2 = MEMORY.read32(address);
        }
    }

    /** What is not promised: a store, then a load of another location. The test shows that this machine does it. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 1", "1, 0", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(id = "0, 0", expect = ACCEPTABLE_INTERESTING, desc = "Both loads went before the stores.")
    @Outcome(expect = FORBIDDEN)
    public static class StoreThenLoad extends Bytes {
        /** One. */
        @Actor
        public void one(JJ_Result result) {
            MEMORY.write64(address, 1);
            result.r1 = MEMORY.read64(address + LINE);
        }

        /** The other. */
        @Actor
        public void other(JJ_Result result) {
            MEMORY.write64(address + LINE, 1);
            result.r2 = MEMORY.read64(address);
        }
    }

    /** A compare-and-exchange between them orders a store and a load, also one that fails (Dekker). */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 1", "1, 0", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "Both loads went before the stores.")
    public static class StoreExchangeLoad extends Bytes {
        /** One; its exchange succeeds. */
        @Actor
        public void one(JJ_Result result) {
            MEMORY.write64(address, 1);
            MEMORY.compareAndExchange64(address + 8, 0, 0);
            result.r1 = MEMORY.read64(address + LINE);
        }

        /** The other; its exchange fails. */
        @Actor
        public void other(JJ_Result result) {
            MEMORY.write64(address + LINE, 1);
            MEMORY.compareAndExchange64(address + LINE + 8, 1, 1);
            result.r2 = MEMORY.read64(address);
        }
    }

    /** Of two that set a bit each in one word, as software and hardware do with flags of a descriptor, none is lost. */
    @JCStressTest
    @State
    @Outcome(id = "3", expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "A bit is lost.")
    public static class Exchange extends Bytes {
        private void set(long bit) {
            long before;
            do {
                before = MEMORY.read64(address);
            } while (!MEMORY.compareAndSet64(address, before, before | bit));
        }

        /** One bit. */
        @Actor
        public void one() {
            set(1);
        }

        /** The other. */
        @Actor
        public void other() {
            set(2);
        }

        /** Both. */
        @Arbiter
        public void arbiter(J_Result result) {
            result.r1 = MEMORY.read64(address);
        }
    }

    /**
     * A walk while {@link TableWriter} maps the first page of an empty table, three new tables on the way: it finds a
     * translation fault or the page, never a table that is not zeroed or linked yet.
     */
    @JCStressTest
    @State
    @Outcome(id = "0", expect = ACCEPTABLE, desc = "Not mapped yet.")
    @Outcome(id = "1", expect = ACCEPTABLE, desc = "Mapped.")
    @Outcome(expect = FORBIDDEN, desc = "Something else.")
    public static class WalkAgainstMap extends Meeting {
        private static final long POOL = 4 * 4096;
        private static final long OUTPUT = 0x7654_3000;
        private static final long INPUT = 0x8040_201L << 12;
        private static final long ATTRIBUTES = Descriptor.AF | Descriptor.AP_UNPRIVILEGED;

        private final TableWriter writer = new TableWriter(
                MEMORY,
                new Pool(number % 1024 * POOL + (Place.RAM_SIZE >> 1)),
                new TableWriter.Geometry(Granule.KIB_4, 0, 48, 48),
                (input, size) -> {});

        private final TableWalk walk =
                TableWalk.stage1(MEMORY, Granule.KIB_4, writer.root(), 48, 48).build();

        private static final class Pool implements PageAllocator {
            private long next;

            private Pool(long first) {
                next = first;
            }

            @Override
            public long allocate(long size) {
                long page = next;
                next += size;
                for (int at = 0; at < size; at += 8) {
                    MEMORY.write64(page + at, 0); // As a kernel that gets a page with something in it.
                }
                return page;
            }

            @Override
            public void free(long address, long size) {}
        }

        /** Software. */
        @Actor
        public void driver() {
            meet(0);
            writer.map(INPUT, OUTPUT, 4096, ATTRIBUTES);
        }

        /** Hardware. */
        @Actor
        public void unit(I_Result result) {
            meet(1);
            long found = walk.walk(INPUT, Access.READ);
            if (!WalkResult.isFault(found)) {
                result.r1 = org.iommuemu.mmio.Translation.address(found, 0) == OUTPUT ? 1 : -1;
            } else {
                result.r1 = WalkResult.kind(found) == WalkResult.Kind.TRANSLATION ? 0 : -2;
            }
        }
    }
}
