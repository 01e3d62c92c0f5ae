package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.WalkResult;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * Hardware update of the Access flag and of dirty state by a walk, against software that changes the descriptor: the
 * update is one atomic read-modify-write, and only of what the walk has read (IHI 0070, 3.13; Arm ARM, D8.5).
 */
public final class HardwareUpdateOrdering {
    private static final PhysicalMemory MEMORY = new PhysicalMemory();

    static {
        MEMORY.addRam(0, Place.RAM_SIZE);
    }

    private HardwareUpdateOrdering() {}

    /** A page that is writable, clean, and was never accessed. */
    public abstract static class Page extends Meeting {
        /** A bit that hardware ignores. */
        protected static final long SOFTWARE = 1L << 55;

        private static final long ATTRIBUTES = Descriptor.AP_UNPRIVILEGED | Descriptor.AP_READ_ONLY | Descriptor.DBM;
        private static final long OUTPUT = 0x7654_3000;

        /** Where the descriptor is. */
        protected final long descriptor = Place.of(number) * 4096L;

        private final TableWalk walk = TableWalk.stage1(MEMORY, Granule.KIB_4, descriptor, 21, 48)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();

        /** A table with the page. */
        protected Page() {
            MEMORY.write64(descriptor, OUTPUT | ATTRIBUTES | Descriptor.TABLE | Descriptor.VALID);
        }

        /** A write by a device: 1 translated, 0 fault. */
        protected final int access() {
            return WalkResult.isFault(walk.walk(0, Access.WRITE)) ? 0 : 1;
        }

        /** What the word of a descriptor says: 1 accessed, 2 dirty, 4 software's bit, 8 valid. */
        protected static int flags(long word) {
            return ((word & Descriptor.AF) != 0 ? 1 : 0)
                    | ((word & Descriptor.AP_READ_ONLY) == 0 ? 2 : 0)
                    | ((word & SOFTWARE) != 0 ? 4 : 0)
                    | ((word & Descriptor.VALID) != 0 ? 8 : 0);
        }

        /** Software replaces the descriptor atomically; returns what was there. */
        protected final long exchange(long clear, long set) {
            for (; ; ) {
                long before = MEMORY.read64(descriptor);
                if (MEMORY.compareAndSet64(descriptor, before, before & ~clear | set)) {
                    return before;
                }
            }
        }
    }

    /** Software sets a bit of its own by compare-and-exchange: none of the updates is lost. */
    @JCStressTest
    @State
    @Outcome(id = "1, 15", expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "An update is lost.")
    public static class AgainstSoftwareUpdate extends Page {
        /** Hardware. */
        @Actor
        public void unit(II_Result result) {
            meet(0);
            result.r1 = access();
        }

        /** Software. */
        @Actor
        public void driver() {
            meet(1);
            exchange(0, SOFTWARE);
        }

        /** Looks at the descriptor. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = flags(MEMORY.read64(descriptor));
        }
    }

    /** Software unmaps the page with a plain write: hardware must not bring it back. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 2", "1, 2"},
            expect = ACCEPTABLE,
            desc = "The descriptor is 0.")
    @Outcome(expect = FORBIDDEN, desc = "It is not.")
    public static class AgainstUnmap extends Page {
        /** Hardware. */
        @Actor
        public void unit(II_Result result) {
            meet(0);
            result.r1 = access();
        }

        /** Software. */
        @Actor
        public void driver() {
            meet(1);
            MEMORY.write64(descriptor, 0);
        }

        /** Looks at the descriptor. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = flags(MEMORY.read64(descriptor));
        }
    }

    /** Software takes the descriptor out and keeps its dirty state: a device that was let through has left its mark. */
    @JCStressTest
    @State
    @Outcome(id = "0, 8", expect = ACCEPTABLE, desc = "Taken out before: a fault.")
    @Outcome(id = "1, 11", expect = ACCEPTABLE, desc = "Taken out after: accessed and dirty.")
    @Outcome(expect = FORBIDDEN, desc = "Written, but not dirty, or dirty, but not written.")
    public static class AgainstHarvest extends Page {
        /** Hardware. */
        @Actor
        public void unit(II_Result result) {
            meet(0);
            result.r1 = access();
        }

        /** Software. */
        @Actor
        public void driver(II_Result result) {
            meet(1);
            result.r2 = flags(exchange(-1, 0));
        }
    }
}
