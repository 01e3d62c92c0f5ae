package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;
import org.openjdk.jcstress.infra.results.IIII_Result;

/**
 * {@link Invalidations#synchronise} against bursts, without the weight of a real unit in between: a unit here has one page
 * that it maps to one frame or the other, and no TLB. The rule is that of CMD_SYNC (IHI 0070, 3.21.1).
 */
public final class SynchroniseOrdering {
    private static final Bus BUS = bus();
    private static final byte[] ONE = {1};

    private SynchroniseOrdering() {}

    private static Bus bus() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(0, Place.RAM_SIZE);
        return new Bus(memory);
    }

    /** A unit with one page, behind which frames of a place take turns. */
    static final class Unit implements Translator {
        private final Invalidations invalidations = new Invalidations();
        private final long oldFrame;
        private final long newFrame;
        private volatile boolean moved;

        Unit(int place) {
            oldFrame = Place.frame(place, 0);
            newFrame = Place.frame(place, 1);
            BUS.memory().write64(oldFrame, 0);
            BUS.memory().write64(newFrame, 0);
        }

        @Override
        public long translate(int streamId, int substreamId, long address, int access) {
            return Translation.of(moved ? newFrame : oldFrame, 12, 0xff, 3);
        }

        @Override
        public Invalidations invalidations() {
            return invalidations;
        }

        void move() {
            moved = true;
            invalidations.address(0);
            invalidations.synchronise(this);
        }

        DmaPort port() {
            return new DmaPort(BUS, this, 0);
        }

        int old() {
            return written(oldFrame);
        }

        int moved() {
            return written(newFrame);
        }

        private static int written(long frame) {
            long bytes = BUS.memory().read64(frame);
            return (int) (bytes & 1 | bytes >>> 7 & 2 | bytes >>> 14 & 4 | bytes >>> 21 & 8);
        }
    }

    private static void write(DmaPort port, int n) {
        port.write(n, ONE, 0, 1);
    }

    /** Two transfers, two bursts. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 3", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 2", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 1", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class Transfers extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final DmaPort port = unit.port();

        /** The port has the old translation. */
        public Transfers() {
            port.translate(0, true);
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            write(port, 0);
            write(port, 1);
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }

    /** One burst: the second access may be the one that acknowledges. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 3", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 2", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 1", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class Burst extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final DmaPort port = unit.port();

        /** The port has the old translation. */
        public Burst() {
            port.translate(0, true);
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }

    /** A burst through another unit around the one that counts, and another one in it: who waits cannot tell any more which unit is meant. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 3", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 2", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 1", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class NestedBursts extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final DmaPort port = unit.port();
        private final DmaPort other = new Unit(Place.of(number + Place.COUNT / 2)).port();

        /** The port has the old translation. */
        public NestedBursts() {
            port.translate(0, true);
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            other.beginBurst();
            port.beginBurst();
            write(port, 0);
            other.beginBurst();
            other.endBurst();
            write(port, 1);
            port.endBurst();
            other.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }

    /** Bursts through one unit and the other in turns, so that numbers and acknowledgements of the wrong ones are about. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 3", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 2", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 1", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstsInTurns extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final DmaPort port = unit.port();
        private final DmaPort other = new Unit(Place.of(number + Place.COUNT / 2)).port();

        /** The port has the old translation. */
        public BurstsInTurns() {
            port.translate(0, true);
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            write(other, 0);
            write(port, 0);
            write(other, 1);
            write(port, 1);
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }

    /**
     * Both actors are masters and drivers: within a burst each invalidates what the other one uses, and waits for it. Who
     * waits is not waited for, or both would for ever; but what it does afterwards heeds the other's invalidation. Results:
     * writes in the old frame when the other one was told, and in the end, for each of them.
     */
    @JCStressTest
    @State
    @Outcome(id = "([013]), \\1, ([013]), \\2", expect = ACCEPTABLE, desc = "Nothing changes any more.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late.")
    public static class Parked extends Meeting {
        private final Unit left = new Unit(Place.of(number));
        private final Unit right = new Unit(Place.of(number + Place.COUNT / 2));
        private final DmaPort leftPort = left.port();
        private final DmaPort rightPort = right.port();

        /** Both ports have the old translation. */
        public Parked() {
            leftPort.translate(0, true);
            rightPort.translate(0, true);
        }

        /** Uses the left unit, moves the right one. */
        @Actor
        public void one(IIII_Result result) {
            meet(0);
            leftPort.beginBurst();
            write(leftPort, 0);
            right.move();
            result.r3 = right.old();
            write(leftPort, 1);
            leftPort.endBurst();
        }

        /** Uses the right unit, moves the left one. */
        @Actor
        public void other(IIII_Result result) {
            meet(1);
            rightPort.beginBurst();
            write(rightPort, 0);
            left.move();
            result.r1 = left.old();
            write(rightPort, 1);
            rightPort.endBurst();
        }

        /** Looks at both. */
        @Arbiter
        public void arbiter(IIII_Result result) {
            result.r2 = left.old();
            result.r4 = right.old();
        }
    }

    /** Who has waited for others, and was not waited for meanwhile, heeds what was invalidated in that time. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 3", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 2", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class Unparked extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final Invalidations another = new Invalidations();
        private final DmaPort port = unit.port();

        /** The port has the old translation. */
        public Unparked() {
            port.translate(0, true);
            another.all();
        }

        /** Does DMA, and between two accesses of a burst waits for another unit's, of which there are none. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            another.synchronise(this);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }

    /** A port that one thread used is used by another one: the burst is announced by the thread that does the access. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 1", expect = ACCEPTABLE, desc = "After: the write went to the new frame.")
    @Outcome(id = "1, 1, 0", expect = ACCEPTABLE, desc = "Before: the write was in the old frame when the driver went on.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class HandedOver extends Meeting {
        private final Unit unit = new Unit(Place.of(number));
        private final DmaPort port = unit.port();

        /** This thread, whichever it is, did the port's last burst. */
        public HandedOver() {
            write(port, 7);
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            write(port, 0);
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            unit.move();
            result.r1 = unit.old();
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = unit.old();
            result.r3 = unit.moved();
        }
    }
}
