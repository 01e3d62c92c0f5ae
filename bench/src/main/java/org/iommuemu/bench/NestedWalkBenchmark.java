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

/**
 * A stage 1 walk whose table addresses and output pass through stage 2, four levels each: 24 loads. Reference: as many
 * dependent loads in C, which are six walks.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class NestedWalkBenchmark {
    private static final int WALKS = 6;

    private TableSet tables;
    private ByteBuffer image;

    /** Writes the tables. */
    @Setup
    public void setUp() {
        tables = new TableSet();
        image = tables.image();
    }

    /** Stage 1 over stage 2. */
    @Benchmark
    @Figure(atMost = 1.5, loads = 24)
    public long nested() {
        return TableSet.chain(tables.nested);
    }

    /** The same with stage 2 cached, as units walk: only the loads of stage 1 are left. */
    @Benchmark
    @Figure(against = "referenceOfStage1", atMost = 1.5, loads = 4)
    public long cached() {
        return TableSet.chain(tables.nestedCached);
    }

    /** In C, one walk. */
    @Benchmark
    public long referenceOfStage1(Reference reference) {
        return tables.reference(reference, image, Chain.STEPS);
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return tables.reference(reference, image, WALKS * Chain.STEPS);
    }
}
