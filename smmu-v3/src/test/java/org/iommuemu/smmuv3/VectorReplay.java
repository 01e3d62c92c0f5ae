package org.iommuemu.smmuv3;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translator;

/**
 * Replays one conformance case on a fresh board: RAM, an SMMU and DMA masters (see {@code vectors/README.md}). It touches
 * the SMMU through the bus only.
 */
final class VectorReplay {
    private static final long SMMU = 0x0905_0000L;
    private static final long EVENTQ_BASE = SMMU + 0xa0;
    private static final long EVENTQ_PROD = SMMU + 0x100a8;
    private static final int RECORD = 32;
    private static final HexFormat HEX = HexFormat.of();
    private static final Map<String, Integer> WIRES = Map.of("EVTQ", 1, "GERROR", 2, "CMDSYNC", 3);
    /** Registers whose later values depend on which permitted outcome was taken. */
    private static final List<Long> PROGRESS = List.of(0x98L, 0x9cL, 0x60L, 0x64L, 0x100a8L, 0x100acL);

    private final JsonNode eventMasks;
    private final Bus bus;
    private final Smmu smmu;
    private final InterruptController interrupts = new InterruptController();
    private final List<String> raised = new ArrayList<>();
    /** Output addresses of the current transaction, adjacent pieces joined: address, length. */
    private final List<long[]> segments = new ArrayList<>();

    private final List<String> failures = new ArrayList<>();
    private boolean diverged;

    private final Map<Integer, DmaPort> ports = new HashMap<>();
    private final TlbGeometry microTlb;

    /**
     * A fresh board.
     *
     * @param meta the machine and the masks of comparable event bits
     * @param features what the SMMU implements
     * @param timing handshakes answer at once, since vectors do not poll
     */
    VectorReplay(JsonNode meta, SmmuFeatures features, TlbGeometry microTlb, Timing timing) {
        this.microTlb = microTlb;
        eventMasks = meta.get("eventMask");
        PhysicalMemory memory = new PhysicalMemory();
        long start = number(meta.get("ram").get(0));
        memory.addRam(start, number(meta.get("ram").get(1)) - start);
        bus = new Bus(memory);
        WIRES.forEach((name, number) -> interrupts.request(number, () -> raised.add(name)));
        Smmu.Wires wires = new Smmu.Wires(line("EVTQ"), line("GERROR"), line("CMDSYNC"), null);
        smmu = new Smmu("smmu", features, bus, wires, MisuseListener.NONE, timing);
        bus.attach("smmu", SMMU, Smmu.WINDOW, smmu.registers());
        bus.addListener(new BusListener() {
            @Override
            public void onDma(boolean write, long address, int length) {
                long[] last = segments.isEmpty() ? new long[2] : segments.get(segments.size() - 1);
                if (last[0] + last[1] == address && last[1] != 0) {
                    last[1] += length;
                } else {
                    segments.add(new long[] {address, length});
                }
            }
        });
    }

    private InterruptController.Line line(String name) {
        return interrupts.line(WIRES.get(name));
    }

    /**
     * Replays a case.
     *
     * @return what differs from what the architecture requires or permits; empty if nothing does
     */
    List<String> replay(JsonNode testCase) {
        for (JsonNode image : testCase.get("mem")) {
            writeRam(number(image.get(0)), HEX.parseHex(image.get(1).asText()));
        }
        int index = 0;
        for (JsonNode step : testCase.get("steps")) {
            int before = failures.size();
            step(step);
            for (int i = before; i < failures.size(); i++) {
                failures.set(i, "step %d: %s".formatted(index, failures.get(i)));
            }
            index++;
        }
        smmu.close();
        return failures;
    }

    private void step(JsonNode step) {
        raised.clear();
        long offset = step.has("off") ? number(step.get("off")) : 0;
        switch (step.get("op").asText()) {
            case "w32" -> {
                bus.write(SMMU + offset, 4, number(step.get("val")));
                settle();
            }
            case "w64" -> {
                bus.write(SMMU + offset, 8, number(step.get("val")));
                settle();
            }
            case "r32" -> register(step, offset, bus.read(SMMU + offset, 4));
            case "r64" -> register(step, offset, bus.read(SMMU + offset, 8));
            case "mem" ->
                writeRam(number(step.get("addr")), HEX.parseHex(step.get("data").asText()));
            case "dma" -> transaction(step);
            default -> failures.add("unknown op " + step);
        }
        interrupts.dispatch();
        JsonNode expected = step.has("irqArch") ? step.get("irqArch") : step.path("irq");
        if (!step.has("auth") && !diverged) {
            List<String> names = new ArrayList<>();
            expected.forEach(name -> names.add(name.asText()));
            if (!raised.equals(names)) {
                failures.add("interrupts %s, expected %s".formatted(raised, names));
            }
        }
    }

    /** What the architecture requires of a step; null if it does not say. */
    private static JsonNode required(JsonNode step) {
        boolean observed = step.path("auth").asText().equals("qemu-only");
        return step.has("arch") ? step.get("arch") : observed ? null : step.get("exp");
    }

