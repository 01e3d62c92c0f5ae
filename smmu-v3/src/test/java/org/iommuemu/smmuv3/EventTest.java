package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.EVENTQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Event records (IHI 0070, 7.3): their bits, and which of them share a record. */
class EventTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final long SID = 0x89ab_cdefL << 32;
    private static final Transaction PLAIN =
            new Transaction(0x89ab_cdef, Translator.NO_SUBSTREAM, 0xff00_1234_5678L, 0);
    private static final Transaction SUBSTREAM = new Transaction(
            0x89ab_cdef, 0x12345, 0xff00_1234_5678L, Access.WRITE | Access.PRIVILEGED | Access.INSTRUCTION);

    private static long[] words(Event event) {
        return new long[] {event.word0(), event.word1(), event.word2(), event.word3()};
    }

    @ParameterizedTest
    @CsvSource({"C_BAD_STREAMID, 2", "C_BAD_STE, 4", "C_BAD_CD, 10", "F_CFG_CONFLICT, 0x21"})
    void configurationErrorsHaveStreamAndSubstream(Event.Type type, int number) {
        assertArrayEquals(new long[] {number | SID, 0, 0, 0}, words(Event.configuration(type, PLAIN)));
        assertArrayEquals(
                new long[] {number | 1 << 11 | 0x12345000L | SID, 0, 0, 0},
                words(Event.configuration(type, SUBSTREAM)));
    }

    @Test
    void aBadSubstreamHasNoSsv() {
        assertArrayEquals(
                new long[] {8 | 0x12345000L | SID, 0, 0, 0},
                words(Event.configuration(Event.Type.C_BAD_SUBSTREAMID, SUBSTREAM)));
    }

    @Test
    void aDisabledStreamHasNothingElse() {
        assertArrayEquals(new long[] {6 | SID, 0, 0, 0}, words(Event.streamDisabled(0x89ab_cdef)));
    }

    @ParameterizedTest
    @CsvSource({"F_STE_FETCH, 3", "F_CD_FETCH, 9", "F_VMS_FETCH, 0x25"})
    void fetchesHaveTheAddress(Event.Type type, int number) {
        assertArrayEquals(
                new long[] {number | SID, 0, 0, 0x000f_1234_5678_9ab8L},
                words(Event.fetch(type, PLAIN, 0x000f_1234_5678_9abcL)));
    }

    @Test
    void aBadAtsTranslationRequestHasWhatItAskedFor() {
        assertArrayEquals(
                new long[] {5 | 1 << 11 | 0x12345000L | SID, 0xfL << 28 | 3, 0xff00_1234_5000L, 0},
                words(Event.badAtsTranslationRequest(SUBSTREAM, true, true, true, 3)));
        assertArrayEquals(
                new long[] {5 | SID, 1L << 31, 0xff00_1234_5000L, 0},
                words(Event.badAtsTranslationRequest(PLAIN, false, false, false, 0)));
    }

    @Test
    void aForbiddenTranslatedAccessHasItsDirection() {
        assertArrayEquals(
                new long[] {7 | SID, 1L << 35, 0xff00_1234_5678L, 0}, words(Event.translatedForbidden(PLAIN)));
        assertEquals(0, Event.translatedForbidden(SUBSTREAM).word1());
    }

    @ParameterizedTest
    @CsvSource({"F_TRANSLATION, 0x10", "F_ADDR_SIZE, 0x11", "F_ACCESS, 0x12", "F_PERMISSION, 0x13"})
    void translationFaultsHaveAccessStageClassAndIpa(Event.Type type, int number) {
        Event stage1 = Event.translation(type, PLAIN, false, Event.FaultClass.IN, 0);
        assertArrayEquals(
                new long[] {number | SID, 2L << 40 | 1L << 35, 0xff00_1234_5678L, 0}, words(stage1), "a read");
        Event stage2 = Event.translation(type, SUBSTREAM, true, Event.FaultClass.TT, 0x1234_5000L);
        assertArrayEquals(
                new long[] {
                    number | 1 << 11 | 0x12345000L | SID,
                    1L << 40 | 1L << 39 | 1L << 33 | 1L << 34,
                    0xff00_1234_5678L,
                    0x1234_5000L
                },
                words(stage2),
                "a write, privileged, as told");
        assertEquals(stage1.word1() | 1L << 31 | 0xabcd, stage1.stalled(0xabcd).word1(), "Stall and STAG");
    }

    @Test
    void anUnsupportedTransactionIsRecordedAsItArrived() {
        try (TestBoard board = new TestBoard().enabled()) {
            board.smmu.unsupported(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.PRIVILEGED);
            assertArrayEquals(new long[] {1 | (long) DEVICE << 32, 1L << 35 | 1L << 33, IOVA, 0}, board.event());
        }
        assertArrayEquals(
                new long[] {1 | 1 << 11 | 0x12345000L | SID, 1L << 33 | 1L << 34, 0xff00_1234_5678L, 0},
                words(Event.unsupported(SUBSTREAM)));
    }

    @Test
    void aTlbConflictHasAccessAndIpa() {
        assertArrayEquals(
                new long[] {0x20 | SID, 1L << 35, 0xff00_1234_5678L, 0}, words(Event.tlbConflict(PLAIN, false)));
        assertArrayEquals(
                new long[] {
                    0x20 | 1 << 11 | 0x12345000L | SID,
                    1L << 39 | 1L << 33 | 1L << 34,
                    0xff00_1234_5678L,
                    0xff00_1234_5000L
                },
                words(Event.tlbConflict(SUBSTREAM, true)));
    }

    // Conflicts

    private static TestBoard board(boolean detects) {
        SmmuFeatures.Builder features = SmmuFeatures.builder();
        return new TestBoard((detects
                                ? features.with(
                                        SmmuOption.DETECTS_TLB_CONFLICTS, SmmuOption.DETECTS_CONFIGURATION_CONFLICTS)
                                : features)
                        .build())
                .enabled();
    }

    /** A table changed without break-before-make (3.17). */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aBlockOverACachedPageIsAConflictWhereDetected(boolean detects) {
        long page = 0x4060_0000L;
        try (TestBoard board = board(detects)) {
            TableWriter table = board.stage1Table();
            table.map(page, board.allocate(2 << 20), 4096, STAGE1_RW);
            board.stream(DEVICE, TestBoard.stage1(0, board.newCd(5, table.root())));
            assertEquals(Response.OK, board.dmaRead(DEVICE, page));
            long[] entries = new long[4];
            long next = table.root();
            for (int level = 0; level < 4; level++) {
                entries[level] = next + 8 * (page >>> 39 - 9 * level & 0x1ff);
                next = board.bus.read64(entries[level]) & 0x0000_ffff_ffff_f000L;
            }
            board.bus.write64(entries[2], board.bus.read64(entries[3]) & ~2L);
            assertEquals(detects ? Response.ABORT : Response.OK, board.dmaWrite(DEVICE, page + 0x1234));
            if (detects) {
                assertArrayEquals(new long[] {0x20 | (long) DEVICE << 32, 0, page + 0x1234, 0}, board.event());
            }
            assertEquals(Response.OK, board.dmaRead(DEVICE, page), "what is cached answers");
            board.command(0x12 | 5L << 48, page); // CMD_TLBI_NH_VA
            board.sync();
            assertEquals(Response.OK, board.dmaWrite(DEVICE, page + 0x1234));
            assertEquals(List.of(), board.events());
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aNeighbourThatDiffersIsAConflictWhereDetected(boolean detects) {
        try (TestBoard board = board(detects)) {
            TableWriter table = board.stage1Table();
            table.map(IOVA, board.allocate(4096), 4096, STAGE1_RW);
            long[] first = TestBoard.stage1(0, board.newCd(5, table.root()));
            first[1] |= 1L << 77 - 64; // CONT: two STEs are identical
            long[] other = TestBoard.stage1(0, board.newCd(6, table.root()));
            board.stream(DEVICE, first);
            board.stream(DEVICE + 1, other);
            board.stream(DEVICE + 2, other);
            assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA));
            assertEquals(Response.OK, board.dmaRead(DEVICE + 2, IOVA), "not one of the two");
            assertEquals(detects ? Response.ABORT : Response.OK, board.dmaRead(DEVICE + 1, IOVA));
            if (detects) {
                assertArrayEquals(new long[] {0x21 | (DEVICE + 1L) << 32, 0, 0, 0}, board.event());
            }
            board.stream(DEVICE + 1, first);
            assertEquals(Response.OK, board.dmaRead(DEVICE + 1, IOVA));
            assertEquals(List.of(), board.events());
        }
    }

    // Merging

    @Nested
    class Merging {
        private final TestBoard board = new TestBoard(
                        SmmuFeatures.builder().with(SmmuOption.MERGES_EVENTS).build())
                .enabled();

        private void stream(boolean mev, boolean stalls) {
            TableWriter table = board.stage1Table();
            table.map(IOVA, board.allocate(4096), 4096, STAGE1_RW);
            long[] cd = TestBoard.cd(5, table.root());
            cd[0] |= stalls ? 1L << 44 : 0;
            long address = board.allocate(64);
            board.writeWords(address, cd);
            long[] ste = TestBoard.stage1(0, address);
            ste[1] |= mev ? 1L << 83 - 64 : 0;
            board.stream(DEVICE, ste);
        }

        @Test
        void equalFaultsShareARecordUntilSoftwareConsumesIt() {
            stream(true, false);
            for (int i = 0; i < 5; i++) {
                board.dmaRead(DEVICE, 8 * i);
            }
            assertEquals(1, board.events().size(), "the offset in the page makes no difference");
            board.dmaRead(DEVICE, 0);
            assertEquals(1, board.events().size());
        }

        @Test
        void faultsThatDifferDoNot() {
            stream(true, false);
            board.dmaRead(DEVICE, 0);
            board.dmaWrite(DEVICE, 0);
            board.dmaRead(DEVICE, 4096);
            board.dmaRead(DEVICE, 0);
            assertEquals(4, board.events().size());
        }

        @Test
        void mevForbidsIt() {
            stream(false, false);
            board.dmaRead(DEVICE, 0);
            board.dmaRead(DEVICE, 0);
            assertEquals(2, board.events().size());
        }

        @Test
        void withoutAnSteNothingForbidsIt() {
            board.dmaRead(DEVICE, 0);
            board.dmaRead(DEVICE, 0);
            assertEquals(0x04 | (long) DEVICE << 32, board.event()[0]);
        }

        @Test
        void stallsAreNeverMerged() {
            stream(true, true);
            board.dmaRead(DEVICE, 0);
            board.dmaRead(DEVICE, 0);
            assertEquals(2, board.events().size());
        }

        @Test
        void aRecordFromBeforeTheQueueWasDisabledTellsOfNothingLater() {
            stream(true, false);
            board.dmaRead(DEVICE, 0);
            board.handshake(TestBoard.CR0, 0x9);
            board.write(EVENTQ_PROD, 3);
            board.write(TestBoard.EVENTQ_CONS, 2);
            board.handshake(TestBoard.CR0, 0xd);
            board.dmaRead(DEVICE, 0);
            assertEquals(4, board.read(EVENTQ_PROD));
        }

        @Test
        void aMergedEventDoesNotOverflow() {
            stream(true, false);
            for (int i = 0; i < 1 << TestBoard.LOG2_QUEUE; i++) {
                board.dmaRead(DEVICE, 4096 * i);
            }
            board.dmaRead(DEVICE, 4096 * ((1 << TestBoard.LOG2_QUEUE) - 1));
            assertEquals(1 << TestBoard.LOG2_QUEUE, board.read(EVENTQ_PROD), "no OVFLG");
        }
    }

    @ParameterizedTest
    @EnumSource(TestTiming.class)
    void byDefaultEveryFaultHasItsRecord(TestTiming timing) {
        try (TestBoard board = new TestBoard(SmmuFeatures.smmuv3_2(), timing).enabled()) {
            board.dmaRead(DEVICE, 0);
            board.dmaRead(DEVICE, 0);
            List<long[]> events = board.events();
            assertEquals(2, events.size());
        }
    }
}
