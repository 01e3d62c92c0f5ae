package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.TableWriter;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * A four-level stage 1 walk whose tables are larger than the last level of cache: every leaf is read from DRAM. Reference:
 * the same four dependent loads in C, from a copy of the same tables.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class ColdWalkBenchmark {
    private static final long RAM = 0x8000_0000L;

    /** Every 16th page is mapped: no two leaves share a cache line, nor a pair of lines that are fetched together. */
    private static final int STRIDE = 16;

    /** Bytes of level 3 tables in MiB. */
    @Param("256")
    public int mebibytes;

    private PhysicalMemory memory;
    private TableWriter table;
    private TableWalk walk;

    /** Where the invocation before ended. */
    private long input = TableSet.INPUT;

    /** Writes the tables. */
    @Setup
    public void setUp() {
        memory = new PhysicalMemory();
        memory.addRam(RAM, ramBytes());
        table = TableSet.writer(memory, new BumpAllocator(memory, RAM, ramBytes()));
        int[] next = Chain.cycle((mebibytes << 20) / Long.BYTES / STRIDE);
        for (int i = 0; i < next.length; i++) {
            table.map(address(i), address(next[i]), Pages.PAGE, SmmuRig.STAGE1_RAM);
        }
        walk = TableWalk.stage1(memory, Granule.KIB_4, table.root(), 48, 48)
                .mair(0xff)
                .build();
    }

    private static long address(int page) {
        return TableSet.INPUT + page * STRIDE * Pages.PAGE;
    }

    private int ramBytes() {
        return (mebibytes << 20) + (mebibytes << 20) / 256 + (1 << 20);
    }

    /** Stage 1. */
    @Benchmark
    @Figure(atMost = 1.2, loads = 4)
    public long stage1() {
        input = TableSet.chain(walk, input);
        return input;
    }

    /** In C. */
    @Benchmark
    public long reference(Image image, Reference reference) {
        input = reference.loops.walk(image.bytes, RAM, table.root(), input, Chain.STEPS);
        return input;
    }

    /** RAM for C. */
    @State(Scope.Benchmark)
    public static class Image {
        private ByteBuffer bytes;

        /** Copies it. */
        @Setup
        public void setUp(ColdWalkBenchmark benchmark) {
            bytes = Reference.image(benchmark.memory, RAM, benchmark.ramBytes());
        }
    }
}
