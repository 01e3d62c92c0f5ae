package org.iommuemu.harness.conformance;

import java.util.List;

/**
 * One case: an image of RAM, accesses to registers and RAM, transactions of clients, and what must come of them. Bytes are
 * in memory order.
 *
 * @param category cases of one kind are counted together
 * @param authority of its weakest step
 * @param memory what RAM holds before the first step; 0 elsewhere
 */
public record ConformanceCase(String id, String category, Authority authority, List<Image> memory, List<Step> steps) {

    /** Whose word an expectation is. */
    public enum Authority {
        /** The architecture permits nothing else. */
        ARCHITECTURE("architecture"),
        /** The architecture permits this, and other outcomes. */
        PERMITTED("permitted"),
        /** What QEMU does, and the architecture does not ask for. */
        QEMU_ONLY("qemu-only");

        private final String text;

        Authority(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /** Bytes at an address in RAM. */
    record Image(long address, byte[] bytes) {
        long end() {
            return address + bytes.length;
        }
    }

    /** Something that software or a client does. */
    sealed interface Step {
        /** What it is checked against. */
        Expected expected();
    }

    /**
     * What a step is checked against, besides its own result.
     *
     * @param interrupts wired interrupts that QEMU pulsed
     * @param interruptsArchitecture those that the architecture asks for; null if they are the same
     */
    record Expected(Authority authority, List<String> interrupts, List<String> interruptsArchitecture) {}

    /** A write of a register by software: 4 or 8 bytes at an offset from the base. */
    record WriteRegister(Expected expected, int size, long offset, long value) implements Step {}

    /**
     * A read of a register by software.
     *
     * @param value what QEMU read
     * @param permitted other values that the architecture permits
     * @param architecture what it requires; null if that is {@code value}
     * @param mask bits to compare
     */
    record ReadRegister(
            Expected expected, int size, long offset, long value, List<Long> permitted, Long architecture, long mask)
            implements Step {}

    /** A write of RAM by software. */
    record WriteMemory(Expected expected, Image image) implements Step {}

    /**
     * A transaction of a client.
     *
     * @param data what is written; null for a read
     * @param outcome what QEMU did
     * @param permitted other outcomes that the architecture permits
     * @param architecture the outcome that it requires; null if that is {@code outcome}
     */
    record Dma(
            Expected expected,
            int streamId,
            long address,
            int length,
            byte[] data,
            Outcome outcome,
            List<Outcome> permitted,
            Outcome architecture)
            implements Step {
        boolean write() {
            return data != null;
        }
    }

    /**
     * How a transaction ends.
     *
     * @param completed or terminated with an abort
     * @param segments where it goes, adjacent pieces joined; null if not told
     * @param data what a read gives; null if not told
     * @param events records in the Event queue
     * @param qemuEvents the records as QEMU wrote them; null if they are the same
     */
    record Outcome(
            boolean completed, List<Segment> segments, byte[] data, List<byte[]> events, List<byte[]> qemuEvents) {}

    /** A piece of a transaction at its output address. */
    record Segment(long address, long length) {
        /** Adds a piece to others, to the last one if they touch. */
        static void append(List<Segment> segments, long address, long length) {
            int last = segments.size() - 1;
            if (last >= 0 && segments.get(last).address + segments.get(last).length == address) {
                segments.set(last, new Segment(segments.get(last).address, segments.get(last).length + length));
            } else {
                segments.add(new Segment(address, length));
            }
        }

        @Override
        public String toString() {
            return "0x%x+%d".formatted(address, length);
        }
    }
}
