package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
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
 * A miss everywhere, 65,536 pages in turn: a four-level stage 1 walk and the fill of the unit's TLB. Reference: the walk
 * in C.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class MissBenchmark {
    private static final int COUNT = 65536;
    private static final int RAM_BYTES = 4 << 20;

    private final Pages pages = new Pages(TableSet.INPUT, COUNT);
    private SmmuRig rig;
    private TableWriter table;
    private DmaPort port;

    /** Where the invocation before ended: one invocation does not get through all pages. */
    private long input = TableSet.INPUT;

    /** Puts the stream behind a stage 1 table. */
    @Setup
    public void setUp() {
        rig = new SmmuRig(RAM_BYTES, 8);
        table = rig.stage1Table();
        pages.map((from, to) -> table.map(from, to, Pages.PAGE, SmmuRig.STAGE1_RAM));
        rig.stage1Stream(1, 1, table);
        port = rig.portWithoutMicroTlb(1);
    }

    /** Misses. */
    @Benchmark
    @Figure(loads = 4)
    public long walkAndFill() {
        input = Pages.chain(port, input);
        return input;
    }

    /** In C. */
    @Benchmark
    public long reference(Image image, Reference reference) {
        input = reference.loops.walk(image.bytes, image.base, table.root(), input, Chain.STEPS);
        return input;
    }

    /** RAM for C. */
    @State(Scope.Benchmark)
    public static class Image {
        private ByteBuffer bytes;
        private long base;

        /** Copies it. */
        @Setup
        public void setUp(MissBenchmark benchmark) {
            PhysicalMemory.Range ram = benchmark.rig.memory.ranges().get(0);
            base = ram.base();
            bytes = Reference.image(benchmark.rig.memory, base, RAM_BYTES);
        }
    }
}
