package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * Mapping a page and unmapping it again, per page, without the cost of invalidations. Reference: a walk in C, the loads
 * that find the entry to write.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class TableWriterBenchmark {
    private static final long PAGE = 4096;
    private static final long TABLE_REACH = 512 * PAGE;
    private static final long RAM = 0x8000_0000L;
    private static final int RAM_BYTES = 1 << 20;

    // Four ranges that one table of level 3 covers each; an output that is no multiple of 2 MiB keeps blocks away.
    private static final long FIRST_TAKEN = 0x4000_0000L;
    private static final long LAST_TAKEN = FIRST_TAKEN + TABLE_REACH;
    private static final long EMPTY = LAST_TAKEN + TABLE_REACH;
    private static final long OUTPUT = 0x1_0000_1000L;

    private TableWriter writer;
    private TableSet tables;
    private ByteBuffer image;

    /** Writes what stays mapped. */
    @Setup
    public void setUp() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(RAM, RAM_BYTES);
        writer = TableSet.writer(memory, new BumpAllocator(memory, RAM, RAM_BYTES));
        writer.map(FIRST_TAKEN, OUTPUT, PAGE, Descriptor.STAGE2_RAM);
        writer.map(LAST_TAKEN + TABLE_REACH - PAGE, OUTPUT, PAGE, Descriptor.STAGE2_RAM);
        tables = new TableSet();
        image = tables.image();
    }

    /** One page, in a table whose first entry is in use. */
    @Benchmark
    public TableWriter page() {
        return mapAndUnmap(FIRST_TAKEN + 100 * PAGE, PAGE);
    }

    /** One page, in a table of which only the last entry is in use. */
    @Benchmark
    public TableWriter pageBeforeLast() {
        return mapAndUnmap(LAST_TAKEN + 100 * PAGE, PAGE);
    }

    /** One page that is alone in its table, which comes and goes with it. */
    @Benchmark
    public TableWriter pageAlone() {
        return mapAndUnmap(EMPTY + 100 * PAGE, PAGE);
    }

    private TableWriter mapAndUnmap(long input, long size) {
        writer.map(input, OUTPUT, size, Descriptor.STAGE2_RAM);
        writer.unmap(input, size);
        return writer;
    }

    /** In C. */
    @Benchmark
    @OperationsPerInvocation(Chain.STEPS)
    public long reference(Reference reference) {
        return tables.reference(reference, image, Chain.STEPS);
    }
}
