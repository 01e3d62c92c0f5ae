package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.pagetables.TableWriter;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** A hit in a port's micro-TLB, in an open burst: one stream, 64 pages. Reference: a hit in a set-associative array in C. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class MicroTlbBenchmark {
    private static final int COUNT = 64;

    private final Pages pages = new Pages(TableSet.INPUT, COUNT);
    private DmaPort port;
    private ByteBuffer sets;

    /** Puts the stream behind a stage 1 table. */
    @Setup
    public void setUp() {
        SmmuRig rig = new SmmuRig(1 << 20, 8);
        TableWriter table = rig.stage1Table();
        pages.map((input, output) -> table.map(input, output, Pages.PAGE, SmmuRig.STAGE1_RAM));
        rig.stage1Stream(1, 1, table);
        port = rig.port(1);
        sets = pages.sets(DmaPort.MICRO_TLB.sets());
    }

    /** Hits. */
    @Benchmark
    @Figure(atMost = 1.5)
    public long hit() {
        return Pages.chain(port, TableSet.INPUT);
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return reference.loops.lookUp(sets, TableSet.INPUT, Chain.STEPS);
    }
}
