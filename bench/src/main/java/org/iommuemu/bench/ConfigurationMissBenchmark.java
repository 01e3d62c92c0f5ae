package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
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
 * An access of a stream whose configuration is not cached: level 1 descriptor, STE and CD are read and decoded; the
 * translation is in the TLB. Streams in an order that no cache likes.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class ConfigurationMissBenchmark {
    private static final int STRUCTURE = 64;

    /** Streams of a two-level table, each with an STE and a CD; many more than the configuration cache holds. */
    @Param({"16384", "131072", "1048576"})
    public int streams;

    private SmmuRig rig;
    private int stream;

    /** Writes the structures. */
    @Setup
    public void setUp() {
        rig = new SmmuRig((1 << 20) + 2L * STRUCTURE * streams, Integer.numberOfTrailingZeros(streams));
        TableWriter table = rig.stage1Table();
        table.map(TableSet.INPUT, TableSet.INPUT, Pages.PAGE, SmmuRig.STAGE1_RAM);
        for (int i = 0; i < streams; i++) {
            rig.stage1Stream(i, 1, table);
        }
    }

    /** All streams before one is met again (a linear congruential generator of full period). */
    private int next(int from) {
        return from * 0x9e37_79b5 + 0x3c6e_f35f & streams - 1;
    }

    /** Reads. */
    @Benchmark
    @Figure(flatIn = "streams")
    public int translate() {
        int at = stream;
        for (int i = 0; i < Chain.STEPS; i++) {
            long translation = rig.smmu.translate(at, Translator.NO_SUBSTREAM, TableSet.INPUT, Access.READ);
            if (!Translation.translated(translation)) {
                throw new IllegalStateException("fault of stream 0x%x: 0x%x".formatted(at, translation));
            }
            at = next(at);
        }
        stream = at;
        return at;
    }

    /** One dependent load in C from as many structures of 64 bytes. */
    @Benchmark
    @Figure(flatIn = "streams")
    public long loadInC(Words words, Reference reference) {
        words.offset = reference.loops.load(words.bytes, words.offset, Chain.STEPS);
        return words.offset;
    }

    /** What C reads. */
    @State(Scope.Benchmark)
    public static class Words {
        private ByteBuffer bytes;
        private long offset;

        /** Writes it: the same order. */
        @Setup
        public void setUp(ConfigurationMissBenchmark benchmark) {
            bytes = Reference.memory(2 * STRUCTURE * benchmark.streams);
            for (int i = 0; i < benchmark.streams; i++) {
                bytes.putLong(2 * STRUCTURE * i, 2L * STRUCTURE * benchmark.next(i));
            }
        }
    }
}
