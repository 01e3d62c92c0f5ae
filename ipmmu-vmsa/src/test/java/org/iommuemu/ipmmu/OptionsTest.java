package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.ABORTED;
import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMEUAR;
import static org.iommuemu.ipmmu.Board.IMMAIR0;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.IMTTBCR;
import static org.iommuemu.ipmmu.Board.IMTTLBR1;
import static org.iommuemu.ipmmu.Board.LINUX_RAM;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.function.Function;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every option both ways, the chip and its cut, and what tests can do to a unit that software cannot. */
class OptionsTest {
    private static final String GEN2 = "renesas,ipmmu-vmsa";
    private static final String GEN3 = "renesas,ipmmu-r8a7795";
    private static final String GEN4 = "renesas,ipmmu-r8a779g0";
    private static final long PAGE = Board.RAM + 0x800_0000L;

    /** What is seen of an option: without it, and with it. */
    private record Case(String compatible, Function<Board, Object> see, Object without, Object with) {}

    @ParameterizedTest
    @EnumSource
    void optionMakesItsDifference(IpmmuOption option) {
        Case test = caseOf(option);
        IpmmuVariant variant = IpmmuVariant.of(test.compatible).orElseThrow();
        assertFalse(variant.has(option), "the recommended choice is the default");
        assertEquals(test.without, test.see.apply(new Board(variant)));
        assertEquals(test.with, test.see.apply(new Board(variant.with(option))));
    }

