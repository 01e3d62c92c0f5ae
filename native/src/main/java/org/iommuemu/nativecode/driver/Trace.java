package org.iommuemu.nativecode.driver;

import java.util.ArrayList;
import java.util.List;

/**
 * What a driver did last: a few numbers a step, kept in arrays, so that it costs next to nothing. Threads that a driver makes
 * may write over each other's steps.
 */
final class Trace {
    private static final int STEPS = 8;

    /** Kinds of steps; reads and writes have their size added. */
    static final int READ = 0;

    static final int WRITE = 16;
    static final int DELAY = 32;
    static final int ALLOC = 33;
    static final int FREE = 34;
    static final int REQUEST_IRQ = 35;
    static final int RELEASE_IRQ = 36;

    private final int[] kinds = new int[STEPS];
    private final long[] first = new long[STEPS];
    private final long[] second = new long[STEPS];
    private int count;

    void add(int kind, long a, long b) {
        int at = count++ & STEPS - 1;
        kinds[at] = kind;
        first[at] = a;
        second[at] = b;
    }

    /** The steps, the last one last. */
    @Override
    public String toString() {
        int end = count;
        if (end == 0) {
            return "nothing";
        }
        List<String> steps = new ArrayList<>();
        for (int i = Math.max(0, end - STEPS); i < end; i++) {
            steps.add(step(i & STEPS - 1));
        }
        return String.join(", ", steps);
    }

    private String step(int at) {
        long a = first[at];
        long b = second[at];
        return switch (kinds[at]) {
            case DELAY -> "delay %d ns".formatted(a);
            case ALLOC -> "alloc 0x%x bytes".formatted(a);
            case FREE -> "free 0x%x".formatted(a);
            case REQUEST_IRQ -> "request_irq %d".formatted(a);
            case RELEASE_IRQ -> "release_irq %d".formatted(a);
            default ->
                kinds[at] < WRITE
                        ? "read%d 0x%x = 0x%x".formatted(8 * (kinds[at] - READ), a, b)
                        : "write%d 0x%x = 0x%x".formatted(8 * (kinds[at] - WRITE), a, b);
        };
    }
}
