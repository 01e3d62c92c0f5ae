package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.SplittableRandom;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.TlbGeometry.Replacement;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The same software on two SMMUs, one without any cache and one with: if it invalidates what it changes, nobody can tell
 * them apart. What the one without caches does is what {@code TableWalk} does, which {@code page-tables} compares with a
 * plain interpreter. System property {@code iommuemu.translations}: how many, for each kind of cache.
 */
class CachedTranslationTest {
    private static final int TRANSLATIONS = Integer.getInteger("iommuemu.translations", 100_000);
    private static final TlbGeometry NONE = TlbGeometry.of(1, 1).with(Replacement.NEVER_CACHE);

    // Streams 1 and 2 go through stage 1, 3 through stage 2, 4 through both. All share VMID 1 but stream 3.
    private static final int STREAMS = 4;
    private static final int VMID = 1;
    private static final int STAGE2_VMID = 2;
    private static final long INPUT = 0x2_0000_0000L;
    private static final long OUTPUT = 0x6000_0000L;
    private static final int PAGES = 1024;

    /** A board, and the tables and ports of its streams. */
    private static final class Side {
        final TestBoard board;
        final TableWriter[] stage1 = new TableWriter[STREAMS + 1];
        final TableWriter[] stage2 = new TableWriter[STREAMS + 1];
        final DmaPort[] ports = new DmaPort[STREAMS + 1];

        Side(TlbGeometry tlb, TlbGeometry microTlb) {
            board = new TestBoard(SmmuFeatures.builder().tlb(tlb).build()).enabled();
            for (int stream = 1; stream <= STREAMS; stream++) {
                boolean second = stream >= 3;
                stage1[stream] = stream != 3 ? board.stage1Table() : null;
                stage2[stream] = second ? board.stage2Table() : null;
                long cd = stream != 3 ? board.newCd(stream, stage1[stream].root()) : 0;
                if (stream == 4) {
                    // Tables and CD are at intermediate addresses.
                    stage2[stream].map(TestBoard.RAM, TestBoard.RAM, 0x2000_0000L, Descriptor.STAGE2_RAM);
                }
                board.stream(
                        stream,
                        stream == 3
                                ? TestBoard.stage2(STAGE2_VMID, stage2[stream])
                                : stream == 4
                                        ? TestBoard.nested(VMID, cd, stage2[stream])
                                        : TestBoard.stage1(VMID, cd));
                ports[stream] = new DmaPort(board.bus, board.smmu, stream, Translator.NO_SUBSTREAM, 0, microTlb);
            }
        }

        /** Maps, unmaps or protects a page or block at one of the stages, and invalidates it. */
        void change(int stream, boolean second, int what, int page, int pages, long output, int how) {
            TableWriter table = second ? stage2[stream] : stage1[stream];
            // The first pages of stage 2 are what stage 1's output can be.
            long input = (second && stream == 4 ? OUTPUT : INPUT) + page * 4096L;
            long size = pages * 4096L;
            long attributes = second
                    ? Descriptor.STAGE2_RAM & ~(what == 3 ? Descriptor.S2_WRITE : 0)
                    : STAGE1_RW | (what == 3 ? Descriptor.AP_READ_ONLY : 0);
            try {
                switch (what) {
                    case 0 -> table.unmap(input, size);
                    case 3 -> table.protect(input, size, attributes);
                    default -> table.map(input, output, size, attributes);
                }
            } catch (MappingException e) {
                return; // Both boards refuse it.
            }
            invalidate(stream, second, input, pages, how);
        }

        private void invalidate(int stream, boolean second, long input, int pages, int how) {
            long vmid = (stream == 3 ? STAGE2_VMID : VMID) * (1L << 32);
            if (how == 0) {
                board.command(0x30, 0); // CMD_TLBI_NSNH_ALL
            } else if (second && (how == 1 || pages > 8)) {
                board.command(0x28 | vmid, 0); // CMD_TLBI_S12_VMALL
            } else if (second) {
                for (int i = 0; i < pages; i++) {
                    board.command(0x2a | vmid, input + i * 4096L); // CMD_TLBI_S2_IPA
                }
                board.command(0x10 | vmid, 0); // CMD_TLBI_NH_ALL
            } else if (how == 1 || pages > 8) {
                board.command(0x11 | vmid | (long) stream << 48, 0); // CMD_TLBI_NH_ASID
            } else {
                for (int i = 0; i < pages; i++) {
                    board.command(0x12 | vmid | (long) stream << 48, input + i * 4096L); // CMD_TLBI_NH_VA
                }
            }
            board.sync();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "512, 4, PSEUDO_LRU, 256, 1",
        "1, 2, PSEUDO_LRU, 4, 2",
        "16, 4, RANDOM, 8, 4",
        "4, 2, CAPACITY_ONLY, 1, 1",
        "64, 8, CACHE_FOR_EVER, 1, 64"
    })
    void cachesMakeNoDifferenceToWhoInvalidates(
            int sets, int ways, Replacement replacement, int microSets, int microWays) {
        Side plain = new Side(NONE, NONE);
        Side cached = new Side(
                TlbGeometry.of(sets, ways).with(replacement),
                TlbGeometry.of(microSets, microWays).with(replacement));
        SplittableRandom random = new SplittableRandom(sets * 31L + ways);
        int translated = 0;
        int faults = 0;
        for (int i = 0; i < TRANSLATIONS; i++) {
            int stream = 1 + random.nextInt(STREAMS);
            if (random.nextInt(40) == 0) {
                boolean second = stream == 3 || stream == 4 && random.nextBoolean();
                int what = random.nextInt(6);
                int pages = random.nextInt(8) == 0 && what != 0 ? 512 : 1 + random.nextInt(6);
                int page = pages == 512 ? 512 * random.nextInt(PAGES / 512) : random.nextInt(PAGES - pages);
                long output = OUTPUT + (pages == 512 ? 0 : random.nextInt(PAGES - pages) * 4096L);
                int how = random.nextInt(4);
                plain.change(stream, second, what, page, pages, output, how);
                cached.change(stream, second, what, page, pages, output, how);
            }
            // Some pages more often than others.
            int page = random.nextBoolean() ? random.nextInt(8) * 3 : random.nextInt(PAGES + 8);
            long address = INPUT + page * 4096L + random.nextInt(4096);
            boolean write = random.nextInt(3) == 0;
            long expected = plain.ports[stream].translate(address, write);
            long actual = cached.ports[stream].translate(address, write);
            String where = "translation %d, stream %d, 0x%x, write %b".formatted(i, stream, address, write);
            assertEquals(Translation.translated(expected), Translation.translated(actual), where);
            if (Translation.translated(expected)) {
                translated++;
                assertEquals(Translation.address(expected, address), Translation.address(actual, address), where);
                assertEquals(Translation.attributes(expected), Translation.attributes(actual), where);
                assertEquals(Translation.shareability(expected), Translation.shareability(actual), where);
            } else {
                faults++;
            }
            List<long[]> events = plain.board.events();
            List<long[]> others = cached.board.events();
            assertEquals(events.size(), others.size(), where);
            for (int n = 0; n < events.size(); n++) {
                assertArrayEquals(events.get(n), others.get(n), where);
            }
        }
        assertTrue(translated > TRANSLATIONS / 10 && faults > TRANSLATIONS / 10, translated + ", " + faults);
    }
}
