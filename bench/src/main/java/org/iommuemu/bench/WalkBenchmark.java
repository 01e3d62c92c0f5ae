package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** A table walk of four levels, tables in the processor's caches. Reference: the same four dependent loads in C. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class WalkBenchmark {
    private TableSet tables;
    private ByteBuffer image;

    /** Writes the tables. */
    @Setup
    public void setUp() {
        tables = new TableSet();
        image = tables.image();
    }

    /** Stage 1. */
    @Benchmark
    @Figure(atMost = 1.5, loads = 4)
    public long stage1() {
        return TableSet.chain(tables.stage1);
    }

    /** Stage 2. */
    @Benchmark
    @Figure(atMost = 1.5, loads = 4)
    public long stage2() {
        return TableSet.chain(tables.stage2);
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return tables.reference(reference, image, Chain.STEPS);
    }
}