    /** Vectors know no time: what software asked for is done. */
    private void settle() {
        for (int i = 0; i < 100; i++) {
            if (isSettled()) {
                return;
            }
        }
        Awaitility.await()
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(1))
                .until(this::isSettled);
    }

    private boolean isSettled() {
        long mask = (2L << Math.min(bus.read(SMMU + 0x90, 4) & 0x1f, 19)) - 1;
        return ((bus.read(SMMU + 0x9c, 4) ^ bus.read(SMMU + 0x98, 4)) & mask) == 0
                || ((bus.read(SMMU + 0x60, 4) ^ bus.read(SMMU + 0x64, 4)) & 1) != 0
                || (bus.read(SMMU + 0x20, 4) & 0x8) == 0;
    }

    private void register(JsonNode step, long offset, long value) {
        JsonNode required = required(step);
        if (required == null || diverged && PROGRESS.contains(offset)) {
            return;
        }
        long expected = number(required.isObject() ? required.get("exp") : required);
        long mask = step.has("mask") ? number(step.get("mask")) : -1;
        if (((value ^ expected) & mask) != 0) {
            failures.add(
                    "register 0x%x reads 0x%x, expected 0x%x (mask 0x%x)".formatted(offset, value, expected, mask));
        }
    }

    private void transaction(JsonNode step) {
        int length = step.get("len").asInt();
        boolean write = step.get("dir").asText().equals("w");
        byte[] bytes = write ? HEX.parseHex(step.get("data").asText()) : new byte[length];
        DmaPort port = ports.computeIfAbsent(
                (int) number(step.get("sid")),
                sid -> new DmaPort(bus, smmu, sid, Translator.NO_SUBSTREAM, 0, microTlb));
        long produced = bus.read(EVENTQ_PROD, 4);
        segments.clear();
        long address = number(step.get("iova"));
        DmaPort.Response response =
                write ? port.write(address, bytes, 0, length) : port.read(address, bytes, 0, length);
        Outcome outcome = new Outcome(response == DmaPort.Response.OK, bytes, events(produced));
        JsonNode required = required(step);
        if (required == null) {
            return;
        }
        String difference = difference(outcome, write, required);
        if (difference == null) {
            return;
        }
        for (JsonNode alternative : step.path("alts")) {
            if (difference(outcome, write, alternative) == null) {
                diverged = true;
                return;
            }
        }
        failures.add("%s 0x%x of stream %s: %s"
                .formatted(write ? "write" : "read", address, step.get("sid").asText(), difference));
    }

    private record Outcome(boolean completed, byte[] bytes, List<String> events) {}

    /** How an outcome differs from an expected one; null if it does not. */
    private String difference(Outcome outcome, boolean write, JsonNode expected) {
        boolean completes = expected.get("ok").asInt() == 1;
        if (outcome.completed != completes) {
            return "completed %b, expected %b; events %s".formatted(outcome.completed, completes, outcome.events);
        }
        List<String> events = new ArrayList<>();
        expected.path("ev").forEach(event -> events.add(comparable(event.asText())));
        if (!outcome.events.equals(events)) {
            return "events %s, expected %s".formatted(outcome.events, events);
        }
        if (!completes) {
            return write && !segments.isEmpty() ? "aborted, but wrote" : null;
        }
        if (expected.has("segs")) {
            List<long[]> joined = new ArrayList<>();
            for (JsonNode segment : expected.get("segs")) {
                long[] last = joined.isEmpty() ? new long[2] : joined.get(joined.size() - 1);
                long start = number(segment.get(0));
                if (last[1] != 0 && last[0] + last[1] == start) {
                    last[1] += segment.get(1).asLong();
                } else {
                    joined.add(new long[] {start, segment.get(1).asLong()});
                }
            }
            if (!show(joined).equals(show(segments))) {
                return "went to %s, expected %s".formatted(show(segments), show(joined));
            }
        }
        // An earlier write that went elsewhere, as it may, leaves other bytes than the vector tells; the place still
        // counts.
        if (!write && expected.has("data") && !diverged) {
            String data = HEX.formatHex(outcome.bytes);
            return data.equals(expected.get("data").asText()) ? null : "read " + data;
        }
        return null;
    }

    private static String show(List<long[]> segments) {
        return segments.stream()
                .map(s -> "0x%x+%d".formatted(s[0], s[1]))
                .toList()
                .toString();
    }

    /** The records that became visible since PROD was {@code before}, made comparable. */
    private List<String> events(long before) {
        List<String> records = new ArrayList<>();
        long base = bus.read(EVENTQ_BASE, 8);
        int log2Size = (int) Math.min(base & 0x1f, 19);
        long start = base & 0x000f_ffff_ffff_ffe0L & -1L << log2Size + 5;
        long mask = (2L << log2Size) - 1;
        long end = bus.read(EVENTQ_PROD, 4) & mask;
        for (long at = before & mask; at != end; at = at + 1 & mask) {
            byte[] record = new byte[RECORD];
            bus.memory().read(start + (at & mask >>> 1) * RECORD, record, 0, RECORD);
            records.add(comparable(HEX.formatHex(record)));
        }
        return records;
    }

    private String comparable(String record) {
        byte[] bytes = HEX.parseHex(record);
        byte[] mask = new byte[RECORD];
        Arrays.fill(mask, (byte) 0xff);
        JsonNode masked = eventMasks.get(Integer.toHexString(bytes[0] & 0xff));
        if (masked != null) {
            mask = HEX.parseHex(masked.asText());
        }
        for (int i = 0; i < RECORD; i++) {
            bytes[i] &= mask[i];
        }
        return HEX.formatHex(bytes);
    }

    private void writeRam(long address, byte[] bytes) {
        bus.memory().write(address, bytes, 0, bytes.length);
    }

    private static long number(JsonNode hex) {
        return Long.parseUnsignedLong(hex.asText(), 16);
    }
}
