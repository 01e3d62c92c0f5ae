package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.iommuemu.mmio.Translation;
import org.junit.jupiter.api.Test;

class TlbTest {
    private static final long VA = 0x7_1234_5000L;

    private final Tlb tlb = new Tlb(64, 4);

    private static long local(long page, int log2Size) {
        return Translation.of(page, log2Size, 0xff, 3) | WalkResult.NG | WalkResult.PERMISSIONS;
    }

    private static long global(long page, int log2Size) {
        return Translation.of(page, log2Size, 0xff, 3) | WalkResult.UR;
    }

    private void fill(int space, int asid, long input, long value) {
        tlb.fill(space, asid, input, value, tlb.epoch());
    }

    @Test
    void anEmptyTlbMisses() {
        assertEquals(Tlb.MISS, tlb.lookUp(0, 0, 0));
        tlb.invalidateAddress(0, -1, 0);
        assertEquals(Tlb.MISS, tlb.lookUp(0, 0, 0));
    }

    @Test
    void aHitGivesWhatWasFilledAndOnlyForItsPageSpaceAndAsid() {
        long value = local(0x8_8000_3000L, 12);
        fill(1, 2, VA, value);
        assertEquals(value, tlb.lookUp(1, 2, VA));
        assertEquals(value, tlb.lookUp(1, 2, VA + 0xfff));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA + 0x1000));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA - 1));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 3, VA));
        assertEquals(Tlb.MISS, tlb.lookUp(2, 2, VA));
    }

    @Test
    void aGlobalEntryServesAllAsidsOfItsSpace() {
        long value = global(0x8000_0000L, 12);
        fill(1, 2, VA, value);
        assertEquals(value, tlb.lookUp(1, 0xffff, VA));
        assertEquals(Tlb.MISS, tlb.lookUp(0, 2, VA));
    }

    @Test
    void aGlobalEntryServesOnlyItsSetOfAsids() {
        long value = global(0x8000_0000L, 12);
        fill(1, 2 | Tlb.ASID_SET, VA, value);
        assertEquals(value, tlb.lookUp(1, 3 | Tlb.ASID_SET, VA));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA));
        fill(1, 2, VA, global(0x9000_0000L, 12));
        assertEquals(value, tlb.lookUp(1, 2 | Tlb.ASID_SET, VA), "both at once");
        tlb.invalidateAddress(1, 7, VA);
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2 | Tlb.ASID_SET, VA));
    }

    @Test
    void anEntryOfAnAsidServesBothSets() {
        long value = local(0x8000_0000L, 12);
        fill(1, 2, VA, value);
        assertEquals(value, tlb.lookUp(1, 2 | Tlb.ASID_SET, VA));
        tlb.invalidateAsid(1, 2);
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2 | Tlb.ASID_SET, VA));
    }

    @Test
    void aBlockServesAllItsPagesFromWhicheverItWasFilled() {
        for (int log2Size : new int[] {14, 16, 21, 25, 29, 30, 36, 39}) {
            Tlb one = new Tlb(4, 2);
            long input = 3L << 40 | 0x1234_5678L & (1L << log2Size) - 1;
            long base = 5L << 41;
            long offset = input & (1L << log2Size) - 1;
            one.fill(1, 2, input, local(base | offset, log2Size), one.epoch());
            for (long other : new long[] {0, 0x1000, offset, (1L << log2Size) - 1}) {
                long found = one.lookUp(1, 2, 3L << 40 | other);
                assertEquals(base | other, Translation.address(found, other));
                assertEquals(log2Size, Translation.log2Size(found));
                assertEquals(0xff, Translation.attributes(found));
                assertTrue(WalkResult.isNotGlobal(found));
            }
            assertEquals(Tlb.MISS, one.lookUp(1, 2, (3L << 40) + (1L << log2Size)));
            assertEquals(Tlb.MISS, one.lookUp(1, 2, (3L << 40) - 1));
        }
    }

    @Test
    void inputsOfTheUpperHalfAreCachedToo() {
        long input = -1L << 39 | 0x5000;
        fill(1, 2, input, local(0x9000, 12));
        fill(1, 2, -1L << 30, local(0x4000_0000L, 30));
        assertEquals(0x9123, Translation.address(tlb.lookUp(1, 2, input + 0x123), 0x123));
        assertEquals(0x7fff_f000L, Translation.address(tlb.lookUp(1, 2, -1), 0));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, input & (1L << 48) - 1));
    }

    /** Two spaces, two ASIDs, a global entry, several addresses and sizes; then one invalidation. */
    private void fillAll() {
        for (int space = 1; space <= 2; space++) {
            for (int asid = 5; asid <= 6; asid++) {
                fill(space, asid, VA, local(0x1000L * (10 * space + asid), 12));
                fill(space, asid, VA + 0x1000, local(0x1000L * (100 + 10 * space + asid), 12));
                fill(space, asid, 1L << 40, local((long) space << 32 | (long) asid << 22, 21));
            }
            fill(space, 5, 0x2_0000_0000L, global(0x3_0000_0000L, 30));
        }
    }

    private String hits() {
        StringBuilder hits = new StringBuilder();
        for (int space = 1; space <= 2; space++) {
            for (int asid = 5; asid <= 6; asid++) {
                hits.append(tlb.lookUp(space, asid, VA) != 0 ? 'a' : '-');
                hits.append(tlb.lookUp(space, asid, VA + 0x1000) != 0 ? 'b' : '-');
                hits.append(tlb.lookUp(space, asid, (1L << 40) + 0x12_3000) != 0 ? 'c' : '-');
                hits.append(tlb.lookUp(space, asid, 0x2_0000_5000L) != 0 ? 'g' : '-');
                hits.append(' ');
            }
        }
        return hits.toString().trim();
    }

    @Test
    void everyInvalidationHitsExactlyWhatItNames() {
        fillAll();
        assertEquals("abcg abcg abcg abcg", hits());
        tlb.invalidateAddress(1, 5, VA + 0x7ff);
        assertEquals("-bcg abcg abcg abcg", hits());
        tlb.invalidateAddress(1, -1, VA + 0x1000);
        assertEquals("--cg a-cg abcg abcg", hits());
        tlb.invalidateAddress(2, 6, (1L << 40) + 0x1f_f000);
        assertEquals("--cg a-cg abcg ab-g", hits());
        tlb.invalidateAddress(2, 6, 0x2_3fff_f000L);
        assertEquals("--cg a-cg abc- ab--", hits(), "global entries are every ASID's");
        tlb.invalidateAsid(1, 5);
        assertEquals("---g a-cg abc- ab--", hits(), "global entries are no ASID's");
        tlb.invalidateSpace(2);
        assertEquals("---g a-cg ---- ----", hits());
        tlb.invalidateAll();
        assertEquals("---- ---- ---- ----", hits());
        fillAll();
        assertEquals("abcg abcg abcg abcg", hits(), "and what comes later is cached again");
    }

    @Test
    void anAddressIsInvalidatedInEverySizeThatCoversIt() {
        fill(1, 2, VA, local(0x1000, 12));
        fill(1, 2, VA, local(0x200_0000 + (VA & 0x1f_ffff), 21));
        fill(1, 2, VA, local(0x4000_0000L + (VA & 0x3fff_ffff), 30));
        tlb.invalidateAddress(1, 2, VA);
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA ^ 0x2000));
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA ^ 0x40_0000));
    }

    @Test
    void aWalkThatAnInvalidationOvertookIsNotCached() {
        Runnable[] invalidations = {
            tlb::invalidateAll,
            () -> tlb.invalidateSpace(1),
            () -> tlb.invalidateAsid(1, 2),
            () -> tlb.invalidateAddress(1, 2, VA),
            () -> tlb.invalidateAddress(1, -1, VA)
        };
        for (Runnable invalidation : invalidations) {
            long before = tlb.epoch();
            invalidation.run();
            tlb.fill(1, 2, VA, local(0x1000, 12), before);
            assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA));
            fill(1, 2, VA, local(0x2000, 12));
            assertEquals(local(0x2000, 12), tlb.lookUp(1, 2, VA));
        }
    }

    @Test
    void aNewTranslationReplacesTheOldOne() {
        fill(1, 2, VA, local(0x1000, 12));
        fill(1, 2, VA, local(0x2000, 12));
        assertEquals(local(0x2000, 12), tlb.lookUp(1, 2, VA));
        tlb.invalidateAddress(1, 2, VA);
        assertEquals(Tlb.MISS, tlb.lookUp(1, 2, VA), "there is no second copy");
    }

    @Test
    void staleEntriesAreReplacedBeforeLiveOnes() {
        Tlb one = new Tlb(1, 4);
        for (int i = 0; i < 4; i++) {
            one.fill(1, i == 2 ? 9 : 5, i * 0x1000L, local(i * 0x1000L, 12), one.epoch());
        }
        one.invalidateAsid(1, 9);
        one.fill(1, 5, 0x9000, local(0x9000, 12), one.epoch());
        for (int i : new int[] {0, 1, 3, 9}) {
            assertEquals(local(i * 0x1000L, 12), one.lookUp(1, 5, i * 0x1000L));
        }
    }

    @Test
    void aFullSetStillTakesNewTranslations() {
        Tlb one = new Tlb(1, 2);
        for (int i = 0; i < 100; i++) {
            one.fill(1, 5, i * 0x1000L, local(i * 0x1000L, 12), one.epoch());
            assertEquals(local(i * 0x1000L, 12), one.lookUp(1, 5, i * 0x1000L));
        }
    }

    @Test
    void aViewSeesWhatIsFilledAndInvalidatedLater() {
        TlbView view = new TlbView(tlb, 1, 5);
        TlbView otherSet = new TlbView(tlb, 1, 5 | Tlb.ASID_SET);
        assertEquals(Tlb.MISS, view.lookUp(VA));
        view.fill(VA, local(0x1000, 12), tlb.epoch());
        fill(1, 6, VA + 0x1000, local(0x2000, 12));
        fill(1, 6, VA + 0x2000, global(0x3000, 12));
        assertEquals(local(0x1000, 12), view.lookUp(VA + 0x123));
        assertEquals(local(0x1000, 12), tlb.lookUp(1, 5, VA));
        assertEquals(Tlb.MISS, view.lookUp(VA + 0x1000), "of another ASID");
        assertEquals(global(0x3000, 12), view.lookUp(VA + 0x2000));
        assertEquals(local(0x1000, 12), otherSet.lookUp(VA));
        assertEquals(Tlb.MISS, otherSet.lookUp(VA + 0x2000), "global in the other set of ASIDs");
        tlb.invalidateAsid(1, 5);
        assertEquals(Tlb.MISS, view.lookUp(VA));
        assertEquals(global(0x3000, 12), view.lookUp(VA + 0x2000));
        tlb.invalidateSpace(1);
        assertEquals(Tlb.MISS, view.lookUp(VA + 0x2000));
    }

    @Test
    void evictionNeverMakesALookUpWrong() {
        // Far more translations than room; every hit must be right, and the last fill of all must be there.
        Tlb small = new Tlb(4, 2);
        SplittableRandom random = new SplittableRandom(7);
        int hits = 0;
        for (int i = 0; i < 200_000; i++) {
            int space = random.nextInt(3);
            int asid = random.nextInt(3);
            long page = random.nextInt(32);
            long input = page << 21 | random.nextInt(1 << 21);
            // 2 MiB blocks at even pages, 4 KiB pages at odd ones; global in space 2.
            int log2Size = page % 2 == 0 ? 21 : 12;
            long address = (1 + space * 8L + (space == 2 ? 0 : asid)) << 32 | input;
            long value = (space == 2 ? global(address, log2Size) : local(address, log2Size));
            long found = small.lookUp(space, asid, input);
            if (found == Tlb.MISS) {
                small.fill(space, asid, input, value, small.epoch());
                found = small.lookUp(space, asid, input);
            } else {
                hits++;
            }
            assertEquals(value, found);
            assertEquals(value, new TlbView(small, space, asid).lookUp(input));
        }
        assertTrue(hits > 1000, "hits: " + hits);
    }

    @Test
    void shapesThatAreNoneAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new Tlb(3, 1));
        assertThrows(IllegalArgumentException.class, () -> new Tlb(0, 1));
        assertThrows(IllegalArgumentException.class, () -> new Tlb(4, 0));
    }

    @Test
    void aWalkThatAnInvalidationOvertookEvictsNothing() {
        Tlb one = new Tlb(1, 1);
        long before = one.epoch();
        one.invalidateAsid(1, 9);
        one.fill(1, 5, VA, local(0x1000, 12), one.epoch());
        one.fill(1, 5, VA + 0x1000, local(0x2000, 12), before);
        assertEquals(local(0x1000, 12), one.lookUp(1, 5, VA));
    }
}
