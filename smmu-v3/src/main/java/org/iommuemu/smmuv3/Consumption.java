package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.RegisterFile;

/**
 * Who consumes commands, and when (IHI 0070, 4.1.2): the thread of software that asks for it, or the SMMU's own. Several
 * queues take turns, a command each (3.5.6.1). Called under the registers' monitor, but for {@link #close}.
 */
final class Consumption implements AutoCloseable {
    /** A CMD_SYNC that waits for time or for an endpoint is looked at so often, in milliseconds. */
    private static final int POLL = 1;

    private final String unit;
    private final RegisterFile registers;
    private final List<CommandQueue> queues = new ArrayList<>();

    /** Null if software's thread consumes. */
    private final Thread thread;

    private boolean asked;
    private boolean closed;
    private Throwable failure;

    Consumption(String unit, RegisterFile registers, Timing timing) {
        this.unit = unit;
        this.registers = registers;
        thread = timing.unitThread() ? new Thread(this::run, unit + " commands") : null;
    }

    /** Before software sees the unit. */
    void add(CommandQueue queue) {
        queues.add(queue);
    }

    /** All queues are there. */
    void start() {
        if (thread != null) {
            thread.setDaemon(true);
            thread.start();
        }
    }

    /** There may be something to consume. */
    void consume() {
        if (failure != null) {
            throw new IllegalStateException(unit + ": the thread that consumes commands has died", failure);
        }
        if (thread == null || Thread.currentThread() == thread) {
            while (step()) {}
        } else {
            asked = true;
            registers.notifyAll();
        }
    }

    private boolean step() {
        boolean any = false;
        for (CommandQueue queue : queues) {
            any |= queue.step();
        }
        return any;
    }

    private void run() {
        try {
            while (true) {
                synchronized (registers) {
                    if (closed) {
                        return;
                    }
                    asked = false;
                    // One turn of all queues, then others may have the monitor.
                    if (!step() && !asked) {
                        registers.wait(queues.stream().anyMatch(CommandQueue::isWaiting) ? POLL : 0);
                    }
                }
            }
        } catch (InterruptedException e) {
            died(e);
        } catch (Throwable e) {
            died(e);
            throw e; // To the handler of uncaught exceptions.
        }
    }

    /** Software's next access finds out: a fault must not go unseen. */
    private void died(Throwable e) {
        synchronized (registers) {
            failure = e;
        }
    }

    /** Ends the SMMU's thread, if it has one. A command in progress is finished. */
    @Override
    public void close() {
        if (thread == null) {
            return;
        }
        synchronized (registers) {
            closed = true;
            registers.notifyAll();
        }
    }
}
