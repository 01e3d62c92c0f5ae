package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.ABORTED;
import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMEUAR;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.IMTTBCR;
import static org.iommuemu.ipmmu.Board.IMTTLBR0;
import static org.iommuemu.ipmmu.Board.IMTTUBR0;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What Xen does (passthrough/arm/ipmmu-vmsa.c), access by access, on a Gen3 chip with stage 2 and on Gen4. */
class XenScenarioTest {
    private static final String GEN3 = "renesas,ipmmu-r8a7795";
    private static final String GEN4 = "renesas,ipmmu-r8a779f0";
    private static final long PAGE = Board.RAM + 0x800_0000L;
    private static final long BLOCK = Board.RAM + 0xa00_0000L;

    private static Board probed(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        return board;
    }

    /** XEN-1, ipmmu_probe of the root. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void probeOfTheRootDisablesContextsAndSelectsStage2Tables(String compatible) {
        IpmmuVariant cold = IpmmuVariant.of(compatible).orElseThrow().with(IpmmuOption.COLD_RESET);
        Board board = new Board(cold);
        ProductRegister prr = new ProductRegister(
                (compatible.equals(GEN3) ? ProductRegister.R8A7795 : ProductRegister.R8A779F0) | 0x30);
        board.bus.attach("prr", ProductRegister.ADDRESS, ProductRegister.WINDOW, prr);
        assertEquals(0x30, board.bus.read32(ProductRegister.ADDRESS) & 0xff);
        for (int n = 0; n < board.variant.contexts(); n++) {
            board.r.ctx(n, IMCTR, 0);
            assertEquals(0, board.r.ctx(n, IMCTR));
        }
        int aux = board.r.imsauxctlr();
        assertEquals(0, aux);
        board.r.imsauxctlr(aux | 8);
        assertEquals(8, board.r.imsauxctlr());
        int control = board.r.imsctlr();
        assertEquals(0x10000000, control);
        board.r.imsctlr(control & ~0x10000000);
        assertEquals(0, board.r.imsctlr());
        assertFalse(board.interrupt());
        assertEquals(List.of(), board.misuse);
    }

    /** XEN-2, ipmmu_probe of a cache. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void probeOfACacheTurnsSecurityGroupsOff(String compatible) {
        Board board = new Board(IpmmuVariant.of(compatible).orElseThrow().with(IpmmuOption.COLD_RESET));
        assertEquals(0x10000000, board.c.imsctlr());
        board.c.imsctlr(board.c.imsctlr() & ~0x10000000);
        assertEquals(0, board.c.imsctlr());
    }

    /** XEN-3, ipmmu_domain_init_context. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void firstDeviceOfAGuestSetsAContextUp(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(40);
        int c = 1;
        board.r.ctx(c, IMTTLBR0, (int) p2m.root() & 0xfffff000);
        assertEquals((int) p2m.root(), board.r.ctx(c, IMTTLBR0));
        board.r.ctx(c, IMTTUBR0, 0xffffff00);
        assertEquals(0, board.r.ctx(c, IMTTUBR0));
        board.r.ctx(c, IMTTUBR0, (int) (p2m.root() >>> 32) & 0xff);
        board.r.ctx(c, IMTTBCR, 0xc0000040 | 64 - 40);
        assertEquals(0xc0000058, board.r.ctx(c, IMTTBCR));
        board.r.ctx(c, IMSTR, board.r.ctx(c, IMSTR));
        assertEquals(0, board.r.ctx(c, IMSTR));
        board.r.ctx(c, IMCTR, 0x20000007);
        assertEquals(0x20000005, board.r.ctx(c, IMCTR));
        // No port uses it yet.
        assertEquals(0x1234, dma(board.ds0, 0, 0x1234));
        assertEquals(List.of(), board.misuse);
    }

    /** XEN-4 and XEN-5, ipmmu_domain_init_context's cache part and ipmmu_utlb_enable. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void devicesBehindTwoCachesShareTheGuestsContext(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(40);
        p2m.map(0x8000_0000L, PAGE, 0x3000, Descriptor.STAGE2_RAM);
        p2m.map(0xff_c020_0000L, BLOCK, 0x20_0000, Descriptor.STAGE2_RAM);
        board.xenContext(2, p2m);

        int v = board.r.ctx(2, IMCTR);
        assertEquals(0x20000005, v);
        board.c.ctx(2, IMCTR, (v | 2) & 7);
        assertEquals(5, board.c.ctx(2, IMCTR));
        int old = board.c.imuctr(33);
        assertEquals(0, old);
        board.c.imuasid(33, 0);
        assertEquals(0x8000_1008L, dma(board.ds0, 33, 0x8000_1008L));
        board.c.imuctr(33, old | 2 << 4 | 1);
        assertEquals(0x21, board.c.imuctr(33));
        assertEquals(PAGE + 0x1008, dma(board.ds0, 33, 0x8000_1008L));
        assertEquals(BLOCK + 0x1f_fff8, dma(board.ds0, 33, 0xff_c03f_fff8L, true));

        board.xenPort(board.c1, 2, 0);
        assertEquals(PAGE + 0x2000, dma(board.ds1, 0, 0x8000_2000L));
        assertFalse(board.interrupt());
        assertEquals(List.of(), board.misuse);

        byte[] data = {1, 2, 3, 4, 5, 6, 7, 8};
        byte[] back = new byte[8];
        // Across a page boundary.
        assertEquals(DmaPort.Response.OK, board.port(board.ds1, 0).write(0x8000_0ffcL, data, 0, 8));
        assertEquals(DmaPort.Response.OK, board.port(board.ds0, 33).read(0x8000_0ffcL, back, 0, 8));
        assertArrayEquals(data, back);
        assertEquals(0x0403_0201, board.memory.read32(PAGE + 0xffc));
        assertEquals(0x0807_0605, board.memory.read32(PAGE + 0x1000));
    }

    /** XEN-3 with the smaller P2M: one table of 64 entries. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void guestWith36BitsHasNothingBeyond(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(36);
        p2m.map(0xf_ffff_f000L, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        assertEquals(0xc000005c, board.r.ctx(1, IMTTBCR));
        board.xenPort(board.c, 1, 0);
        assertEquals(PAGE, dma(board.ds0, 0, 0xf_ffff_f000L));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x10_0000_0000L));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertEquals(0x10, board.r.ctx(1, IMEUAR));
    }

    /** XEN-6, ipmmu_tlb_invalidate. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void flushGoesToTheCachesThenToTheRoot(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(40);
        p2m.map(0, PAGE, 0x2000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        board.xenPort(board.c, 1, 0);
        board.xenPort(board.c1, 1, 0);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        assertEquals(PAGE, dma(board.ds1, 0, 0));
        p2m.unmap(0, 0x1000);
        p2m.map(0, BLOCK, 0x1000, Descriptor.STAGE2_RAM);
        assertEquals(PAGE, dma(board.ds0, 0, 0));

        board.root.handshakeReads(3);
        int v = board.r.ctx(1, IMCTR);
        board.c.ctx(1, IMCTR, (v | 2) & 7);
        assertEquals(5, board.c.ctx(1, IMCTR));
        board.c1.ctx(1, IMCTR, (v | 2) & 7);
        assertEquals(PAGE, dma(board.ds1, 0, 0));
        board.r.ctx(1, IMCTR, v | 2);
        for (int poll = 0; poll < 3; poll++) {
            assertEquals(0x20000007, board.r.ctx(1, IMCTR));
        }
        assertEquals(0x20000005, board.r.ctx(1, IMCTR));
        assertEquals(BLOCK, dma(board.ds0, 0, 0));
        assertEquals(BLOCK, dma(board.ds1, 0, 0));
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0x1000));
    }

    /** XEN-6 when the hardware hangs. */
    @Test
    void flushThatNeverEndsKeepsReadingAsOne() {
        Board board = probed(GEN3);
        board.root.handshakeReads(-1);
        board.r.ctx(1, IMCTR, 0x20000007);
        for (int poll = 0; poll < 200; poll++) {
            assertEquals(0x20000007, board.r.ctx(1, IMCTR));
        }
        board.r.ctx(1, IMCTR, 5);
        assertEquals(7, board.r.ctx(1, IMCTR));
    }

