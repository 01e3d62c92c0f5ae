package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.STAGE1_RW;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Masters on threads of their own fault on every page, and a driver serves them one by one (IHI 0070, 3.12.4.1). */
@Timeout(120)
class DemandPagingTest {
    private static final int MASTERS = 4;
    private static final int PAGES = 50;
    private static final long IOVA = 0x1000_0000L;

    @ParameterizedTest
    @CsvSource({
        // timing, STALL_MAX, early retry
        "AT_ONCE, 256, false",
        "AT_ONCE, 1, false",
        "UNIT_THREAD, 2, false",
        "UNIT_THREAD_LATE, 3, true",
    })
    void everyFaultIsServedAndNoByteIsLost(TestTiming timing, int stallMax, boolean early) throws InterruptedException {
        SmmuFeatures.Builder features = SmmuFeatures.builder().stallMax(stallMax);
        if (early) {
            features.with(SmmuOption.EARLY_RETRY);
        }
        try (TestBoard board = new TestBoard(features.build(), timing).enabled()) {
            TableWriter[] tables = new TableWriter[MASTERS];
            for (int m = 0; m < MASTERS; m++) {
                tables[m] = board.stage1Table();
                long[] cd = TestBoard.cd(m, tables[m].root());
                cd[0] |= 1L << 44; // S
                long address = board.allocate(64);
                board.writeWords(address, cd);
                board.stream(m, TestBoard.stage1(0, address));
            }
            AtomicInteger left = new AtomicInteger(MASTERS);
            List<Response> responses = new ArrayList<>();
            List<Thread> masters = new ArrayList<>();
            for (int m = 0; m < MASTERS; m++) {
                DmaPort port = board.port(m);
                port.waitsWhenStalled(true);
                int value = m + 1;
                Thread master = new Thread(() -> {
                    for (int page = 0; page < PAGES; page++) {
                        // Across two pages: the second one faults in the middle of the transfer.
                        Response response = port.write(
                                IOVA + page * 4096L + 4094, new byte[] {(byte) value, 2, 3, (byte) value}, 0, 4);
                        synchronized (responses) {
                            responses.add(response);
                        }
                    }
                    left.decrementAndGet();
                });
                masters.add(master);
                master.start();
            }
            int served = serve(board, tables, left);
            for (Thread master : masters) {
                master.join();
            }
            assertEquals(MASTERS * PAGES, responses.size());
            assertTrue(responses.stream().allMatch(response -> response == Response.OK), responses.toString());
            assertTrue(served >= MASTERS * (PAGES + 1), served + " faults");
            for (int m = 0; m < MASTERS; m++) {
                DmaPort port = board.port(m);
                for (int page = 0; page < PAGES; page++) {
                    byte[] bytes = new byte[4];
                    assertEquals(Response.OK, port.read(IOVA + page * 4096L + 4094, bytes, 0, 4));
                    assertEquals(m + 1, bytes[0]);
                    assertEquals(m + 1, bytes[3]);
                }
            }
        }
    }

    /** The driver: polls the Event queue, maps what is missing and resumes, until no master is left. */
    private static int serve(TestBoard board, TableWriter[] tables, AtomicInteger left) {
        int served = 0;
        Set<List<Long>> mapped = new HashSet<>();
        while (left.get() > 0) {
            for (long[] event : board.events()) {
                int stream = (int) (event[0] >>> 32);
                long page = event[2] & -4096L;
                if (mapped.add(List.of((long) stream, page))) {
                    tables[stream].map(page, board.allocate(4096), 4096, STAGE1_RW);
                }
                board.command(0x44 | 1 << 12 | (long) stream << 32, event[1] & 0xffff);
                served++;
            }
        }
        return served;
    }
}
