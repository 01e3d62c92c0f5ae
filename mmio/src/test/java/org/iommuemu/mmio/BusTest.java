package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BusTest {
    private static final long RAM = 0x4000_0000L;

    /** Answers with its number and the offset; notes what it is told. */
    private static class Probe implements BusDevice {
        final List<String> seen = new ArrayList<>();
        final int number;

        Probe(int number) {
            this.number = number;
        }

        @Override
        public long read(long offset, int size) {
            seen.add("r%d@%x".formatted(size, offset));
            return (long) number << 32 | offset;
        }

        @Override
        public void write(long offset, int size, long value) {
            seen.add("w%d@%x=%x".formatted(size, offset, value));
        }
    }

    private static final class Log implements BusListener {
        final List<String> seen = new ArrayList<>();

        @Override
        public void onRead(long address, int size, long value) {
            seen.add("r%d@%x=%x".formatted(size, address, value));
        }

        @Override
        public void onWrite(long address, int size, long value) {
            seen.add("w%d@%x=%x".formatted(size, address, value));
        }

        @Override
        public void onDma(boolean write, long address, int length) {
            seen.add("dma %s %x+%d".formatted(write ? "w" : "r", address, length));
        }

        @Override
        public void onError(BusError error) {
            seen.add(
                    "%s %s%d@%x".formatted(error.reason(), error.isWrite() ? "w" : "r", error.size(), error.address()));
        }
    }

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Bus bus = new Bus(memory);
    private final Probe device = new Probe(1);

    BusTest() {
        memory.addRam(RAM, 0x10000);
        bus.attach("/soc/first", 0x1000, 0x1000, device);
    }

    private static BusError.Reason reason(Runnable access) {
        return assertThrows(BusError.class, access::run).reason();
    }

    @Test
    void aDeviceAnswersFromItsFirstByteToItsLast() {
        assertEquals(1L << 32, bus.read64(0x1000));
        assertEquals(1L << 32 | 0xff8, bus.read64(0x1ff8));
        assertEquals(0xfff, bus.read(0x1fff, 1) & 0xffff);
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read32(0xffc)));
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read32(0x2000)));
        assertEquals(List.of("r8@0", "r8@ff8", "r1@fff"), device.seen);
    }

    @Test
    void offsetsAreFromTheBaseOfTheWindow() {
        bus.write32(0x1024, 0x77);
        bus.write(0x1002, 2, 5);
        assertEquals(List.of("w4@24=77", "w2@2=5"), device.seen);
    }

    @Test
    void ramHoldsWhatSoftwareWritesInEverySize() {
        for (int size : new int[] {1, 2, 4, 8}) {
            long ones = size == 8 ? -1L : (1L << 8 * size) - 1;
            bus.write(RAM + 0x100, 8, 0);
            bus.write(RAM + 0x100, size, -1);
            assertEquals(ones, bus.read(RAM + 0x100, 8));
            assertEquals(ones, bus.read(RAM + 0x100, size), "zero-extended");
        }
        bus.write32(RAM, 0x8000_0000);
        assertEquals(0x8000_0000, bus.read32(RAM));
        bus.write64(RAM, -2);
        assertEquals(-2, bus.read64(RAM));
        assertSame(memory, bus.memory());
    }

    @Test
    void aBusErrorTellsWhy() {
        bus.attach("/words", 0x8000, 0x100, new MsiFrame(new InterruptController()));
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.write64(0x2000, 1)));
        assertSame(BusError.Reason.MISALIGNED, reason(() -> bus.read32(0x1002)));
        assertSame(BusError.Reason.MISALIGNED, reason(() -> bus.write64(RAM + 4, 0)));
        assertSame(BusError.Reason.BAD_SIZE, reason(() -> bus.read(0x1000, 3)));
        assertSame(BusError.Reason.BAD_SIZE, reason(() -> bus.read(0x1000, 0)));
        assertSame(BusError.Reason.BAD_SIZE, reason(() -> bus.write(RAM, 16, 0)));
        assertSame(BusError.Reason.BAD_SIZE, reason(() -> bus.read64(0x8000)));
        BusError error = assertThrows(BusError.class, () -> bus.write(0x9000, 2, 0));
        assertTrue(error.isWrite());
        assertEquals(0x9000, error.address());
        assertEquals(2, error.size());
        assertEquals("bus error: write of 2 bytes at 0x9000: nothing is mapped there", error.getMessage());
        assertTrue(device.seen.isEmpty());
    }

    @ParameterizedTest
    @ValueSource(longs = {0x1000, 0x800, 0x1fff, 0x1800, 1})
    void overlappingWindowsAreRefusedAndBothAreNamed(long base) {
        Exception e = assertThrows(
                IllegalArgumentException.class, () -> bus.attach("/soc/second", base, 0x1800, new Probe(2)));
        assertTrue(e.getMessage().contains("/soc/first") && e.getMessage().contains("/soc/second"), e.getMessage());
        assertEquals(1L << 32, bus.read64(0x1000));
    }

    @Test
    void windowsMayTouch() {
        bus.attach("/below", 0xf00, 0x100, new Probe(2));
        bus.attach("/above", 0x2000, 0x100, new Probe(3));
        assertEquals(2, bus.read64(0xff8) >>> 32);
        assertEquals(1, bus.read64(0x1000) >>> 32);
        assertEquals(3, bus.read64(0x2000) >>> 32);
    }

    @Test
    void windowsThatAreEmptyOrWrapAroundAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> bus.attach("/a", 0x9000, 0, device));
        assertThrows(IllegalArgumentException.class, () -> bus.attach("/a", 0x9000, -1, device));
        assertThrows(IllegalArgumentException.class, () -> bus.attach("/a", -0x1000, 0x1001, device));
    }

    @Test
    void addressesAreUnsigned() {
        bus.attach("/top", -0x1000, 0x1000, new Probe(4));
        bus.attach("/middle", Long.MAX_VALUE - 0xff, 0x200, new Probe(5));
        assertEquals(4L << 32 | 0xff8, bus.read64(-8));
        assertEquals(5L << 32 | 0xf8, bus.read64(Long.MAX_VALUE - 7));
        assertEquals(5L << 32 | 0x100, bus.read64(Long.MIN_VALUE));
        assertEquals(1, bus.read64(0x1000) >>> 32);
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read64(Long.MIN_VALUE + 0x100)));
        assertThrows(IllegalArgumentException.class, () -> bus.attach("/x", -0x2000, 0x1001, device));
    }

    @Test
    void aDeviceWinsOverRam() {
        bus.attach("/inside", RAM + 0x1000, 0x1000, new Probe(6));
        memory.write64(RAM + 0x1000, 99);
        assertEquals(6, bus.read64(RAM + 0x1000) >>> 32);
        bus.write64(RAM + 0x1000, 1);
        assertEquals(99, memory.read64(RAM + 0x1000));
        byte[] bytes = new byte[8];
        assertTrue(bus.dmaRead(RAM + 0x1000, bytes, 0, 8));
        assertEquals(6, bytes[4]);
        assertTrue(bus.dmaWrite(RAM + 0x1ff8, bytes, 0, 8));
        assertEquals(0, memory.read64(RAM + 0x1ff8));
    }

    @Test
    void tenThousandDevicesAreFoundFromTheFirstAccessOn() {
        for (int i = 0; i < 10_000; i++) {
            // Every other window, from the top down, so that order of attaching is not order of addresses.
            bus.attach("/d" + i, 0x1_0000_0000L + (10_000 - i) * 0x2000L, 0x1000, new Probe(i));
        }
        for (int i = 0; i < 10_000; i++) {
            long base = 0x1_0000_0000L + (10_000 - i) * 0x2000L;
            assertEquals((long) i << 32 | 0xffc, bus.read(base + 0xffc, 4));
            assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read(base + 0x1000, 4)));
        }
    }

    @Test
    void aDeviceThatIsAttachedLaterAnswersAtOnce() {
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read32(0x5000)));
        bus.attach("/late", 0x5000, 0x1000, new Probe(7));
        assertEquals(7, bus.read(0x5000, 8) >>> 32);
    }

    @Test
    void dmaReachesDeviceRegistersInTheLargestAlignedPieces() {
        byte[] bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
        assertTrue(bus.dmaWrite(0x1003, bytes, 0, 17));
        assertEquals(List.of("w1@3=1", "w4@4=5040302", "w8@8=d0c0b0a09080706", "w4@10=11100f0e"), device.seen);
        device.seen.clear();
        byte[] back = new byte[17];
        assertTrue(bus.dmaRead(0x1003, back, 1, 15));
        assertEquals(List.of("r1@3", "r4@4", "r8@8", "r2@10"), device.seen);
        assertArrayEquals(new byte[] {0, 3, 4, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0}, back);
    }

    @Test
    void dmaCrossesFromRamIntoADeviceBehindIt() {
        bus.attach("/behind", RAM + 0x10000, 0x1000, new Probe(8));
        byte[] bytes = new byte[16];
        assertTrue(bus.dmaRead(RAM + 0xfff8, bytes, 0, 16));
        assertEquals(8, bytes[12]);
        assertTrue(bus.dmaWrite(RAM + 0xfff8, new byte[] {9, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}, 0, 16));
        assertEquals(9, memory.read64(RAM + 0xfff8));
    }

    @Test
    void dmaThatNothingAnswersIsAValueAndTheListenerHearsOfIt() {
        Log log = new Log();
        bus.addListener(log);
        assertFalse(bus.dmaRead(RAM + 0xfffc, new byte[8], 0, 8));
        assertFalse(bus.dmaWrite(0x9000, new byte[8], 0, 8));
        assertEquals(List.of("UNMAPPED r4@40010000", "UNMAPPED w8@9000"), log.seen);
    }

    @Test
    void listenersSeeEveryAccessInOrder() {
        Log log = new Log();
        Log second = new Log();
        bus.write64(RAM, 1);
        bus.addListener(log);
        bus.addListener(second);
        bus.write64(RAM, 0x1122_3344_5566_7788L);
        bus.read32(RAM);
        bus.read32(0x1004);
        bus.write(0x1008, 1, 0x55);
        bus.dmaWrite(RAM + 1, new byte[300], 0, 300);
        bus.dmaRead(0x1000, new byte[4], 0, 4);
        assertThrows(BusError.class, () -> bus.read64(0x7000));
        assertThrows(BusError.class, () -> bus.write32(RAM + 1, 0));
        assertEquals(
                List.of(
                        "w8@40000000=1122334455667788",
                        "r4@40000000=55667788",
                        "r4@1004=" + Long.toHexString(1L << 32 | 4),
                        "w1@1008=55",
                        "dma w 40000001+300",
                        "dma r 1000+4",
                        "UNMAPPED r8@7000",
                        "MISALIGNED w4@40000001"),
                log.seen);
        assertEquals(log.seen, second.seen);
    }

    @Test
    void aListenerThatOverridesNothingDisturbsNothing() {
        bus.addListener(new BusListener() {});
        bus.write64(RAM, 1);
        assertEquals(1, bus.read64(RAM));
        assertTrue(bus.dmaRead(RAM, new byte[1], 0, 1));
        assertThrows(BusError.class, () -> bus.read64(0x7000));
    }

    @Test
    void aDeviceInTheMiddleOfADmaTransferWinsOverRam() {
        Probe inside = new Probe(6);
        bus.attach("/inside", RAM + 0x1000, 8, inside);
        byte[] bytes = new byte[0x2000];
        bytes[0x1000] = 5;
        assertTrue(bus.dmaWrite(RAM, bytes, 0, bytes.length));
        assertEquals(List.of("w8@0=5"), inside.seen);
        assertEquals(0, memory.read64(RAM + 0x1000));
        assertTrue(bus.dmaRead(RAM, bytes, 0, bytes.length));
        assertEquals(6, bytes[0x1004]);
    }

    @Test
    void anAccessThatIsPartlyADevicesAndPartlyRamIsAnsweredByNeither() {
        Probe inside = new Probe(6);
        bus.attach("/inside", RAM + 0x1004, 8, inside);
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.read64(RAM + 0x1000)));
        assertSame(BusError.Reason.UNMAPPED, reason(() -> bus.write64(RAM + 0x1008, 1)));
        assertEquals(0, memory.read64(RAM + 0x1008));
        assertEquals(6, bus.read(RAM + 0x1004, 4) >>> 32);
    }

    @Test
    void listenersAndDevicesSeeTheWrittenBytesOnly() {
        Log log = new Log();
        bus.addListener(log);
        bus.write32(0x1000, -2);
        bus.write(RAM, 2, -1);
        bus.write(0x1000, 1, 0x1234);
        bus.write64(0x1000, -1);
        assertEquals(
                List.of("w4@1000=fffffffe", "w2@40000000=ffff", "w1@1000=34", "w8@1000=ffffffffffffffff"), log.seen);
        assertEquals(List.of("w4@0=fffffffe", "w1@0=34", "w8@0=ffffffffffffffff"), device.seen);
    }

    @Test
    void aRangeIsOccupiedByWhateverIsInAnyPartOfIt() {
        long end = memory.ranges().get(0).end();
        assertTrue(bus.isOccupied(RAM - 1, 2));
        assertFalse(bus.isOccupied(RAM - 1, 1));
        assertTrue(bus.isOccupied(end - 1, 0x1000));
        assertFalse(bus.isOccupied(end, 0x1000));
        assertTrue(bus.isOccupied(0, 0x1001));
        assertFalse(bus.isOccupied(0, 0x1000));
        assertFalse(bus.isOccupied(-0x1000, 0x1000));
    }

    @Test
    void messagesArriveInRamAndAtDoorbellsButNotInRegisters() {
        Register register = Register.word("R", 0, Field.rw("F", 0, 32));
        RegisterFile registers = new RegisterFile(new RegisterMap(4, List.of(register)), "unit", (unit, what) -> {});
        bus.attach("unit", 0x2000, 4, registers);
        Log log = new Log();
        bus.addListener(log);
        assertTrue(bus.message(RAM, 0x1234_5678));
        assertTrue(bus.message(0x1040, 7));
        assertFalse(bus.message(0x2000, 7));
        assertFalse(bus.message(0x3000, 7));
        assertEquals(0x1234_5678, memory.read32(RAM));
        assertEquals(List.of("w4@40=7"), device.seen);
        assertEquals(0, registers.get(register));
        assertEquals(List.of("dma w 40000000+4", "dma w 1040+4", "UNMAPPED w4@2000", "UNMAPPED w4@3000"), log.seen);
    }
}
