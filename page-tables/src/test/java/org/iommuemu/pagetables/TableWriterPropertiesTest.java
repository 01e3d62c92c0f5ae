package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import net.jqwik.api.EdgeCasesMode;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.ShrinkingMode;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.TableWriter.Geometry;

/** Random maps and unmaps against a list of ranges. */
class TableWriterPropertiesTest {
    private static final Geometry[] GEOMETRIES = {
        new Geometry(Granule.KIB_4, 1, 39, 40),
        new Geometry(Granule.KIB_4, 0, 48, 48),
        new Geometry(Granule.KIB_4, 1, 41, 44),
        new Geometry(Granule.KIB_4, 2, 32, 40),
        new Geometry(Granule.KIB_4, 3, 23, 40),
        new Geometry(Granule.KIB_16, 2, 38, 48),
        new Geometry(Granule.KIB_16, 1, 40, 40),
        new Geometry(Granule.KIB_64, 2, 40, 48),
        new Geometry(Granule.KIB_64, 1, 48, 48),
        new Geometry(Granule.KIB_4, -1, 52, 52),
        new Geometry(Granule.KIB_16, 0, 52, 52),
        new Geometry(Granule.KIB_64, 1, 52, 52),
    };

    private record Mapped(long input, long output, long size) {
        long end() {
            return input + size;
        }
    }

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Pages pages = new Pages(memory);
    private final List<Mapped> model = new ArrayList<>();
    /** A TLB that forgets nothing unless it is told to: page to output page. */
    private final Map<Long, Long> cached = new HashMap<>();

    private SplittableRandom random;
    private Geometry geometry;
    private TableWriter writer;
    private TableWalk walk;

    @Property(tries = 400, edgeCases = EdgeCasesMode.NONE, shrinking = ShrinkingMode.OFF)
    void anySequenceOfMapsAndUnmapsAgreesWithAListOfRanges(@ForAll long seed) {
        model.clear();
        cached.clear();
        random = new SplittableRandom(seed);
        geometry = GEOMETRIES[random.nextInt(GEOMETRIES.length)];
        boolean wide = geometry.outputBits() == 52;
        writer = new TableWriter(
                memory,
                pages,
                geometry,
                new TableWriter.Options(true, wide, random.nextBoolean(), 0),
                this::invalidate);
        TableWalk.Builder builder = TableWalk.stage2(
                memory,
                geometry.granule(),
                writer.root(),
                geometry.inputBits(),
                geometry.outputBits(),
                geometry.startLevel());
        walk = (wide ? builder.ds(3) : builder).build();
        for (int i = 0; i < 40; i++) {
            long input = place(geometry.inputBits());
            long size = Math.min(size(), (1L << geometry.inputBits()) - input);
            int kind = random.nextInt(8);
            if (kind > 3) {
                map(input, size);
            } else if (kind == 3) {
                protect(input, size);
            } else {
                writer.unmap(input, size);
                forget(input, size);
            }
            check(input);
            check(input + size - 1);
            check(input + size);
            check(input - 1);
            check(place(geometry.inputBits()) + random.nextInt(4096));
            for (Mapped mapped : model) {
                check(mapped.input);
                check(mapped.end() - 1);
                check(mapped.end());
            }
            for (Map.Entry<Long, Long> entry : cached.entrySet()) {
                assertEquals(expected(entry.getKey()), entry.getValue(), "a TLB would be stale");
            }
            assertEquals(1 + writer.tables(), pages.count());
            checkRuns(input, size);
        }
        if (random.nextBoolean()) {
            writer.unmap(0, 1L << geometry.inputBits());
            assertEquals(0, writer.tables(), "no table is left behind");
        }
        writer.destroy();
        assertEquals(0, pages.count());
    }

    private void map(long input, long size) {
        long output = place(geometry.outputBits());
        if (random.nextBoolean()) {
            // As well aligned as the input, so that blocks can be used.
            output = input & (1L << geometry.outputBits()) - 1;
        }
        long last = Math.min(size, (1L << geometry.outputBits()) - output);
        boolean overlaps = model.stream().anyMatch(m -> m.input < input + last && input < m.end());
        boolean poor = random.nextInt(4) == 0;
        long at = output;
        if (poor) {
            pages.budget(random.nextInt(4));
        }
        int tables = writer.tables();
        int breaks = invalidations;
        try {
            if (overlaps) {
                assertThrows(MappingException.class, () -> writer.map(input, at, last, Descriptor.STAGE2_RAM));
                assertEquals(tables, writer.tables(), "as it was");
            } else {
                try {
                    writer.map(input, output, last, Descriptor.STAGE2_RAM);
                    assertEquals(breaks, invalidations, "mapping changes nothing that is live");
                    model.add(new Mapped(input, output, last));
                } catch (MappingException e) {
                    assertEquals(MappingException.Reason.OUT_OF_MEMORY, e.reason());
                    assertEquals(true, poor, "there was enough");
                    assertEquals(tables, writer.tables(), "as it was");
                }
            }
        } finally {
            pages.budget(Integer.MAX_VALUE);
        }
    }

