package org.iommuemu.probe.driver.grantdma;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.TreeMap;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

/** What holds for any use of a grant table's references. */
class GrantTablePropertiesTest {
    /** Whatever is taken and given back, buffers do not overlap and nothing is lost. */
    @Property(tries = 200)
    void buffersNeverOverlap(@ForAll @Size(max = 60) List<@IntRange(min = -20, max = 300) Integer> steps) {
        GrantTable table = new GrantTableTest().newTable();
        table.setUp();
        TreeMap<Integer, Integer> live = new TreeMap<>();
        for (int step : steps) {
            if (step <= 0) {
                Integer first = live.floorKey(-step * GrantTableTest.ENTRIES / 20);
                if (first != null) {
                    table.release(first, live.remove(first));
                }
                continue;
            }
            int first = table.allocate(step);
            if (first == GrantTable.NONE) {
                int at = 8;
                for (var buffer : live.entrySet()) {
                    assertTrue(buffer.getKey() - at < step, "there was room");
                    at = buffer.getKey() + buffer.getValue();
                }
                assertTrue(GrantTableTest.ENTRIES - at < step, "there was room");
                continue;
            }
            assertTrue(first >= 8 && first + step <= GrantTableTest.ENTRIES);
            var before = live.lowerEntry(first + step);
            assertTrue(before == null || before.getKey() + before.getValue() <= first, "overlaps");
            live.put(first, step);
        }
        assertEquals(live.values().stream().mapToInt(n -> n).sum(), table.used());
    }
}
