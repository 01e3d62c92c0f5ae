package org.iommuemu.harness.pcie;

import java.util.Comparator;
import java.util.OptionalLong;
import java.util.PriorityQueue;

/**
 * A machine's time in nanoseconds since it was switched on. It moves when it is told to, and then runs what becomes due on
 * the way, each at its own time, in order. One thread at a time.
 */
public final class VirtualClock {
    private record Timer(long deadline, long order, Runnable action) {}

    private final PriorityQueue<Timer> timers =
            new PriorityQueue<>(Comparator.comparingLong(Timer::deadline).thenComparingLong(Timer::order));

    private long now;
    private long order;

    /** The time. */
    public long now() {
        return now;
    }

    /** Has something run once at a time, or at the next advance if that is past. */
    public void at(long deadline, Runnable action) {
        timers.add(new Timer(deadline, order++, action));
    }

    /** When the next thing is due. */
    public OptionalLong deadline() {
        return timers.isEmpty() ? OptionalLong.empty() : OptionalLong.of(timers.peek().deadline);
    }

    /** Advances to a time; does nothing if it is past. */
    public void advanceTo(long time) {
        while (now < time) {
            long next = timers.isEmpty() ? time : Math.min(time, timers.peek().deadline);
            now = Math.max(now, next);
            while (!timers.isEmpty() && timers.peek().deadline <= now) {
                timers.poll().action.run();
            }
        }
    }
}
