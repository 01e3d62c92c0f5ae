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
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Single registers, variants, and behaviour that is assumed. */
class RegistersTest {
    private static final String GEN2 = "renesas,ipmmu-vmsa";
    private static final String GEN3 = "renesas,ipmmu-r8a7795";
    private static final String GEN4 = "renesas,ipmmu-r8a779g0";
    private static final long PAGE = Board.RAM + 0x800_0000L;

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "renesas,ipmmu-r8a774e1 | GEN3 | 8 | 48 | 4096",
                "renesas,ipmmu-r8a77961 | GEN3 | 8 | 48 | 4096",
                "renesas,ipmmu-r8a779a0 | GEN4 | 16 | 64 | 131072",
                "renesas,rcar-gen4-ipmmu-vmsa | GEN4 | 16 | 64 | 131072",
                "renesas,ipmmu-vmsa | GEN2 | 4 | 32 | 4096"
            })
    void variantsByCompatible(String compatible, String generation, int contexts, int utlbs, int window) {
        IpmmuVariant variant = IpmmuVariant.of(compatible).orElseThrow();
        assertEquals(generation, variant.generation().name());
        assertEquals(contexts, variant.contexts());
        assertEquals(utlbs, variant.utlbs());
        assertEquals(window, variant.window());
    }

    @Test
    void productsByChip() {
        assertEquals(OptionalInt.of(0x5500), ProductRegister.productOf("renesas,r8a77965"));
        assertEquals(OptionalInt.of(0x5a00), ProductRegister.productOf("renesas,r8a779f0"));
        assertEquals(OptionalInt.of(0x4f00), ProductRegister.productOf("renesas,r8a774e1"));
        assertEquals(OptionalInt.of(0x4500), ProductRegister.productOf("renesas,r8a7742"));
        assertEquals(OptionalInt.empty(), ProductRegister.productOf("arm,fvp"));
        assertEquals(Optional.empty(), IpmmuVariant.of("arm,smmu-v3"));
    }

    @Test
    void unitsThatDoNotGoTogetherAreRefused() {
        Board gen3 = new Board(GEN3);
        IpmmuVariant gen2 = IpmmuVariant.of(GEN2).orElseThrow();
        IpmmuVariant gen4 = IpmmuVariant.of(GEN4).orElseThrow();
        MisuseListener none = MisuseListener.NONE;
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.root("x", gen2, gen3.bus, null, null, none));
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.standalone("x", gen4, gen3.bus, null, null, none));
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.cache("x", gen4, gen3.root, 0, none));
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.cache("x", gen3.variant, gen3.ds0, 0, none));
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.cache("x", gen3.variant, gen3.root, 32, none));
    }

    @Test
    void registerMapsAreShared() {
        IpmmuVariant h3 = IpmmuVariant.of(GEN3).orElseThrow();
        IpmmuVariant m3 = IpmmuVariant.of("renesas,ipmmu-r8a7796").orElseThrow();
        assertSame(IpmmuRegisters.of(h3, IpmmuRegisters.Role.CACHE), IpmmuRegisters.of(m3, IpmmuRegisters.Role.CACHE));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void absentRegistersReadAsZeroAndAreTold(String compatible) {
        Board board = new Board(compatible);
        int[] rootOnly = {IMTTBCR, IMTTLBR0, IMSTR, IMELAR, IMEUAR};
        for (int register : rootOnly) {
            board.c.ctx(1, register, -1);
            assertEquals(0, board.c.ctx(1, register));
        }
        board.r.imuctr(0, -1);
        assertEquals(0, board.r.imuctr(0));
        for (int reserved : new int[] {0x24, 0x38, 0x3c}) {
            board.r.ctx(1, reserved, -1);
            assertEquals(0, board.r.ctx(1, reserved));
        }
        assertEquals(2 * (rootOnly.length + 1 + 3), board.misuse.size());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void undefinedBitsReadAsZero(String compatible) {
        Board board = new Board(compatible);
        board.r.ctx(1, IMTTBCR, -1);
        assertEquals(0xffff3fff & ~0xc000, board.r.ctx(1, IMTTBCR));
        board.r.ctx(1, IMTTLBR0, -1);
        assertEquals(0xfffff000, board.r.ctx(1, IMTTLBR0));
        board.r.ctx(1, IMSTR, -1);
        assertEquals(0, board.r.ctx(1, IMSTR));
        board.c.imuctr(0, -1);
        assertEquals(compatible.equals(GEN4) ? 0x80ff01f1 : 0x80ff00f1, board.c.imuctr(0));
    }

    @Test
    void onlyWordAccessesAreTaken() {
        Board board = new Board(GEN3);
        assertThrows(BusError.class, () -> board.bus.read(board.r.base, 8));
        assertThrows(BusError.class, () -> board.bus.write(board.r.base, 2, 0));
    }

    @Test
    void imsstrTellsTheUnitAndThatItMustNotBeRead() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        board.linuxAttach(board.c1, 1, 40, table);
        assertEquals(0, board.r.read(0x540));
        assertEquals(1, board.misuse.size());
        assertEquals(ABORTED, dma(board.ds1, 40, 0x1000));
        assertEquals(2, board.r.read(0x540));
        board.r.ctx(1, IMSTR, 0);
        assertEquals(0, board.r.read(0x540));
        assertEquals(3, board.misuse.size());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void contextWithoutIntenRecordsButDoesNotInterrupt(String compatible) {
        Board board = new Board(compatible);
        board.linuxAttach(board.c, 1, 0, board.pages(4096));
        board.r.ctx(1, IMCTR, 1);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertFalse(board.interrupt());
        board.r.ctx(1, IMCTR, 5);
        assertTrue(board.interrupt());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void secureGroupsAbortWithoutARecord(String compatible) {
        Board board = new Board(IpmmuVariant.of(compatible).orElseThrow().with(IpmmuOption.COLD_RESET));
        long table = board.pages(4096);
        board.mapLinux(table, 0, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
        board.c.imsctlr(0);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
        assertEquals(0, board.r.ctx(1, IMSTR));
        assertEquals(1, board.misuse.size());
        board.r.imsctlr(0);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void disabledContextPassesOrAborts(String compatible) {
        IpmmuVariant variant = IpmmuVariant.of(compatible).orElseThrow();
        for (boolean strict : new boolean[] {false, true}) {
            Board board = new Board(strict ? variant.with(IpmmuOption.STRICT_CONTEXTS) : variant);
            board.linuxAttach(board.c, 1, 0, board.pages(4096));
            board.r.ctx(1, IMCTR, 0);
            assertEquals(strict ? ABORTED : 0x1000, dma(board.ds0, 0, 0x1000));
            assertEquals(strict ? ABORTED : 0x1000, dma(board.ds0, 0, 0x1000));
            assertEquals(1, board.misuse.size());
            board.r.ctx(1, IMCTR, 5);
            board.c.ctx(1, IMCTR, 0);
            assertEquals(strict ? ABORTED : 0x1000, dma(board.ds0, 0, 0x1000));
            assertEquals(2, board.misuse.size());
            assertEquals(0, board.r.ctx(1, IMSTR));
        }
    }

    @Test
    void code8SelectsTheMemoryBufferUnlessItIsAContext() {
        Board gen3 = new Board(GEN3);
        gen3.c.imuctr(0, 0x81);
        assertEquals(ABORTED, dma(gen3.ds0, 0, 0));
        assertEquals(1, gen3.misuse.size());
        Board gen4 = new Board(GEN4);
        gen4.xenProbe();
        TableWriter p2m = gen4.p2m(40);
        p2m.map(0, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        gen4.xenContext(8, p2m);
        gen4.xenPort(gen4.c, 8, 0);
        assertEquals(PAGE, dma(gen4.ds0, 0, 0));
        gen4.c.imuctr(0, 0x101);
        assertEquals(ABORTED, dma(gen4.ds0, 0, 0));
    }

    @Test
    void fixedUpperAddressOfUntranslatedAccesses() {
        Board board = new Board(GEN3);
        board.c.imuctr(0, 0x80120000);
        assertEquals(0x12_4000_0008L, dma(board.ds0, 0, 0x4000_0008L));
    }

    @Test
    void emptyEntryIsASecurityFaultIfNsIsCheckedFirst() {
        Board board = new Board(IpmmuVariant.of(GEN4).orElseThrow().with(IpmmuOption.NON_SECURE_FIRST));
        long table = board.pages(4096);
        board.mapLinux(table, 0xfe20_0000L, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0xfe00_0000L));
        assertEquals(0x1502, board.r.ctx(1, IMSTR));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void unitWithItsTlbDisabledKeepsNothing(String compatible) {
        Board board = new Board(compatible);
        board.c.imsctlr(0xe0000000);
        long table = board.pages(4096);
        board.mapLinux(table, 0, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        board.unmapLinux(table, 0);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        board.r.ctx(1, IMCTR, 7);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void imuctrFlushInvalidatesOneMicroTlb(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.c.imuctr(1, 0x11);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        board.r.ctx(1, IMCTR, 7);
        assertEquals(PAGE, dma(board.ds0, 1, 0));
        board.unmapLinux(table, 0);
        board.r.ctx(1, IMCTR, 7);
        board.c.imuctr(0, 0x13);
        assertEquals(ABORTED, dma(board.ds0, 0, 0));
        assertEquals(PAGE, dma(board.ds0, 1, 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void changedTableBaseServesHitsUntilTheFlush(String compatible) {
        Board board = new Board(compatible);
        long first = board.pages(4096);
        long second = board.pages(4096);
        board.mapLinux(first, 0, PAGE, LINUX_RAM);
        board.mapLinux(second, 0, PAGE + 0x1000, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, first);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        board.r.ctx(1, IMTTLBR0, (int) second);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        board.linuxInvalidate(board.c, 1);
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0));
    }

    @Test
    void outputBitsBeyond40AreIgnored() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        board.mapLinux(table, 0, PAGE | 0xff00_0000_0000L, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
    }

    @Test
    void portThatIsNotThereAborts() {
        Board board = new Board(GEN3);
        assertEquals(ABORTED, dma(board.ds0, 48, 0));
        assertEquals(ABORTED, dma(board.ds0, -1, 0));
        assertEquals(ABORTED, dma(board.root, 0, 0));
        assertEquals(3, board.misuse.size());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void keptFaultStaysUntilItsContextIsFlushed(String compatible) {
        Board board = new Board(IpmmuVariant.of(compatible).orElseThrow().with(IpmmuOption.KEPT_FAULTS));
        long table = board.pages(4096);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1008));
        board.r.ctx(1, IMSTR, 0);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.mapLinux(table, 0x2000, PAGE, LINUX_RAM);
        board.linuxInvalidate(board.c, 2);
        assertEquals(PAGE, dma(board.ds0, 0, 0x2000));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1010));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertEquals(0x1010, board.r.ctx(1, IMELAR));
        board.linuxInvalidate(board.c, 1);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
    }

    /** In a cache, in the root for a cache that keeps nothing, and without translation. */
    @Test
    void hitsAllocateNothing() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.linuxAttach(board.c1, 1, 0, table);
        board.c1.imsctlr(0xe0000000);
        long allocated = 0;
        long sum = 0;
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        for (int i = 0; i < 20_000; i++) {
            if (i == 10_000) {
                allocated = threads.getCurrentThreadAllocatedBytes();
            }
            sum += dma(board.ds0, 0, 0x1000) + dma(board.ds1, 0, 0x1000) + dma(board.ds0, 1, 0x1000);
        }
        allocated = threads.getCurrentThreadAllocatedBytes() - allocated;
        assertEquals(20_000 * (2 * PAGE + 0x1000), sum);
        assertTrue(allocated < 10_000, () -> "bytes allocated by 30,000 hits");
    }

    /** A board of 10,000 caches, each with a port that translates. */
    @Test
    void tenThousandCachesShareARoot() {
        Board board = new Board(GEN4);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        long base = 0x10_0000_0000L;
        for (int i = 0; i < 10_000; i++) {
            Ipmmu cache = Ipmmu.cache("cache" + i, board.variant, board.root, -1, MisuseListener.NONE);
            board.bus.attach("cache" + i, base, cache.window(), cache.registers());
            board.bus.write32(base + board.variant.contextOffset(1), 7);
            board.bus.write32(base + board.variant.utlbOffset(63), 0x11);
            base += cache.window();
            if (i % 100 == 0) {
                assertEquals(PAGE, dma(cache, 63, 0x1000));
            }
        }
        assertEquals(List.of(), board.misuse);
    }
}
