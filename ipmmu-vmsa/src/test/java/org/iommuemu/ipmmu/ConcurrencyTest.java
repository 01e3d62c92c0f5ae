package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.ABORTED;
import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.LINUX_RAM;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.iommuemu.mmio.DmaPort;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Masters on threads of their own, while a driver maps, unmaps and flushes. */
class ConcurrencyTest {
    /** Two frames take turns behind one page; after the driver's flush no master may see the old one. */
    @ParameterizedTest
    @ValueSource(strings = {"renesas,ipmmu-vmsa", "renesas,ipmmu-r8a7795", "renesas,rcar-gen4-ipmmu-vmsa"})
    @Timeout(30)
    void noMasterSeesAnUnmappedPageAfterTheFlush(String compatible) throws InterruptedException {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        long frame = Board.RAM + 0x800_0000L;
        board.mapLinux(table, 0x1000, frame, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.linuxAttach(board.c1, 1, 1, table);
        AtomicReference<Throwable> failure = new AtomicReference<>();
        // The oldest frame that a master may still see; frames only grow.
        AtomicLong current = new AtomicLong(frame);
        List<Thread> masters = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            Ipmmu unit = i == 0 ? board.ds0 : board.ds1;
            int utlb = i;
            Thread master = new Thread(() -> {
                while (!Thread.currentThread().isInterrupted()) {
                    long least = current.get();
                    long seen = dma(unit, utlb, 0x1000);
                    if (seen != ABORTED && seen < least) {
                        failure.set(new AssertionError("0x%x after 0x%x".formatted(seen, least)));
                        return;
                    }
                }
            });
            masters.add(master);
            master.start();
        }
        try {
            for (int i = 1; i < 20_000 && failure.get() == null; i++) {
                board.unmapLinux(table, 0x1000);
                board.mapLinux(table, 0x1000, frame + i * 0x1000L, LINUX_RAM);
                int v = board.r.ctx(1, IMCTR);
                board.c.ctx(1, IMCTR, v | 2);
                if (board.c1 != board.c) {
                    board.c1.ctx(1, IMCTR, v | 2);
                }
                board.r.ctx(1, IMCTR, v | 2);
                current.set(frame + i * 0x1000L);
                board.r.ctx(1, IMSTR, 0);
            }
        } finally {
            masters.forEach(Thread::interrupt);
            for (Thread master : masters) {
                master.join();
            }
        }
        assertNull(failure.get());
        assertEquals(current.get(), dma(board.ds0, 0, 0x1000));
    }

    /** A flush of a context, in the cache or the root, and one of a micro-TLB are over when accesses under way are. */
    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    @Timeout(30)
    void aFlushWaitsForAccessesUnderWay(int which) throws InterruptedException {
        Board board = new Board("renesas,ipmmu-r8a7795");
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, Board.RAM + 0x800_0000L, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        DmaPort port = board.port(board.ds0, 0);
        port.beginBurst();
        port.translate(0x1000, false);
        Thread driver = new Thread(() -> {
            switch (which) {
                case 0 -> board.c.ctx(1, IMCTR, 7);
                case 1 -> board.r.ctx(1, IMCTR, 7);
                default -> board.c.imuctr(0, 1 << 4 | 3);
            }
        });
        driver.start();
        driver.join(100);
        assertTrue(driver.isAlive());
        port.endBurst();
        driver.join();
        assertEquals(0x11, board.c.imuctr(0));
    }
}
