package org.iommuemu.mmio;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import java.util.BitSet;
import org.iommuemu.stress.Meeting;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.II_Result;

/**
 * The log of {@link Invalidations}: a port that replays it drops all that was published before the head it takes over,
 * also while the ring is overwritten under its eyes (the class comment). In the package of what it tests, as ports alone
 * replay.
 */
public final class InvalidationLogOrdering {
    private InvalidationLogOrdering() {}

    /** A log that has some records already, and a reader that heard of all of them. */
    public abstract static class Log extends Meeting {
        /** What the test is about. */
        protected final Invalidations log = new Invalidations();

        private final BitSet dropped = new BitSet();
        private final long start = number % 67;
        private long seen;
        private boolean all;

        private final Invalidations.Listener listener = new Invalidations.Listener() {
            @Override
            public void dropAll() {
                all = true;
            }

            @Override
            public void dropAddress(long address) {
                dropped.set((int) (address >>> 12));
            }

            @Override
            public void dropStream(int streamId) {
                dropped.set(streamId);
            }
        };

        /** Starts anywhere in the ring. */
        protected Log() {
            for (int n = 0; n < start; n++) {
                log.address(0);
            }
            seen = log.head();
        }

        /** @param n number of the record, from 0 on */
        protected final void publish(int n) {
            if ((n & 1) == 0) {
                log.address((long) n << 12);
            } else {
                log.stream(n);
            }
        }

        /**
         * Replays.
         *
         * @return 0 if all up to the new head was dropped one by one, 1 if all was dropped, -1 if something was forgotten
         */
        protected final int replay() {
            seen = log.replay(seen, listener);
            if (all) {
                return 1;
            }
            return dropped.nextClearBit(0) >= seen - start ? 0 : -1;
        }
    }

    /** Few records, which the ring holds. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0", expect = ACCEPTABLE, desc = "All were dropped one by one.")
    @Outcome(expect = FORBIDDEN, desc = "A record was forgotten, or more was dropped than need be.")
    public static class Replay extends Log {
        /** Publishes. */
        @Actor
        public void unit() {
            meet(0);
            for (int n = 0; n < 20; n++) {
                publish(n);
            }
        }

        /** Replays twice, as a port between two accesses. */
        @Actor
        public void port(II_Result result) {
            meet(1);
            result.r1 = Math.min(replay(), replay());
        }

        /** Replays the rest. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = replay();
        }
    }

    /** More records than the ring holds, while the port replays. */
    @JCStressTest
    @State
    @Outcome(
            id = {"0, 0", "0, 1", "1, 1"},
            expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "A record was forgotten.")
    public static class ReplayAgainstOverwrite extends Log {
        /** Most of a ring is there already. */
        public ReplayAgainstOverwrite() {
            for (int n = 0; n < 60; n++) {
                publish(n);
            }
        }

        /** Publishes some more. */
        @Actor
        public void unit() {
            meet(0);
            for (int n = 60; n < 72; n++) {
                publish(n);
            }
        }

        /** Replays. */
        @Actor
        public void port(II_Result result) {
            meet(1);
            result.r1 = replay();
        }

        /** Replays the rest. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r2 = replay();
        }
    }

    /** Two units' threads publish at the same time; none of their records is lost. */
    @JCStressTest
    @State
    @Outcome(id = "0, 20", expect = ACCEPTABLE)
    @Outcome(expect = FORBIDDEN, desc = "A record was lost.")
    public static class PublishAgainstPublish extends Log {
        private void publishHalf(int first) {
            for (int n = first; n < 20; n += 2) {
                publish(n);
            }
        }

        /** Addresses. */
        @Actor
        public void one() {
            meet(0);
            publishHalf(0);
        }

        /** Streams. */
        @Actor
        public void other() {
            meet(1);
            publishHalf(1);
        }

        /** Replays. */
        @Arbiter
        public void arbiter(II_Result result) {
            result.r1 = replay();
            result.r2 = (int) (log.head() - number % 67);
        }
    }
}
