package org.iommuemu.smmuv3;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;

/** The Event queue: records what went wrong for software (IHI 0070, 3.5.3 to 3.5.5, 7.2 to 7.4). */
final class EventQueue {
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final Interrupts interrupts;

    /** The last record, for merging. Guarded by {@link #registers}, as what follows. */
    private Event last;

    private boolean silent;

    EventQueue(SmmuFeatures features, RegisterFile registers, PhysicalMemory memory, Interrupts interrupts) {
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.interrupts = interrupts;
        registers.onWrite(Registers.CR0, (before, after) -> {
            if (Registers.EVENTQEN.isSet(before ^ after)) {
                last = null; // It may be another queue.
            }
        });
    }

    /**
     * Records an event of a transaction that is terminated, or loses it if the queue is not writable (7.2.1).
     *
     * @param mayMerge STE.MEV; events from before there is an STE may always merge
     */
    void record(Event event, boolean mayMerge) {
        synchronized (registers) {
            if (silent || !isEnabled()) {
                return;
            }
            Queue queue = queue();
            long prod = registers.get(Registers.EVENTQ_PROD);
            long cons = registers.get(Registers.EVENTQ_CONS);
            long wr = Registers.EVENTQ_WR.get(prod);
            long rd = Registers.EVENTQ_RD.get(cons);
            if (merges(event, mayMerge) && !queue.isEmpty(wr, rd)) {
                return; // Events that are close together: software has not consumed the first one yet.
            }
            if (!queue.isFull(wr, rd)) {
                write(queue, event);
            } else if (Registers.OVFLG.isSet(prod) == Registers.OVACKFLG.isSet(cons)) {
                // An overflow that is not acknowledged yet stays as it is (7.4).
                registers.set(Registers.EVENTQ_PROD, prod ^ Registers.OVFLG.mask());
            }
        }
    }

    /**
     * Records the event of a transaction that stalls. It is not lost: if the queue is not writable, whoever has the
     * transaction tries again (7.2.1, 7.4).
     *
     * @return whether software can see it
     */
    boolean recordStall(Event event) {
        return isWritable() && write(queue(), event);
    }

    /** Whether an event would be recorded now (7.2.1). */
    boolean isWritable() {
        long wr = Registers.EVENTQ_WR.get(registers.get(Registers.EVENTQ_PROD));
        long rd = Registers.EVENTQ_RD.get(registers.get(Registers.EVENTQ_CONS));
        return isEnabled() && !queue().isFull(wr, rd);
    }

    /** Does something that leaves no events. Under the monitor. */
    void silently(Runnable what) {
        boolean before = silent;
        silent = true;
        try {
            what.run();
        } finally {
            silent = before;
        }
    }

    /** Whether events are not to be left at the moment. */
    boolean isSilent() {
        return silent;
    }

    private boolean isEnabled() {
        return Registers.EVENTQEN.isSet(registers.get(Registers.CR0))
                && !interrupts.isActive(GlobalError.EVENTQ_ABT_ERR);
    }

    private Queue queue() {
        return new Queue(registers.get(Registers.EVENTQ_BASE), features.eventqLog2Size(), 5, features.oas());
    }

    private boolean merges(Event event, boolean mayMerge) {
        return features.chooses(SmmuOption.MERGES_EVENTS)
                && last != null
                && (mayMerge || event.type().mayAlwaysMerge())
                && event.isSameAs(last);
    }

    /** Writes a record to a queue that is not full; not if its memory does not answer. */
    private boolean write(Queue queue, Event event) {
        long prod = registers.get(Registers.EVENTQ_PROD);
        long wr = Registers.EVENTQ_WR.get(prod);
        long address = queue.address(wr);
        if (!memory.isRam(address, Event.BYTES)) {
            interrupts.activate(GlobalError.EVENTQ_ABT_ERR);
            return false;
        }
        memory.write64(address, event.word0());
        memory.write64(address + 8, event.word1());
        memory.write64(address + 16, event.word2());
        memory.write64(address + 24, event.word3());
        last = event;
        // Software that sees the new index (a release store) sees the record.
        registers.set(Registers.EVENTQ_PROD, Registers.EVENTQ_WR.set(prod, queue.next(wr)));
        if (queue.isEmpty(wr, Registers.EVENTQ_RD.get(registers.get(Registers.EVENTQ_CONS)))) {
            interrupts.eventQueueNotEmpty();
        }
        return true;
    }
}
