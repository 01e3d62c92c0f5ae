package org.iommuemu.harness.conformance;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.locks.LockSupport;
import org.iommuemu.harness.conformance.ConformanceCase.Authority;
import org.iommuemu.harness.conformance.ConformanceCase.Dma;
import org.iommuemu.harness.conformance.ConformanceCase.Expected;
import org.iommuemu.harness.conformance.ConformanceCase.Image;
import org.iommuemu.harness.conformance.ConformanceCase.Outcome;
import org.iommuemu.harness.conformance.ConformanceCase.ReadRegister;
import org.iommuemu.harness.conformance.ConformanceCase.Segment;
import org.iommuemu.harness.conformance.ConformanceCase.Step;
import org.iommuemu.harness.conformance.ConformanceCase.WriteMemory;
import org.iommuemu.harness.conformance.ConformanceCase.WriteRegister;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translator;
import org.iommuemu.smmuv3.Smmu;
import org.iommuemu.smmuv3.SmmuFeatures;
import org.iommuemu.smmuv3.Timing;

/** Replays one case on a fresh board: RAM, an SMMU and DMA masters. It touches the SMMU through buses only. */
final class CaseReplay implements AutoCloseable {
    private static final long SMMU = 0;
    private static final long EVENTQ_BASE = SMMU + 0xa0;
    private static final long EVENTQ_PROD = SMMU + 0x100a8;
    /** CMDQ and EVENTQ indexes, GERROR and GERRORN: later values depend on which permitted outcome was taken. */
    private static final Set<Long> PROGRESS = Set.of(0x98L, 0x9cL, 0x60L, 0x64L, 0x100a8L, 0x100acL);

    private static final int MOST_POLLS = 100_000;
    private static final long POLL_NANOS = 100_000;

    private static final List<String> WIRES = List.of("EVTQ", "GERROR", "CMDSYNC", "PRIQ");

    /**
     * Where a case went wrong.
     *
     * @param step counted from 0
     * @param what got and expected, in one line
     */
    record Difference(int step, String what) {}

    private final Machine machine;
    private final boolean qemu;
    private final TlbGeometry microTlb;
    private final PhysicalMemory memory = new PhysicalMemory();
    /** What the SMMU and its clients reach: RAM, nothing else. */
    private final Bus bus = new Bus(memory);
    /** What software reaches the registers by. */
    private final Bus software = new Bus(new PhysicalMemory());

    private final InterruptController interrupts = new InterruptController();
    private final Set<String> raised = new TreeSet<>();
    private final Map<Integer, DmaPort> ports = new HashMap<>();
    private final Smmu smmu;
    /** Where the current transaction went. */
    private final List<Segment> segments = new ArrayList<>();

    /** Another outcome than QEMU's was taken, which the architecture permits as well. */
    private boolean diverged;

    /**
     * A fresh board.
     *
     * @param features of the SMMU: the machine's, or those with other caches
     * @param timing handshakes answer at once, as cases do not poll
     * @param qemu whether QEMU's answers are what to compare with, otherwise the architecture's
     */
    CaseReplay(Machine machine, SmmuFeatures features, TlbGeometry microTlb, Timing timing, boolean qemu) {
        this.machine = machine;
        this.qemu = qemu;
        this.microTlb = microTlb;
        memory.addRam(machine.ramBase(), machine.ramSize());
        List<InterruptController.Line> lines = new ArrayList<>();
        for (String name : WIRES) {
            interrupts.request(lines.size(), () -> raised.add(name));
            lines.add(interrupts.line(lines.size()));
        }
        Smmu.Wires wires = new Smmu.Wires(lines.get(0), lines.get(1), lines.get(2), lines.get(3));
        smmu = new Smmu("smmu", features, bus, wires, MisuseListener.NONE, timing);
        software.attach("smmu", SMMU, Smmu.WINDOW, smmu.registers());
        bus.addListener(new BusListener() {
            @Override
            public void onDma(boolean write, long address, int length) {
                Segment.append(segments, address, length);
            }
        });
    }

    @Override
    public void close() {
        smmu.close();
    }

