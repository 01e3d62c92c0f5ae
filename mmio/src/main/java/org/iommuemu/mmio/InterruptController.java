package org.iommuemu.mmio;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Where interrupts of hardware wait for software. Lines and messages become pending at once, on the thread of whoever
 * raises them; handlers run when {@link #dispatch} is called, on its thread, so that no handler ever runs inside a
 * device.
 *
 * <p>An edge or a message that nobody has requested stays pending until somebody does. A level interrupt is pending while
 * its line is high.
 */
public final class InterruptController {
    /** An interrupt that its handler leaves pending is handled so often in one {@link #dispatch}: a storm must not hang us. */
    public static final int STORM_LIMIT = 1000;

    private final class Source {
        private final int number;
        private final List<Runnable> handlers = new ArrayList<>();
        private int linesHigh;
        private boolean latched;
        private boolean queued;

        private Source(int number) {
            this.number = number;
        }

        private boolean pending() {
            return latched || linesHigh > 0;
        }
    }

    /** A wired interrupt as its device sees it. */
    public final class Line {
        private final Source source;
        private boolean high;

        private Line(Source source) {
            this.source = source;
        }

        /** The interrupt's number. */
        public int number() {
            return source.number;
        }

        /**
         * Level-triggered use: drives the line.
         *
         * @param level whether it is asserted
         */
        public void set(boolean level) {
            synchronized (InterruptController.this) {
                if (level != high) {
                    high = level;
                    boolean before = source.linesHigh > 0;
                    source.linesHigh += level ? 1 : -1;
                    if (before != source.linesHigh > 0) {
                        tell(source, level);
                    }
                    enqueue(source);
                }
            }
        }

        /** Edge-triggered use: one rising edge. */
        public void pulse() {
            raise(source.number);
        }
    }

    private final Map<Integer, Source> sources = new HashMap<>();
    private final ArrayDeque<Source> queue = new ArrayDeque<>();
    private final List<InterruptListener> listeners = new ArrayList<>();

    /**
     * Wires a device to an interrupt. Several devices may share a number; a level interrupt is then the OR of their lines.
     *
     * @param number in the board's flat number space
     */
    public synchronized Line line(int number) {
        return new Line(sources.computeIfAbsent(number, Source::new));
    }

    /** One edge or message of an interrupt. */
    public synchronized void raise(int number) {
        Source source = sources.computeIfAbsent(number, Source::new);
        source.latched = true;
        if (source.linesHigh == 0) {
            tell(source, true);
            tell(source, false);
        }
        enqueue(source);
    }

    /** Adds a listener that hears of every change of an interrupt from now on. */
    public synchronized void addListener(InterruptListener listener) {
        listeners.add(listener);
    }

    private void tell(Source source, boolean level) {
        for (InterruptListener listener : listeners) {
            listener.changed(source.number, level);
        }
    }

    /**
     * Software takes an interrupt. All handlers of a shared number run.
     *
     * @param handler runs in {@link #dispatch}
     */
    public synchronized void request(int number, Runnable handler) {
        Source source = sources.computeIfAbsent(number, Source::new);
        source.handlers.add(handler);
        enqueue(source);
    }

    /** Software no longer wants an interrupt; the line may stay pending. */
    public synchronized void release(int number, Runnable handler) {
        Source source = sources.get(number);
        if (source != null) {
            source.handlers.remove(handler);
        }
    }

    /** Whether an interrupt waits to be handled. */
    public synchronized boolean isPending(int number) {
        Source source = sources.get(number);
        return source != null && source.pending();
    }

    /**
     * Runs the handlers of what is pending until nothing is, in the order in which it became pending. What a storm or a
     * handler that throws leaves pending waits for the next call.
     *
     * @return how many interrupts were handled
     */
    public int dispatch() {
        int handled = 0;
        Map<Source, Integer> runs = new HashMap<>();
        List<Source> storms = new ArrayList<>();
        try {
            for (Source source; (source = next()) != null; ) {
                if (runs.merge(source, 1, Integer::sum) > STORM_LIMIT) {
                    storms.add(source);
                    continue;
                }
                try {
                    take(source).forEach(Runnable::run);
                    handled++;
                } finally {
                    again(source);
                }
            }
        } finally {
            storms.forEach(this::putBack);
        }
        return handled;
    }

    /** The next interrupt to handle. It stays marked as queued until it is taken or put back. */
    private synchronized Source next() {
        while (!queue.isEmpty()) {
            Source source = queue.remove();
            if (source.pending() && !source.handlers.isEmpty()) {
                return source;
            }
            source.queued = false;
        }
        return null;
    }

    /** Acknowledges an interrupt: an edge from now on is another one. */
    private synchronized List<Runnable> take(Source source) {
        source.queued = false;
        source.latched = false;
        return List.copyOf(source.handlers);
    }

    /** Queues an interrupt again if its line is still high. */
    private synchronized void again(Source source) {
        enqueue(source);
    }

    /** Puts back an interrupt that was neither taken nor dropped. */
    private synchronized void putBack(Source source) {
        queue.add(source);
    }

    private void enqueue(Source source) {
        if (source.pending() && !source.queued) {
            source.queued = true;
            queue.add(source);
        }
    }
}
