package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Translation;
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
 * 4,096 pages through ports without a micro-TLB: configuration cache and main TLB of the unit answer. Reference: hits
 * in a set-associative array of the same geometry in C.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class MainTlbBenchmark {
    private static final int COUNT = 4096;

    /** Streams, each with an ASID, a table and a port of its own, and an equal part of the pages. */
    @Param({"1", "64"})
    public int streams;

    private final Pages pages = new Pages(TableSet.INPUT, COUNT);
    private DmaPort[] ports;
    private ByteBuffer sets;
    private int log2PagesEach;

    /** Puts the streams behind stage 1 tables. */
    @Setup
    public void setUp() {
        SmmuRig rig = new SmmuRig(4 << 20, 8);
        ports = new DmaPort[streams];
        int each = COUNT / streams;
        log2PagesEach = Integer.numberOfTrailingZeros(each);
        for (int stream = 0; stream < streams; stream++) {
            TableWriter table = rig.stage1Table();
            pages.map(
                    stream * each,
                    (stream + 1) * each,
                    (input, output) -> table.map(input, output, Pages.PAGE, SmmuRig.STAGE1_RAM));
            rig.stage1Stream(stream, 1 + stream, table);
            ports[stream] = rig.portWithoutMicroTlb(stream);
        }
        sets = pages.sets(SmmuRig.TLB.sets() * SmmuRig.TLB.ways());
    }

    /** The pages of all streams in turn; a page tells whose turn is next. */
    @Benchmark
    @Figure(atMost = 2)
    public long hit() {
        if (streams == 1) {
            return Pages.chain(ports[0], TableSet.INPUT);
        }
        long input = TableSet.INPUT;
        ports[0].beginBurst();
        try {
            for (int i = 0; i < Chain.STEPS; i++) {
                int stream = (int) (input - TableSet.INPUT >>> 12 + log2PagesEach);
                long translation = ports[stream].translate(input, false);
                if (!Translation.translated(translation)) {
                    throw new IllegalStateException("fault at 0x%x: 0x%x".formatted(input, translation));
                }
                input = Translation.address(translation, input);
            }
        } finally {
            ports[0].endBurst();
        }
        return input;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return reference.loops.lookUp(sets, TableSet.INPUT, Chain.STEPS);
    }
}
