package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import java.util.concurrent.atomic.AtomicLong;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Tlb;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * {@link Tlb}: a look-up that starts after an invalidation does not find what it invalidated, whatever fills were under way
 * (IHI 0070, 3.17 and 4.4; the class comment), and an entry is found whole or not at all.
 */
public final class TlbOrdering {
    private static final int SPACE = 3;
    private static final int ASID = 5;
    private static final long INPUT = 0x7000;
    private static final int OLD = 1;
    private static final int NEW = 2;

    private TlbOrdering() {}

    /** What a walk finds at a place; bit 62: belongs to an ASID. */
    private static long page(long number) {
        return Translation.of(number << 12, 12, 0, 0) | 1L << 62;
    }

    private static int number(long found) {
        return found == Tlb.MISS ? 0 : (int) (Translation.address(found, 0) >>> 12);
    }

    /**
     * A miss that walks and fills, against a change of the table and an invalidation. Results: the page that is found after
     * the invalidation, and in the end; 0 for none.
     */
    public abstract static class FillAgainst extends Meeting {
        /** Few entries. */
        protected final Tlb tlb = new Tlb(1, 2);

        /** What a walk finds. */
        protected final AtomicLong table = new AtomicLong(page(OLD));

        /** Half of the states have the old entry already. */
        protected FillAgainst() {
            if ((number & 1) == 0) {
                walk();
            }
        }

        /** A miss. */
        protected final void walk() {
            long before = tlb.epoch();
            tlb.fill(SPACE, ASID, INPUT, table.getAcquire(), before);
        }

        /** The page, or 0. */
        protected final int lookUp() {
            return number(tlb.lookUp(SPACE, ASID, INPUT));
        }
    }

    /** By address. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 2", "2, 2"},
            expect = ACCEPTABLE,
            desc = "Nothing, or the new page.")
    @Outcome(expect = FORBIDDEN, desc = "The old page, or what was found before is gone.")
    public static class FillAgainstAddress extends FillAgainst {
        /** Walks and fills. */
        @Actor
        public void unit() {
            meet(0);
            walk();
        }

        /** Changes the table, invalidates and looks. */
        @Actor
        public void driver(II_Result result) {
            meet(1);
            table.setRelease(page(NEW));
            tlb.invalidateAddress(SPACE, (number & 2) == 0 ? ASID : -1, INPUT);
            result.r1 = lookUp();
        }

        /** Looks in the end. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = lookUp();
        }
    }

    /** By ASID. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 2", "2, 2"},
            expect = ACCEPTABLE,
            desc = "Nothing, or the new page.")
    @Outcome(expect = FORBIDDEN, desc = "The old page, or what was found before is gone.")
    public static class FillAgainstAsid extends FillAgainst {
        /** Walks and fills. */
        @Actor
        public void unit() {
            meet(0);
            walk();
        }

        /** Changes the table, invalidates and looks. */
        @Actor
        public void driver(II_Result result) {
            meet(1);
            table.setRelease(page(NEW));
            tlb.invalidateAsid(SPACE, ASID);
            result.r1 = lookUp();
        }

        /** Looks in the end. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = lookUp();
        }
    }

    /** By space. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 2", "2, 2"},
            expect = ACCEPTABLE,
            desc = "Nothing, or the new page.")
    @Outcome(expect = FORBIDDEN, desc = "The old page, or what was found before is gone.")
    public static class FillAgainstSpace extends FillAgainst {
        /** Walks and fills. */
        @Actor
        public void unit() {
            meet(0);
            walk();
        }

        /** Changes the table, invalidates and looks. */
        @Actor
        public void driver(II_Result result) {
            meet(1);
            table.setRelease(page(NEW));
            tlb.invalidateSpace(SPACE);
            result.r1 = lookUp();
        }

        /** Looks in the end. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = lookUp();
        }
    }

    /** All. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 2", "2, 2"},
            expect = ACCEPTABLE,
            desc = "Nothing, or the new page.")
    @Outcome(expect = FORBIDDEN, desc = "The old page, or what was found before is gone.")
    public static class FillAgainstAll extends FillAgainst {
        /** Walks and fills. */
        @Actor
        public void unit() {
            meet(0);
            walk();
        }

        /** Changes the table, invalidates and looks. */
        @Actor
        public void driver(II_Result result) {
            meet(1);
            table.setRelease(page(NEW));
            tlb.invalidateAll();
            result.r1 = lookUp();
        }

        /** Looks in the end. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = lookUp();
        }
    }

    /** Two pages that take turns in the only entry, and look-ups of one of them meanwhile. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 1", "1, 0", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "The translation of another page, or of none.")
    public static class Torn extends Meeting {
        private final Tlb tlb = new Tlb(1, 1);

        private void fill(int page) {
            tlb.fill(SPACE, ASID, (long) page << 12, page(page), tlb.epoch());
        }

        /** The first page is there already. */
        public Torn() {
            fill(1);
        }

        /** Replaces the entry again and again. */
        @Actor
        public void unit() {
            meet(0);
            for (int n = 0; n < 8; n++) {
                fill(2);
                fill(1);
            }
        }

        /** Looks the first page up. */
        @Actor
        public void other(II_Result result) {
            meet(1);
            int worst = 0;
            for (int n = 0; n < 16; n++) {
                worst = Math.max(worst, number(tlb.lookUp(SPACE, ASID, 1 << 12)));
            }
            result.r1 = worst;
            result.r2 = number(tlb.lookUp(SPACE, ASID, 1 << 12));
        }
    }

    /** Two threads fill the only entry with different pages: one of them is in it, or the one from before. */
    @JCStressTest
    @State
    @Outcome(
            id = {"1, 0", "0, 2"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "A mixture.")
    public static class FillAgainstFill extends Meeting {
        private final Tlb tlb = new Tlb(1, 1);

        private void fill(int page) {
            tlb.fill(SPACE, ASID, (long) page << 12, page(page), tlb.epoch());
        }

        /** Fills. */
        @Actor
        public void one() {
            meet(0);
            fill(1);
        }

        /** Fills. */
        @Actor
        public void other() {
            meet(1);
            fill(2);
        }

        /** Looks both up. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r1 = number(tlb.lookUp(SPACE, ASID, 1 << 12));
            result.r2 = number(tlb.lookUp(SPACE, ASID, 2 << 12));
        }
    }

    /** An address is erased while its entry is replaced by another page's: that one stays whole, or goes. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 2"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "The erased page, or a mixture.")
    public static class EraseAgainstReplace extends Meeting {
        private final Tlb tlb = new Tlb(1, 1);

        /** The page to erase is there. */
        public EraseAgainstReplace() {
            tlb.fill(SPACE, ASID, 1 << 12, page(1), tlb.epoch());
        }

        /** Erases. */
        @Actor
        public void driver() {
            meet(0);
            tlb.invalidateAddress(SPACE, ASID, 1 << 12);
        }

        /** Replaces. */
        @Actor
        public void unit() {
            meet(1);
            tlb.fill(SPACE, ASID, 2 << 12, page(2), tlb.epoch());
        }

        /** Looks both up. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r1 = number(tlb.lookUp(SPACE, ASID, 1 << 12));
            result.r2 = number(tlb.lookUp(SPACE, ASID, 2 << 12));
        }
    }
}
