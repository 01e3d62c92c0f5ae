package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.PhysicalMemory;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** Reads of guest RAM. Reference: dependent loads of 64 bits in C. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class MemoryBenchmark {
    private static final long RAM = 0x8000_0000L;
    /** One word per cache line. */
    private static final int LINE = 64;

    /** Bytes of RAM that are read in turn: within one chunk of the host's memory, and over sixteen of them. */
    @Param({"16384", "1048576"})
    public int bytes;

    private PhysicalMemory memory;
    private ByteBuffer words;

    /** Where the invocation before ended, as one invocation does not get through all of the memory. */
    private long offset;

    /** Words hold each other's offsets. */
    @Setup
    public void setUp() {
        memory = new PhysicalMemory();
        memory.addRam(RAM, bytes);
        words = Reference.memory(bytes);
        int[] next = Chain.cycle(bytes / LINE);
        for (int i = 0; i < next.length; i++) {
            memory.write64(RAM + (long) i * LINE, (long) next[i] * LINE);
            words.putLong(i * LINE, (long) next[i] * LINE);
        }
    }

    /** Reads of 64 bits. */
    @Benchmark
    public long read64() {
        long at = offset;
        for (int i = 0; i < Chain.STEPS; i++) {
            at = memory.read64(RAM + at);
        }
        offset = at;
        return at;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        offset = reference.loops.load(words, offset, Chain.STEPS);
        return offset;
    }
}
