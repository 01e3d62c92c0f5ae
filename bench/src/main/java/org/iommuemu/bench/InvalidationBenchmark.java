package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Tlb;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * Invalidation, by how much is cached: times of the same operation must not grow with {@link #entries} beyond what the
 * processor's caches explain, for which {@link #lookUpInC} is there.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class InvalidationBenchmark {
    private static final int WAYS = 4;
    private static final int SPACE = 3;
    private static final int ASIDS = 16;
    private static final long PAGE = 4096;
    private static final long NOT_GLOBAL = 1L << 62;

    /** Cached translations. */
    @Param({"1000", "10000", "100000", "1000000"})
    public int entries;

    private Tlb tlb;
    private ByteBuffer sets;
    private int asid;
    private int page;

    /** Where the reference ended, as one invocation does not get through all entries. */
    private long input;

    /** Makes a TLB with twice as many places as entries, and the C array. */
    @Setup
    public void setUp() {
        int places = Integer.highestOneBit(4 * entries - 1);
        tlb = new Tlb(places / WAYS, WAYS);
        long[] pages = new long[entries];
        for (int i = 0; i < entries; i++) {
            pages[i] = i * PAGE;
        }
        sets = Chain.sets(pages, Chain.cycle(entries), places);
    }

    /** Caches all entries; what the iteration before invalidated, too. */
    @Setup(Level.Iteration)
    public void fillAll() {
        for (int i = 0; i < entries; i++) {
            fill(i);
        }
    }

    private void fill(int i) {
        tlb.fill(SPACE, i % ASIDS, i * PAGE, Translation.of(i * PAGE, 12, 0xff, 3) | NOT_GLOBAL, tlb.epoch());
    }

    /** Everything. */
    @Benchmark
    @Figure(flatIn = "entries", atMost = 2)
    public Tlb all() {
        tlb.invalidateAll();
        return tlb;
    }

    /** A space (VMID). */
    @Benchmark
    @Figure(flatIn = "entries", atMost = 2)
    public Tlb space() {
        tlb.invalidateSpace(SPACE);
        return tlb;
    }

    /** An ASID of a space. */
    @Benchmark
    @Figure(flatIn = "entries", atMost = 2)
    public Tlb asid() {
        asid = (asid + 1) % ASIDS;
        tlb.invalidateAsid(SPACE, asid);
        return tlb;
    }

    /** A page that is cached; it is cached again afterwards, which is part of the time. */
    @Benchmark
    @Figure(flatIn = "entries", atMost = 2)
    public Tlb addressAndFill() {
        page = page + 1 < entries ? page + 1 : 0;
        tlb.invalidateAddress(SPACE, page % ASIDS, page * PAGE);
        fill(page);
        return tlb;
    }

    /** A look-up in C among as many entries: what the processor's caches explain. */
    @Benchmark
    @OperationsPerInvocation(Chain.STEPS)
    @Figure(flatIn = "entries")
    public long lookUpInC(Reference reference) {
        input = reference.loops.lookUp(sets, input, Chain.STEPS);
        return input;
    }
}
