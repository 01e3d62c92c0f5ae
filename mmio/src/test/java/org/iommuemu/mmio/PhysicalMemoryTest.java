package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory.Range;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PhysicalMemoryTest {
    private static final long CHUNK = 1 << 16;
    private static final long REGION = 2 << 20;
    private static final long BASE = 0x4000_0000L;
    private static final long TIB = 1L << 40;

    private final PhysicalMemory memory = new PhysicalMemory();

    PhysicalMemoryTest() {
        memory.addRam(BASE, 1 << 30);
    }

    @Test
    void aReadOfUntouchedRamGivesZeroAndAllocatesNothing() {
        byte[] bytes = {1, 2, 3, 4};
        memory.read(BASE + CHUNK - 2, bytes, 0, 4);
        assertArrayEquals(new byte[4], bytes);
        assertEquals(0, memory.read8(BASE + 1) | memory.read16(BASE + 2) | memory.read32(BASE + 4));
        assertEquals(0, memory.read64(BASE + 8));
        assertEquals(0, memory.touchedBytes());
    }

    @Test
    void zeroingUntouchedRamAllocatesNothing() {
        memory.zero(BASE, 1 << 30);
        assertEquals(0, memory.touchedBytes());
    }

    @Test
    void oneTebibyteCostsWhatIsTouchedOfIt() {
        memory.addRam(TIB, TIB);
        for (int i = 0; i < 8; i++) {
            memory.write64(TIB + i * (TIB / 8), i + 1);
        }
        memory.write64(2 * TIB - 8, 9);
        for (int i = 0; i < 8; i++) {
            assertEquals(i + 1, memory.read64(TIB + i * (TIB / 8)));
        }
        assertEquals(9, memory.read64(2 * TIB - 8));
        assertEquals(9 * CHUNK, memory.touchedBytes());
    }

    @Test
    void ramReachesUpToTheLastByteBelow2To52() {
        long last = (1L << 52) - 8;
        memory.addRam(last, 8);
        memory.write64(last, 0x1122_3344_5566_7788L);
        assertEquals(0x1122_3344_5566_7788L, memory.read64(last));
        assertEquals(0x11, memory.read8(last + 7));
        assertTrue(memory.isRam(last, 8));
        assertFalse(memory.isRam(last, 9));
        assertFalse(memory.isRam(1L << 52, 1));
    }

    @Test
    void everySizeIsLittleEndian() {
        memory.write64(BASE, 0x8877_6655_4433_2211L);
        for (int i = 0; i < 8; i++) {
            assertEquals(0x11 * (i + 1), memory.read8(BASE + i));
        }
        assertEquals(0x2211, memory.read16(BASE));
        assertEquals(0x8877, memory.read16(BASE + 6), "zero-extended");
        assertEquals(0x4433_2211, memory.read32(BASE));
        assertEquals(0x8877_6655, memory.read32(BASE + 4));
        memory.write32(BASE + 4, 0xcafe_babe);
        memory.write16(BASE + 2, 0xfff0_1234);
        memory.write8(BASE, 0xffff_ff9a);
        assertEquals(0xcafe_babe_1234_229aL, memory.read64(BASE));
    }

    @Test
    void neighboursInOneGibibyteAndAcrossAllIndexLevelsAreDistinct() {
        PhysicalMemory whole = new PhysicalMemory();
        whole.addRam(0, 1L << 52);
        long[] addresses = {0, CHUNK, 1L << 29, 1L << 30, 1L << 39, 1L << 40, 1L << 51, (1L << 52) - CHUNK};
        for (int i = 0; i < addresses.length; i++) {
            whole.write32(addresses[i], i + 1);
        }
        for (int i = 0; i < addresses.length; i++) {
            assertEquals(i + 1, whole.read32(addresses[i]));
        }
    }

    @Test
    void aFirstWriteWhereThereIsNoRamIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> memory.write64(0x1000, 1));
        assertThrows(IllegalArgumentException.class, () -> memory.compareAndSet64(0x1000, 0, 1));
        assertEquals(0, memory.touchedBytes());
    }

    @Test
    void compareAndExchangeGivesTheValueThatWasThere() {
        memory.write64(BASE, 5);
        assertEquals(5, memory.compareAndExchange64(BASE, 4, 9));
        assertEquals(5, memory.read64(BASE));
        assertEquals(5, memory.compareAndExchange64(BASE, 5, 9));
        assertEquals(9, memory.read64(BASE));
        assertFalse(memory.compareAndSet64(BASE, 5, 1));
        assertTrue(memory.compareAndSet64(BASE, 9, 1));
        assertEquals(1, memory.read64(BASE));
    }

    @Test
    void compareAndSetOfManyThreadsCountsEveryIncrement() {
        int threads = 4;
        int each = 20_000;
        Threads.run(threads, n -> {
            for (int i = 0; i < each; ) {
                long seen = memory.read64(BASE);
                if (memory.compareAndSet64(BASE, seen, seen + 1)) {
                    i++;
                }
            }
        });
        assertEquals((long) threads * each, memory.read64(BASE));
    }

    @Test
    void a64BitValueIsNeverTorn() {
        // Both halves of each value are equal, so a mixture of two shows.
        Threads.run(3, n -> {
            for (int i = 0; i < 200_000; i++) {
                if (n == 0) {
                    long value = memory.read64(BASE + 64);
                    assertEquals((int) value, (int) (value >>> 32));
                } else {
                    long half = i * 2L + n & 0x7fff_ffffL;
                    memory.write64(BASE + 64, half << 32 | half);
                }
            }
        });
    }

    @Test
    void aValueIsSeenAfterTheFlagThatAnnouncesIt() {
        // Message passing: data by a plain size, then the flag; for 8, 16, 32 and 64 bits of flag.
        int rounds = 20_000;
        Threads.run(2, n -> {
            for (int i = 1; i <= rounds; i++) {
                long data = BASE + 0x100L + i % 64 * 128;
                if (n == 0) {
                    memory.write64(data, i);
                    writeFlag(i);
                } else {
                    while (readFlag(i) != (i & 0x7f)) {
                        Thread.onSpinWait();
                    }
                    assertEquals(i, memory.read64(data));
                    memory.write64(BASE + 0x40, i);
                }
                while (n == 0 && memory.read64(BASE + 0x40) != i) {
                    Thread.onSpinWait();
                }
            }
        });
    }

    private void writeFlag(int i) {
        switch (i & 3) {
            case 0 -> memory.write8(BASE, i & 0x7f);
            case 1 -> memory.write16(BASE, i & 0x7f);
            case 2 -> memory.write32(BASE, i & 0x7f);
            default -> memory.write64(BASE, i & 0x7f);
        }
    }

    private long readFlag(int i) {
        return switch (i & 3) {
            case 0 -> memory.read8(BASE);
            case 1 -> memory.read16(BASE);
            case 2 -> memory.read32(BASE);
            default -> memory.read64(BASE);
        };
    }

    @Test
    void threadsThatTouchAChunkFirstAtTheSameTimeLoseNothing() {
        int threads = 4;
        int chunks = 200;
        Threads.run(threads, n -> {
            for (int i = 0; i < chunks; i++) {
                memory.write64(BASE + i * CHUNK + n * 8L, n + 1);
            }
        });
        for (int i = 0; i < chunks; i++) {
            for (int n = 0; n < threads; n++) {
                assertEquals(n + 1, memory.read64(BASE + i * CHUNK + n * 8L));
            }
        }
        assertEquals(chunks * CHUNK, memory.touchedBytes());
    }

    @Test
    void bulkAccessesCrossChunkBordersAndKeepToTheirBytes() {
        byte[] bytes = new byte[(int) (3 * CHUNK)];
        new java.util.Random(1).nextBytes(bytes);
        memory.write(BASE + CHUNK - 3, bytes, 1, bytes.length - 2);
        assertEquals(0, memory.read8(BASE + CHUNK - 4));
        assertEquals(0, memory.read8(BASE + CHUNK - 3 + bytes.length - 2));
        byte[] back = new byte[bytes.length];
        memory.read(BASE + CHUNK - 3, back, 1, bytes.length - 2);
        assertEquals(0, back[0] | back[back.length - 1]);
        assertArrayEquals(Arrays.copyOfRange(bytes, 1, bytes.length - 1), Arrays.copyOfRange(back, 1, back.length - 1));
    }

    @Test
    void bulkAccessesOutsideTheArrayMoveNothing() {
        assertThrows(IndexOutOfBoundsException.class, () -> memory.write(BASE, new byte[4], 2, 3));
        assertThrows(IndexOutOfBoundsException.class, () -> memory.read(BASE, new byte[4], -1, 3));
        assertEquals(0, memory.touchedBytes());
    }

    @ParameterizedTest
    @ValueSource(longs = {-200_000, -65_537, -65_536, -1000, -1, 0, 1, 1000, 65_535, 65_536, 65_537, 200_000})
    void copiesMayOverlapBothWays(long distance) {
        byte[] bytes = new byte[150_000];
        new java.util.Random(2).nextBytes(bytes);
        long from = BASE + 4 * CHUNK + 77;
        memory.write(from, bytes, 0, bytes.length);
        memory.copy(from, from + distance, bytes.length);
        byte[] back = new byte[bytes.length];
        memory.read(from + distance, back, 0, back.length);
        assertArrayEquals(bytes, back);
    }

    @Test
    void zeroingKeepsToItsBytes() {
        byte[] ones = new byte[(int) (2 * CHUNK)];
        Arrays.fill(ones, (byte) 1);
        memory.write(BASE, ones, 0, ones.length);
        memory.zero(BASE + 5, CHUNK);
        assertEquals(1, memory.read8(BASE + 4));
        assertEquals(0, memory.read8(BASE + 5));
        assertEquals(0, memory.read8(BASE + CHUNK + 4));
        assertEquals(1, memory.read8(BASE + CHUNK + 5));
    }

    @Test
    void rangesThatTouchOrOverlapBecomeOne() {
        PhysicalMemory banks = new PhysicalMemory();
        banks.addRam(0x3000, 0x1000);
        banks.addRam(0x1000, 0x1000);
        assertEquals(List.of(new Range(0x1000, 0x1000), new Range(0x3000, 0x1000)), banks.ranges());
        assertFalse(banks.isRam(0x1fff, 2));
        banks.addRam(0x2000, 0x1000);
        assertEquals(List.of(new Range(0x1000, 0x3000)), banks.ranges());
        assertTrue(banks.isRam(0x1fff, 2));
        banks.addRam(0x1800, 0x100);
        banks.addRam(0x800, 0x10000);
        assertEquals(List.of(new Range(0x800, 0x10000)), banks.ranges());
    }

    @Test
    void isRamEndsAtTheLastByte() {
        PhysicalMemory banks = new PhysicalMemory();
        banks.addRam(0x1000, 0x1000);
        banks.addRam(0x8000, 0x10);
        assertFalse(banks.isRam(0xfff, 1));
        assertFalse(banks.isRam(0xfff, 2));
        assertTrue(banks.isRam(0x1000, 0x1000));
        assertFalse(banks.isRam(0x1000, 0x1001));
        assertTrue(banks.isRam(0x1fff, 1));
        assertFalse(banks.isRam(0x2000, 1));
        assertTrue(banks.isRam(0x8008, 8));
        assertFalse(banks.isRam(0x800c, 8));
        assertFalse(banks.isRam(-8, 8));
        assertFalse(banks.isRam(Long.MIN_VALUE, 1));
        assertFalse(new PhysicalMemory().isRam(0, 1));
    }

    @Test
    void ramThatDoesNotLieBelow2To52IsRefused() {
        assertThrows(IllegalArgumentException.class, () -> memory.addRam(0, 0));
        assertThrows(IllegalArgumentException.class, () -> memory.addRam(-0x1000, 0x1000));
        assertThrows(IllegalArgumentException.class, () -> memory.addRam(1L << 52, 1));
        assertThrows(IllegalArgumentException.class, () -> memory.addRam((1L << 52) - 1, 2));
        assertThrows(IllegalArgumentException.class, () -> memory.addRam(1, Long.MAX_VALUE));
        assertEquals(1, memory.ranges().size());
    }

    @Test
    void aWindowIsTheRamAroundAnAddressOnceItWasTouched() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(0x1000_0000L, 0x3_0000);
        assertNull(memory.window(0x1001_2340L), "never written");
        memory.write64(0x1001_2340L, 42);
        PhysicalMemory.Window window = memory.window(0x1001_fff8L);
        assertTrue(window.holds(0x1001_0000L) && window.holds(0x1001_fff8L));
        assertFalse(window.holds(0x1000_fff8L) || window.holds(0x1002_0000L));
        assertEquals(42, window.read64Plain(0x1001_2340L));
        memory.write64(0x1001_2340L, 43);
        assertEquals(43, window.read64Plain(0x1001_2340L), "it is the RAM, no copy");
    }

    @Test
    void thereIsNoWindowWhereNotAllIsRam() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(0x1000_0000L, 0x8000);
        memory.write64(0x1000_0000L, 42);
        assertNull(memory.window(0x1000_0000L));
    }

    @Test
    void whereAllWasTouchedTheRegionAboveIsOneWindow() {
        memory.write64(BASE + REGION, 1);
        assertFalse(memory.window(BASE + REGION).holds(BASE + REGION + CHUNK), "nothing below was touched");
        touch(BASE, REGION);
        touch(BASE + REGION, REGION);
        memory.write64(BASE + 2 * REGION + 5 * CHUNK, 42);
        PhysicalMemory.Window window = memory.window(BASE + 2 * REGION + 5 * CHUNK);
        assertTrue(window.holds(BASE + 2 * REGION) && window.holds(BASE + 3 * REGION - 8));
        assertFalse(window.holds(BASE + 2 * REGION - 8) || window.holds(BASE + 3 * REGION));
        assertNull(memory.window(BASE + 2 * REGION), "its first chunk was not written");
        assertEquals(2 * REGION + CHUNK, memory.touchedBytes());
        memory.write64(BASE + 2 * REGION, 43);
        assertEquals(window, memory.window(BASE + 2 * REGION));
        assertEquals(42, window.read64Plain(BASE + 2 * REGION + 5 * CHUNK));
        assertEquals(43, window.read64Plain(BASE + 2 * REGION));
        assertEquals(2 * REGION + 2 * CHUNK, memory.touchedBytes());
    }

    @Test
    void aRegionAboveOneThatHasAHoleIsNotOneWindow() {
        touch(BASE, REGION - CHUNK);
        memory.write64(BASE + REGION, 1);
        assertFalse(memory.window(BASE + REGION).holds(BASE + REGION + CHUNK));
    }

    @Test
    void aRegionThatIsNotAllRamIsNotOneWindow() {
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(BASE, REGION + CHUNK);
        for (long at = BASE; at < BASE + REGION + CHUNK; at += CHUNK) {
            memory.write64(at, at);
        }
        assertFalse(memory.window(BASE + REGION).holds(BASE + REGION + CHUNK));
        assertThrows(IllegalArgumentException.class, () -> memory.write8(BASE + REGION + CHUNK, 1));
    }

    private void touch(long from, long length) {
        for (long at = from; at < from + length; at += CHUNK) {
            memory.write64(at, at);
        }
        for (long at = from; at < from + length; at += CHUNK) {
            assertEquals(at, memory.read64(at));
        }
    }
}
