package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.ABORTED;
import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMEUAR;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.IMTTBCR;
import static org.iommuemu.ipmmu.Board.IMTTLBR0;
import static org.iommuemu.ipmmu.Board.LINUX_RAM;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What follows from the drivers' sequences, rule by rule. */
class ScenarioRulesTest {
    private static final String GEN3 = "renesas,ipmmu-r8a7795";
    private static final String GEN4 = "renesas,rcar-gen4-ipmmu-vmsa";
    private static final long PAGE = Board.RAM + 0x800_0000L;

    @Test
    void check1ReadModifyWriteOfControlRegistersKeepsFirmwareBits() {
        Board board = new Board(GEN3);
        assertEquals(0xc0000000, board.r.imsctlr());
        assertEquals(0x01000000, board.r.imsauxctlr());
        board.xenProbe();
        assertEquals(0xc0000000, board.r.imsctlr());
        assertEquals(0x01000008, board.r.imsauxctlr());
        board.c.imsctlr(0xe0000000);
        board.c.imsctlr(board.c.imsctlr() & ~0x10000000);
        assertEquals(0xe0000000, board.c.imsctlr());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check2StaleStatusInterruptsAtOnceWhenTheContextIsEnabled(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x7f09_a000L));
        board.r.ctx(1, IMCTR, 0);
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertFalse(board.interrupt());
        board.r.ctx(1, IMSTR, board.r.ctx(1, IMSTR));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertFalse(board.interrupt());
        board.c.ctx(1, IMCTR, 7);
        assertFalse(board.interrupt());
        board.r.ctx(1, IMCTR, 7);
        assertTrue(board.interrupt());
        board.r.ctx(1, IMSTR, 0);
        assertFalse(board.interrupt());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check3FaultHoldsTheInterruptAndTheAddressUntilStatusIsCleared(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        board.xenContext(1, board.p2m(40));
        board.xenPort(board.c, 1, 3);
        assertFalse(board.interrupt());
        assertEquals(ABORTED, dma(board.ds0, 3, 0x12_3456_789aL));
        assertTrue(board.interrupt());
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertEquals(0x3456_789a, board.r.ctx(1, IMELAR));
        assertEquals(0x12, board.r.ctx(1, IMEUAR));
        // The first fault stays.
        assertEquals(ABORTED, dma(board.ds0, 3, 0x5000L));
        assertEquals(0x3456_789a, board.r.ctx(1, IMELAR));
        board.r.ctx(1, IMSTR, 0);
        assertFalse(board.interrupt());
        assertEquals(0, board.r.ctx(1, IMSTR));
        assertEquals(0, board.r.ctx(1, IMELAR));
        assertEquals(0, board.r.ctx(1, IMEUAR));
        assertEquals(List.of(), board.misuse);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check4CacheStoresOnlyCommonBitsOfImctr(String compatible) {
        Board board = new Board(compatible);
        board.c.ctx(1, IMCTR, 0x20000007);
        assertEquals(5, board.c.ctx(1, IMCTR));
        board.r.ctx(1, IMCTR, 0x20000007);
        assertEquals(0x20000005, board.r.ctx(1, IMCTR));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check5ImuctrFlushReadsAsZeroAtOnce(String compatible) {
        Board board = new Board(compatible);
        board.ds0.handshakeReads(-1);
        board.c.imuctr(0, 0x13);
        assertEquals(0x11, board.c.imuctr(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check6OrStyleEnableSelectsTheOrOfBothContexts(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        for (int n = 1; n <= 3; n++) {
            TableWriter p2m = board.p2m(40);
            p2m.map(0, PAGE + n * 0x1000L, 0x1000, Descriptor.STAGE2_RAM);
            board.xenContext(n, p2m);
            board.c.ctx(n, IMCTR, 7);
        }
        board.c.imuctr(9, 1 << 4 | 1);
        assertEquals(PAGE + 0x1000, dma(board.ds0, 9, 0));
        board.c.imuctr(9, board.c.imuctr(9) | 2 << 4 | 1);
        assertEquals(0x31, board.c.imuctr(9));
        assertEquals(PAGE + 0x3000, dma(board.ds0, 9, 0));
    }

    @Test
    void check7Utlb32IsInTheSecondRowAndGen4Context8InTheSecondRow() {
        IpmmuVariant gen3 = IpmmuVariant.of(GEN3).orElseThrow();
        assertEquals(0x4f0, gen3.utlbOffset(31));
        assertEquals(0x600, gen3.utlbOffset(32));
        assertEquals(0x1c0, gen3.contextOffset(7));
        IpmmuVariant gen4 = IpmmuVariant.of(GEN4).orElseThrow();
        int[] contexts = {0, 1, 2, 7, 8, 9, 15};
        int[] offsets = {0x10000, 0x11040, 0x12080, 0x171c0, 0x18800, 0x19840, 0x1f9c0};
        for (int i = 0; i < contexts.length; i++) {
            assertEquals(offsets[i], gen4.contextOffset(contexts[i]));
        }
        assertEquals(0x3300, gen4.utlbOffset(0));
        assertEquals(0x34f0, gen4.utlbOffset(31));
        assertEquals(0x3600, gen4.utlbOffset(32));
        assertEquals(0x37f0, gen4.utlbOffset(63));
        IpmmuVariant gen2 = IpmmuVariant.of("renesas,ipmmu-vmsa").orElseThrow();
        assertEquals(0x800, gen2.contextOffset(0));
        assertEquals(0xb00, gen2.utlbOffset(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check7PortsAtTheBoundariesTranslate(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        int[] contexts = {7, board.variant.contexts() > 8 ? 8 : 6};
        int[] ports = {31, 32};
        for (int i = 0; i < 2; i++) {
            TableWriter p2m = board.p2m(40);
            p2m.map(0x5000, PAGE + i * 0x1000L, 0x1000, Descriptor.STAGE2_RAM);
            board.xenContext(contexts[i], p2m);
            board.xenPort(board.c, contexts[i], ports[i]);
        }
        assertEquals(PAGE + 0x10, dma(board.ds0, 31, 0x5010));
        assertEquals(PAGE + 0x1010, dma(board.ds0, 32, 0x5010));
        assertEquals(List.of(), board.misuse);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4, "renesas,ipmmu-vmsa"})
    void check8UnmappedPageStillHitsUntilTheContextIsFlushed(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0xfe00_0000L, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE + 8, dma(board.ds0, 0, 0xfe00_0008L));
        board.unmapLinux(table, 0xfe00_0000L);
        assertEquals(PAGE + 8, dma(board.ds0, 0, 0xfe00_0008L));
        board.linuxInvalidate(board.c, 1);
        assertEquals(ABORTED, dma(board.ds0, 0, 0xfe00_0008L));
        assertEquals(0x2101, board.r.ctx(1, IMSTR));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void rootFlushAloneLeavesStaleHitsInTheCache(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        board.unmapLinux(table, 0x1000);
        board.r.ctx(1, IMCTR, 7);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        // And a cache's flush alone leaves them in the root.
        board.mapLinux(table, 0x2000, PAGE, LINUX_RAM);
        assertEquals(PAGE, dma(board.ds0, 0, 0x2000));
        board.unmapLinux(table, 0x2000);
        board.c.ctx(1, IMCTR, 7);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000));
        assertEquals(PAGE, dma(board.ds0, 0, 0x2000));
        // What the root still held did not come back into the cache for good.
        board.r.ctx(1, IMCTR, 7);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x2000));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check9FlushOfOneContextLeavesEntriesOfAnother(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        List<TableWriter> tables = new ArrayList<>();
        for (int n = 1; n <= 2; n++) {
            TableWriter p2m = board.p2m(40);
            p2m.map(0, PAGE + n * 0x1000L, 0x1000, Descriptor.STAGE2_RAM);
            tables.add(p2m);
            board.xenContext(n, p2m);
            board.xenPort(board.c, n, n);
            assertEquals(PAGE + n * 0x1000L, dma(board.ds0, n, 0));
        }
        tables.forEach(p2m -> p2m.unmap(0, 0x1000));
        board.c.ctx(1, IMCTR, 7);
        board.r.ctx(1, IMCTR, 0x20000007);
        assertEquals(ABORTED, dma(board.ds0, 1, 0));
        assertEquals(PAGE + 0x2000, dma(board.ds0, 2, 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check10DisabledUtlbPassesUntranslatedBesideOneThatTranslates(String compatible) {
        Board board = new Board(compatible);
        board.xenProbe();
        TableWriter p2m = board.p2m(36);
        p2m.map(0, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.xenContext(1, p2m);
        board.xenPort(board.c, 1, 4);
        assertEquals(PAGE + 4, dma(board.ds0, 4, 4));
        assertEquals(4, dma(board.ds0, 5, 4));
        assertEquals(0x4567_1004L, dma(board.ds0, 5, 0x4567_1004L, true));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void check11SecureDescriptorsFaultInStage1FormatOnly(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.mapLinux(table, 0x2000, PAGE, LINUX_RAM & ~Descriptor.NS);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x2000));
        assertEquals(0x2502, board.r.ctx(1, IMSTR));
        board.r.ctx(1, IMSTR, 0);
        board.memory.write64(table, board.memory.read64(table) & ~Descriptor.NS_TABLE);
        board.linuxInvalidate(board.c, 1);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000));
        assertEquals(0x0502, board.r.ctx(1, IMSTR));
        board.r.ctx(1, IMSTR, 0);
        // The same bits, at level 1, as a stage 2 table (S2AP is where AP was).
        board.mapLinux(table, 0x3000, PAGE, LINUX_RAM & ~Descriptor.NS | Descriptor.S2_READ);
        board.r.imsauxctlr(8);
        board.r.ctx(1, IMTTBCR, 0xc0000058);
        board.r.ctx(1, IMTTLBR0, (int) table);
        board.r.ctx(1, IMCTR, 0x20000007);
        assertEquals(PAGE, dma(board.ds0, 0, 0x3000));
        assertEquals(0, board.r.ctx(1, IMSTR));
    }

    @Test
    void check12EarlyH3StopsBeforeAnyIpmmuAccess() {
        Board board = new Board(GEN3);
        ProductRegister prr =
                new ProductRegister(ProductRegister.productOf("renesas,r8a7795").orElseThrow() | 0x10);
        board.bus.attach("prr", ProductRegister.ADDRESS, ProductRegister.WINDOW, prr);
        List<Long> accesses = new ArrayList<>();
        board.bus.addListener(new BusListener() {
            @Override
            public void onRead(long address, int size, long value) {
                accesses.add(address);
            }

            @Override
            public void onWrite(long address, int size, long value) {
                accesses.add(address);
            }
        });
        int value = board.bus.read32(ProductRegister.ADDRESS);
        assertEquals(0x4f10, value);
        boolean supported = (value & 0x7f00) == 0x4f00 && (value & 0xff) >= 0x20;
        if (supported) {
            board.xenProbe();
        }
        assertEquals(List.of(ProductRegister.ADDRESS), accesses);
        board.bus.write32(ProductRegister.ADDRESS, 0);
        assertEquals(0x4f10, board.bus.read32(ProductRegister.ADDRESS));
    }
}
