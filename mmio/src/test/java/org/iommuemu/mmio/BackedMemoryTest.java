package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

/** RAM whose bytes are a buffer's that other software has, too. */
class BackedMemoryTest {
    private static final int UNIT = PhysicalMemory.BACKING_ALIGNMENT;
    private static final long BASE = 0x4000_0000L;

    private final PhysicalMemory memory = new PhysicalMemory();
    private final ByteBuffer shared = ByteBuffer.allocateDirect(4 * UNIT).order(ByteOrder.LITTLE_ENDIAN);

    @Test
    void whatOthersWroteBeforeAnybodyTouchedItHereIsRead() {
        memory.addRam(BASE, 4L * UNIT);
        memory.back(BASE, shared);
        shared.putLong(UNIT + 8, 0x1122334455667788L);
        assertEquals(0x1122334455667788L, memory.read64(BASE + UNIT + 8));
        byte[] bytes = new byte[2];
        shared.putShort(3 * UNIT, (short) 0x0201);
        memory.read(BASE + 3L * UNIT, bytes, 0, 2);
        assertEquals(0x0201, bytes[0] | bytes[1] << 8);
        assertNotNull(memory.window(BASE + 2L * UNIT));
    }

    @Test
    void whatIsWrittenHereOthersSee() {
        memory.addRam(BASE, 4L * UNIT);
        memory.back(BASE, shared);
        memory.write32(BASE + 3L * UNIT + 4, 42);
        assertEquals(42, shared.getInt(3 * UNIT + 4));
    }

    @Test
    void zeroingReachesWhatOthersWrote() {
        memory.addRam(BASE, 4L * UNIT);
        memory.back(BASE, shared);
        shared.putInt(UNIT, 7);
        memory.zero(BASE, 4L * UNIT);
        assertEquals(0, shared.getInt(UNIT));
    }

    @Test
    void ramThatIsNoWholeNumberOfUnitsIsBackedAroundIt() {
        memory.addRam(BASE + 0x1000, 0x3000);
        memory.addRam(BASE + 2L * UNIT, 0x1000);
        memory.back(BASE, shared);
        memory.write32(BASE + 0x1000, 1);
        memory.write32(BASE + 2L * UNIT, 2);
        assertEquals(1, shared.getInt(0x1000));
        assertEquals(2, shared.getInt(2 * UNIT));
        assertNull(memory.window(BASE + 3L * UNIT), "there is no RAM");
        assertThrows(IllegalArgumentException.class, () -> memory.write32(BASE + 3L * UNIT, 3));
    }

    @Test
    void whereABackingHoldsAWholeRegionThatIsOneWindow() {
        int region = 2 << 20;
        ByteBuffer large = ByteBuffer.allocateDirect(2 * region + UNIT).order(ByteOrder.LITTLE_ENDIAN);
        memory.addRam(BASE, 8L * region);
        memory.back(BASE + UNIT, large);
        large.putLong(region - UNIT + 8, 42);
        large.putLong(2 * region - UNIT + 16, 43);
        PhysicalMemory.Window window = memory.window(BASE + region);
        assertTrue(window.holds(BASE + 2L * region - 8));
        assertEquals(42, window.read64Plain(BASE + region + 8));
        assertEquals(UNIT, memory.touchedBytes());
        assertFalse(memory.window(BASE + UNIT).holds(BASE + 2L * UNIT), "the first chunk is not of the backing");
        assertFalse(memory.window(BASE + 2L * region).holds(BASE + 2L * region + 2 * UNIT), "the third is not");
        assertEquals(43, memory.read64(BASE + 2L * region + 16));
        memory.write64(BASE + 2L * region + 2L * UNIT, 44);
        assertEquals(44, memory.read64(BASE + 2L * region + 2L * UNIT));
        memory.write64(BASE, 45);
        assertEquals(45, memory.read64(BASE));
        assertEquals(0, large.getLong(0));
    }

    @Test
    void backingsLieSideBySideAndTheRestIsOrdinaryRam() {
        memory.addRam(BASE, 16L * UNIT);
        ByteBuffer second = ByteBuffer.allocateDirect(2 * UNIT).order(ByteOrder.LITTLE_ENDIAN);
        memory.back(BASE + 4L * UNIT, shared);
        memory.back(BASE + 8L * UNIT, second);
        for (long offset = 0; offset < 16L * UNIT; offset += UNIT) {
            memory.write64(BASE + offset, offset + 1);
        }
        for (long offset = 0; offset < 16L * UNIT; offset += UNIT) {
            assertEquals(offset + 1, memory.read64(BASE + offset));
        }
        assertEquals(4L * UNIT + 1, shared.getLong(0));
        assertEquals(9L * UNIT + 1, second.getLong(UNIT));
    }

    @Test
    void whatCannotBeBackedIsRefused() {
        memory.addRam(BASE, 16L * UNIT);
        assertThrows(IllegalArgumentException.class, () -> memory.back(BASE + 4096, shared));
        assertThrows(IllegalArgumentException.class, () -> memory.back(BASE, ByteBuffer.allocate(UNIT)));
        assertThrows(IllegalArgumentException.class, () -> memory.back(BASE, ByteBuffer.allocateDirect(4096)));
        memory.back(BASE, shared);
        assertThrows(IllegalArgumentException.class, () -> memory.back(BASE + UNIT, shared));
        memory.write32(BASE + 8L * UNIT, 1);
        assertThrows(IllegalStateException.class, () -> memory.back(BASE + 8L * UNIT, shared));
    }
}
