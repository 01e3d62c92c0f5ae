package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Arrays;
import java.util.stream.Stream;

/** What other threads can see of the DMA that a thread does. One for each thread, for all ports that it uses. */
final class DmaThread {
    /** Replaced, never changed; who is missing in it has not opened a burst yet. */
    private static volatile DmaThread[] all = {};

    private static final ThreadLocal<DmaThread> CURRENT = ThreadLocal.withInitial(DmaThread::register);

    private static final VarHandle BURST;
    private static final VarHandle UNIT;
    private static final VarHandle ACKNOWLEDGED;
    private static final VarHandle PARKED;

    static {
        try {
            MethodHandles.Lookup lookup = MethodHandles.lookup();
            BURST = lookup.findVarHandle(DmaThread.class, "burst", long.class);
            UNIT = lookup.findVarHandle(DmaThread.class, "unit", Invalidations.class);
            ACKNOWLEDGED = lookup.findVarHandle(DmaThread.class, "acknowledged", long.class);
            PARKED = lookup.findVarHandle(DmaThread.class, "parked", int.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    private final Thread thread = Thread.currentThread();

    /** Odd while a burst is open. */
    private long burst;

    /** The unit that the open burst goes through; null if there are several. */
    @SuppressWarnings("unused") // by UNIT
    private Invalidations unit;

    /** The head of the unit's log that the open burst has heard of; its accesses before that are complete. */
    @SuppressWarnings("unused") // by ACKNOWLEDGED
    private long acknowledged;

    /** How often the thread is inside of {@link Invalidations#synchronise}: between two accesses, whatever is open. */
    private int parked;

    /** How many bursts are open, one inside of the other. The thread's own. */
    private int depth;

    /**
     * How many accesses are translated and not complete, one inside of the other: a device that is written to may do DMA
     * itself. The thread's own.
     */
    private int moving;

    private static synchronized DmaThread register() {
        DmaThread self = new DmaThread();
        all = Stream.concat(Arrays.stream(all).filter(other -> other.thread.isAlive()), Stream.of(self))
                .toArray(DmaThread[]::new);
        return self;
    }

    static DmaThread current() {
        return CURRENT.get();
    }

    static DmaThread[] all() {
        return all;
    }

    boolean isCurrent() {
        return thread == Thread.currentThread();
    }

    /** Before the first access of a burst, and before its unit's log is looked at. */
    void begin(Invalidations through) {
        if (depth++ == 0) {
            moving = 0;
            ACKNOWLEDGED.setOpaque(this, 0L);
            // Release: whoever waits for our last burst and sees another unit sees that burst's accesses, too.
            UNIT.setRelease(this, through);
            // Release: whoever sees the burst open sees its unit.
            BURST.setRelease(this, burst + 1);
            VarHandle.fullFence();
        } else if (unit != through) {
            UNIT.setOpaque(this, null);
            VarHandle.fullFence();
        }
    }

    /** After the last access of a burst. */
    void end() {
        if (--depth == 0) {
            BURST.setRelease(this, burst + 1);
        }
    }

    /** From the translation of an access on. */
    void startMoving() {
        moving++;
    }

    /** The access is complete. */
    void stopMoving() {
        moving--;
    }

    /** The thread's accesses before this are complete, and those after it will heed all records up to {@code head}. */
    void acknowledge(Invalidations of, long head) {
        if (unit == of && moving == 0) {
            ACKNOWLEDGED.setRelease(this, head);
        }
    }

    void park() {
        PARKED.setRelease(this, parked + 1);
    }

    void unpark() {
        PARKED.setRelease(this, parked - 1);
        VarHandle.fullFence(); // Before the next look at a log: who saw us parked published before that.
    }

    long burst() {
        return (long) BURST.getAcquire(this);
    }

    /** Whether an access of a burst, if it is still the same, may use what a record before {@code head} invalidated. */
    boolean mayUse(Invalidations invalidated, long seenBurst, long head) {
        if ((seenBurst & 1) == 0 || burst() != seenBurst || (int) PARKED.getAcquire(this) != 0 || !thread.isAlive()) {
            return false;
        }
        Invalidations through = (Invalidations) UNIT.getAcquire(this);
        return through == null || through == invalidated && (long) ACKNOWLEDGED.getAcquire(this) < head;
    }
}
