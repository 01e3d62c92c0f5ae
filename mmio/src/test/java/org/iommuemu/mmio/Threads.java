package org.iommuemu.mmio;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.atomic.AtomicReference;

/** Runs the same thing on several threads at the same time; the first failure is the test's. */
final class Threads {
    @FunctionalInterface
    interface Body {
        void run(int number) throws Exception;
    }

    static void run(int count, Body body) {
        CyclicBarrier start = new CyclicBarrier(count);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            int number = i;
            Thread thread = new Thread(() -> {
                try {
                    start.await();
                    body.run(number);
                } catch (Throwable e) {
                    failure.compareAndSet(null, e);
                }
            });
            thread.setDaemon(true);
            thread.start();
            threads.add(thread);
        }
        try {
            long end = System.nanoTime() + 60_000_000_000L;
            for (Thread thread : threads) {
                while (thread.isAlive() && failure.get() == null && System.nanoTime() < end) {
                    thread.join(50);
                }
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        if (failure.get() != null) {
            throw new AssertionError(failure.get());
        }
        if (threads.stream().anyMatch(Thread::isAlive)) {
            throw new AssertionError("threads hang");
        }
    }

    private Threads() {}
}