    /** XEN-7 and XEN-8, ipmmu_utlb_disable, ipmmu_domain_destroy_context. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void detachedPortPassesAndDestroyedContextIsOff(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(40);
        p2m.map(0, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        board.xenPort(board.c, 1, 0);
        board.xenPort(board.c, 1, 1);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        assertEquals(PAGE, dma(board.ds0, 1, 0));
        board.c.imuctr(0, 0);
        assertEquals(0, board.c.imuctr(0));
        assertEquals(0, dma(board.ds0, 0, 0));
        assertEquals(PAGE, dma(board.ds0, 1, 0));
        board.c.imuctr(1, 0);
        board.c.ctx(1, IMCTR, 2);
        assertEquals(0, board.c.ctx(1, IMCTR));
        board.r.ctx(1, IMCTR, 2);
        assertEquals(0, board.r.ctx(1, IMCTR));
        assertEquals(List.of(), board.misuse);
        // The next guest with the same context and port sees nothing of the last.
        TableWriter next = board.p2m(40);
        board.xenContext(1, next);
        board.xenPort(board.c, 1, 0);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
    }

    /** XEN-9, ipmmu_irq and ipmmu_domain_irq. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void interruptFindsEveryContextThatFaulted(String compatible) {
        Board board = probed(compatible);
        for (int n = 1; n <= 3; n++) {
            TableWriter p2m = board.p2m(40);
            p2m.map(0x1000, PAGE, 0x1000, Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE);
            board.xenContext(n, p2m);
            board.xenPort(board.c, n, n);
        }
        assertEquals(PAGE, dma(board.ds0, 1, 0x1000));
        assertEquals(ABORTED, dma(board.ds0, 1, 0x1008, true)); // A hit that does not permit it.
        assertEquals(ABORTED, dma(board.ds0, 3, 0x1010, true)); // A walk.
        assertEquals(PAGE + 0x10, dma(board.ds0, 3, 0x1010));
        int[] status = {0, 0x2402, 0, 0x2402};
        int[] address = {0, 0x1008, 0, 0x1010};
        int[] runs = {0};
        board.interrupts.request(Board.SPI, () -> {
            runs[0]++;
            for (int n = 1; n <= 3; n++) {
                int s = board.r.ctx(n, IMSTR);
                assertEquals(status[n], s);
                if ((s & 0x17) == 0) {
                    continue;
                }
                assertTrue(board.interrupt());
                assertEquals(address[n], board.r.ctx(n, IMELAR));
                assertEquals(0, board.r.ctx(n, IMEUAR));
                board.r.ctx(n, IMSTR, 0);
            }
        });
        assertEquals(1, board.interrupts.dispatch());
        assertEquals(1, runs[0]);
        assertFalse(board.interrupt());
    }

    /** Minos writes SL0 = 2 for a root at level 1. */
    @Test
    void sl0Of2StartsAtLevel1TooWith40Bits() {
        Board board = probed(GEN3);
        TableWriter p2m = board.p2m(40);
        p2m.map(0x7f_0000_0000L, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        board.r.ctx(1, IMTTBCR, 0xc0003598);
        assertEquals(0xc0003598, board.r.ctx(1, IMTTBCR));
        board.xenPort(board.c, 1, 0);
        assertEquals(PAGE, dma(board.ds0, 0, 0x7f_0000_0000L));
        assertEquals(List.of(), board.misuse);
    }

    /** XEN-10, the posted suspend and resume; registers are lost in between, tables are not. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void resumeRestoresRootThenCaches(String compatible) {
        Board board = probed(compatible);
        TableWriter p2m = board.p2m(40);
        p2m.map(0, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        board.xenPort(board.c, 1, 40);
        assertEquals(PAGE, dma(board.ds0, 40, 0));
        int[] registers = {IMTTLBR0, IMTTUBR0, IMTTBCR, IMCTR};
        int[] saved = new int[registers.length];
        for (int i = 0; i < registers.length; i++) {
            saved[i] = board.r.ctx(1, registers[i]);
        }
        int port = board.c.imuctr(40);
        for (int register : registers) {
            board.r.ctx(1, register, 0);
        }
        board.r.imsauxctlr(0);
        board.c.ctx(1, IMCTR, 0);
        board.c.imuctr(40, 0);
        p2m.unmap(0, 0x1000);
        p2m.map(0, BLOCK, 0x1000, Descriptor.STAGE2_RAM);

        board.r.imsctlr(board.r.imsctlr() & ~0x10000000);
        board.r.imsauxctlr(board.r.imsauxctlr() | 8);
        for (int i = 0; i < 3; i++) {
            board.r.ctx(1, registers[i], saved[i]);
        }
        board.c.ctx(1, IMCTR, (saved[3] | 2) & 7);
        board.r.ctx(1, IMCTR, saved[3] | 2);
        board.c.imsctlr(board.c.imsctlr() & ~0x10000000);
        board.c.imuasid(40, 0);
        assertEquals(0, dma(board.ds0, 40, 0));
        board.c.imuctr(40, port);
        assertEquals(BLOCK, dma(board.ds0, 40, 0));
        assertEquals(List.of(), board.misuse);
    }
}