    /** Replays a case until something differs; null if nothing does. */
    Difference replay(ConformanceCase testCase) {
        testCase.memory().forEach(this::write);
        for (int i = 0; i < testCase.steps().size(); i++) {
            String difference;
            try {
                difference = step(testCase.steps().get(i));
            } catch (RuntimeException e) { // A bug of the model fails this case; it must not hide the others.
                difference = "the model threw " + e;
            }
            if (difference != null) {
                return new Difference(i, difference);
            }
        }
        return null;
    }

    private String step(Step step) {
        raised.clear();
        String difference = null;
        if (step instanceof WriteRegister write) {
            writeRegister(write);
        } else if (step instanceof ReadRegister read) {
            difference = readRegister(read);
        } else if (step instanceof WriteMemory write) {
            write(write.image());
        } else if (step instanceof Dma dma) {
            difference = transaction(dma);
        }
        interrupts.dispatch();
        return difference != null ? difference : interrupts(step.expected());
    }

    private void write(Image image) {
        memory.write(image.address(), image.bytes(), 0, image.bytes().length);
    }

    /** Whether QEMU's word for a step is not the architecture's, and the architecture's is not told. */
    private boolean unchecked(Step step, Object architecture) {
        return !qemu && architecture == null && step.expected().authority() == Authority.QEMU_ONLY;
    }

    private String interrupts(Expected expected) {
        List<String> required = expected.interrupts();
        if (!qemu) {
            if (expected.interruptsArchitecture() != null) {
                required = expected.interruptsArchitecture();
            } else if (expected.authority() != Authority.ARCHITECTURE) {
                return null;
            }
        }
        return diverged || required.equals(List.copyOf(raised))
                ? null
                : "interrupts %s, expected %s".formatted(raised, required);
    }

    // Registers

    private void writeRegister(WriteRegister write) {
        try {
            software.write(SMMU + write.offset(), write.size(), write.value());
        } catch (BusError e) {
            // An external abort: nothing was written.
        }
        settle();
    }

    /** Cases know no time: what software asked for is done. */
    private void settle() {
        for (int i = 0; !isSettled(); i++) {
            if (i == MOST_POLLS) {
                throw new IllegalStateException("commands are neither consumed nor in error");
            }
            if (i > 100) {
                LockSupport.parkNanos(POLL_NANOS);
            }
        }
    }

    private boolean isSettled() {
        long mask = (2L << Math.min(software.read32(SMMU + 0x90) & 0x1f, 19)) - 1;
        boolean empty = ((software.read32(SMMU + 0x9c) ^ software.read32(SMMU + 0x98)) & mask) == 0;
        boolean stopped = ((software.read32(SMMU + 0x60) ^ software.read32(SMMU + 0x64)) & 1) != 0;
        boolean disabled = (software.read32(SMMU + 0x20) & 0x8) == 0;
        return empty || stopped || disabled;
    }

    private String readRegister(ReadRegister read) {
        String name = "register 0x%x".formatted(read.offset());
        long value;
        try {
            value = software.read(SMMU + read.offset(), read.size());
        } catch (BusError e) {
            return unchecked(read, read.architecture()) ? null : name + " does not answer: " + e.getMessage();
        }
        if (unchecked(read, read.architecture()) || diverged && PROGRESS.contains(read.offset())) {
            return null;
        }
        long expected = qemu || read.architecture() == null ? read.value() : read.architecture();
        if (same(value, expected, read)) {
            return null;
        }
        if (!qemu && read.permitted().stream().anyMatch(other -> same(value, other, read))) {
            diverged = true;
            return null;
        }
        return "%s is 0x%x, expected 0x%x (mask 0x%x)".formatted(name, value, expected, read.mask());
    }

    private static boolean same(long value, long expected, ReadRegister read) {
        return ((value ^ expected) & read.mask()) == 0;
    }

    // Transactions

    private record Observed(DmaPort.Response response, byte[] data, List<byte[]> events) {}

