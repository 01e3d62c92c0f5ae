package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.TranslationService.PageRequest;
import org.iommuemu.mmio.TranslationService.Response;
import org.iommuemu.mmio.Translator;

/** The PRI queue: page requests of endpoints for software, and automatic responses where there is no room (IHI 0070, 8). */
final class PageRequestQueue {
    private static final int LOG2_BYTES = 4;

    // Word 0 of a record
    private static final int SUBSTREAM_ID = 32;
    private static final long PRIV = 1L << 58;
    private static final long EXECUTE = 1L << 59;
    private static final long READ = 1L << 60;
    private static final long WRITE = 1L << 61;
    private static final long LAST = 1L << 62;
    private static final long SSV = 1L << 63;

    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final Interrupts interrupts;
    private final StreamTable streamTable;
    private final EventQueue events;

    PageRequestQueue(
            SmmuFeatures features,
            RegisterFile registers,
            PhysicalMemory memory,
            Interrupts interrupts,
            StreamTable streamTable,
            EventQueue events) {
        this.features = features;
        this.registers = registers;
        this.memory = memory;
        this.interrupts = interrupts;
        this.streamTable = streamTable;
        this.events = events;
    }

    /**
     * An automatic response.
     *
     * @param substreamId whether it carries a PASID, and which
     */
    record Automatic(int substreamId, Response response) {
        private static final Automatic FAILURE = new Automatic(Translator.NO_SUBSTREAM, Response.RESPONSE_FAILURE);
    }

    /**
     * Takes a message that arrived.
     *
     * @return the response that the SMMU itself sends; null for none
     */
    Automatic receive(int streamId, PageRequest request) {
        synchronized (registers) {
            long cr0 = registers.get(Registers.CR0);
            // The effective PRIQEN is 0 while SMMUEN is (6.3.9.5).
            boolean enabled = Registers.PRIQEN.isSet(cr0) && Registers.SMMUEN.isSet(cr0);
            if (!enabled || interrupts.isActive(GlobalError.PRIQ_ABT_ERR)) {
                return request.isStopMarker() ? null : Automatic.FAILURE; // 8.2
            }
            Queue queue =
                    new Queue(registers.get(Registers.PRIQ_BASE), features.priqLog2Size(), LOG2_BYTES, features.oas());
            long prod = registers.get(Registers.PRIQ_PROD);
            long cons = registers.get(Registers.PRIQ_CONS);
            long wr = Registers.PRIQ_WR.get(prod);
            long rd = Registers.PRIQ_RD.get(cons);
            boolean overflow = Registers.OVFLG.isSet(prod) != Registers.OVACKFLG.isSet(cons);
            if (overflow || queue.isFull(wr, rd)) {
                if (!overflow) {
                    registers.set(Registers.PRIQ_PROD, prod ^ Registers.OVFLG.mask());
                }
                if (lastOnly() && request.last()) { // 6.3.36: also if the message is discarded.
                    interrupts.priQueue();
                }
                return request.last() && !request.isStopMarker() ? overflowed(streamId, request) : null;
            }
            long address = queue.address(wr);
            if (!memory.isRam(address, 1 << LOG2_BYTES)) {
                interrupts.activate(GlobalError.PRIQ_ABT_ERR);
                return request.isStopMarker() ? null : Automatic.FAILURE; // The abort is synchronous (8.2).
            }
            memory.write64(address, word0(streamId, request));
            memory.write64(address + 8, request.address() & -1L << 12 | request.group());
            // Software that sees the new index (a release store) sees the record.
            registers.set(Registers.PRIQ_PROD, Registers.PRIQ_WR.set(prod, queue.next(wr)));
            if (lastOnly() ? request.last() : queue.isEmpty(wr, rd)) {
                interrupts.priQueue();
            }
            return null;
        }
    }

    private boolean lastOnly() {
        return Registers.PRIQ_LO.isSet(registers.get(Registers.PRIQ_IRQ_CFG2));
    }

    private long word0(int streamId, PageRequest request) {
        long word = Integer.toUnsignedLong(streamId)
                | (request.read() ? READ : 0)
                | (request.write() ? WRITE : 0)
                | (request.last() ? LAST : 0);
        return hasSubstream(request)
                ? word
                        | SSV
                        | (long) request.substreamId() << SUBSTREAM_ID
                        | (request.execute() ? EXECUTE : 0)
                        | (request.privileged() ? PRIV : 0)
                : word;
    }

    private boolean hasSubstream(PageRequest request) {
        return features.ssidSize() > 0 && request.substreamId() != Translator.NO_SUBSTREAM;
    }

    /** Success, with the PASID if the endpoint wants it: IDR3.PPS or STE.PPAR says so (8.1). */
    private Automatic overflowed(int streamId, PageRequest request) {
        if (!hasSubstream(request)) {
            return new Automatic(Translator.NO_SUBSTREAM, Response.SUCCESS);
        }
        if (features.has(SmmuFeature.PPS)) {
            return new Automatic(request.substreamId(), Response.SUCCESS);
        }
        StreamTable.Located located =
                streamTable.locate(new Transaction(streamId, request.substreamId(), request.address(), Access.READ));
        if (located.fault() != null) {
            Fault fault = located.fault();
            if (fault.recorded() && Registers.REC_CFG_ATS.isSet(registers.get(Registers.CR2))) {
                events.record(fault.event(), fault.mergeable());
            }
            return Automatic.FAILURE;
        }
        int substreamId = located.ste().ppar() ? request.substreamId() : Translator.NO_SUBSTREAM;
        return new Automatic(substreamId, Response.SUCCESS);
    }
}
