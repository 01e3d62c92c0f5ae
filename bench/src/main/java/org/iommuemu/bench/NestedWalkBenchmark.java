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
 * dependent loads in C, which are six walks; with stage 2 cached, as many dependent loads and look-ups.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class NestedWalkBenchmark {
    private static final int WALKS = 6;

    private TableSet tables;
    private ByteBuffer image;
    private ByteBuffer sets;

    /** Writes the tables. */
    @Setup
    public void setUp() {
        tables = new TableSet();
        image = tables.image();
        sets = tables.identity();
    }

    /** Stage 1 over stage 2. */
    @Benchmark
    @Figure(atMost = 1.5, loads = 24)
    public long nested() {
        return TableSet.chain(tables.nested);
    }

    /** The same with stage 2 cached, as units walk: the loads of stage 1, and a look-up for the address of each and the output. */
    @Benchmark
    @Figure(against = "referenceCached", atMost = 1.5, loads = 4, lookUps = 5)
    public long cached() {
        return TableSet.chain(tables.nestedCached);
    }

    /** In C, with as many look-ups in an array of the same geometry. */
    @Benchmark
    public long referenceCached(Reference reference) {
        return tables.referenceCached(reference, image, sets);
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return tables.reference(reference, image, WALKS * Chain.STEPS);
    }
}
