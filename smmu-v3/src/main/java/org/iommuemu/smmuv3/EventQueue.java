package org.iommuemu.smmuv3;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;

/** The Event queue: records what went wrong for software (IHI 0070, 7.2 and 7.4). */
final class EventQueue {
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final Interrupts interrupts;

    EventQueue(SmmuFeatures features, RegisterFile registers, PhysicalMemory memory, Interrupts interrupts) {
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.interrupts = interrupts;
    }

    /** Records an event, or loses it: the queue is not writable, or its memory does not answer. */
    void record(Event event) {
        synchronized (registers) {
            if (!Registers.EVENTQEN.isSet(registers.get(Registers.CR0))
                    || interrupts.isActive(GlobalError.EVENTQ_ABT_ERR)) {
                return; // Not writable (7.2.1).
            }
            Queue queue = new Queue(registers.get(Registers.EVENTQ_BASE), features.eventqLog2Size(), 5, features.oas());
            long prod = registers.get(Registers.EVENTQ_PROD);
            long cons = registers.get(Registers.EVENTQ_CONS);
            long wr = Registers.EVENTQ_WR.get(prod);
            long rd = Registers.EVENTQ_RD.get(cons);
            if (queue.isFull(wr, rd)) {
                // An overflow that is not acknowledged yet stays as it is (7.4).
                if (Registers.OVFLG.isSet(prod) == Registers.OVACKFLG.isSet(cons)) {
                    registers.set(Registers.EVENTQ_PROD, prod ^ Registers.OVFLG.mask());
                }
                return;
            }
            long address = queue.address(wr);
            if (!memory.isRam(address, Event.BYTES)) {
                interrupts.activate(GlobalError.EVENTQ_ABT_ERR);
                return;
            }
            memory.write64(address, event.word0());
            memory.write64(address + 8, event.word1());
            memory.write64(address + 16, event.word2());
            memory.write64(address + 24, event.word3());
            // Software that sees the new index (a release store) sees the record.
            registers.set(Registers.EVENTQ_PROD, Registers.EVENTQ_WR.set(prod, queue.next(wr)));
            if (queue.isEmpty(wr, rd)) {
                interrupts.eventQueueNotEmpty();
            }
        }
    }
}
