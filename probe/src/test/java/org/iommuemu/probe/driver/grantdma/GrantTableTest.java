package org.iommuemu.probe.driver.grantdma;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.PhysicalMemory;
import org.junit.jupiter.api.Test;

/** A domain's own grant table: references that follow one another, entries in RAM. */
class GrantTableTest {
    private static final long RAM = 0x10_0000;
    private static final int FRAMES = 3;
    static final int ENTRIES = FRAMES * 512;

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Bus bus = new Bus(memory);

    private final GrantTable table = newTable();

    /** Frames come one by one from the end of RAM, so that they do not follow one another. */
    GrantTable newTable() {
        return new GrantTable(bus, wanted -> {
            List<Long> frames = new ArrayList<>();
            for (int i = 0; i < Math.min(wanted, FRAMES); i++) {
                frames.add(RAM + (8L - i) * 0x2000);
            }
            return frames;
        });
    }

    GrantTableTest() {
        memory.addRam(RAM, 0x20000);
    }

    @Test
    void anEntryIsFlagsDomainAndFrame() {
        assertTrue(table.setUp());
        int first = table.allocate(2);
        assertEquals(8, first, "the first eight are console's and xenstore's");
        table.grant(first, 0x7abc, 0x1234_5678, false);
        table.grant(first + 1, 1, 0xffff_ffffL, true);
        assertEquals(0x1234_5678_7abc_0001L, memory.read64(RAM + 8 * 0x2000 + 8 * 8));
        assertEquals(0xffff_ffff_0001_0005L, memory.read64(RAM + 8 * 0x2000 + 9 * 8));
    }

    @Test
    void anEntryInUseIsNotTakenBack() {
        table.setUp();
        int reference = table.allocate(1);
        table.grant(reference, 1, 2, false);
        long entry = RAM + 8 * 0x2000 + 8L * reference;
        for (int status : new int[] {GrantTable.READING, GrantTable.READING | GrantTable.WRITING}) {
            memory.write64(entry, memory.read64(entry) | status);
            assertFalse(table.end(reference));
            memory.write64(entry, memory.read64(entry) & ~(long) status);
        }
        assertTrue(table.end(reference));
        assertEquals(0, memory.read64(entry) & 0xffff);
    }

    @Test
    void theTableGrowsUntilTheHypervisorGivesNoMore() {
        table.setUp();
        assertEquals(8, table.allocate(ENTRIES - 8 - 1));
        assertEquals(ENTRIES - 1, table.allocate(1));
        assertEquals(GrantTable.NONE, table.allocate(1));
        table.release(100, 3);
        assertEquals(GrantTable.NONE, table.allocate(4));
        assertEquals(100, table.allocate(3));
    }
}