    private String transaction(Dma dma) {
        DmaPort port = ports.computeIfAbsent(
                dma.streamId(), sid -> new DmaPort(bus, smmu, sid, Translator.NO_SUBSTREAM, 0, microTlb));
        long produced = software.read(EVENTQ_PROD, 4);
        segments.clear();
        byte[] data = dma.write() ? dma.data() : new byte[dma.length()];
        DmaPort.Response response = dma.write()
                ? port.write(dma.address(), data, 0, data.length)
                : port.read(dma.address(), data, 0, data.length);
        Observed observed = new Observed(response, data, events(produced));
        if (unchecked(dma, dma.architecture())) {
            return null;
        }
        Outcome required = qemu || dma.architecture() == null ? dma.outcome() : dma.architecture();
        String difference = difference(dma, observed, required);
        if (difference == null) {
            return null;
        }
        for (Outcome other : dma.permitted()) {
            if (!qemu && difference(dma, observed, other) == null) {
                diverged = true;
                return null;
            }
        }
        return "%s of 0x%x by stream 0x%x: %s"
                .formatted(dma.write() ? "write" : "read", dma.address(), dma.streamId(), difference);
    }

    /** How what was observed differs from an outcome; null if it does not. */
    private String difference(Dma dma, Observed observed, Outcome outcome) {
        // RAZ/WI is a completion to the client (5.5).
        boolean completed = observed.response == DmaPort.Response.OK || observed.response == DmaPort.Response.RAZ_WI;
        if (completed != outcome.completed()) {
            return "%s, expected %s%s"
                    .formatted(
                            observed.response,
                            outcome.completed() ? "completion" : "an abort",
                            observed.events.isEmpty() ? "" : "; event " + show(observed.events.get(0)));
        }
        List<byte[]> records = qemu && outcome.qemuEvents() != null ? outcome.qemuEvents() : outcome.events();
        String difference = events(observed.events, records);
        if (difference != null) {
            return difference;
        }
        if (!completed) {
            return dma.write() && !segments.isEmpty() ? "aborted, but wrote " + segments : null;
        }
        if (outcome.segments() != null && !outcome.segments().equals(segments)) {
            return "went to %s, expected %s".formatted(segments, outcome.segments());
        }
        if (dma.write()) {
            return written(dma.data());
        }
        // An earlier write that went elsewhere, as it may, leaves other bytes than the case tells; the place still
        // counts.
        return outcome.data() == null || diverged ? null : bytes("byte", observed.data, outcome.data(), null);
    }

    /** What was written is found where it went. */
    private String written(byte[] data) {
        int done = 0;
        for (Segment segment : segments) {
            byte[] found = new byte[(int) segment.length()];
            memory.read(segment.address(), found, 0, found.length);
            for (int i = 0; i < found.length; i++, done++) {
                if (found[i] != data[done]) {
                    return "memory at 0x%x is 0x%02x, expected 0x%02x"
                            .formatted(segment.address() + i, found[i], data[done]);
                }
            }
        }
        return null;
    }

    private String events(List<byte[]> got, List<byte[]> expected) {
        for (int i = 0; i < Math.min(got.size(), expected.size()); i++) {
            String difference = bytes("event byte", got.get(i), expected.get(i), machine.mask(expected.get(i)));
            if (difference != null) {
                return difference + "; event " + show(got.get(i));
            }
        }
        if (got.size() > expected.size()) {
            return "event not expected: " + show(got.get(expected.size()));
        }
        return got.size() < expected.size() ? "no event, expected " + show(expected.get(got.size())) : null;
    }

    private static String bytes(String what, byte[] got, byte[] expected, byte[] mask) {
        for (int i = 0; i < expected.length; i++) {
            int bits = mask == null ? 0xff : mask[i];
            if (((got[i] ^ expected[i]) & bits) != 0) {
                return "%s %d is 0x%02x, expected 0x%02x".formatted(what, i, got[i], expected[i]);
            }
        }
        return null;
    }

    private static String show(byte[] record) {
        return HexFormat.of().formatHex(record);
    }

    /** The records that became visible since PROD was {@code before}. */
    private List<byte[]> events(long before) {
        List<byte[]> records = new ArrayList<>();
        long base = software.read(EVENTQ_BASE, 8);
        int log2Size = (int) Math.min(base & 0x1f, 19);
        long start = base & 0x000f_ffff_ffff_ffe0L & -1L << log2Size + 5;
        long mask = (2L << log2Size) - 1;
        long end = software.read(EVENTQ_PROD, 4) & mask;
        for (long at = before & mask; at != end; at = at + 1 & mask) {
            byte[] record = new byte[CaseReader.EVENT_BYTES];
            long address = start + (at & mask >>> 1) * record.length;
            if (memory.isRam(address, record.length)) {
                memory.read(address, record, 0, record.length);
            }
            records.add(record);
        }
        return records;
    }
}
