package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Tlb;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** A hit in the TLB. Reference: a hit in a set-associative array in C, which nobody else writes to. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class TlbBenchmark {
    private static final int SETS = 2048;
    private static final int WAYS = 4;
    private static final int SPACE = 3;
    private static final int ASID = 7;
    private static final long PAGE = 4096;
    /** Bit 62 of a translation: it belongs to the ASID. */
    private static final long NOT_GLOBAL = 1L << 62;

    /** Pages in turn: those of a small device, and more than the first-level cache of the processor holds. */
    @Param({"64", "4096"})
    public int pages;

    private Tlb tlb;
    private long[] page;
    private long[] value;
    private ByteBuffer sets;

    /** Fills the TLB with a cycle of pages. */
    @Setup
    public void setUp() {
        tlb = new Tlb(SETS, WAYS);
        page = cachedPages(pages);
        int[] next = Chain.cycle(pages);
        value = new long[pages];
        for (int i = 0; i < pages; i++) {
            value[i] = value(page[next[i]]);
        }
        fill();
        // All were cached, so the first C array that has room for as many consecutive pages has room for these.
        sets = Chain.sets(page, next, SETS * WAYS);
    }

    /** Pages that are in the TLB together: hashing sends some of any selection to a set that is full. */
    private long[] cachedPages(int count) {
        int candidates = count + count / 8;
        for (long i = 0; i < candidates; i++) {
            tlb.fill(SPACE, ASID, i * PAGE, value(i * PAGE), tlb.epoch());
        }
        long[] cached = new long[count];
        int found = 0;
        for (long i = 0; i < candidates && found < count; i++) {
            if (tlb.lookUp(SPACE, ASID, i * PAGE) != Tlb.MISS) {
                cached[found++] = i * PAGE;
            }
        }
        if (found < count) {
            throw new IllegalStateException("only %d of %d pages are cached".formatted(found, candidates));
        }
        return cached;
    }

    private static long value(long output) {
        return Translation.of(output, 12, 0xff, 3) | NOT_GLOBAL;
    }

    /** Hits. */
    @Benchmark
    public long lookUp() {
        long input = page[0];
        for (int i = 0; i < Chain.STEPS; i++) {
            long result = tlb.lookUp(SPACE, ASID, input);
            if (result == Tlb.MISS) {
                throw new IllegalStateException("0x%x is not cached".formatted(input));
            }
            input = Translation.address(result, input);
        }
        return input;
    }

    /** Fills pages that are there already. */
    @Benchmark
    public Tlb fill() {
        for (int i = 0; i < Chain.STEPS; i++) {
            int at = i & pages - 1;
            tlb.fill(SPACE, ASID, page[at], value[at], tlb.epoch());
        }
        return tlb;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return reference.loops.lookUp(sets, page[0], Chain.STEPS);
    }
}
