package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.Random;
import org.iommuemu.nativecode.ReferenceLoops;

/**
 * What makes a benchmark measure a latency: steps in a random order, each of which needs the result of the one before.
 * The order is the same in every run.
 */
final class Chain {
    /** Steps of one invocation. */
    static final int STEPS = 4096;

    private Chain() {}

    /** A permutation that is one cycle (Sattolo): from any element, all are met before one is met again. */
    static int[] cycle(int elements) {
        int[] next = new int[elements];
        for (int i = 0; i < elements; i++) {
            next[i] = i;
        }
        Random random = new Random(elements);
        for (int i = elements - 1; i > 0; i--) {
            int j = random.nextInt(i);
            int swapped = next[i];
            next[i] = next[j];
            next[j] = swapped;
        }
        return next;
    }

    /**
     * The array of {@link ReferenceLoops#lookUp} with a cycle of pages.
     *
     * @param entries how many entries it has room for at least
     */
    static ByteBuffer sets(long[] pages, int[] next, int entries) {
        int setBytes = 2 * ReferenceLoops.WAYS * Long.BYTES;
        int count = Integer.highestOneBit(Math.max(entries / ReferenceLoops.WAYS * 2 - 1, 1));
        ByteBuffer sets = Reference.memory(count * setBytes);
        for (int i = 0; i < pages.length; i++) {
            int at = (int) (pages[i] >>> 12 & count - 1) * setBytes;
            int way = 0;
            while (sets.getLong(at + way * Long.BYTES) != 0) {
                way++;
                if (way == ReferenceLoops.WAYS) {
                    throw new IllegalStateException("the set of page 0x%x is full".formatted(pages[i]));
                }
            }
            sets.putLong(at + way * Long.BYTES, pages[i] | 1);
            sets.putLong(at + (ReferenceLoops.WAYS + way) * Long.BYTES, pages[next[i]]);
        }
        return sets;
    }
}
