package org.iommuemu.bench;

import java.nio.ByteBuffer;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Translation;

/**
 * Pages of 4 KiB, one after the other, that translate to one another in one cycle: from any, all are met before one is met
 * again. No RAM is there, as nothing reads what they translate to.
 */
final class Pages {
    static final long PAGE = 4096;

    private final long base;
    private final int[] next;

    Pages(long base, int count) {
        this.base = base;
        next = Chain.cycle(count);
    }

    /** Maps one page. */
    @FunctionalInterface
    interface Mapper {
        void map(long input, long output);
    }

    /** Maps some of them, page by page: a range at a time, a writer would make blocks of what is contiguous. */
    Pages map(int from, int to, Mapper mapper) {
        for (int i = from; i < to; i++) {
            mapper.map(address(i), address(next[i]));
        }
        return this;
    }

    Pages map(Mapper mapper) {
        return map(0, next.length, mapper);
    }

    /** Input address of a page. */
    long address(int page) {
        return base + page * PAGE;
    }

    /** The same for the C look-up, in an array that has room for at least so many entries. */
    ByteBuffer sets(int entries) {
        long[] pages = new long[next.length];
        for (int i = 0; i < pages.length; i++) {
            pages[i] = address(i);
        }
        return Chain.sets(pages, next, entries);
    }

    /** Goes {@link Chain#STEPS} steps on in one burst of a port. */
    static long chain(DmaPort port, long from) {
        long input = from;
        port.beginBurst();
        try {
            for (int i = 0; i < Chain.STEPS; i++) {
                long translation = port.translate(input, false);
                if (!Translation.translated(translation)) {
                    throw new IllegalStateException("fault at 0x%x: 0x%x".formatted(input, translation));
                }
                input = Translation.address(translation, input);
            }
        } finally {
            port.endBurst();
        }
        return input;
    }
}
