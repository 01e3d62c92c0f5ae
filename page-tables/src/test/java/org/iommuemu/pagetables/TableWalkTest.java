package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
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

    // 52-bit addresses

    @Test
    void lpaPutsAddressBits51To48IntoDescriptorBits15To12() {
        memory.write64(RAM + 0x10000, 0x5_0000L | 0xaL << 12 | USER | TABLE);
        memory.write64(RAM + 0x10008, 0x5_0000L | 0xaL << 12 | USER | TABLE);
        TableWalk.Builder builder = TableWalk.stage1(memory, Granule.KIB_64, RAM + 0x10000, 29, 52);
        assertEquals(0xa_0000_0005_1234L, Translation.address(builder.build().walk(0x1234, Access.READ), 0x1234));
        assertEquals(0x5_1234L, Translation.address(builder.lpa(false).build().walk(0x1234, Access.READ), 0x1234));
        // Bits above the output size: of a smaller size that an implementation with LPA is told to use.
        TableWalk.Builder smaller = TableWalk.stage1(memory, Granule.KIB_64, RAM + 0x10000, 29, 48);
        assertFalse(WalkResult.isFault(smaller.build().walk(0, Access.READ)));
        assertFault(
                Kind.ADDRESS_SIZE, 3, false, false, smaller.lpa(true).build().walk(0, Access.READ));
    }

    @Test
    void lpaHasBlocksOf4TibWith64KibGranules() {
        memory.write64(RAM + 0x10000, 3L << 42 | USER | BLOCK);
        TableWalk.Builder builder = TableWalk.stage1(memory, Granule.KIB_64, RAM + 0x10000, 44, 52);
        long result = builder.build().walk(0x12_3456_7000L, Access.READ);
        assertEquals((3L << 42) + 0x12_3456_7000L, Translation.address(result, 0));
        assertEquals(42, Translation.log2Size(result));
        assertFault(
                Kind.TRANSLATION, 1, false, false, builder.lpa(false).build().walk(0, Access.READ));
    }

    @Test
    void dsPutsAddressBits51To50IntoTheShareabilityFieldWhichTheConfigurationReplaces() {
        long page = 0x000a_8765_4321_0000L;
        long inDescriptor = page & 0x0003_ffff_ffff_f000L | page >>> 50 << 8;
        memory.write64(ROOT, inDescriptor | Descriptor.AF | Descriptor.AP_UNPRIVILEGED | TABLE);
        long result = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 52)
                .mair(0xff)
                .ds(3)
                .build()
                .walk(0x12, Access.READ);
        assertEquals(page | 0x12, Translation.address(result, 0x12));
        assertEquals(3, Translation.shareability(result));
    }

    @Test
    void dsStartsAtLevelMinus1WhichFaultsTell() {
        TableWalk walk =
                TableWalk.stage1(memory, Granule.KIB_4, ROOT, 52, 52).ds(0).build();
        assertFault(Kind.TRANSLATION, -1, false, false, walk.walk(0, Access.READ));
        memory.write64(ROOT + 8, RAM + 0x2000 | TABLE);
        assertFault(Kind.TRANSLATION, 0, false, false, walk.walk(1L << 48, Access.READ));
        memory.write64(RAM + 0x2000 + 16, 4L << 39 | USER & ~(3L << 8) | BLOCK);
        long input = 1L << 48 | 2L << 39 | 0x1234_5000L;
        long result = walk.walk(input, Access.READ);
        assertEquals(4L << 39 | 0x1234_5000L, Translation.address(result, 0), "a block of 512 GiB");
        assertEquals(0, WalkResult.level(result, Granule.KIB_4));
        assertFault(Kind.TRANSLATION, -1, false, false, walk.walk(1L << 52, Access.READ));
        TableWalk second =
                TableWalk.stage2(memory, Granule.KIB_4, ROOT, 52, 52, -1).ds(0).build();
        assertFault(Kind.TRANSLATION, -1, true, false, second.walk(0, Access.READ));
        TableWalk large = TableWalk.stage2(memory, Granule.KIB_16, RAM + 0x4000, 40, 52, 1)
                .ds(0)
                .build();
        memory.write64(RAM + 0x4000 + 8, 1L << 36 | Descriptor.STAGE2_RAM & ~(3L << 8) | BLOCK);
        assertEquals(36, Translation.log2Size(large.walk(1L << 36, Access.READ)));
    }

    // Contiguous hint

    @Test
    void aContiguousGroupIsOneTranslation() {
        for (int i = 16; i < 32; i++) {
            memory.write64(ROOT + 8 * i, 0x7654_0000L + 0x1000 * (i - 16) | USER | TABLE | Descriptor.CONTIGUOUS);
        }
        TableWalk.Builder builder = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 48);
        long input = 0x1_7abc;
        long result = builder.build().walk(input, Access.READ);
        assertEquals(0x7654_7abcL, Translation.address(result, input));
        assertEquals(16, Translation.log2Size(result));
        assertEquals(3, WalkResult.level(result, Granule.KIB_4));
        result = builder.contiguous(false).build().walk(input, Access.READ);
        assertEquals(0x7654_7abcL, Translation.address(result, input));
        assertEquals(12, Translation.log2Size(result));
    }

    @Test
    void aGroupBeyondTheInputSizeIsNone() {
        memory.write64(ROOT, 0x4000_0000L | USER | BLOCK | Descriptor.CONTIGUOUS);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 33, 48).build();
        assertEquals(30, Translation.log2Size(walk.walk(0, Access.READ)));
    }

    // Hardware update

    private static final long CLEAN = Descriptor.AP_READ_ONLY | Descriptor.DBM;

    @Test
    void anAccessSetsTheAccessFlagAndAFaultDoesNot() {
        long old = PAGE | USER & ~Descriptor.AF | Descriptor.AP_READ_ONLY | TABLE;
        TableWalk.Builder builder = onePage(old).accessFlagFaults(false);
        builder.build().walk(0, Access.READ);
        assertEquals(old, memory.read64(ROOT), "not asked for");
        TableWalk walk = builder.accessFlagFaults(true).accessFlagUpdate(true).build();
        assertFault(Kind.PERMISSION, 3, false, false, walk.walk(0, Access.WRITE));
        assertEquals(old, memory.read64(ROOT));
        assertFalse(WalkResult.isFault(walk.walk(0, Access.READ)));
        assertEquals(old | Descriptor.AF, memory.read64(ROOT));
    }

    @Test
    void aWriteMakesWhatIsWritableCleanDirtyAndAReadDoesNot() {
        long clean = PAGE | USER | CLEAN | TABLE;
        TableWalk.Builder builder = onePage(clean).accessFlagUpdate(true);
        assertFault(Kind.PERMISSION, 3, false, false, builder.build().walk(0, Access.WRITE));
        TableWalk walk = builder.dirtyState(true).build();
        long result = walk.walk(0, Access.READ);
        assertFalse(WalkResult.permits(result, Access.WRITE), "a TLB must not hide the first write");
        assertEquals(clean, memory.read64(ROOT));
        result = walk.walk(0, Access.WRITE);
        assertTrue(WalkResult.permits(result, Access.WRITE | Access.PRIVILEGED));
        assertEquals(clean & ~Descriptor.AP_READ_ONLY, memory.read64(ROOT));
        memory.write64(ROOT, Long.reverseBytes(clean));
        builder.bigEndian(true).build().walk(0, Access.WRITE);
        assertEquals(clean & ~Descriptor.AP_READ_ONLY, Long.reverseBytes(memory.read64(ROOT)));
    }

    @Test
    void tablesThatForbidWritesAlsoForbidToMakeDirty() {
        long clean = PAGE | USER | CLEAN | TABLE;
        memory.write64(RAM + 0x2000, clean);
        memory.write64(ROOT, RAM + 0x2000 | TABLE | Descriptor.AP_TABLE_READ_ONLY);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 30, 48)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();
        assertFault(Kind.PERMISSION, 3, false, false, walk.walk(0, Access.WRITE));
        assertEquals(clean, memory.read64(RAM + 0x2000));
    }

    @Test
    void updatingAStage1DescriptorIsAWriteAtStage2() {
        long s2 = RAM + 0x10000;
        long old = 0x5000 | USER & ~Descriptor.AF | TABLE;
        memory.write64(ROOT, old);
        long table = RAM + 0x1000 | Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE | TABLE;
        memory.write64(s2 + 8, table);
        memory.write64(s2 + 8 * 5, RAM + 0x5000 | Descriptor.STAGE2_RAM | TABLE);
        TableWalk second = TableWalk.stage2(memory, Granule.KIB_4, s2, 21, 48, 3)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, 0x1000, 21, 48)
                .accessFlagUpdate(true)
                .over(second)
                .build();
        long result = walk.walk(0, Access.READ);
        assertFault(Kind.PERMISSION, 3, true, true, result);
        assertTrue(WalkResult.isTableWrite(result));
        assertEquals(0x1000, WalkResult.address(result));
        assertEquals(old, memory.read64(ROOT));
        memory.write64(s2 + 8, table | Descriptor.DBM);
        assertFalse(WalkResult.isFault(walk.walk(0, Access.READ)));
        assertEquals(old | Descriptor.AF, memory.read64(ROOT));
        assertEquals(table | Descriptor.DBM | Descriptor.S2_WRITE, memory.read64(s2 + 8), "its page is dirty");
        memory.write64(s2 + 8, table & ~Descriptor.S2_READ);
        assertFalse(WalkResult.isTableWrite(walk.walk(0, Access.READ)));
    }

    @Test
    void softwareAndHardwareLoseNoUpdateOfOneDescriptor() throws InterruptedException {
        // Software cleans, clears AF and counts in the address bits; hardware sets AF and makes dirty.
        long counted = 1L << 12;
        memory.write64(ROOT, USER | CLEAN | TABLE);
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 21, 48)
                .accessFlagUpdate(true)
                .dirtyState(true)
                .build();
        int rounds = 2_000_000;
        AtomicBoolean done = new AtomicBoolean();
        AtomicBoolean failed = new AtomicBoolean();
        CountDownLatch started = new CountDownLatch(2);
        Thread[] masters = new Thread[2];
        for (int i = 0; i < masters.length; i++) {
            masters[i] = new Thread(() -> {
                started.countDown();
                while (!done.get()) {
                    failed.compareAndSet(false, !WalkResult.permits(walk.walk(0, Access.WRITE), Access.WRITE));
                }
            });
            masters[i].start();
        }
        started.await();
        for (int i = 0; i < rounds; i++) {
            long old;
            do {
                old = memory.read64(ROOT);
            } while (!memory.compareAndSet64(
                    ROOT, old, (old | Descriptor.AP_READ_ONLY) + counted & ~(i % 2 == 0 ? Descriptor.AF : 0)));
        }
        done.set(true);
        for (Thread master : masters) {
            master.join();
        }
        walk.walk(0, Access.WRITE);
        assertFalse(failed.get());
        assertEquals(rounds * counted | USER | Descriptor.DBM | TABLE, memory.read64(ROOT));
    }

    // Stage 2

    @Test
    void xnxTellsUnprivilegedAndPrivilegedExecutionApart() {
        int user = Access.INSTRUCTION;
        int kernel = Access.INSTRUCTION | Access.PRIVILEGED;
        boolean[][] may = {{true, true}, {true, false}, {false, false}, {false, true}};
        for (int xn = 0; xn < 4; xn++) {
            memory.write64(ROOT, PAGE | Descriptor.STAGE2_RAM | TABLE | (long) xn << 53);
            TableWalk.Builder builder = TableWalk.stage2(memory, Granule.KIB_4, ROOT, 21, 48, 3);
            TableWalk with = builder.xnx(true).build();
            assertEquals(may[xn][0], !WalkResult.isFault(with.walk(0, user)), "XN " + xn);
            assertEquals(may[xn][1], !WalkResult.isFault(with.walk(0, kernel)), "XN " + xn);
            TableWalk without = builder.xnx(false).build();
            assertEquals(xn < 2, !WalkResult.isFault(without.walk(0, user)), "XN " + xn);
            assertEquals(xn < 2, !WalkResult.isFault(without.walk(0, kernel)), "XN " + xn);
        }
    }

    @Test
    void stage1TablesInDeviceMemoryFaultWithS2Ptw() {
        memory.write64(ROOT, 0x1000 | USER | TABLE);
        memory.write64(
                RAM + 0x10008,
                RAM + 0x1000
                        | Descriptor.STAGE2_RAM & ~Descriptor.MEM_ATTR_NORMAL
                        | Descriptor.MEM_ATTR_DEVICE
                        | TABLE);
        TableWalk.Builder second = TableWalk.stage2(memory, Granule.KIB_4, RAM + 0x10000, 21, 48, 3);
        TableWalk.Builder first = TableWalk.stage1(memory, Granule.KIB_4, 0x1000, 21, 48);
        assertFalse(WalkResult.isFault(first.over(second.build()).build().walk(0, Access.READ)));
        TableWalk strict = second.protectedTableWalk(true).build();
        assertFault(Kind.PERMISSION, 3, true, true, first.over(strict).build().walk(0, Access.READ));
        assertFalse(WalkResult.isFault(strict.walk(0x1000, Access.READ)), "clients may");
        assertFault(Kind.PERMISSION, 3, true, false, strict.walkForTable(0x1000, Access.READ));
    }

    // VMSAv8-32 long descriptors: the same format with 32 bits of input

    @Test
    void aLongDescriptorTableFor32BitsHasARootOfFourEntries() {
        long root = RAM + 0x1060;
        TableWalk walk = TableWalk.stage1(memory, Granule.KIB_4, root, 32, 40).build();
        for (long i = 0; i < 4; i++) {
            memory.write64(root + 8 * i, i + 1 << 30 | USER | BLOCK);
            long input = i << 30 | 0x123_4567;
            assertEquals(i + 1 << 30 | 0x123_4567, Translation.address(walk.walk(input, Access.READ), input));
        }
        assertFault(Kind.TRANSLATION, 1, false, false, walk.walk(1L << 32, Access.READ));
        TableWalk second =
                TableWalk.stage2(memory, Granule.KIB_4, root, 32, 40, 1).build();
        memory.write64(root + 24, 1L << 30 | Descriptor.STAGE2_RAM | BLOCK);
        assertEquals(1L << 30 | 5, Translation.address(second.walk(3L << 30 | 5, Access.WRITE), 3L << 30 | 5));
    }

    @Test
    void bitsAbove39OfALongDescriptorAreAnAddressSizeFaultInArmv8AndIgnoredInArmv7() {
        memory.write64(ROOT, RAM + 0x2000 | 0xffL << 40 | TABLE);
        memory.write64(RAM + 0x2000, PAGE | 0xffL << 40 | USER | TABLE);
        TableWalk.Builder builder = TableWalk.stage1(memory, Granule.KIB_4, ROOT, 30, 40);
        assertFault(Kind.ADDRESS_SIZE, 2, false, false, builder.build().walk(0, Access.READ));
        assertEquals(PAGE, Translation.address(builder.addressBits(40).build().walk(0, Access.READ), 0));
    }

    /** A walk whose configuration was invalidated while it went on must leave nothing under a VMID that is used again. */
    @Test
    void whatWasInvalidatedSinceTheEpochIsNotCachedInTheStage2Tlb() {
        long stage2Root = RAM + 0x8000;
        memory.write64(stage2Root, RAM | Descriptor.STAGE2_RAM | BLOCK); // IPA 0 is RAM, 2 MiB.
        Tlb tlb = new Tlb(16, 4);
        TableWalk stage2 = TableWalk.stage2(memory, Granule.KIB_4, stage2Root, 30, 48, 2)
                .cached(tlb, 7)
                .build();
        memory.write64(ROOT, 0x5000 | USER | TABLE);
        TableWalk nested = TableWalk.stage1(memory, Granule.KIB_4, ROOT - RAM, 21, 48)
                .over(stage2)
                .build();
        long epoch = nested.stage2Epoch();
        tlb.invalidateSpace(7);
        assertEquals(RAM + 0x5000, Translation.address(nested.walk(0, Access.READ, epoch), 0));
        assertEquals(Tlb.MISS, tlb.lookUp(7, 0, 0x5000));
        assertEquals(RAM + 0x5000, Translation.address(nested.walk(0, Access.READ, Tlb.NO_EPOCH), 0));
        assertEquals(Tlb.MISS, tlb.lookUp(7, 0, 0x5000));
        nested.walk(0, Access.READ);
        assertEquals(RAM + 0x5000, Translation.address(tlb.lookUp(7, 0, 0x5000), 0));
    }
}
