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

/** Commands through SMMU_CMDQ_PROD, per command. Reference: a loop in C that decodes the same bytes. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class CommandQueueBenchmark {
    private static final int RING = 1 << SmmuRig.LOG2_COMMANDS;
    private static final int BATCH = RING / 2;
    private static final int PAIRS = 64;

    private SmmuRig rig;
    private ByteBuffer ring;

    /** Fills the queue: CMD_TLBI_NH_VA of one page after the other, each followed by CMD_SYNC. */
    @Setup
    public void setUp() {
        rig = new SmmuRig(1 << 20, 8);
        for (int i = 0; i < RING; i += 2) {
            rig.write(i, SmmuRig.CMD_TLBI_NH_VA | 1L << 48, i * Pages.PAGE);
            rig.write(i + 1, SmmuRig.CMD_SYNC, 0);
        }
        ring = rig.commands();
    }

    /** Half a queue with one write of the register, the bytes being there: TLBI and SYNC consumed. */
    @Benchmark
    @OperationsPerInvocation(BATCH)
    @Figure(nsAtMost = 100)
    public SmmuRig consumed() {
        rig.produce(BATCH);
        return check();
    }

    /** As a driver: TLBI and SYNC written, SMMU_CMDQ_PROD, SMMU_CMDQ_CONS read. */
    @Benchmark
    @OperationsPerInvocation(2 * PAIRS)
    public SmmuRig writtenAndConsumed() {
        for (int i = 0; i < PAIRS; i++) {
            rig.commandAndSync(SmmuRig.CMD_TLBI_NH_VA | 1L << 48, i * Pages.PAGE);
            check();
        }
        return rig;
    }

    private SmmuRig check() {
        if (!rig.consumed()) {
            throw new IllegalStateException("commands are left in the queue");
        }
        return rig;
    }

    /** In C. */
    @Benchmark
    @OperationsPerInvocation(RING)
    public long reference(Reference reference) {
        return reference.loops.decode(ring, 0, RING);
    }
}
