package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.Supplier;

/**
 * What a unit has invalidated, as the ports in front of it hear of it: a log that every port reads before it uses what it
 * has cached. Publishing costs the same for any number of ports and cached entries; a port pays one load for a hit.
 *
 * <p><b>The unit</b> invalidates its own caches first and publishes then: a port that has heard of it must not be able to
 * fetch the old answer again. When software is to be told that all is done, it calls {@link #synchronise}.
 *
 * <p><b>The argument.</b> A port reads {@link #head} before it uses an entry. An access that read the head before the
 * record was published may still use the old translation, and {@link #synchronise} waits for the burst that it belongs
 * to: a burst announces itself with a full fence before its first read of the head, and {@code synchronise} reads the
 * announcements after a full fence behind the publication, so one of the two sees the other. Within a burst a port that
 * sees a new head acknowledges it, which says that its accesses before are complete; hits need no fence.
 */
public final class Invalidations {
    /** A port that is further behind drops all it has. */
    private static final int RING = 64;

    private static final int SPINS = 1000;

    private static final long ALL = 0;
    private static final long ADDRESS = 1;
    private static final long STREAM = 2;
    private static final int KIND = 0xfff;

    private static final VarHandle HEAD;
    private static final VarHandle RECORDS = MethodHandles.arrayElementVarHandle(long[].class);

    static {
        try {
            HEAD = MethodHandles.lookup().findVarHandle(Invalidations.class, "head", long.class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** What a port does about a record. */
    interface Listener {
        void dropAll();

        /** Whatever covers an address. */
        void dropAddress(long address);

        void dropStream(int streamId);
    }

    /** Bits 11:0 kind; above it a page address or StreamID. Written under the monitor, read with {@link #head}. */
    private final long[] records = new long[RING];

    /** Number of records published; record n is at n modulo {@link #RING} until record n + RING is written. */
    @SuppressWarnings("unused") // by HEAD
    private long head;

    /** Everything is invalid. */
    public void all() {
        publish(ALL);
    }

    /** Whatever covers an address is invalid, of whichever size. */
    public void address(long address) {
        publish(address & ~(long) KIND | ADDRESS);
    }

    /** Whatever belongs to a stream is invalid. */
    public void stream(int streamId) {
        publish((long) streamId << 12 | STREAM);
    }

    private synchronized void publish(long record) {
        long next = (long) HEAD.getOpaque(this);
        // A reader that sees this record in an old one's place must also see how far the head had come.
        VarHandle.storeStoreFence();
        RECORDS.setOpaque(records, (int) next & RING - 1, record);
        HEAD.setRelease(this, next + 1);
    }

    /** How many records there are. */
    long head() {
        return (long) HEAD.getAcquire(this);
    }

    /**
     * Tells a port what has come since it last looked.
     *
     * @param seen the head then
     * @return the head now
     */
    long replay(long seen, Listener listener) {
        long now = head();
        if (now - seen < RING) {
            for (long n = seen; n < now; n++) {
                long record = (long) RECORDS.getOpaque(records, (int) n & RING - 1);
                switch ((int) record & KIND) {
                    case (int) ADDRESS -> listener.dropAddress(record & ~(long) KIND);
                    case (int) STREAM -> listener.dropStream((int) (record >>> 12));
                    default -> listener.dropAll();
                }
            }
            VarHandle.loadLoadFence();
        }
        if (head() - seen >= RING) {
            listener.dropAll(); // What was read may have been newer records in the places of older ones.
        }
        return now;
    }

    /**
     * Waits until no access under way uses what was invalidated before, on any thread. Accesses of the calling thread are
     * not under way.
     *
     * @param monitor what the caller holds and an access under way may need; given up while waiting takes long
     */
    public void synchronise(Object monitor) {
        VarHandle.fullFence();
        long now = head();
        DmaThread self = DmaThread.current();
        self.park();
        try {
            for (DmaThread other : DmaThread.all()) {
                if (other != self) {
                    await(other, now, monitor);
                }
            }
        } finally {
            self.unpark();
        }
    }

    /**
     * Waits for another thread, which may invalidate something on behalf of the calling one: meanwhile accesses of the calling
     * thread are not under way, whatever burst it has open.
     *
     * @param wait what waits
     * @return what it returned
     */
    public static <T> T whileWaiting(Supplier<T> wait) {
        DmaThread self = DmaThread.current();
        self.park();
        try {
            return wait.get();
        } finally {
            self.unpark();
        }
    }

    private void await(DmaThread other, long now, Object monitor) {
        long burst = other.burst();
        boolean interrupted = false;
        for (int spins = 0; other.mayUse(this, burst, now); spins++) {
            if (spins < SPINS) {
                Thread.onSpinWait();
            } else if (Thread.holdsLock(monitor)) {
                // The access may be on its way to record a fault, for which it needs the monitor.
                try {
                    monitor.wait(1);
                } catch (InterruptedException e) {
                    interrupted = true; // An interrupted thread that waits again would never give the monitor up.
                }
            } else {
                Thread.yield();
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
