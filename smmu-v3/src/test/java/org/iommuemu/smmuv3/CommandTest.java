package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.SmmuFeature.ATS;
import static org.iommuemu.smmuv3.SmmuFeature.DS;
import static org.iommuemu.smmuv3.SmmuFeature.HYP;
import static org.iommuemu.smmuv3.SmmuFeature.PRI;
import static org.iommuemu.smmuv3.SmmuFeature.RIL;
import static org.iommuemu.smmuv3.SmmuFeature.S1P;
import static org.iommuemu.smmuv3.SmmuFeature.S2P;
import static org.iommuemu.smmuv3.TestBoard.CMDQ_CONS;
import static org.iommuemu.smmuv3.TestBoard.CMDQ_PROD;
import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.iommuemu.smmuv3.TestBoard.GERRORN;
import static org.iommuemu.smmuv3.TestBoard.RAM;
import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Nested;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands (IHI 0070, chapter 4): when they are ILLEGAL, and what they do. */
@Timeout(60)
class CommandTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;

    /** Which commands are ILLEGAL, from their bytes alone. */
    @Nested
    class Legality {
        private static final SmmuFeatures ALL =
                SmmuFeatures.builder().with(SmmuFeature.MPAM).build();

        private static String illegal(SmmuFeatures features, long word0, long word1) {
            return new Command(word0, word1).illegal(features);
        }

        private static SmmuFeatures without(SmmuFeature... features) {
            return SmmuFeatures.builder()
                    .architecture(1)
                    .with(SmmuFeature.MPAM)
                    .without(SmmuFeature.FWB, SmmuFeature.STT, SmmuFeature.PPS, SmmuFeature.PASIDTT)
                    .without(features)
                    .build();
        }

        @Test
        void everyNumberThatIsNoCommandIsIllegal() {
            List<Integer> legal = List.of(
                    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23, 0x28,
                    0x2a, 0x30, 0x40, 0x41, 0x44, 0x45, 0x46);
            for (int number = 0; number < 0x100; number++) {
                assertEquals(legal.contains(number), illegal(ALL, number, 0) == null, "0x%02x".formatted(number));
            }
        }

        @ParameterizedTest
        @ValueSource(ints = {0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x44, 0x45})
        void commandsForSecureStreamsAreIllegal(int number) {
            assertNull(illegal(ALL, number, 0));
            assertNotNull(illegal(ALL, number | 1 << 10, 0), "SSec");
        }

        @ParameterizedTest
        @ValueSource(ints = {0x05, 0x06, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x22, 0x23})
        void commandsForStage1NeedIt(int number) {
            SmmuFeatures stage2 = SmmuFeatures.builder()
                    .without(S1P, HYP, SmmuFeature.ASID16, SmmuFeature.CD2L, SmmuFeature.HAD, SmmuFeature.VATOS)
                    .ssidSize(0)
                    .build();
            assertNotNull(illegal(stage2, number, 0));
            assertNull(illegal(stage2, 0x2a, 0));
            assertNull(illegal(stage2, 0x30, 0));
        }

        @ParameterizedTest
        @ValueSource(ints = {0x28, 0x2a, 0x20, 0x21, 0x22, 0x23, 0x07})
        void commandsForStage2AndEl2NeedIt(int number) {
            SmmuFeatures stage1 =
                    without(S2P, HYP, SmmuFeature.VMID16, SmmuFeature.VMW, SmmuFeature.XNX, SmmuFeature.NS1ATS);
            assertNotNull(illegal(stage1, number, 0));
            assertNull(illegal(stage1, 0x10, 0));
        }

        @Test
        void commandsForEndpointsNeedAtsAndPri() {
            assertNotNull(illegal(without(ATS, PRI), 0x40, 0));
            assertNotNull(illegal(without(PRI), 0x41, 0));
            assertNull(illegal(without(PRI), 0x40, 0));
            assertNull(illegal(ALL, 0x40, 52));
            assertNotNull(illegal(ALL, 0x40, 53), "Size");
            assertNull(illegal(ALL, 0x41, 2 << 12));
            assertNotNull(illegal(ALL, 0x41, 3 << 12), "Resp");
        }

        @Test
        void syncWithAReservedSignalIsIllegal() {
            assertNull(illegal(ALL, 0x46 | 2 << 12, 0));
            assertNotNull(illegal(ALL, 0x46 | 3 << 12, 0));
        }

        @ParameterizedTest
        @CsvSource({
            // TG, TTL, NUM, SCALE, legal
            "0, 0, 0, 0, true",
            "1, 0, 0, 0, false",
            "1, 0, 1, 0, true",
            "1, 0, 0, 32, true",
            "1, 3, 0, 0, true",
            "2, 1, 0, 0, false",
            "2, 2, 0, 0, true",
            "3, 1, 0, 0, true",
        })
        void aGranuleWithoutRangeAndLevelIsReserved(int tg, int ttl, int num, int scale, boolean legal) {
            for (int number : new int[] {0x12, 0x13, 0x22, 0x23, 0x2a}) {
                long word0 = number | num << 12 | scale << 20;
                long word1 = tg << 10 | ttl << 8;
                assertEquals(legal, illegal(SmmuFeatures.smmuv3_2(), word0, word1) == null);
                assertNull(illegal(without(RIL), word0, word1), "RES0 without RIL");
            }
        }

        @Test
        void level1Of16KibGranulesIsReservedWithoutDs() {
            SmmuFeatures ds = SmmuFeatures.builder()
                    .vax(52)
                    .oas(52)
                    .architecture(3)
                    .with(DS, SmmuFeature.E0PD, SmmuFeature.PTWNNC)
                    .build();
            assertNull(illegal(ds, 0x12, 2 << 10 | 1 << 8));
        }
    }

    /** What commands do, on hardware of any speed. */
    @Nested
    @ParameterizedClass
    @EnumSource(TestTiming.class)
    class Effects {
        private final TestTiming timing;
        private TestBoard board;

        Effects(TestTiming timing) {
            this.timing = timing;
            board = new TestBoard(SmmuFeatures.smmuv3_2(), timing).enabled();
        }

        @AfterEach
        void powerOff() {
            board.close();
        }

        private TestBoard fresh(SmmuFeatures features) {
            board.close();
            board = new TestBoard(features, timing).enabled();
            return board;
        }

        // Configuration

        @ParameterizedTest
        @ValueSource(longs = {0x05, 0x06, 0x03, 0x04})
        void aCdIsStaleUntilItOrItsSteIsInvalidated(long number) {
            TableWriter table = board.stage1Table();
            table.map(IOVA, board.allocate(4096), 4096, STAGE1_RW);
            long cd = board.newCd(5, table.root());
            board.stream(DEVICE, TestBoard.stage1(0, cd));
            assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA));
            board.writeWords(cd, 0);
            board.command(number | DEVICE + 8L << 32, 1);
            assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA), "other streams");
            board.command(number | (long) DEVICE << 32, 1);
            board.sync();
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA));
            assertEquals(0x0a | (long) DEVICE << 32, board.event()[0], "C_BAD_CD");
        }

        @Test
        void aRangeOfStesIsAlignedToItsSize() {
            for (int stream = 0; stream < 16; stream++) {
                board.stream(stream, 0x1 | 4 << 1);
                assertEquals(Response.OK, board.dmaRead(stream, RAM));
                board.writeWords(board.streamTable + 64L * stream, 0);
            }
            board.command(0x04 | 7L << 32, 1); // Range 1: 4 to 7
            board.sync();
            for (int stream = 0; stream < 16; stream++) {
                Response expected = stream >= 4 && stream < 8 ? Response.ABORT : Response.OK;
                assertEquals(expected, board.dmaRead(stream, RAM), "stream " + stream);
            }
            board.command(0x04, 31); // CMD_CFGI_ALL
            board.sync();
            assertEquals(Response.ABORT, board.dmaRead(15, RAM));
        }

        // TLBs

        private TableWriter stage2Streams(long page, int... vmids) {
            TableWriter p2m = board.stage2Table();
            p2m.map(page, page, 4096, Descriptor.STAGE2_RAM);
            for (int i = 0; i < vmids.length; i++) {
                board.stream(DEVICE + i, TestBoard.stage2(vmids[i], p2m));
                assertEquals(Response.OK, board.dmaRead(DEVICE + i, page));
            }
            p2m.unmap(page, 4096);
            return p2m;
        }

        @ParameterizedTest
        @CsvSource({
            // VMW, VMID of the command, which of VMIDs 0x20, 0x21, 0x22, 0x2f, 0x30 it reaches
            "0, 0x20, 1 0 0 0 0",
            "1, 0x21, 1 1 0 0 0",
            "2, 0x23, 1 1 1 0 0",
            "4, 0x25, 1 1 1 1 0",
            "5, 0x20, 1 0 0 0 0",
        })
        void vmidWildcardsReachGroups(int vmw, int vmid, String reached) {
            long page = board.allocate(4096);
            board.handshake(CR0, 0xd | vmw << 6);
            stage2Streams(page, 0x20, 0x21, 0x22, 0x2f, 0x30);
            board.command(0x2a | (long) vmid << 32, page);
            board.sync();
            StringBuilder actual = new StringBuilder();
            for (int i = 0; i < 5; i++) {
                actual.append(board.dmaRead(DEVICE + i, page) == Response.ABORT ? " 1" : " 0");
            }
            assertEquals(reached, actual.substring(1));
        }

        @Test
        void withoutVmwItIsRes0() {
            fresh(SmmuFeatures.builder().without(SmmuFeature.VMW).build());
            board.handshake(CR0, 0xd | 4 << 6);
            assertEquals(0xd, board.read(CR0));
            long page = board.allocate(4096);
            stage2Streams(page, 0x20, 0x21);
            board.command(0x2a | 0x20L << 32, page);
            board.sync();
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, page));
            assertEquals(Response.OK, board.dmaRead(DEVICE + 1, page));
        }

        @ParameterizedTest
        @CsvSource({"0, 26", "31, 36", "31, 63", "0, 63"})
        void aRangeMayBeAsLargeAsTheAddressSpace(int num, int scale) {
            long page = board.allocate(4096);
            stage2Streams(page, 3);
            board.command(0x2a | num << 12 | (long) scale << 20 | 3L << 32, 1 << 10);
            board.sync();
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, page));
        }

        @ParameterizedTest
        @CsvSource({
            // TG << 10 | TTL << 8
            "0", // as drivers without range invalidation do: one command for a block
            "0x600", // 4 KiB, level 2
        })
        void anAddressInABlockInvalidatesAllOfItThoughStage2HasCutIt(String hint) {
            TableWriter table = board.stage1Table();
            long block = 1L << 21;
            long ipa = 0x20_0000_0000L;
            long pages = board.allocate(block);
            table.map(0x1000_0000L, ipa, block, STAGE1_RW);
            TableWriter p2m = board.stage2Table();
            p2m.map(RAM, RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
            for (int i = 0; i < 512; i += 2) { // With holes, so that it cannot be a block.
                p2m.map(ipa + 4096 * i, pages + 4096 * i, 4096, Descriptor.STAGE2_RAM);
            }
            board.stream(DEVICE, TestBoard.nested(1, board.newCd(5, table.root()), p2m));
            DmaPort port = board.port(DEVICE);
            assertEquals(Response.OK, port.read(0x1000_0000L, new byte[4], 0, 4));
            assertEquals(Response.OK, port.read(0x1010_0000L, new byte[4], 0, 4));
            table.unmap(0x1000_0000L, block);
            board.command(0x12 | 1L << 32 | 5L << 48, 0x1000_0000L | Long.decode(hint));
            board.sync();
            assertEquals(Response.ABORT, port.read(0x1000_0000L, new byte[4], 0, 4));
            assertEquals(Response.ABORT, port.read(0x1010_0000L, new byte[4], 0, 4));
        }

        // Prefetches

        @Test
        void aPrefetchedAddressHitsAndAFaultingOneLeavesNothing() {
            TableWriter table = board.stage1Table();
            for (int i = 0; i < 3; i++) {
                table.map(IOVA + i * 4096L, board.allocate(4096), 4096, STAGE1_RW);
            }
            board.stream(DEVICE, TestBoard.stage1(0, board.newCd(5, table.root())));
            board.command(0x02 | (long) DEVICE << 32, IOVA | 1); // Size 1: two pages
            board.command(0x02 | (long) DEVICE << 32, IOVA + (1L << 30));
            board.command(0x02 | 0xffL << 32, IOVA);
            board.sync();
            assertEquals(0, board.events().size());
            table.unmap(IOVA, 3 * 4096);
            assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA), "cached");
            assertEquals(Response.OK, board.dmaRead(DEVICE, IOVA + 4096), "cached");
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, IOVA + 8192));
        }

        @Test
        void aPrefetchedConfigurationIsCached() {
            board.stream(DEVICE, 0x1 | 4 << 1);
            board.command(0x01 | (long) DEVICE << 32, 0);
            board.sync();
            board.writeWords(board.streamTable + 64 * DEVICE, 0);
            assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
        }

        @Test
        void nothingIsPrefetchedWhileTheSmmuIsDisabled() {
            board.stream(DEVICE, 0x1 | 4 << 1);
            board.handshake(CR0, 0xc);
            board.command(0x01 | (long) DEVICE << 32, 0);
            board.sync();
            board.writeWords(board.streamTable + 64 * DEVICE, 0);
            board.handshake(CR0, 0xd);
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
        }

        // Synchronisation

        @Test
        void aCompletionSignalFindsTheCommandConsumed() {
            List<Integer> seen = new CopyOnWriteArrayList<>();
            board.bus.attach("doorbell", 0x1000_0000L, 0x1000, new BusDevice() {
                @Override
                public long read(long offset, int size) {
                    return 0;
                }

                @Override
                public void write(long offset, int size, long value) {
                    seen.add(board.read(CMDQ_CONS));
                }
            });
            int at = board.read(CMDQ_PROD);
            board.command(0x46 | 1 << 12 | 0xabL << 32, 0x1000_0000L);
            assertEquals(List.of(at + 1), seen);
        }

        @Test
        void sigSevWakesProcessorsWhereThereIsSev() {
            AtomicInteger events = new AtomicInteger();
            board.smmu.onWakeUp(events::incrementAndGet);
            board.command(0x46 | 2 << 12, 0);
            assertEquals(1, events.get());
            fresh(SmmuFeatures.builder().without(SmmuFeature.SEV).build());
            board.smmu.onWakeUp(events::incrementAndGet);
            board.command(0x46 | 2 << 12, 0);
            assertEquals(1, events.get());
        }

        @Test
        void aFullQueueThatGetsRoomWakesProcessors() {
            AtomicInteger events = new AtomicInteger();
            board.smmu.onWakeUp(events::incrementAndGet);
            board.handshake(CR0, 0x5);
            int size = 1 << TestBoard.LOG2_QUEUE;
            for (int i = 0; i < size; i++) {
                board.submit(0x46, 0);
            }
            board.handshake(CR0, 0xd);
            board.settle();
            assertEquals(1, events.get());
        }

        @Test
        void aDisabledQueueKeepsItsPlace() {
            int at = board.read(CMDQ_PROD);
            board.handshake(CR0, 0x5);
            board.submit(0x30, 0);
            board.submit(0x46, 0);
            board.settle();
            assertEquals(at, board.read(CMDQ_CONS));
            board.handshake(CR0, 0xd);
            board.settle();
            assertEquals(at + 2, board.read(CMDQ_CONS));
        }

        @Test
        void commandsBehindAnErrorHaveNoEffectUntilItIsAcknowledged() {
            board.stream(DEVICE, 0x1 | 4 << 1);
            assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
            board.writeWords(board.streamTable + 64 * DEVICE, 0);
            int at = board.read(CMDQ_PROD);
            board.command(0x00, 0);
            board.command(0x04, 31);
            assertEquals(Response.OK, board.dmaRead(DEVICE, RAM));
            assertEquals(1 << 24 | at, board.read(CMDQ_CONS));
            board.write(CMDQ_PROD, at); // Software takes all of them back (7.1).
            board.write(GERRORN, 1);
            board.settle();
            assertEquals(at, board.read(CMDQ_CONS) & 0xfffff);
            board.command(0x04, 31);
            assertEquals(Response.ABORT, board.dmaRead(DEVICE, RAM));
        }

        // Threads

        @Test
        void severalThreadsOfMastersNeverSeeWhatASyncCompleted() throws InterruptedException {
            TableWriter p2m = board.stage2Table();
            long[] pages = {board.allocate(4096), board.allocate(4096)};
            board.stream(DEVICE, TestBoard.stage2(3, p2m));
            DmaPort port = board.port(DEVICE);
            Thread master = new Thread(() -> {
                while (!Thread.interrupted()) {
                    port.write(IOVA, new byte[] {1}, 0, 1);
                }
            });
            master.start();
            try {
                for (int i = 0; i < 50; i++) {
                    p2m.map(IOVA, pages[i & 1], 4096, Descriptor.STAGE2_RAM);
                    p2m.unmap(IOVA, 4096);
                    board.command(0x2a | 3L << 32, IOVA);
                    board.sync();
                    board.memory.write8(pages[i & 1], 0);
                    assertEquals(0, board.memory.read8(pages[i & 1]));
                    board.events();
                }
            } finally {
                master.interrupt();
                master.join();
            }
            List<Integer> left = new ArrayList<>();
            for (long page : pages) {
                left.add(board.memory.read8(page));
            }
            assertEquals(List.of(0, 0), left);
        }
    }
}
