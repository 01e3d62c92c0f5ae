package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.MappingException.Reason;
import org.iommuemu.pagetables.TableWriter.Geometry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TableWriterTest {
    private static final long MIB_2 = 2L << 20;
    private static final long GIB = 1L << 30;
    private static final long OUT = 0x10_0000_0000L;
    private static final Geometry FOUR_K = new Geometry(Granule.KIB_4, 1, 39, 40);

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Pages pages = new Pages(memory);
    private final List<String> invalidations = new ArrayList<>();
    private Runnable onInvalidation = () -> {};

    private TableWriter writer(Geometry geometry) {
        return new TableWriter(memory, pages, geometry, (input, size) -> {
            invalidations.add("%x+%x".formatted(input, size));
            onInvalidation.run();
        });
    }

    private final TableWriter writer = writer(FOUR_K);

    private TableWalk walk(TableWriter of) {
        Geometry g = of.geometry();
        return TableWalk.stage2(memory, g.granule(), of.root(), g.inputBits(), g.outputBits(), g.startLevel())
                .build();
    }

    private int log2Size(long input) {
        return Translation.log2Size(walk(writer).walk(input, Access.READ));
    }

    private static Reason refused(Runnable change) {
        return assertThrows(MappingException.class, change::run).reason();
    }

    /** All mapped pages of a table, as the walk finds them. */
    private TreeMap<Long, Long> contents(TableWriter of) {
        TreeMap<Long, Long> found = new TreeMap<>();
        collect(of, of.root(), of.geometry().startLevel(), 0, found);
        return found;
    }

    private void collect(TableWriter of, long table, int level, long input, TreeMap<Long, Long> found) {
        Geometry g = of.geometry();
        long bytes = level == g.startLevel() ? g.rootBytes() : g.granule().bytes();
        for (long at = 0; at < bytes; at += 8) {
            long descriptor = memory.read64(table + at);
            long start = input + (at / 8 << g.granule().entryShift(level));
            if ((descriptor & 3) == 3 && level < 3) {
                collect(of, descriptor & 0x0000_ffff_ffff_f000L, level + 1, start, found);
            } else if (descriptor != 0) {
                found.put(start, descriptor);
            }
        }
    }

    @Test
    void theLargestBlocksThatFitAreUsed() {
        writer.map(GIB - MIB_2 - 0x1000, OUT + GIB - MIB_2 - 0x1000, GIB + 2 * MIB_2 + 0x2000, Descriptor.STAGE2_RAM);
        assertEquals(12, log2Size(GIB - MIB_2 - 0x1000));
        assertEquals(21, log2Size(GIB - MIB_2));
        assertEquals(30, log2Size(GIB));
        assertEquals(21, log2Size(2 * GIB));
        assertEquals(12, log2Size(2 * GIB + MIB_2));
        assertEquals(-1, writer.resolve(2 * GIB + MIB_2 + 0x1000));
        assertEquals(-1, writer.resolve(GIB - MIB_2 - 0x1001));
        assertEquals(List.of(), invalidations, "nothing live was changed");
    }

    @Test
    void anOutputThatIsNotAlignedToTheBlockIsMappedInSmallerOnes() {
        writer.map(GIB, OUT + MIB_2, GIB, Descriptor.STAGE2_RAM);
        assertEquals(21, log2Size(GIB));
        assertEquals(OUT + MIB_2 + GIB - 1, writer.resolve(2 * GIB - 1));
        writer.map(4 * GIB, OUT + 0x1000, MIB_2, Descriptor.STAGE2_RAM);
        assertEquals(12, log2Size(4 * GIB));
    }

    @ParameterizedTest
    @EnumSource(Granule.class)
    void everyGranuleHasItsOwnBlocks(Granule granule) {
        TableWriter other = writer(new Geometry(granule, granule.stage1StartLevel(44), 44, 44));
        long block = 1L << granule.entryShift(2);
        other.map(block, 2 * block, block + granule.bytes(), Descriptor.STAGE2_RAM);
        TableWalk walk = walk(other);
        assertEquals(granule.entryShift(2), Translation.log2Size(walk.walk(block, Access.READ)));
        assertEquals(granule.shift(), Translation.log2Size(walk.walk(2 * block, Access.READ)));
        assertEquals(2 * block + 5, other.resolve(block + 5));
        assertEquals(3 * block, other.resolve(2 * block));
    }

    @Test
    void unmappingPartOfABlockSplitsItWithBreakBeforeMake() {
        writer.map(0, OUT, GIB, Descriptor.STAGE2_RAM);
        List<Boolean> broken = new ArrayList<>();
        // The whole block is gone from the table while it is invalidated; later only what was asked for is.
        onInvalidation = () -> broken.add(writer.resolve(0) == -1 && writer.resolve(GIB - 1) == -1);
        writer.unmap(MIB_2 + 0x3000, 0x2000);
        assertEquals(
                List.of("0+40000000", "%x+%x".formatted(MIB_2, MIB_2), "%x+2000".formatted(MIB_2 + 0x3000)),
                invalidations);
        assertEquals(List.of(true, false, false), broken);
        assertEquals(30 - 9, log2Size(0));
        assertEquals(12, log2Size(MIB_2));
        assertEquals(OUT + MIB_2 + 0x2fff, writer.resolve(MIB_2 + 0x2fff));
        assertEquals(-1, writer.resolve(MIB_2 + 0x3000));
        assertEquals(-1, writer.resolve(MIB_2 + 0x4fff));
        assertEquals(OUT + MIB_2 + 0x5000, writer.resolve(MIB_2 + 0x5000));
        assertEquals(OUT + GIB - 1, writer.resolve(GIB - 1));
        assertEquals(2, writer.tables());
    }

    @Test
    void whatASplitLeavesHasTheBlocksAttributes() {
        long attributes = Descriptor.AF | Descriptor.S2_READ | Descriptor.MEM_ATTR_DEVICE | Descriptor.UXN;
        writer.map(0, OUT, MIB_2, attributes);
        writer.unmap(0, 0x1000);
        long descriptor = contents(writer).get(0x5000L);
        assertEquals(OUT + 0x5000 | attributes | 3, descriptor);
    }

    @Test
    void tablesAreFreedWhenTheyBecomeEmptyAndAfterTheInvalidation() {
        writer.map(0x1000, OUT, 0x2000, Descriptor.STAGE2_RAM);
        assertEquals(2, writer.tables());
        assertEquals(3, pages.count());
        List<Integer> during = new ArrayList<>();
        onInvalidation = () -> during.add(pages.count());
        writer.unmap(0x1000, 0x1000);
        assertEquals(2, writer.tables());
        writer.unmap(0, GIB);
        assertEquals(0, writer.tables());
        assertEquals(1, pages.count());
        assertEquals(List.of(3, 3), during, "a walk may still read them before");
    }

    @Test
    void unmappingWhatIsNotMappedInvalidatesNothing() {
        writer.map(0, OUT, 0x1000, Descriptor.STAGE2_RAM);
        writer.unmap(GIB, GIB);
        writer.unmap(0x1000, 0x1000);
        assertEquals(List.of(), invalidations);
        assertEquals(OUT, writer.resolve(0));
    }

    @Test
    void anOverlapLeavesTheTableUnchanged() {
        writer.map(MIB_2, OUT, 0x1000, Descriptor.STAGE2_RAM);
        writer.map(GIB, OUT, GIB, Descriptor.STAGE2_RAM);
        TreeMap<Long, Long> before = contents(writer);
        int tables = writer.tables();
        assertSame(Reason.OVERLAP, refused(() -> writer.map(0, 0, 2 * MIB_2, Descriptor.STAGE2_RAM)));
        assertSame(Reason.OVERLAP, refused(() -> writer.map(0, 0, GIB, Descriptor.STAGE2_RAM)));
        assertSame(Reason.OVERLAP, refused(() -> writer.map(GIB - MIB_2, 0, 2 * MIB_2, Descriptor.STAGE2_RAM)));
        assertSame(Reason.OVERLAP, refused(() -> writer.map(GIB + 0x5000, 0, 0x1000, Descriptor.STAGE2_RAM)));
        assertSame(Reason.OVERLAP, refused(() -> writer.map(GIB, 0, GIB, Descriptor.STAGE2_RAM)));
        assertEquals(before, contents(writer));
        assertEquals(tables, writer.tables());
        assertEquals(1 + tables, pages.count());
    }

    @Test
    void misalignedAndEmptyRangesAreRefused() {
        assertSame(Reason.MISALIGNED, refused(() -> writer.map(0x10, 0, 0x1000, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.map(0, 0x10, 0x1000, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.map(0, 0, 0x1010, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.map(0, 0, 0, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.map(0, 0, -0x1000, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.unmap(0x800, 0x1000)));
        assertSame(Reason.MISALIGNED, refused(() -> writer(new Geometry(Granule.KIB_64, 2, 42, 48))
                .map(0x1000, 0, 0x10000, 0)));
    }

    @Test
    void rangesBeyondTheInputOrOutputSizeAreRefused() {
        long top = 1L << 39;
        assertSame(Reason.INPUT_SIZE, refused(() -> writer.map(top, 0, 0x1000, 0)));
        assertSame(Reason.INPUT_SIZE, refused(() -> writer.map(top - 0x1000, 0, 0x2000, 0)));
        assertSame(Reason.INPUT_SIZE, refused(() -> writer.map(-0x1000, 0, 0x1000, 0)));
        assertSame(Reason.INPUT_SIZE, refused(() -> writer.map(0x1000, 0, Long.MAX_VALUE & -0x1000, 0)));
        assertSame(Reason.INPUT_SIZE, refused(() -> writer.unmap(top, 0x1000)));
        assertSame(Reason.OUTPUT_SIZE, refused(() -> writer.map(0, 1L << 40, 0x1000, 0)));
        assertSame(Reason.OUTPUT_SIZE, refused(() -> writer.map(0, (1L << 40) - 0x1000, 0x2000, 0)));
        assertSame(Reason.OUTPUT_SIZE, refused(() -> writer.map(0, -0x1000, 0x1000, 0)));
        writer.map(top - 0x1000, (1L << 40) - 0x1000, 0x1000, Descriptor.STAGE2_RAM);
        assertEquals((1L << 40) - 1, writer.resolve(top - 1));
        assertEquals(-1, writer.resolve(top));
        assertEquals(-1, writer.resolve(-1));
        String message = assertThrows(MappingException.class, () -> writer.map(top, 0, 0x1000, 0))
                .getMessage();
        assertEquals("mapping of 0x1000 bytes at 0x8000000000 lies beyond the input address size", message);
    }

    @Test
    void unmappingUpToTheEndOfTheInputSizeWorks() {
        long top = 1L << 39;
        writer.map(top - GIB, OUT, GIB, Descriptor.STAGE2_RAM);
        writer.unmap(top - 0x1000, 0x1000);
        assertEquals(-1, writer.resolve(top - 1));
        assertEquals(OUT + GIB - 0x1001, writer.resolve(top - 0x1001));
        writer.unmap(0, top);
        assertEquals(0, writer.tables());
    }

    @Test
    void concatenatedFirstTablesAreOneTable() {
        TableWriter wide = writer(new Geometry(Granule.KIB_4, 1, 42, 44));
        assertEquals(8 * 4096, wide.geometry().rootBytes());
        assertEquals(0, wide.root() % (8 * 4096));
        wide.map(7L << 39, OUT, GIB, Descriptor.STAGE2_RAM);
        assertEquals(OUT + 5, Translation.address(walk(wide).walk(7L << 39 | 5, Access.READ), 5));
        wide.destroy();
    }

    @Test
    void destroyingGivesEveryPageBack() {
        writer.map(0, OUT, GIB + MIB_2 + 0x1000, Descriptor.STAGE2_RAM);
        writer.unmap(0x5000, 0x1000);
        assertTrue(writer.tables() > 2);
        writer.destroy();
        assertEquals(0, writer.tables());
        assertEquals(0, pages.count());
    }

    @Test
    void withoutRamForTheFirstTableThereIsNoTable() {
        pages.budget(0);
        assertSame(Reason.OUT_OF_MEMORY, refused(() -> writer(FOUR_K)));
    }

    @Test
    void aSplitThatRunsOutOfMemoryChangesNoTranslation() {
        for (int budget = 0; budget < 4; budget++) {
            PhysicalMemory ram = new PhysicalMemory();
            Pages few = new Pages(ram);
            TableWriter one = new TableWriter(ram, few, FOUR_K, (input, size) -> {});
            one.map(0, OUT, 2 * GIB, Descriptor.STAGE2_RAM);
            few.budget(budget);
            // Ends in the middle of both blocks: two tables at each end.
            assertSame(Reason.OUT_OF_MEMORY, refused(() -> one.unmap(GIB - 0x3000, 0x6000)));
            for (long at : new long[] {0, GIB - 0x3000, GIB - 1, GIB, GIB + 0x3000, 2 * GIB - 1}) {
                assertEquals(OUT + at, one.resolve(at));
            }
            few.budget(4);
            one.unmap(GIB - 0x3000, 0x6000);
            assertEquals(-1, one.resolve(GIB));
            one.destroy();
            assertEquals(0, few.count());
            assertFalse(few.misused());
        }
    }

    @Test
    void aMapThatRunsOutOfMemoryAtAnyAllocationLeavesTheTableAsItWas() {
        writer.map(0, OUT, MIB_2, Descriptor.STAGE2_RAM);
        writer.map(GIB, OUT, 0x1000, Descriptor.STAGE2_RAM);
        TreeMap<Long, Long> before = contents(writer);
        int tables = writer.tables();
        int failures = 0;
        for (int budget = 0; ; budget++) {
            pages.budget(budget);
            try {
                // From a page before a new GiB to a page behind another: two tables there, two here.
                writer.map(2 * GIB - 0x1000, OUT + 0x1000, 2 * MIB_2 + 0x3000, Descriptor.STAGE2_RAM);
                break;
            } catch (MappingException e) {
                failures++;
                assertSame(Reason.OUT_OF_MEMORY, e.reason());
                assertEquals(before, contents(writer));
                assertEquals(tables, writer.tables());
                assertEquals(1 + tables, pages.count());
            }
        }
        assertTrue(failures >= 4, "allocations: " + failures);
        writer.unmap(0, 1L << 39);
        assertEquals(0, writer.tables());
        assertEquals(1, pages.count());
    }

    @Test
    void typeAndAddressBitsOfTheAttributesAreIgnored() {
        writer.map(GIB, OUT, GIB, Descriptor.STAGE2_RAM | 3 | 0xffff_f000L);
        assertEquals(OUT | Descriptor.STAGE2_RAM | 1, contents(writer).get(GIB));
        assertEquals(30, log2Size(GIB));
    }

    @Test
    void outputsThatADescriptorCannotHoldAreRefused() {
        TableWriter wide = writer(new Geometry(Granule.KIB_4, 0, 48, 52));
        assertSame(Reason.OUTPUT_SIZE, refused(() -> wide.map(0, 1L << 48, 0x1000, Descriptor.STAGE2_RAM)));
        wide.map(0, (1L << 48) - 0x1000, 0x1000, Descriptor.STAGE2_RAM);
        assertEquals((1L << 48) - 1, wide.resolve(0xfff));
    }

    // Attributes

    private static final long CLEAN = Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE | Descriptor.DBM;

    @Test
    void protectChangesPermissionsOfExactlyTheRangeWhileItIsLive() {
        writer.map(0, OUT, MIB_2, Descriptor.STAGE2_RAM);
        List<Boolean> live = new ArrayList<>();
        onInvalidation = () -> live.add(writer.resolve(0x3000) >= 0);
        writer.protect(0x3000, 0x2000, Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE);
        assertEquals(List.of("0+200000", "3000+2000"), invalidations);
        assertEquals(List.of(false, true), live, "broken to be split, live to be changed");
        TableWalk walk = walk(writer);
        assertFalse(WalkResult.isFault(walk.walk(0x2000, Access.WRITE)));
        assertTrue(WalkResult.isFault(walk.walk(0x3000, Access.WRITE)));
        assertEquals(OUT + 0x4fff, Translation.address(walk.walk(0x4fff, Access.READ), 0x4fff));
        assertFalse(WalkResult.isFault(walk.walk(0x5000, Access.WRITE)));
    }

    @Test
    void protectBreaksWhatIsToHaveAnotherMemoryType() {
        writer.map(0, OUT, MIB_2, Descriptor.STAGE2_RAM);
        List<Long> during = new ArrayList<>();
        onInvalidation = () -> during.add(writer.resolve(0));
        writer.protect(0, MIB_2, Descriptor.AF | Descriptor.MEM_ATTR_DEVICE | Descriptor.S2_READ);
        assertEquals(List.of(-1L), during);
        long result = walk(writer).walk(0x1234, Access.READ);
        assertEquals(4, Translation.attributes(result));
        assertEquals(21, Translation.log2Size(result));
        assertEquals(OUT + 0x1234, writer.resolve(0x1234));
    }

    @Test
    void protectOfWhatIsNotAllMappedIsRefused() {
        writer.map(0, OUT, 0x3000, Descriptor.STAGE2_RAM);
        TreeMap<Long, Long> before = contents(writer);
        assertSame(Reason.NOT_MAPPED, refused(() -> writer.protect(0, 0x4000, 0)));
        assertSame(Reason.MISALIGNED, refused(() -> writer.protect(1, 0x1000, 0)));
        assertEquals(before, contents(writer));
        writer.map(GIB, OUT, GIB, Descriptor.STAGE2_RAM);
        pages.budget(1);
        assertSame(Reason.OUT_OF_MEMORY, refused(() -> writer.protect(GIB, 0x1000, Descriptor.STAGE2_RAM)));
        assertEquals(OUT + GIB - 1, writer.resolve(2 * GIB - 1));
    }

    @Test
    void runsAreAsLongAsOutputsFollowAndAttributesAreEqual() {
        writer.map(MIB_2 - 0x1000, OUT + MIB_2 - 0x1000, MIB_2 + 0x2000, Descriptor.STAGE2_RAM);
        writer.map(2 * MIB_2 + 0x1000, OUT, 0x1000, Descriptor.STAGE2_RAM);
        writer.map(2 * MIB_2 + 0x2000, OUT + 0x1000, 0x1000, CLEAN);
        List<String> runs = new ArrayList<>();
        writer.runs(
                0,
                GIB,
                (input, output, size, attributes) -> runs.add(
                        "%x>%x+%x".formatted(input, output - OUT, size) + (attributes == CLEAN ? " clean" : "")));
        assertEquals(List.of("1ff000>1ff000+202000", "401000>0+1000", "402000>1000+1000 clean"), runs);
        runs.clear();
        writer.runs(
                MIB_2 + 0x5000,
                0x3000,
                (input, output, size, attributes) ->
                        runs.add("%x>%x+%x %x".formatted(input, output - OUT, size, attributes)));
        assertEquals(List.of("205000>205000+3000 %x".formatted(Descriptor.STAGE2_RAM)), runs);
    }

    @Test
    void tableDescriptorsHaveTheAttributesThatTheWriterWasGiven() {
        TableWriter secure = new TableWriter(
                memory,
                pages,
                FOUR_K,
                new TableWriter.Options(false, false, false, Descriptor.NS_TABLE),
                (input, size) -> {});
        secure.map(0, OUT, 0x1000, Descriptor.AF | Descriptor.NS | Descriptor.AP_UNPRIVILEGED);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, secure.root(), 39, 40)
                .nonSecureOnly(true)
                .build();
        assertEquals(OUT, Translation.address(walk.walk(0, Access.READ), 0));
        assertThrows(IllegalArgumentException.class, () -> new TableWriter.Options(true, false, false, 1L << 58));
    }

    // 52 bits

    @ParameterizedTest
    @EnumSource(Granule.class)
    void with52BitsInputsAndOutputsReachTheTop(Granule granule) {
        Geometry g = new Geometry(granule, granule.stage1StartLevel(52), 52, 52);
        TableWriter wide =
                new TableWriter(memory, pages, g, new TableWriter.Options(false, true, false, 0), (input, size) -> {});
        long top = (1L << 52) - granule.bytes();
        wide.map(top, top, granule.bytes(), Descriptor.AF | Descriptor.AP_UNPRIVILEGED);
        int blockLevel = granule == Granule.KIB_4 ? 0 : 1;
        long block = 1L << granule.entryShift(blockLevel);
        wide.map(block, 5L << 49, block, Descriptor.AF | Descriptor.AP_UNPRIVILEGED);
        TableWalk walk =
                TableWalk.stage1(memory, granule, wide.root(), 52, 52).ds(3).build();
        assertEquals(top | 0x123, Translation.address(walk.walk(top | 0x123, Access.READ), 0x123));
        long result = walk.walk(2 * block - 1, Access.READ);
        assertEquals((5L << 49) + block - 1, Translation.address(result, 0xfff));
        assertEquals(granule.entryShift(blockLevel), Translation.log2Size(result));
        assertEquals(top | 5, wide.resolve(top | 5));
        assertSame(Reason.OUTPUT_SIZE, refused(() -> wide.map(0, 1L << 52, granule.bytes(), 0)));
        wide.unmap(0, 1L << 52);
        assertEquals(0, wide.tables());
    }

    // Contiguous hint

    private TableWriter contiguous() {
        return new TableWriter(
                memory,
                pages,
                FOUR_K,
                new TableWriter.Options(true, false, true, 0),
                (input, size) -> invalidations.add("%x+%x".formatted(input, size)));
    }

    @Test
    void groupsThatFitGetTheContiguousHint() {
        TableWriter hinting = contiguous();
        hinting.map(0xf000, OUT + 0xf000, 0x1_2000, Descriptor.STAGE2_RAM);
        hinting.map(32 * MIB_2, OUT, 16 * MIB_2, Descriptor.STAGE2_RAM);
        TableWalk walk = walk(hinting);
        assertEquals(12, Translation.log2Size(walk.walk(0xf000, Access.READ)));
        assertEquals(16, Translation.log2Size(walk.walk(0x1_3000, Access.READ)));
        assertEquals(12, Translation.log2Size(walk.walk(0x2_0000, Access.READ)));
        assertEquals(25, Translation.log2Size(walk.walk(32 * MIB_2, Access.READ)));
        assertEquals(OUT + 0x1_3000, Translation.address(walk.walk(0x1_3000, Access.READ), 0));
        assertSame(Reason.OVERLAP, refused(() -> hinting.map(0x2_0000, 0, 0x1_0000, Descriptor.STAGE2_RAM)));
        assertEquals(-1, hinting.resolve(0x2_1000));
    }

    @Test
    void unmappingPartOfAGroupBreaksTheWholeGroupAndKeepsItsDirtyState() {
        TableWriter hinting = contiguous();
        hinting.map(0, OUT, 0x1_0000, CLEAN);
        TableWalk walk = TableWalk.stage2(memory, Granule.KIB_4, hinting.root(), 39, 40, 1)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();
        assertEquals(16, Translation.log2Size(walk.walk(0x2000, Access.WRITE)));
        hinting.unmap(0xf000, 0x1000);
        assertEquals(List.of("0+10000", "f000+1000"), invalidations);
        assertEquals(12, log2SizeOf(walk, 0x2000));
        List<Long> dirty = new ArrayList<>();
        hinting.harvestDirty(0, MIB_2, (input, size) -> dirty.add(input));
        assertEquals(15, dirty.size(), "all that a TLB may have let be written");
    }

    private static int log2SizeOf(TableWalk walk, long input) {
        return Translation.log2Size(walk.walk(input, Access.READ));
    }

    // Dirty state

    @Test
    void harvestTellsWhatWasWrittenSinceTheLastOne() {
        for (boolean stage2 : new boolean[] {false, true}) {
            TableWriter one = new TableWriter(
                    memory,
                    pages,
                    FOUR_K,
                    new TableWriter.Options(stage2, false, false, 0),
                    (input, size) -> invalidations.add("%x+%x".formatted(input, size)));
            long clean = stage2 ? CLEAN : Descriptor.AF | Descriptor.AP_UNPRIVILEGED | CLEAN_STAGE1;
            one.map(0, OUT, MIB_2 + 0x4000, clean);
            one.map(GIB, OUT, 0x1000, stage2 ? clean | Descriptor.S2_WRITE : clean & ~Descriptor.AP_READ_ONLY);
            one.map(GIB + 0x1000, OUT, 0x1000, (stage2 ? Descriptor.STAGE2_RAM : Descriptor.AF));
            TableWalk walk = (stage2
                            ? TableWalk.stage2(memory, Granule.KIB_4, one.root(), 39, 40, 1)
                            : TableWalk.stage1(memory, Granule.KIB_4, one.root(), 39, 40))
                    .accessFlagUpdate(true)
                    .dirtyState(true)
                    .build();
            walk.walk(0x1234, Access.WRITE);
            walk.walk(MIB_2 + 0x2000, Access.WRITE);
            walk.walk(MIB_2 + 0x3000, Access.READ);
            invalidations.clear();
            List<String> dirty = new ArrayList<>();
            TableWriter.Dirty action = (input, size) -> dirty.add("%x+%x".formatted(input, size));
            one.harvestDirty(0, 2 * GIB, action);
            assertEquals(List.of("0+200000", "202000+1000", "40000000+1000"), dirty);
            assertEquals(List.of("0+80000000"), invalidations);
            one.harvestDirty(0, 2 * GIB, action);
            assertEquals(3, dirty.size(), "clean now");
            assertEquals(1, invalidations.size());
            walk.walk(0x1234, Access.WRITE);
            one.harvestDirty(0x1000, 0x1000, action);
            assertEquals("1000+1000", dirty.get(3), "the block was split");
            assertTrue(WalkResult.permits(walk.walk(0x2000, Access.READ), Access.WRITE), "dirty as the block was");
            one.destroy();
        }
    }

    private static final long CLEAN_STAGE1 = Descriptor.AP_READ_ONLY | Descriptor.DBM;
}
