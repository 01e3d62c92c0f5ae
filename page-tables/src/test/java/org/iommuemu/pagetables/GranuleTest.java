package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class GranuleTest {
    @Test
    void anEntryMapsWhatTheArchitectureSays() {
        assertEquals(1L << 39, 1L << Granule.KIB_4.entryShift(0));
        assertEquals(1L << 30, 1L << Granule.KIB_4.entryShift(1));
        assertEquals(2L << 20, 1L << Granule.KIB_4.entryShift(2));
        assertEquals(4L << 10, 1L << Granule.KIB_4.entryShift(3));
        assertEquals(32L << 20, 1L << Granule.KIB_16.entryShift(2));
        assertEquals(16L << 10, Granule.KIB_16.bytes());
        assertEquals(512L << 20, 1L << Granule.KIB_64.entryShift(2));
        assertEquals(1L << 42, 1L << Granule.KIB_64.entryShift(1));
        assertEquals(16, Granule.KIB_64.shift());
    }

    @ParameterizedTest
    @EnumSource(Granule.class)
    void aLevelResolvesAsManyBitsAsATableHasEntries(Granule granule) {
        assertEquals(granule.bytes() / 8, 1L << granule.levelBits());
    }

    @ParameterizedTest
    @CsvSource({
        "KIB_4,52,-1",
        "KIB_4,49,-1",
        "KIB_4,48,0",
        "KIB_4,40,0",
        "KIB_4,39,1",
        "KIB_4,31,1",
        "KIB_4,30,2",
        "KIB_4,25,2",
        "KIB_4,22,2",
        "KIB_4,21,3",
        "KIB_16,52,0",
        "KIB_16,48,0",
        "KIB_16,47,1",
        "KIB_16,37,1",
        "KIB_16,36,2",
        "KIB_16,26,2",
        "KIB_16,25,3",
        "KIB_64,48,1",
        "KIB_64,43,1",
        "KIB_64,42,2",
        "KIB_64,30,2",
        "KIB_64,29,3",
        "KIB_64,52,1"
    })
    void aStage1WalkStartsAtTheLevelThatTheInputSizeNeeds(Granule granule, int inputBits, int level) {
        assertEquals(level, granule.stage1StartLevel(inputBits));
    }

    @Test
    void blocksExistAtLevel2AndWith4KibAtLevel1() {
        for (Granule granule : Granule.values()) {
            assertFalse(granule.hasBlocks(0));
            assertEquals(granule == Granule.KIB_4, granule.hasBlocks(1));
            assertTrue(granule.hasBlocks(2));
            assertFalse(granule.hasBlocks(3));
        }
    }

    @Test
    void with52BitAddressesBlocksAreOneLevelLarger() {
        for (Granule granule : Granule.values()) {
            int first = granule == Granule.KIB_4 ? 0 : 1;
            for (int level = -1; level <= 3; level++) {
                assertEquals(level >= first && level <= 2, granule.hasBlocks(level, true));
            }
        }
    }

    @Test
    void theContiguousHintJoinsWhatTheArchitectureSays() {
        assertEquals(64L << 10, 1L << Granule.KIB_4.entryShift(3) + Granule.KIB_4.contiguousBits(3));
        assertEquals(32L << 20, 1L << Granule.KIB_4.entryShift(2) + Granule.KIB_4.contiguousBits(2));
        assertEquals(16L << 30, 1L << Granule.KIB_4.entryShift(1) + Granule.KIB_4.contiguousBits(1));
        assertEquals(2L << 20, 1L << Granule.KIB_16.entryShift(3) + Granule.KIB_16.contiguousBits(3));
        assertEquals(1L << 30, 1L << Granule.KIB_16.entryShift(2) + Granule.KIB_16.contiguousBits(2));
        assertEquals(2L << 20, 1L << Granule.KIB_64.entryShift(3) + Granule.KIB_64.contiguousBits(3));
        assertEquals(16L << 30, 1L << Granule.KIB_64.entryShift(2) + Granule.KIB_64.contiguousBits(2));
        assertEquals(
                0,
                Granule.KIB_4.contiguousBits(0) + Granule.KIB_16.contiguousBits(1) + Granule.KIB_64.contiguousBits(1));
    }

    @ParameterizedTest
    @CsvSource({
        "KIB_4,-1,52,true", "KIB_4,-1,49,true", "KIB_16,-1,52,false", "KIB_4,0,52,true", "KIB_64,1,52,true",
        "KIB_4,0,40,true", "KIB_4,1,40,true", "KIB_4,1,43,true", "KIB_4,1,44,false", "KIB_4,0,39,false",
        "KIB_4,2,34,true", "KIB_4,2,35,false", "KIB_4,2,30,true", "KIB_4,3,25,true", "KIB_4,3,26,false",
        "KIB_4,-1,48,false", "KIB_4,4,13,false", "KIB_16,1,48,true", "KIB_16,2,40,true", "KIB_16,2,41,false",
        "KIB_64,2,46,true", "KIB_64,2,47,false", "KIB_64,1,43,true", "KIB_64,1,42,false", "KIB_64,3,33,true"
    })
    void aStage2WalkStartsWhereAtMost16TablesAreConcatenated(Granule granule, int level, int inputBits, boolean legal) {
        assertEquals(legal, granule.isStage2StartLevel(level, inputBits));
    }
}