    /** Addresses stay; what is written is as it was, or can only be read. */
    private void protect(long input, long size) {
        long mapped = model.stream()
                .mapToLong(m -> Math.max(0, Math.min(m.end(), input + size) - Math.max(m.input, input)))
                .sum();
        long attributes = Descriptor.STAGE2_RAM | (random.nextBoolean() ? Descriptor.UXN : 0);
        if (mapped < size) {
            int breaks = invalidations;
            assertThrows(MappingException.class, () -> writer.protect(input, size, attributes));
            assertEquals(breaks, invalidations);
            return;
        }
        live = true;
        writer.protect(input, size, attributes);
        live = false;
        long result = walk.walk(input + random.nextLong(size), Access.INSTRUCTION);
        assertEquals((attributes & Descriptor.UXN) != 0, WalkResult.isFault(result));
    }

    private void checkRuns(long input, long size) {
        long[] end = {input};
        long[] sum = new long[1];
        writer.runs(input, size, (at, output, length, attributes) -> {
            assertEquals(true, at >= end[0] && length > 0);
            assertEquals(expected(at), output);
            assertEquals(expected(at + length - 1), output + length - 1);
            end[0] = at + length;
            sum[0] += length;
        });
        assertEquals(true, end[0] <= input + size);
        long mapped = model.stream()
                .mapToLong(m -> Math.max(0, Math.min(m.end(), input + size) - Math.max(m.input, input)))
                .sum();
        assertEquals(mapped, sum[0]);
    }

    /** While attributes change, leaves may stay live. */
    private boolean live;

    private int invalidations;

    private void invalidate(long input, long size) {
        invalidations++;
        cached.keySet().removeIf(page -> page >= input && page < input + size);
        // Broken before it is made: nothing of the range is to be had now.
        for (long at : live ? new long[0] : new long[] {input, input + size / 2, input + size - 1}) {
            assertEquals(-1, writer.resolve(at), "still live while it is invalidated");
        }
    }

    /** A start near the borders of blocks. */
    private long place(int bits) {
        Granule granule = geometry.granule();
        long address = 0;
        for (int level = geometry.startLevel(); level <= 3; level++) {
            int shift = granule.entryShift(level);
            long top = Math.min(1L << granule.levelBits(), 1L << Math.max(0, bits - shift));
            if (shift < bits) {
                long index = new long[] {0, 0, 1, 2, top - 1}[random.nextInt(5)] % top;
                address += index << shift;
            }
        }
        return address & (1L << bits) - 1;
    }

    private long size() {
        Granule granule = geometry.granule();
        int level = Math.max(geometry.startLevel(), 1 + random.nextInt(3));
        if (level == 1 && !granule.hasBlocks(1)) {
            level = 2;
        }
        long unit = 1L << granule.entryShift(Math.max(level, geometry.startLevel()));
        long pages = (long) random.nextInt(3) << granule.shift();
        return (1 + random.nextInt(3)) * unit + (random.nextInt(3) == 0 ? pages : 0);
    }

    private void forget(long from, long size) {
        long to = from + size;
        List<Mapped> kept = new ArrayList<>();
        for (Mapped m : model) {
            if (m.end() <= from || m.input >= to) {
                kept.add(m);
                continue;
            }
            if (m.input < from) {
                kept.add(new Mapped(m.input, m.output, from - m.input));
            }
            if (m.end() > to) {
                kept.add(new Mapped(to, m.output + to - m.input, m.end() - to));
            }
        }
        model.clear();
        model.addAll(kept);
    }

    private long expected(long input) {
        for (Mapped m : model) {
            if (m.input <= input && input < m.end()) {
                return m.output + input - m.input;
            }
        }
        return -1;
    }

    private void check(long input) {
        if (input < 0 || input >>> geometry.inputBits() != 0) {
            assertEquals(-1, writer.resolve(input));
            return;
        }
        long expected = expected(input);
        assertEquals(expected, writer.resolve(input));
        long result = walk.walk(input, Access.WRITE);
        assertEquals(expected, WalkResult.isFault(result) ? -1 : Translation.address(result, input));
        if (expected >= 0) {
            long page = input & -geometry.granule().bytes();
            cached.put(page, expected(page));
        }
    }
}
