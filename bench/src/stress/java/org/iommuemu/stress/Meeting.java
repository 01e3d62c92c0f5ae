package org.iommuemu.stress;

import java.util.concurrent.atomic.AtomicInteger;

/**
 * Makes two actors meet: an actor of a few nanoseconds would otherwise be through a whole stride before one that executes
 * commands is through its first. Each goes on after a delay that depends on the state, so that all offsets are tried.
 */
public abstract class Meeting {
    private static final int PATIENCE = 3000;
    private static final AtomicInteger NUMBERS = new AtomicInteger();

    /** Of this state; states that are alive at the same time are far fewer than {@link Place#COUNT}. */
    protected final int number = NUMBERS.getAndIncrement();

    private final AtomicInteger here = new AtomicInteger();

    /** Waits for the other actor, but not for ever: actors may have to share a processor. */
    protected final void meet(int actor) {
        here.incrementAndGet();
        for (int spins = 0; here.get() < 2 && spins < PATIENCE; spins++) {
            Thread.onSpinWait();
        }
        int hash = number * 0x9e3779b1;
        int delay = (actor == 0 ? hash >>> 27 : hash >>> 22 & 31) - 16;
        for (int spins = 0; spins < delay; spins++) {
            Thread.onSpinWait();
        }
    }
}
