package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.DmaPort;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;
/**
 * Masters against the flushes of an IPMMU: when they are over, no access uses what was in the TLBs before. The order is
 * that of the drivers of Linux and Xen: the context in the cache, then in the root, each with IMCTR.FLUSH. No public
 * source says what becomes of accesses under way; we take the strict reading.
 */
public final class IpmmuOrdering {
    private static final IpmmuBoard BOARD = new IpmmuBoard();

    private IpmmuOrdering() {}

    /** A transfer, which is a burst of its own. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 9", expect = ACCEPTABLE, desc = "After: the write went to the new frame.")
    @Outcome(id = "1, 1, 8", expect = ACCEPTABLE, desc = "Before: the write was in the old frame when the driver went on.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class TransferAgainstFlush extends Moved {
        private final DmaPort port = BOARD.port(true);

        /** A page at its present frame. */
        public TransferAgainstFlush() {
            super(BOARD.memory, IpmmuBoard::descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
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
            move();
            BOARD.flush();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(false));
        }
    }

    /** A burst that the master opened. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstFlush extends Moved {
        private final DmaPort port = BOARD.port(true);

        /** A page at its present frame. */
        public BurstAgainstFlush() {
            super(BOARD.memory, IpmmuBoard::descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
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
            move();
            BOARD.flush();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(false));
        }
    }

    /** A port without a micro-TLB: the old translation must not come back from the root into the flushed cache. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class UncachedAgainstFlush extends Moved {
        private final DmaPort port = BOARD.port(false);

        /** A page at its present frame. */
        public UncachedAgainstFlush() {
            super(BOARD.memory, IpmmuBoard::descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
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
            move();
            BOARD.flush();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(false));
        }
    }
}
