package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.WalkResult.Kind;
import org.junit.jupiter.api.Test;

class TableWalkTest {
    private static final long RAM = 0x4000_0000L;
    private static final long ROOT = RAM + 0x1000;
    private static final long PAGE = 0x7654_3000L;
    private static final long BLOCK = Descriptor.VALID;
    private static final long TABLE = Descriptor.VALID | Descriptor.TABLE;
    /** What every unprivileged access may read and write. */
    private static final long USER = Descriptor.AF | Descriptor.AP_UNPRIVILEGED | 3L << Descriptor.SH_SHIFT;

    private final PhysicalMemory memory = new PhysicalMemory();

    TableWalkTest() {
        memory.addRam(RAM, 1 << 20);
    }

    /** A level 3 table only: 21 bits of input. */
    private TableWalk.Builder onePage(long descriptor) {
        memory.write64(ROOT, descriptor);
        return TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 48);
    }

    private static void assertFault(Kind kind, int level, boolean stage2, boolean tableWalk, long result) {
        assertTrue(WalkResult.isFault(result));
        assertSame(kind, WalkResult.kind(result));
        assertEquals(level, WalkResult.level(result));
        assertEquals(stage2, WalkResult.isStage2(result));
        assertEquals(tableWalk, WalkResult.isTableWalk(result));
    }

    @Test
    void aWalkDescendsToThePageAndKeepsTheOffset() {
        memory.write64(ROOT + 8 * 3, RAM + 0x2000 | TABLE);
        memory.write64(RAM + 0x2000 + 8 * 4, RAM + 0x3000 | TABLE);
        memory.write64(RAM + 0x3000 + 8 * 5, RAM + 0x4000 | TABLE);
        memory.write64(RAM + 0x4000 + 8 * 6, PAGE | USER | TABLE);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 48, 48).build();
        long input = 3L << 39 | 4L << 30 | 5L << 21 | 6L << 12 | 0x789;
        long result = walk.walk(input, Access.READ);
        assertEquals(PAGE | 0x789, Translation.address(result, input));
        assertEquals(12, Translation.log2Size(result));
        assertEquals(3, WalkResult.level(result, Granule.KIB_4));
        assertFault(Kind.TRANSLATION, 0, false, false, walk.walk(0, Access.READ));
        assertFault(Kind.TRANSLATION, 1, false, false, walk.walk(3L << 39, Access.READ));
        assertFault(Kind.TRANSLATION, 2, false, false, walk.walk(3L << 39 | 4L << 30, Access.READ));
        assertFault(Kind.TRANSLATION, 3, false, false, walk.walk(input + 0x1000, Access.READ));
        assertSame(Granule.KIB_4, walk.granule());
    }

    @Test
    void aBlockGivesItsSizeAndTheInputsPageInIt() {
        memory.write64(ROOT, 0x8000_0000L | USER | BLOCK);
        long result =
                TableWalk.stage1(memory, Granule.KIB_4, ROOT, 30, 48).build().walk(0x12_3456, Access.WRITE);
        assertEquals(0x8012_3456L, Translation.address(result, 0x456));
        assertEquals(21, Translation.log2Size(result));
        assertEquals(2, WalkResult.level(result, Granule.KIB_4));
    }

    @Test
    void inputsBeyondTheInputSizeAreTranslationFaultsAndTheUpperHalfIsTheOtherWayRound() {
        TableWalk lower = onePage(PAGE | USER | TABLE).build();
        assertFalse(WalkResult.isFault(lower.walk(0, Access.READ)));
        assertFault(Kind.TRANSLATION, 3, false, false, lower.walk(1L << 21, Access.READ));
        assertFault(Kind.TRANSLATION, 3, false, false, lower.walk(1L << 63, Access.READ));
        TableWalk upper = onePage(PAGE | USER | TABLE).upper(true).build();
        assertFalse(WalkResult.isFault(upper.walk(-1L << 21, Access.READ)));
        assertFault(Kind.TRANSLATION, 3, false, false, upper.walk(0, Access.READ));
        assertFault(Kind.TRANSLATION, 3, false, false, upper.walk((-1L << 21) ^ 1L << 62, Access.READ));
    }

    @Test
    void theFirstFaultOnTheWayWins() {
        long big = 1L << 40;
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 40).build();
        memory.write64(ROOT, big);
        assertFault(Kind.TRANSLATION, 3, false, false, walk.walk(0, Access.WRITE));
        memory.write64(ROOT, big | TABLE);
        assertFault(Kind.ADDRESS_SIZE, 3, false, false, walk.walk(0, Access.WRITE));
        memory.write64(ROOT, TABLE);
        assertFault(Kind.ACCESS_FLAG, 3, false, false, walk.walk(0, Access.WRITE));
        memory.write64(ROOT, Descriptor.AF | TABLE);
        assertFault(Kind.PERMISSION, 3, false, false, walk.walk(0, Access.WRITE));
        memory.write64(ROOT, USER | TABLE);
        assertFalse(WalkResult.isFault(walk.walk(0, Access.WRITE)));
    }

    @Test
    void aTableWhereNothingAnswersIsAnExternalAbortWithTheDescriptorsAddress() {
        memory.write64(ROOT + 8, 0x9000_0000L | TABLE);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 30, 48).build();
        long result = walk.walk(0x20_0000 | 5 << 12, Access.READ);
        assertFault(Kind.EXTERNAL_ABORT, 3, false, false, result);
        assertEquals(0x9000_0028L, WalkResult.address(result));
    }

    @Test
    void everyDescriptorMustBeNonSecureWhereThatIsAsked() {
        memory.write64(ROOT, RAM + 0x2000 | TABLE);
        memory.write64(RAM + 0x2000, PAGE | USER | TABLE);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 30, 48)
                .nonSecureOnly(true)
                .build();
        assertFault(Kind.SECURITY, 2, false, false, walk.walk(0, Access.READ));
        memory.write64(ROOT, RAM + 0x2000 | TABLE | Descriptor.NS_TABLE);
        assertFault(Kind.SECURITY, 3, false, false, walk.walk(0, Access.READ));
        memory.write64(RAM + 0x2000, PAGE | USER | TABLE | Descriptor.NS);
        assertFalse(WalkResult.isFault(walk.walk(0, Access.READ)));
    }

    @Test
    void concatenatedTablesAreIndexedThrough() {
        // 40 bits at level 1: two tables; the second one's entry 3.
        memory.write64(RAM + 0x2000 + 8 * 515, 0x4000_0000L | Descriptor.STAGE2_RAM | BLOCK);
        long base = RAM + 0x2000 + 0xfff;
        TableWalk walk =
                TableWalk.stage2(memory, Granule.KIB_4, base, 40, 40, 1).build();
        long ipa = 515L << 30 | 0x1234;
        assertEquals(0x4000_1234L, Translation.address(walk.walk(ipa, Access.WRITE), ipa));
        assertFault(Kind.TRANSLATION, 1, true, false, walk.walk(3L << 30, Access.READ));
    }

    @Test
    void stage1TablesAndItsOutputPassThroughStage2() {
        // IPA x is at RAM + x for the first 2 MiB; stage 1's table is at IPA 0x1000, its page at IPA 0x5000 or beyond.
        memory.addRam(0x4000_0000L, 2 << 20);
        memory.write64(RAM + 0x10000, RAM | Descriptor.STAGE2_RAM | BLOCK);
        TableWalk second = TableWalk.stage2(memory, Granule.KIB_4, RAM + 0x10000, 30, 48, 2)
                .build();
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, 0x1000, 21, 48)
                .over(second)
                .build();
        memory.write64(ROOT, 0x5000 | USER | TABLE);
        memory.write64(ROOT + 8, 0x20_0000 | USER | TABLE);
        assertEquals(RAM + 0x5012, Translation.address(walk.walk(0x12, Access.READ), 0x12));
        long result = walk.walk(0x1018, Access.READ);
        assertFault(Kind.TRANSLATION, 2, true, false, result);
        assertEquals(0x20_0018, WalkResult.address(result), "the IPA");
        memory.write64(RAM + 0x10000, RAM | Descriptor.STAGE2_RAM & ~Descriptor.S2_READ | BLOCK);
        result = walk.walk(0x1018, Access.WRITE);
        assertFault(Kind.PERMISSION, 2, true, true, result);
        assertEquals(0x1008, WalkResult.address(result), "the IPA of the descriptor");
    }

    @Test
    void theLevelOfEveryLeafSizeFollows() {
        for (Granule granule : Granule.values()) {
            for (int level = 1; level <= 3; level++) {
                long result = Translation.of(0, granule.entryShift(level), 0, 0);
                assertEquals(level, WalkResult.level(result, granule));
            }
        }
    }

    @Test
    void aFirstTableIsAlignedToItsSizeAndToNoMore() {
        // Four entries, 32 bytes: 4 GiB at level 1.
        memory.write64(ROOT + 0x20, 0x4000_0000L | USER | BLOCK);
        TableWalk.Builder builder = TableWalk.stage1(memory, Granule.KIB_4, ROOT + 0x2f, 32, 48);
        assertEquals(0x4000_0000L, Translation.address(builder.build().walk(0, Access.READ), 0));
        // With addresses of 52 bits to 64 bytes (D8.2.5).
        memory.write64(ROOT, 0x8000_0000L | USER | BLOCK);
        builder = TableWalk.stage1(memory, Granule.KIB_4, ROOT + 0x2f, 32, 52);
        assertEquals(0x8000_0000L, Translation.address(builder.build().walk(0, Access.READ), 0));
    }

    @Test
    void aFirstTableBeyondTheOutputSizeIsAnAddressSizeFault() {
        memory.write64(ROOT, 0x1000 | USER | TABLE);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 30).build();
        assertFault(Kind.ADDRESS_SIZE, 3, false, false, walk.walk(0, Access.READ));
        assertFault(Kind.TRANSLATION, 3, false, false, walk.walk(1L << 21, Access.READ));
    }

    @Test
    void aWriteNeedsWritePermissionAlsoFromAMasterThatFetchesInstructions() {
        TableWalk walk = onePage(PAGE | USER | Descriptor.AP_READ_ONLY | TABLE).build();
        assertFalse(WalkResult.isFault(walk.walk(0, Access.INSTRUCTION)));
        assertFault(Kind.PERMISSION, 3, false, false, walk.walk(0, Access.INSTRUCTION | Access.WRITE));
    }

    @Test
    void theHintsOfNestedTranslationsAreThoseOfStage1() {
        memory.write64(RAM + 0x10000, RAM | Descriptor.STAGE2_RAM | BLOCK);
        TableWalk second = TableWalk.stage2(memory, Granule.KIB_4, RAM + 0x10000, 30, 48, 2)
                .build();
        memory.write64(ROOT, 0x5000 | USER | TABLE);
        // Outer write-back transient, read-allocate; inner write-through transient, write-allocate.
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, 0x1000, 21, 48)
                .mair(0x61)
                .over(second)
                .build();
        assertEquals(0x61, Translation.attributes(walk.walk(0, Access.READ)));
        memory.write64(RAM + 0x10000, RAM | Descriptor.STAGE2_RAM & ~0x3cL | 0b1001 << 2 | BLOCK);
        assertEquals(0x24, Translation.attributes(walk.walk(0, Access.READ)), "weaker by stage 2");
    }

    @Test
    void deviceAndUncachedMemoryIsOuterShareable() {
        TableWalk.Builder builder = onePage(PAGE | USER | TABLE);
        for (int[] c : new int[][] {{0x00, 2}, {0x04, 2}, {0x0c, 2}, {0x44, 2}, {0x4f, 3}, {0xf4, 3}, {0xff, 3}}) {
            long result = builder.mair(c[0]).build().walk(0, Access.READ);
            assertEquals(c[1], Translation.shareability(result), Integer.toHexString(c[0]));
        }
    }
}
