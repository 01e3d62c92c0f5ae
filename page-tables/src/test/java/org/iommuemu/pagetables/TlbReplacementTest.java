package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.BitSet;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.TlbGeometry.Replacement;
import org.iommuemu.mmio.Translation;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What gives way in a full set: here a TLB of one set, so that every page is in it. */
class TlbReplacementTest {
    private static final int WAYS = 4;
    private static final TlbGeometry ONE_SET = TlbGeometry.of(1, WAYS);

    private static void fill(Tlb tlb, int page) {
        tlb.fill(1, 0, page * 4096L, Translation.of(page * 4096L, 12, 0xff, 3) | WalkResult.UR, tlb.epoch());
    }

    private static boolean has(Tlb tlb, int page) {
        return tlb.lookUp(1, 0, page * 4096L) != Tlb.MISS;
    }

    private static Tlb full(TlbGeometry geometry) {
        Tlb tlb = new Tlb(geometry);
        for (int page = 0; page < WAYS; page++) {
            fill(tlb, page);
        }
        return tlb;
    }

    private static BitSet cached(Tlb tlb, int pages) {
        BitSet cached = new BitSet();
        for (int page = 0; page < pages; page++) {
            if (has(tlb, page)) {
                cached.set(page);
            }
        }
        return cached;
    }

    @Test
    void pseudoLruKeepsWhatIsHit() {
        Tlb tlb = full(ONE_SET);
        for (int page = WAYS; page < 100; page++) {
            assertTrue(has(tlb, 0), "page 0 is hit before every fill");
            fill(tlb, page);
        }
        assertTrue(has(tlb, 0));
        assertTrue(has(tlb, 99), "the newest entry is not the victim");
    }

    @Test
    void capacityOnlyEvictsInTurnWhateverIsHit() {
        Tlb tlb = full(ONE_SET.with(Replacement.CAPACITY_ONLY));
        assertTrue(has(tlb, 0));
        fill(tlb, 4);
        BitSet expected = new BitSet();
        expected.set(1, 5);
        assertEquals(expected, cached(tlb, 5));
    }

    @Test
    void randomReplacementIsTheSameForTheSameSeed() {
        BitSet[] left = new BitSet[3];
        for (int i = 0; i < 3; i++) {
            Tlb tlb = full(ONE_SET.random(i == 2 ? 77 : 42));
            for (int page = WAYS; page < 40; page++) {
                fill(tlb, page);
            }
            left[i] = cached(tlb, 40);
        }
        assertEquals(left[0], left[1]);
        assertNotEquals(left[0], left[2]);
        assertEquals(WAYS, left[0].cardinality());
    }

    @Test
    void whatIsCachedForEverStaysUntilItIsInvalidated() {
        Tlb tlb = full(ONE_SET.with(Replacement.CACHE_FOR_EVER));
        for (int page = WAYS; page < 40; page++) {
            fill(tlb, page);
        }
        BitSet expected = new BitSet();
        expected.set(0, WAYS);
        assertEquals(expected, cached(tlb, 40));
        tlb.invalidateAddress(1, 0, 2 * 4096);
        fill(tlb, 39);
        expected.clear(2);
        expected.set(39);
        assertEquals(expected, cached(tlb, 40));
    }

    @Test
    void aTlbThatNeverCachesNeverHits() {
        assertEquals(new BitSet(), cached(full(ONE_SET.with(Replacement.NEVER_CACHE)), WAYS));
    }

    @ParameterizedTest
    @EnumSource(
            names = {"NEVER_CACHE"},
            mode = EnumSource.Mode.EXCLUDE)
    void staleEntriesGiveWayFirst(Replacement replacement) {
        Tlb tlb = full(ONE_SET.with(replacement));
        tlb.invalidateAddress(1, 0, 3 * 4096);
        fill(tlb, 7);
        for (int page : new int[] {0, 1, 2, 7}) {
            assertTrue(has(tlb, page), () -> replacement + " lost page " + page);
        }
    }

    @Test
    void aShapeThatIsNoneIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> TlbGeometry.of(3, 4));
        assertThrows(IllegalArgumentException.class, () -> TlbGeometry.of(0, 4));
        assertThrows(IllegalArgumentException.class, () -> TlbGeometry.of(4, 0));
        assertThrows(IllegalArgumentException.class, () -> TlbGeometry.of(4, 65));
    }
}
