package org.iommuemu.stress;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;

/**
 * Where the boards keep things in RAM. A test has {@link #COUNT} places: a page that masters use, and two frames that take
 * turns behind it. A state uses the place of its number; it starts with whichever frame the last one left there.
 */
final class Place {
    static final int COUNT = 1024;
    static final long PAGE = 4096;

    static final long RAM_SIZE = 0x200_0000;
    /** Tables and queues are below; one 2 MiB block. */
    static final long INPUT = 0x20_0000;

    private static final long FRAMES = 0x100_0000;

    private Place() {}

    static int of(int number) {
        return number & COUNT - 1;
    }

    /** What a master sees. */
    static long input(int place) {
        return INPUT + place * PAGE;
    }

    /** @param which 0 or 1 */
    static long frame(int place, int which) {
        return FRAMES + (2L * place + which) * PAGE;
    }

    /**
     * Two tables of level 3, one behind the other, which map all places to their first frame.
     *
     * @param which the frames
     * @param attributes of the pages
     */
    static void mapAll(PhysicalMemory memory, long level3, int which, long attributes) {
        for (int place = 0; place < COUNT; place++) {
            memory.write64(descriptor(level3, place), frame(place, which) | attributes | Descriptor.TABLE | 1);
        }
    }

    /** Address of the descriptor of a place. */
    static long descriptor(long level3, int place) {
        return level3 + place * 8L;
    }
}
