package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;

/**
 * A Command queue: consumes commands in order until it is empty, one is in error, or a CMD_SYNC has to wait (IHI 0070,
 * 3.5, 4.1, 4.7.3 and 7.1). What commands do is in {@link Commands}. Called under the registers' monitor.
 */
final class CommandQueue {
    static final int CERROR_ILL = 1;
    static final int CERROR_ABT = 2;
    static final int CERROR_ATC_INV_SYNC = 3;

    /** The registers of a queue: SMMU_CMDQ_*, or those of an Enhanced Command queue. */
    interface Window {
        /** Whether software has enabled the queue. */
        boolean isEnabled();

        /** Whether an error stops consumption until software acknowledges it. */
        boolean isInError();

        /** SMMU_CMDQ_BASE, or what has its layout. */
        long base();

        /** The index of the next command that software writes, with its wrap bit. */
        long writeIndex();

        /** The index of the next command that the SMMU reads, with its wrap bit. */
        long readIndex();

        /** Moves the read index on: software sees that a command is consumed. */
        void consumed(long readIndex);

        /** Reports that the command at the read index is in error. */
        void fail(int reason);
    }

    private final String unit;
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final Commands commands;
    private final Latency latency;
    private final MisuseListener misuse;
    private final Window window;

    /** More invalidations of endpoints are not under way at a time: the next CMD_ATC_INV waits, as for a tag of PCIe's. */
    static final int MOST_INVALIDATIONS = 1024;

    /** CMD_ATC_INV commands that no CMD_SYNC has completed. */
    private final List<AtsInterface.Invalidation> outstanding = new ArrayList<>();

    /** The CMD_SYNC at the read index is being completed; null if none is. */
    private Latency.Wait synchronising;

    /** A CMD_ATC_INV waits at the read index until fewer invalidations are under way. */
    private boolean full;

    /** Whoever hears of an interrupt, a wake-up or a misuse may access our registers. */
    private boolean consuming;

    /** @param latency how long a CMD_SYNC takes at least */
    CommandQueue(
            String unit,
            SmmuFeatures features,
            RegisterFile registers,
            PhysicalMemory memory,
            Commands commands,
            Latency latency,
            MisuseListener misuse,
            Window window) {
        this.unit = unit;
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.commands = commands;
        this.latency = latency;
        this.misuse = misuse;
        this.window = window;
    }

    /** Consumes what there is. */
    void consume() {
        while (step()) {}
    }

    /** Whether one more command was consumed. */
    boolean step() {
        if (consuming) {
            return false;
        }
        consuming = true;
        try {
            return window.isEnabled() && !window.isInError() && consumeOne();
        } finally {
            consuming = false;
            registers.settle(); // Software may wait for the end of the command, see isDraining.
        }
    }

    /** The queue was disabled, and a command is still in progress (6.3.9.3). */
    boolean isDraining() {
        return consuming && !window.isEnabled();
    }

    /** A command waits: for time, for software to look, or for an endpoint. */
    boolean isWaiting() {
        return synchronising != null || full;
    }

    /** Software has looked at the read index. */
    void looked() {
        if (synchronising != null) {
            synchronising.looked();
        }
        if (isWaiting()) {
            outstanding.forEach(AtsInterface.Invalidation::looked);
        }
    }

    private boolean consumeOne() {
        Queue queue = new Queue(window.base(), features.cmdqLog2Size(), Command.LOG2_BYTES, features.oas());
        long rd = window.readIndex();
        if (queue.isEmpty(window.writeIndex(), rd)) {
            return false;
        }
        long address = queue.address(rd);
        if (!memory.isRam(address, 1 << Command.LOG2_BYTES)) {
            return fail(CERROR_ABT);
        }
        Command command = new Command(memory.read64(address), memory.read64(address + 8));
        String rule = command.illegal(features);
        if (rule != null) {
            misuse.misuse(unit, "command 0x%016x %016x: %s".formatted(command.word1(), command.word0(), rule));
            return fail(CERROR_ILL);
        }
        boolean synchronises = command.opcode() == Command.Opcode.CMD_SYNC;
        if (synchronises && !isSynchronised()) {
            return false;
        }
        if (command.opcode() == Command.Opcode.CMD_ATC_INV && !canInvalidate()) {
            return false;
        }
        commands.execute(command, outstanding);
        // The end of waiting for a full queue (4.1.2), if software could see that it was full.
        boolean full = queue.isFull(window.writeIndex(), rd);
        window.consumed(queue.next(rd));
        if (synchronises) {
            commands.signalCompletion(command);
        }
        if (full) {
            commands.sendEvent();
        }
        return true;
    }

    /** Whether there is room for one more invalidation. Of those that timed out, one is enough to tell the CMD_SYNC. */
    private boolean canInvalidate() {
        if (outstanding.size() >= MOST_INVALIDATIONS) {
            AtsInterface.Invalidation[] timedOut = new AtsInterface.Invalidation[1];
            outstanding.removeIf(invalidation -> switch (invalidation.state()) {
                case PENDING -> false;
                case COMPLETE -> true;
                case TIMED_OUT -> {
                    timedOut[0] = invalidation;
                    yield true;
                }
            });
            if (timedOut[0] != null) {
                outstanding.add(timedOut[0]);
            }
        }
        full = outstanding.size() >= MOST_INVALIDATIONS;
        return !full;
    }

    /** Whether the CMD_SYNC at the read index can complete. */
    private boolean isSynchronised() {
        if (synchronising == null) {
            synchronising = latency.start();
        }
        boolean timedOut = false;
        for (AtsInterface.Invalidation invalidation : outstanding) {
            switch (invalidation.state()) {
                case PENDING -> {
                    return false;
                }
                case TIMED_OUT -> timedOut = true;
                case COMPLETE -> {}
            }
        }
        if (timedOut) {
            outstanding.clear();
            return fail(CERROR_ATC_INV_SYNC);
        }
        if (!synchronising.isOver()) {
            return false;
        }
        outstanding.clear();
        synchronising = null;
        return true;
    }

    /** The read index stays at the command, consumption stops until software acknowledges (7.1). */
    private boolean fail(int reason) {
        synchronising = null;
        window.fail(reason);
        return false;
    }
}
