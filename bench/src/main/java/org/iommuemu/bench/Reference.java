package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.nativecode.ReferenceLoops;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** The C loops. A state of the {@code reference} methods only, so that the others run where there was no C compiler. */
@State(Scope.Benchmark)
public class Reference {
    /** The loops; how they are called matters little, as one call makes {@link Chain#STEPS} steps. */
    ReferenceLoops loops;

    /** Loads the loops. */
    @Setup
    public void setUp() {
        loops = ReferenceLoops.jna();
    }

    /** Memory as C takes it: direct, little-endian, zeroed. */
    static ByteBuffer memory(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** A copy of RAM. */
    static ByteBuffer image(PhysicalMemory memory, long address, int bytes) {
        byte[] copy = new byte[bytes];
        memory.read(address, copy, 0, bytes);
        return memory(bytes).put(0, copy);
    }
}
