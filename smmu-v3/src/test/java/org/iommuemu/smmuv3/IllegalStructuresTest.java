package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** SteIllegal() and CdIllegal() clause by clause. */
class IllegalStructuresTest {
    private static final SmmuFeatures FEATURES = SmmuFeatures.smmuv3_2();

    private static void set(long[] words, int high, int low, long value) {
        long mask = -1L >>> 63 - (high - low) << (low & 63);
        words[low >>> 6] = words[low >>> 6] & ~mask | value << (low & 63) & mask;
    }

    private static StreamTableEntry ste(int config) {
        long[] words = new long[8];
        set(words, 0, 0, 1);
        set(words, 3, 1, config);
        // S2T0SZ 24, S2SL0 1, S2PS 48 bits, S2AA64
        words[2] = (24L | 1 << 6 | 5 << 16) << 32 | 1L << 51;
        return new StreamTableEntry(words);
    }

    @ParameterizedTest
    @CsvSource({
        // config, bits, value, legal
        "5, 63, 59, 16, true",
        "5, 63, 59, 17, false",
        "6, 63, 59, 17, true",
        "5, 95, 94, 0, true",
        "5, 95, 94, 1, false",
        "5, 95, 94, 2, true",
        "5, 95, 94, 3, false",
        "7, 95, 94, 3, true",
        "4, 95, 94, 3, true",
        "5, 91, 91, 1, false",
        "6, 91, 91, 1, true",
        "5, 51, 48, 1, false",
        "6, 179, 179, 0, false",
        "5, 179, 179, 0, true",
        "6, 175, 174, 3, false",
        "6, 175, 174, 1, true",
        "6, 165, 160, 15, false",
        "6, 165, 160, 40, false",
        "6, 165, 160, 25, true",
        "6, 167, 166, 3, false",
        "6, 167, 166, 0, false",
        "6, 167, 166, 2, true",
        "6, 180, 180, 1, true",
        "6, 183, 183, 1, false",
        "6, 184, 184, 1, false",
        "6, 185, 185, 1, true",
        "6, 243, 240, 1, false",
        "4, 243, 240, 1, true",
    })
    void steIllegal(int config, int high, int low, long value, boolean legal) {
        StreamTableEntry ste = ste(config);
        set(ste.words(), high, low, value);
        assertEquals(legal, ste.illegal(FEATURES) == null, ste.illegal(FEATURES));
    }

    @Test
    void s2TtbIsBoundedByS2Ps() {
        StreamTableEntry ste = ste(6);
        set(ste.words(), 178, 176, 0);
        set(ste.words(), 243, 196, 1L << 32 - 4);
        assertTrue(ste.illegal(FEATURES).startsWith("S2TTB"));
    }

    @Test
    void stageThatIsNotImplementedIsIllegal() {
        SmmuFeatures stage1Only = SmmuFeatures.qemuVirt();
        SmmuFeatures stage2Only = SmmuFeatures.builder()
                .without(SmmuFeature.S1P, SmmuFeature.HYP, SmmuFeature.ASID16, SmmuFeature.CD2L, SmmuFeature.HAD)
                .ssidSize(0)
                .build();
        assertNotNull(ste(6).illegal(stage1Only));
        assertNotNull(ste(7).illegal(stage1Only));
        assertNotNull(ste(5).illegal(stage2Only));
        assertNull(ste(6).illegal(stage2Only));
    }

    @Test
    void eightBitIdentifiers() {
        SmmuFeatures narrow = SmmuFeatures.builder()
                .without(SmmuFeature.ASID16, SmmuFeature.VMID16)
                .build();
        StreamTableEntry ste = ste(6);
        set(ste.words(), 143, 128, 0x100);
        assertNull(ste.illegal(FEATURES));
        assertNotNull(ste.illegal(narrow));
        ContextDescriptor cd = cd(words -> set(words, 63, 48, 0x100));
        assertNull(cd.illegal(StreamWorld.NS_EL1, FEATURES));
        assertNotNull(cd.illegal(StreamWorld.NS_EL1, narrow));
        assertNull(cd.illegal(StreamWorld.NS_EL2, narrow), "EL2 has no ASIDs");
    }

    private static ContextDescriptor cd(Consumer<long[]> change) {
        long[] words = Arrays.copyOf(TestBoard.cd(0, 0x4000_0000L), 8);
        change.accept(words);
        return new ContextDescriptor(words);
    }

    @ParameterizedTest
    @CsvSource({
        "5, 0, 15, false",
        "5, 0, 39, true",
        "5, 0, 40, false",
        "7, 6, 3, false",
        "7, 6, 2, true",
        "15, 15, 1, true",
        "41, 41, 0, false",
        "42, 42, 1, false",
        "43, 43, 1, false",
        "44, 44, 1, true",
        "46, 46, 0, true",
        "34, 32, 7, true",
        "115, 112, 1, false",
        "21, 16, 0, true",
        "30, 30, 0, false",
    })
    void cdIllegal(int high, int low, long value, boolean legal) {
        ContextDescriptor cd = cd(words -> set(words, high, low, value));
        String rule = cd.illegal(StreamWorld.NS_EL1, FEATURES);
        assertEquals(legal, rule == null, rule);
    }
}
