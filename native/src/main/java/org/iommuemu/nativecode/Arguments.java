package org.iommuemu.nativecode;

import java.nio.ByteBuffer;

/** What both bindings check before they call C. */
final class Arguments {
    private static final int SET_BYTES = 2 * ReferenceLoops.WAYS * Long.BYTES;

    private Arguments() {}

    /** The buffer from index 0 to its capacity, which is what both libraries then pass on. */
    static ByteBuffer whole(ByteBuffer buffer, long count) {
        if (!buffer.isDirect()) {
            throw new IllegalArgumentException("the buffer is not direct");
        }
        if (count < 0) {
            throw new IllegalArgumentException("count " + count + " is negative");
        }
        return buffer.duplicate().clear();
    }

    static long setCount(ByteBuffer sets) {
        long count = sets.capacity() / SET_BYTES;
        if (sets.capacity() % SET_BYTES != 0 || Long.bitCount(count) != 1) {
            throw new IllegalArgumentException(
                    "%d bytes are not a power of two of %d-byte sets".formatted(sets.capacity(), SET_BYTES));
        }
        return count;
    }
}
