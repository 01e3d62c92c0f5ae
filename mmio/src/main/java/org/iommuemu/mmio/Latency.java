package org.iommuemu.mmio;

import java.util.function.LongSupplier;

/**
 * How long a unit takes to do what software waits for in a polling loop: none, a number of reads of the register that
 * tells, or a time. Immutable.
 */
public final class Latency {
    /** Done when the write returns. */
    public static final Latency NONE = reads(0);

    /** Never done: hardware that hangs. */
    public static final Latency NEVER = reads(-1);

    private final int reads;
    private final long nanoseconds;
    private final LongSupplier clock;

    private Latency(int reads, long nanoseconds, LongSupplier clock) {
        this.reads = reads;
        this.nanoseconds = nanoseconds;
        this.clock = clock;
    }

    /**
     * Done after so many reads that still see the old state.
     *
     * @param reads 0 for {@link #NONE}, negative for {@link #NEVER}
     */
    public static Latency reads(int reads) {
        return new Latency(reads, 0, null);
    }

    /**
     * Done after a time.
     *
     * @param clock in nanoseconds from any origin: {@code System::nanoTime}, or a test's own
     */
    public static Latency nanoseconds(long nanoseconds, LongSupplier clock) {
        return new Latency(0, nanoseconds, clock);
    }

    /** Something begins to take this long. */
    public Wait start() {
        return clock == null && reads == 0 ? Wait.OVER : new Wait(this);
    }

    /** Something that is under way. One thread at a time. */
    public static final class Wait {
        /** Of what takes no time: nothing changes it, so all share it. */
        private static final Wait OVER = new Wait(NONE);

        private final LongSupplier clock;
        private final long end;
        private int reads;

        private Wait(Latency latency) {
            clock = latency.clock;
            reads = latency.reads;
            end = clock == null ? 0 : clock.getAsLong() + latency.nanoseconds;
        }

        /** Whether it is done. */
        public boolean isOver() {
            return clock == null ? reads == 0 : clock.getAsLong() - end >= 0;
        }

        /** Software has looked whether it is done. */
        public void looked() {
            if (reads > 0) {
                reads--;
            }
        }
    }
}
