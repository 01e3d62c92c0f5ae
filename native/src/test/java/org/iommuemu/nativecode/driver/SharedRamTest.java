package org.iommuemu.nativecode.driver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.sun.jna.Pointer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory;
import org.junit.jupiter.api.Test;

/** RAM that the emulator and C see: what one of them stores, the other loads. */
class SharedRamTest {
    private static final long GIB = 1L << 30;

    private final PhysicalMemory memory = new PhysicalMemory();

    @Test
    void bothSidesSeeTheSameBytes() {
        memory.addRam(0x4000_0000L, GIB);
        memory.addRam(0x8_0000_0000L, 3 * GIB);
        try (SharedRam ram = SharedRam.of(memory)) {
            long[] pointers = ram.pointers();
            for (int bank = 0; bank < 2; bank++) {
                SharedRam.Bank there = ram.banks().get(bank);
                for (long offset : new long[] {0, 0x12340, there.size() / 2, there.size() - 8}) {
                    long value = 0x1234_5678_0000L + bank + offset;
                    new Pointer(pointers[bank]).setLong(offset, value);
                    assertEquals(value, memory.read64(there.base() + offset));
                    memory.write64(there.base() + offset, ~value);
                    assertEquals(~value, new Pointer(pointers[bank]).getLong(offset));
                }
            }
        }
    }

    /** Two of these banks lie in one unit of backing, and none starts or ends with one. */
    @Test
    void banksMayStartAndEndAnywhere() {
        long unit = PhysicalMemory.BACKING_ALIGNMENT;
        memory.addRam(0x8000_1000L, 0x2000);
        memory.addRam(0x8000_5000L, 2 * unit);
        memory.addRam(0x8000_5000L + 2 * unit + 0x1000, 0x3000);
        memory.addRam(0x9000_0fff_f000L >>> 4 & -4096, 0x1000);
        try (SharedRam ram = SharedRam.of(memory)) {
            List<SharedRam.Bank> banks = ram.banks();
            long[] pointers = ram.pointers();
            assertEquals(4, banks.size());
            for (int i = 0; i < banks.size(); i++) {
                SharedRam.Bank bank = banks.get(i);
                memory.write64(bank.base(), i + 1);
                memory.write64(bank.base() + bank.size() - 8, -i);
                assertEquals(i + 1, new Pointer(pointers[i]).getLong(0));
                assertEquals(-i, new Pointer(pointers[i]).getLong(bank.size() - 8));
            }
        }
    }

    @Test
    void aTebibyteTakesWhatIsTouchedOfIt() throws IOException {
        memory.addRam(0x80_0000_0000L, 1L << 40);
        try (SharedRam ram = SharedRam.of(memory)) {
            long last = (1L << 40) - 8;
            new Pointer(ram.pointers()[0]).setLong(last, 42);
            assertEquals(42, memory.read64(0x80_0000_0000L + last));
            assertEquals(1L << 40, Files.size(ram.file()));
            assertTrue(memory.touchedBytes() <= PhysicalMemory.BACKING_ALIGNMENT);
        }
    }

    /** So nothing is left of it, however this process ends. */
    @Test
    void theFileHasNoName() throws IOException {
        assumeTrue(Files.isDirectory(Path.of("/proc/self/fd")), "there is no /proc");
        memory.addRam(0x4000_0000L, 1 << 20);
        try (SharedRam ram = SharedRam.of(memory)) {
            assertTrue(Files.readSymbolicLink(ram.file()).toString().endsWith(" (deleted)"));
        }
    }

    @Test
    void theFileIsGoneAfterwards() {
        memory.addRam(0x4000_0000L, 1 << 20);
        SharedRam ram = SharedRam.of(memory);
        assertTrue(Files.exists(ram.file()));
        ram.close();
        ram.close();
        assertFalse(Files.exists(ram.file()));
        assertEquals(0, memory.read64(0x4000_0000L), "the emulator's own mapping stays");
    }

    @Test
    void ramThatWasTouchedCannotBeShared() {
        memory.addRam(0x4000_0000L, 1 << 20);
        memory.write32(0x4000_0000L, 1);
        assertThrows(IllegalStateException.class, () -> SharedRam.of(memory));
    }
}
