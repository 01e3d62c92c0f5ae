package org.iommuemu.bench;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
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
import org.openjdk.jmh.annotations.Threads;

/** Hits in the micro-TLBs of two ports, each with a stream and a thread of its own, against those of one. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class TwoPortsBenchmark {
    private static final int COUNT = 64;

    private final Pages pages = new Pages(TableSet.INPUT, COUNT);
    private final AtomicInteger streams = new AtomicInteger();
    private SmmuRig rig;
    private TableWriter table;

    /** Makes the unit. */
    @Setup
    public void setUp() {
        rig = new SmmuRig(1 << 20, 8);
        table = rig.stage1Table();
        pages.map((input, output) -> table.map(input, output, Pages.PAGE, SmmuRig.STAGE1_RAM));
    }

    /** A thread's. */
    @State(Scope.Thread)
    public static class Port {
        private DmaPort port;

        /** Takes the next stream. */
        @Setup
        public void setUp(TwoPortsBenchmark benchmark) {
            int stream = benchmark.streams.getAndIncrement();
            synchronized (benchmark) {
                benchmark.rig.stage1Stream(stream, 1, benchmark.table);
            }
            port = benchmark.rig.port(stream);
        }
    }

    /** One. */
    @Benchmark
    @Figure(against = "")
    public long one(Port port) {
        return Pages.chain(port.port, TableSet.INPUT);
    }

    /** Two at a time. */
    @Benchmark
    @Threads(2)
    @Figure(against = "one", atLeast = 1.9)
    public long two(Port port) {
        return Pages.chain(port.port, TableSet.INPUT);
    }
}
