package org.iommuemu.bench;

import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.pagetables.TableWriter;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** Hits in a port's micro-TLB while software on another thread invalidates what the port does not use. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class DisturbedHitBenchmark {
    private static final int COUNT = 64;
    private static final int ASID = 1;
    private static final long INTERVAL_NS = 10_000;

    private final Pages pages = new Pages(TableSet.INPUT, COUNT);
    private SmmuRig rig;
    private DmaPort port;

    /** Puts the stream behind a stage 1 table. */
    @Setup
    public void setUp() {
        rig = new SmmuRig(1 << 20, 8);
        TableWriter table = rig.stage1Table();
        pages.map((input, output) -> table.map(input, output, Pages.PAGE, SmmuRig.STAGE1_RAM));
        rig.stage1Stream(1, ASID, table);
        port = rig.port(1);
    }

    /** Invalidates, 10^5 times a second if the machine lets it: a command and CMD_SYNC each time. */
    private static final class Invalidator {
        private final Thread thread;
        private volatile boolean stop;
        private long started;
        private long done;

        Invalidator(SmmuRig rig, long word0, long word1) {
            thread = new Thread(() -> run(rig, word0, word1), "invalidator");
            thread.setDaemon(true);
            thread.start();
        }

        private void run(SmmuRig rig, long word0, long word1) {
            started = System.nanoTime();
            for (long due = started; !stop; due += INTERVAL_NS) {
                while (System.nanoTime() - due < 0) {
                    Thread.onSpinWait();
                }
                rig.commandAndSync(word0, word1);
                done++;
            }
        }

        /** Invalidations a second. */
        double stop() {
            stop = true;
            try {
                thread.join();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return done * 1e9 / (System.nanoTime() - started);
        }
    }

    /** Invalidates a page that is not cached. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class ByAddress {
        /** What was reached. */
        public double invalidationsPerSecond;

        private Invalidator invalidator;

        /** Starts. */
        @Setup(Level.Iteration)
        public void start(DisturbedHitBenchmark benchmark) {
            long asid = (long) ASID << 48;
            invalidator = new Invalidator(benchmark.rig, SmmuRig.CMD_TLBI_NH_VA | asid, 0x7654_3210_0000L);
        }

        /** Stops. */
        @TearDown(Level.Iteration)
        public void stop() {
            invalidationsPerSecond = invalidator.stop();
        }
    }

    /** Invalidates an ASID that is not cached: the port does not know whose its entries are, and drops them all. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class ByAsid {
        /** What was reached. */
        public double invalidationsPerSecond;

        private Invalidator invalidator;

        /** Starts. */
        @Setup(Level.Iteration)
        public void start(DisturbedHitBenchmark benchmark) {
            long asid = (long) ASID + 1 << 48;
            invalidator = new Invalidator(benchmark.rig, SmmuRig.CMD_TLBI_NH_ASID | asid, 0);
        }

        /** Stops. */
        @TearDown(Level.Iteration)
        public void stop() {
            invalidationsPerSecond = invalidator.stop();
        }
    }

    /** Nobody else is there. */
    @Benchmark
    @Figure(against = "")
    public long undisturbed() {
        return Pages.chain(port, TableSet.INPUT);
    }

    /** Against CMD_TLBI_NH_VA, CMD_SYNC. */
    @Benchmark
    @Figure(against = "undisturbed", atMost = 1.3, counter = "invalidationsPerSecond", countedAtLeast = 90_000)
    public long byAddress(ByAddress invalidator) {
        return Pages.chain(port, TableSet.INPUT);
    }

    /** Against CMD_TLBI_NH_ASID, CMD_SYNC. */
    @Benchmark
    @Figure(against = "undisturbed", atMost = 1.3, counter = "invalidationsPerSecond", countedAtLeast = 90_000)
    public long byAsid(ByAsid invalidator) {
        return Pages.chain(port, TableSet.INPUT);
    }
}
