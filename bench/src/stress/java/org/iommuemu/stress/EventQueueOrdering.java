package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translator;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;

/**
 * Masters on threads of their own fault into one Event queue: each fault is recorded once and whole, or the queue was full
 * and says so (IHI 0070, 7.2, 7.4); who sees the new index sees the record (3.5.2).
 */
public final class EventQueueOrdering {
    private static final PhysicalMemory MEMORY = new SmmuBoard().memory;
    private static final int FAULTS = 3;
    private static final int F_TRANSLATION = 0x10;
    private static final int OVERFLOW = 1 << 31;

    private EventQueueOrdering() {}

    /** An SMMU of its own, whose Event queue has 2, 4, ... records. */
    public abstract static class Queue extends Meeting {
        private final int log2Size;
        private final long base;
        private final SmmuBoard board;
        private int rd;
        private boolean torn;

        /** By stream: how many of its records were read, which are in order. */
        private final int[] read = new int[2];

        /** @param log2Size at most 3 */
        protected Queue(int log2Size) {
            this.log2Size = log2Size;
            base = 0x20_0000 + Place.of(number) * 256L;
            board = new SmmuBoard(MEMORY, base, log2Size);
        }

        private static long input(int stream, int n) {
            return 0x1000_0000L * (stream + 1) + 0x1000L * n;
        }

        /** A master accesses pages that are not mapped. */
        protected final void fault(int stream) {
            for (int n = 0; n < FAULTS; n++) {
                board.smmu.translate(stream, Translator.NO_SUBSTREAM, input(stream, n), 0);
            }
        }

        /** Software takes what is in the queue. */
        protected final void take() {
            int prod = board.read(SmmuBoard.EVENTQ_PROD);
            int mask = (2 << log2Size) - 1;
            for (; rd != (prod & mask); rd = rd + 1 & mask) {
                long at = base + 32L * (rd & mask >> 1);
                long word0 = MEMORY.read64(at);
                long word2 = MEMORY.read64(at + 16);
                int stream = (int) (word0 >>> 32);
                if ((word0 & 0xff) != F_TRANSLATION || stream > 1 || word2 < input(stream, read[stream])) {
                    torn = true;
                    continue;
                }
                // Those between were lost: the queue was full.
                read[stream]++;
                for (int at2 = 0; at2 < 32; at2 += 8) {
                    MEMORY.write64(at + at2, -1);
                }
            }
            board.write(SmmuBoard.EVENTQ_CONS, rd);
        }

        /** In the end: records of both streams, and whether one was lost (1), or one is not what was recorded (2). */
        protected final void judge(III_Result result) {
            boolean overflow = (board.read(SmmuBoard.EVENTQ_PROD) & OVERFLOW) != 0;
            take();
            result.r1 = read[0];
            result.r2 = read[1];
            result.r3 = torn ? 2 : overflow ? 1 : 0;
        }
    }

    /** There is room for all. */
    @JCStressTest
    @State
    @Outcome(id = "3, 3, 0", expect = ACCEPTABLE, desc = "All were recorded.")
    @Outcome(expect = FORBIDDEN, desc = "A record was lost or torn.")
    public static class Producers extends Queue {
        /** Eight records. */
        public Producers() {
            super(3);
        }

        /** A master. */
        @Actor
        public void one() {
            meet(0);
            fault(0);
        }

        /** Another one. */
        @Actor
        public void other() {
            meet(1);
            fault(1);
        }

        /** Takes them. */
        @Arbiter
        public void arbiter(III_Result result) {
            judge(result);
        }
    }

    /** There is room for four of six. */
    @JCStressTest
    @State
    @Outcome(
            id = {"3, 1, 1", "2, 2, 1", "1, 3, 1"},
            expect = ACCEPTABLE,
            desc = "The queue is full and says so.")
    @Outcome(expect = FORBIDDEN, desc = "A record was lost silently, or torn, or there was room.")
    public static class Overflow extends Queue {
        /** Four records. */
        public Overflow() {
            super(2);
        }

        /** A master. */
        @Actor
        public void one() {
            meet(0);
            fault(0);
        }

        /** Another one. */
        @Actor
        public void other() {
            meet(1);
            fault(1);
        }

        /** Takes them. */
        @Arbiter
        public void arbiter(III_Result result) {
            judge(result);
        }
    }

    /** Software takes records out of a small queue while a master faults: what is lost, the overflow flag tells. */
    @JCStressTest
    @State
    @Outcome(id = "3, 0, 0", expect = ACCEPTABLE, desc = "Software kept up.")
    @Outcome(
            id = {"2, 0, 1"},
            expect = ACCEPTABLE,
            desc = "It did not, and is told.")
    @Outcome(expect = FORBIDDEN, desc = "A record was lost silently, or read before it was written.")
    public static class Consumer extends Queue {
        /** Two records. */
        public Consumer() {
            super(1);
        }

        /** A master. */
        @Actor
        public void master() {
            meet(0);
            fault(0);
        }

        /** A driver. */
        @Actor
        public void driver() {
            meet(1);
            take();
            take();
            take();
        }

        /** Takes the rest. */
        @Arbiter
        public void arbiter(III_Result result) {
            judge(result);
        }
    }
}