    private static Case caseOf(IpmmuOption option) {
        return switch (option) {
            case COLD_RESET -> new Case(GEN3, b -> b.r.imsctlr(), 0xc0000000, 0x10000000);
            case STATUS_READ_WRITE ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            b.r.ctx(1, IMSTR, 0x101);
                            return b.r.ctx(1, IMSTR) + " " + b.interrupt();
                        },
                        "0 false",
                        "257 true");
            case LAST_FAULT_KEPT ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            dma(b.ds0, 0, 0x5000);
                            dma(b.ds0, 0, 0x6000);
                            assertEquals(1, b.root.unrecordedFaults(1));
                            return b.r.ctx(1, IMELAR);
                        },
                        0x5000,
                        0x6000);
            case STRICT_SL0 -> new Case(GEN3, b -> stage2(b, 8, 0xc0000098), PAGE, ABORTED);
            case PMB_ALONE -> new Case(GEN3, b -> stage2(b, 0, 0xc0000058), ABORTED, PAGE);
            case S2PTE_ALONE -> new Case(GEN3, b -> stage2(b, 8, 0x80000058), ABORTED, PAGE);
            case STRICT_CONTEXTS ->
                new Case(
                        GEN3,
                        b -> {
                            b.c.imuctr(0, 0x11);
                            return dma(b.ds0, 0, 0x1000);
                        },
                        0x1000L,
                        ABORTED);
            case FIXADD_ALWAYS ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            b.c.imuctr(0, 0x80120011);
                            assertEquals(dma(b.ds0, 0, 0x1008), dma(b.ds0, 0, 0x1008), "walk and hit");
                            return dma(b.ds0, 0, 0x1008);
                        },
                        PAGE + 8,
                        0x12_0000_0000L + PAGE + 8);
            case PMB_PASSES ->
                new Case(
                        GEN3,
                        b -> {
                            b.c.imuctr(0, 0x81);
                            return dma(b.ds0, 0, 0x1000);
                        },
                        ABORTED,
                        0x1000L);
            case AFE_IGNORED ->
                new Case(
                        GEN3,
                        b -> {
                            long table = attach(b);
                            b.mapLinux(table, 0x2000, PAGE, LINUX_RAM & ~Descriptor.AF);
                            b.r.ctx(1, IMCTR, 0x10007);
                            return dma(b.ds0, 0, 0x2000) == PAGE ? PAGE : b.r.ctx(1, IMSTR);
                        },
                        0x2402L,
                        PAGE);
            case ERRLVL_IS_LEVEL -> new Case(GEN3, b -> statusOfFault(b, 0x5000), 0x2101, 0x3101);
            case NON_SECURE_FIRST -> new Case(GEN3, b -> statusOfFault(b, 0xfe00_0000L), 0x0101, 0x0502);
            case CACHE_STATUS ->
                new Case(
                        GEN3,
                        b -> {
                            statusOfFault(b, 0x12_0000_5678L);
                            b.c.ctx(1, IMSTR, 0);
                            return List.of(b.c.ctx(1, IMSTR), b.c.ctx(1, IMELAR), b.c.ctx(1, IMEUAR));
                        },
                        List.of(0, 0, 0),
                        List.of(0x0101, 0x5678, 0x12));
            case CACHE_INTEN_GATES ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            b.c.ctx(1, IMCTR, 1);
                            dma(b.ds0, 0, 0x5000);
                            boolean gated = !b.interrupt();
                            b.c.ctx(1, IMCTR, 5);
                            assertTrue(b.interrupt());
                            return gated;
                        },
                        false,
                        true);
            case IMSSTR_ROOT_BIT ->
                new Case(
                        GEN3,
                        b -> {
                            assertEquals(0, b.r.read(0x540));
                            statusOfFault(b, 0x5000);
                            return b.r.read(0x540);
                        },
                        1,
                        0x40001);
            case GEN4_IMSSTR ->
                new Case(
                        GEN4,
                        b -> {
                            statusOfFault(b, 0x5000);
                            return b.r.read(0x1540);
                        },
                        0,
                        1);
            case SILENT_FAULTS ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            DmaPort.Response walked = b.port(b.ds0, 0).read(0x5000, new byte[4], 0, 4);
                            b.mapLinux(b.r.ctx(1, Board.IMTTLBR0), 0x6000, PAGE, LINUX_RAM | Descriptor.AP_READ_ONLY);
                            dma(b.ds0, 0, 0x6000);
                            assertEquals(walked, b.port(b.ds0, 0).write(0x6000, new byte[4], 0, 4), "on a hit");
                            return walked;
                        },
                        DmaPort.Response.ABORT,
                        DmaPort.Response.RAZ_WI);
            case KEPT_FAULTS ->
                new Case(
                        GEN3,
                        b -> {
                            long table = attach(b);
                            dma(b.ds0, 0, 0x5000);
                            b.mapLinux(table, 0x5000, PAGE, LINUX_RAM);
                            return dma(b.ds0, 0, 0x5000);
                        },
                        PAGE,
                        ABORTED);
            case NO_TTBR1 ->
                new Case(
                        GEN3,
                        b -> {
                            long table = attach(b);
                            b.r.ctx(1, IMTTLBR1, (int) table);
                            b.r.ctx(1, IMTTBCR, 0xb51a359a); // 38 bits each
                            b.r.ctx(1, IMCTR, 0x20000007);
                            return dma(b.ds0, 0, 0xc0_0000_1000L);
                        },
                        PAGE,
                        ABORTED);
            case HIGH_ADDRESS_FAULTS ->
                new Case(
                        GEN3,
                        b -> {
                            long table = attach(b);
                            b.mapLinux(table, 0x5000, PAGE | 1L << 40, LINUX_RAM);
                            b.mapLinux(table, 0x4000_0000L, PAGE, LINUX_RAM);
                            b.memory.write64(table + 8, b.memory.read64(table + 8) | 1L << 47);
                            boolean ignored = dma(b.ds0, 0, 0x4000_0000L) == PAGE;
                            assertEquals(ignored ? 0 : 0x0101, b.r.ctx(1, IMSTR), "of a table");
                            b.r.ctx(1, IMSTR, 0);
                            return dma(b.ds0, 0, 0x5000) == PAGE ? PAGE : b.r.ctx(1, IMSTR);
                        },
                        PAGE,
                        0x2101L);
            case ONE_CONTEXT ->
                new Case(
                        GEN2,
                        b -> {
                            b.r.ctx(1, IMMAIR0, 5);
                            return b.r.ctx(1, IMMAIR0);
                        },
                        5,
                        0);
            case SECURE_BANK ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            long secure = b.ds0.translate(0, -1, 0x1000, Access.SECURE);
                            return Translation.address(secure, 0x1000);
                        },
                        PAGE,
                        0x1000L);
            case SECURITY_GROUPS_PASS ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            b.c.imsctlr(0x10000000);
                            return dma(b.ds0, 0, 0x1000);
                        },
                        ABORTED,
                        0x1000L);
            case ODD_ACCESSES_IGNORED -> new Case(GEN3, b -> orBusError(b, b.r.base, 8), "bus error", 0L);
            case OFF_IS_BUS_ERROR ->
                new Case(
                        GEN3,
                        b -> {
                            b.ds0.power(false);
                            return orBusError(b, b.c.base, 4);
                        },
                        0L,
                        "bus error");
            case RETENTION ->
                new Case(
                        GEN3,
                        b -> {
                            attach(b);
                            assertEquals(PAGE, dma(b.ds0, 0, 0x1000));
                            b.ds0.power(false);
                            b.ds0.power(true);
                            return b.c.imuctr(0);
                        },
                        0,
                        0x11);
            case PAGE_OF_FAULT ->
                new Case(
                        GEN3,
                        b -> {
                            statusOfFault(b, 0x5678);
                            return b.r.ctx(1, IMELAR);
                        },
                        0x5678,
                        0x5000);
            case LOCKED_WHILE_FLUSHING ->
                new Case(
                        GEN3,
                        b -> {
                            b.root.handshakeReads(2);
                            b.r.ctx(1, IMCTR, 7);
                            b.r.ctx(1, IMCTR, 1);
                            return b.r.ctx(1, IMCTR);
                        },
                        3,
                        7);
        };
    }

    /** Context 1 with a table of Linux' that has a page at 0x1000, for micro-TLB 0. */
    private static long attach(Board board) {
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        return table;
    }

    private static Object statusOfFault(Board board, long address) {
        attach(board);
        assertEquals(ABORTED, dma(board.ds0, 0, address));
        return board.r.ctx(1, IMSTR);
    }

    private static Object stage2(Board board, int imsauxctlr, int imttbcr) {
        TableWriter p2m = board.p2m(40);
        p2m.map(0x12_0000_1000L, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        board.r.imsauxctlr(imsauxctlr);
        board.xenContext(1, p2m);
        board.r.ctx(1, IMTTBCR, imttbcr);
        board.xenPort(board.c, 1, 0);
        return dma(board.ds0, 0, 0x12_0000_1000L);
    }

    private static Object orBusError(Board board, long address, int size) {
        try {
            board.bus.write(address, size, 1);
            return board.bus.read(address, size);
        } catch (BusError e) {
            return "bus error";
        }
    }

    @Test
    void chipIsThatOfTheCompatibleOrOfTheProductRegister() {
        IpmmuVariant h3 = IpmmuVariant.of(GEN3).orElseThrow();
        assertEquals(Soc.R8A7795, h3.soc().orElseThrow());
        assertEquals(Soc.R8A77965, h3.withProduct(0x5520).soc().orElseThrow(), "the chip says what it is");
        assertEquals(
                Soc.R8A7795, h3.withProduct(0x5a20).soc().orElseThrow(), "another generation is no IPMMU like this");
        IpmmuVariant g2h = IpmmuVariant.of("renesas,ipmmu-r8a774e1").orElseThrow();
        assertEquals(Soc.R8A774E1, g2h.withProduct(0x4f20).soc().orElseThrow(), "of two with one product, the tree's");
        IpmmuVariant gen4 = IpmmuVariant.of("renesas,rcar-gen4-ipmmu-vmsa").orElseThrow();
        assertTrue(gen4.soc().isEmpty());
        assertEquals(Soc.R8A779G0, gen4.withProduct(0x5c00).soc().orElseThrow());
        assertTrue(gen4.withProduct(0).soc().isEmpty());
        assertEquals(
                Soc.R8A7791,
                IpmmuVariant.of(GEN2).orElseThrow().withProduct(0x4700).soc().orElseThrow());
    }

    @Test
    void everyChipIsMadeOutByItsNodes() {
        for (Soc soc : Soc.values()) {
            IpmmuVariant variant = IpmmuVariant.of(soc.compatible()).orElseThrow();
            assertEquals(soc, variant.soc().orElseThrow());
            assertEquals(soc.generation(), variant.generation());
            if (soc.product() != 0) {
                assertEquals(
                        soc.product(),
                        ProductRegister.productOf(soc.compatible().replace("ipmmu-", ""))
                                .orElseThrow());
            }
        }
    }

    /** TF-A's table of defects: product and cut, bits in IMSSTR of caches that firmware leaves without TLB. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "r8a7795 4f10 0 1 2 4 6 7 8 9 10 14 15",
                "r8a7795 4f20",
                "r8a7795 4f00",
                "r8a77965 5500 0 1 2 4 6 10 14",
                "r8a77965 5501 0 1 2 4 6 10 14",
                "r8a77965 5510",
                "r8a77990 5700 0 1 2 4 6 10 14 16",
                "r8a77990 5701 6 14 16",
                "r8a7796 5200"
            })
    void firmwareDisablesTlbsWithADefect(String line) {
        String[] words = line.split(" ");
        IpmmuVariant variant =
                IpmmuVariant.of("renesas,ipmmu-" + words[0]).orElseThrow().withProduct(Integer.parseInt(words[1], 16));
        List<String> units = List.of(words).subList(2, words.length);
        Board board = new Board(variant);
        for (int bit = -1; bit < 32; bit++) {
            Ipmmu cache = Ipmmu.cache("cache", variant, board.root, bit, MisuseListener.NONE);
            int expected = units.contains(Integer.toString(bit)) ? 0xe0000000 : 0;
            assertEquals(expected, (int) cache.registers().read(0x500, 4), line + ", bit " + bit);
            cache.registers().write(0x500, 4, 0x10000000);
            cache.power(false);
            cache.power(true);
            assertEquals(expected, (int) cache.registers().read(0x500, 4), "after power");
        }
    }

    @Test
    void cachesHaveTheOptionsOfTheirRoot() {
        Board board = new Board(GEN3);
        IpmmuVariant other = board.variant.with(IpmmuOption.SILENT_FAULTS);
        assertThrows(IllegalArgumentException.class, () -> Ipmmu.cache("c", other, board.root, 0, MisuseListener.NONE));
        assertThrows(IllegalStateException.class, board.root::secureRegisters);
        assertThrows(IllegalStateException.class, () -> board.ds0.injectMultipleHit(1, 0));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void unitWithoutPowerReadsAsZeroIgnoresWritesAndForgets(String compatible) {
        Board board = new Board(compatible);
        long table = attach(board);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x5000));
        assertTrue(board.interrupt());
        board.root.power(false);
        assertFalse(board.interrupt());
        board.r.ctx(1, IMCTR, 5);
        assertEquals(0, board.r.ctx(1, IMCTR));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000), "a hit in the cache is no way around the root");
        assertEquals(3, board.misuse.size(), board.misuse::toString);
        board.root.power(true);
        assertEquals(0, board.r.ctx(1, IMCTR));
        assertEquals(0, board.r.ctx(1, IMSTR));
        board.ds0.power(false);
        board.ds0.power(true);
        board.unmapLinux(table, 0x1000);
        board.mapLinux(table, 0x1000, PAGE + 0x1000, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0x1000));
    }

    /** What a port has cached goes with the power, and with changes of either bank. */
    @Test
    void portsHearOfPowerAndOfTheSecureBank() {
        Board board = new Board(IpmmuVariant.of(GEN3).orElseThrow().with(IpmmuOption.SECURE_BANK));
        long table = attach(board);
        DmaPort port = board.port(board.ds0, 0);
        byte[] line = new byte[8];
        assertEquals(DmaPort.Response.OK, port.read(0x1000, line, 0, 8));
        assertEquals(DmaPort.Response.OK, port.read(0x1000, line, 0, 8));
        board.root.power(false);
        assertEquals(DmaPort.Response.ABORT, port.read(0x1000, line, 0, 8));
        board.root.power(true);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(DmaPort.Response.OK, port.read(0x1000, line, 0, 8));
        board.ds0.power(false);
        assertEquals(DmaPort.Response.ABORT, port.read(0x1000, line, 0, 8));

        DmaPort secure = new DmaPort(board.bus, board.ds1, 5, -1, Access.SECURE);
        assertEquals(DmaPort.Response.OK, secure.read(Board.RAM, line, 0, 8), "untranslated");
        assertEquals(DmaPort.Response.OK, secure.read(Board.RAM, line, 0, 8));
        board.ds1.secureRegisters().write(board.variant.utlbOffset(5), 4, 0x11);
        board.ds1.secureRegisters().write(board.variant.contextOffset(1), 4, 5);
        board.rs.ctx(1, IMTTBCR, 0x80000080);
        board.rs.ctx(1, IMCTR, 5);
        assertEquals(DmaPort.Response.ABORT, secure.read(Board.RAM, line, 0, 8), "no table");
        assertTrue(board.secureInterrupt());
        assertFalse(board.interrupt());
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void injectedMultipleHitIsReportedLikeAFault(String compatible) {
        Board board = new Board(compatible);
        attach(board);
        board.root.injectMultipleHit(1, 0x12_0000_5678L);
        assertTrue(board.interrupt());
        assertEquals(0x10, board.r.ctx(1, IMSTR));
        assertEquals(0x5678, board.r.ctx(1, IMELAR));
        board.r.ctx(1, IMSTR, 0);
        assertFalse(board.interrupt());
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
    }

    @Test
    void tlbsAreAsLargeAsAskedFor() {
        TlbGeometry one = TlbGeometry.of(1, 1);
        Board board = new Board(IpmmuVariant.of(GEN3).orElseThrow().withTlbs(one, one));
        long table = attach(board);
        board.mapLinux(table, 0x2000, PAGE, LINUX_RAM);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        assertEquals(PAGE, dma(board.ds0, 0, 0x2000));
        board.unmapLinux(table, 0x1000);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000), "there was room for one translation only");
    }

    @Test
    void gen3HasTheImbuscrThatALoaderWrites() {
        Board board = new Board(GEN3);
        board.r.ctx(0, 0x0c, -1);
        assertEquals(1, board.r.ctx(0, 0x0c));
        assertEquals(List.of(), board.misuse);
    }
}
