package org.iommuemu.ipmmu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The register-access sequences of public software, each replayed with the state after every step: LNX Linux
 * (ipmmu-vmsa.c), BSP Renesas' kernels, XEN Xen (passthrough/arm/ipmmu-vmsa.c), SEC a Cortex-R7 loader in the secure world.
 * docs/ipmmu-vmsa.md lists them.
 */
class SequenceTest {
    private static final String GEN2 = "renesas,ipmmu-vmsa";
    private static final String GEN3 = "renesas,ipmmu-r8a7795";
    private static final String GEN4 = "renesas,ipmmu-r8a779f0";
    private static final long PAGE = Board.RAM + 0x800_0000L;

    private static final String LNX_3 =
            """
            R IMTTLBR0(1) <- $table      ; R IMTTLBR0(1) = $table
            R IMTTUBR0(1) <- 0           ; R IMTTUBR0(1) = 0
            R IMTTBCR(1) <- 0x80000080   ; R IMTTBCR(1) = 0x80000080
            R IMMAIR0(1) <- 0xf404ff44   ; R IMMAIR0(1) = 0xf404ff44
            R IMSTR(1) -> s ; R IMSTR(1) <- $s ; R IMSTR(1) = 0
            C IMCTR(1) <- 7              ; C IMCTR(1) = 5 ; R IMCTR(1) = 0
            R IMCTR(1) <- 7              ; R IMCTR(1) = 5 ; dma C 35 0x1000 = 0x1000
            C IMUASID(35) <- 0           ; C IMUASID(35) = 0
            C IMUCTR(35) <- 0x13         ; C IMUCTR(35) = 0x11
            """;

    private static final String LNX_5 =
            """
            R IMCTR(1) -> v              ; R IMCTR(1) = 5
            C IMCTR(1) <- $v | 2         ; C IMCTR(1) = 5
            R IMCTR(1) <- $v | 2         ; R IMCTR(1) = 5
            """;

    private static Script script(String compatible, IpmmuOption... options) {
        Board board = new Board(IpmmuVariant.of(compatible).orElseThrow().with(options));
        return new Script(board).let("table", board.pages(4096)).let("page", PAGE);
    }

    private static Script linux(String compatible) {
        return script(compatible).run(LNX_3);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx1ProbeOfTheRoot(String compatible) {
        Script script = script(compatible);
        for (int n = 0; n < IpmmuVariant.of(compatible).orElseThrow().contexts(); n++) {
            script.let("n", n)
                    .run(
                            """
                    R IMCTR($n) <- 0xffffffff ; R IMCTR($n) = 0x2003007d
                    R IMCTR($n) <- 0          ; R IMCTR($n) = 0
                    """);
        }
        script.run("irq = 0 ; dma C 0 0x9000 = 0x9000 ; misuse = 0");
    }

    @Test
    void lnx1ProbeOfAGen2Unit() {
        script(GEN2)
                .run(
                        """
                R IMCTR(0) <- 0xffffffff ; R IMCTR(0) = 0x0003003d
                R IMCTR(0) <- 0          ; R IMCTR(0) = 0
                irq = 0 ; dma R 0 0x9000 = 0x9000 ; misuse = 0
                """);
    }

    /** No register access: the state is that of reset. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx2ProbeOfACache(String compatible) {
        script(compatible)
                .run(
                        """
                C IMCTR(1) = 0 ; C IMUCTR(0) = 0 ; C IMUASID(0) = 0 ; C IMSCTLR = 0
                dma C 0 0x9000 = 0x9000 ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx3FirstAttachOfADomain(String compatible) {
        linux(compatible)
                .run(
                        """
                irq = 0 ; misuse = 0
                dma C 35 0x1000 = abort ; irq = 1
                """);
    }

    /** A second device of the domain behind the same cache: only its ports. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx3SecondDeviceOfTheDomain(String compatible) {
        linux(compatible)
                .run(
                        """
                map 0x1000 $page
                dma C 2 0x1000 = 0x1000
                C IMUASID(2) <- 0 ; C IMUCTR(2) <- 0x13 ; C IMUCTR(2) = 0x11
                dma C 2 0x1000 = $page ; dma C 35 0x1000 = $page ; misuse = 0
                """);
    }

    @Test
    void lnx3OnGen2() {
        script(GEN2)
                .run(
                        """
                R IMTTLBR0(0) <- $table      ; R IMTTLBR0(0) = $table
                R IMTTUBR0(0) <- 0           ; R IMTTUBR0(0) = 0
                R IMTTBCR(0) <- 0x80003510   ; R IMTTBCR(0) = 0x80003510
                R IMMAIR0(0) <- 0xf404ff44   ; R IMMAIR0(0) = 0xf404ff44
                R IMBUSCR(0) <- 0xffffffff   ; R IMBUSCR(0) = 7
                R IMBUSCR(0) -> b ; R IMBUSCR(0) <- $b &~ 7 ; R IMBUSCR(0) = 0
                R IMSTR(0) -> s ; R IMSTR(0) <- $s ; R IMSTR(0) = 0
                R IMCTR(0) <- 7              ; R IMCTR(0) = 5
                R IMUASID(31) <- 0           ; R IMUASID(31) = 0
                R IMUCTR(31) <- 3            ; R IMUCTR(31) = 1
                map 0xffff1000 $page ; dma R 31 0xffff1000 = $page
                dma R 31 0xbfff1000 = abort ; R IMSTR(0) = 0x101 ; R IMELAR(0) = 0xbfff1000 ; irq = 1
                R IMSTR(0) <- 0 ; irq = 0 ; misuse = 0
                """);
    }

    /** Memory only, and no flush: what was unmapped before is not cached. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx4Map(String compatible) {
        linux(compatible)
                .run(
                        """
                dma C 35 0xfffff000 = abort ; R IMSTR(1) <- 0
                map 0xfffff000 $page
                dma C 35 0xfffff000 = $page ; write C 35 0xfffff000 = $page
                R IMCTR(1) = 5 ; C IMCTR(1) = 5 ; R IMSTR(1) = 0 ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx5Invalidate(String compatible) {
        linux(compatible)
                .run("map 0x1000 $page ; dma C 35 0x1000 = $page ; unmap 0x1000 ; dma C 35 0x1000 = $page")
                .run(LNX_5)
                .run("dma C 35 0x1000 = abort ; R IMSTR(1) = 0x2101 ; misuse = 0");
    }

    /** Polls of a flush that takes a while. */
    @Test
    void lnx5InvalidatePolls() {
        Board board = new Board(GEN3);
        Script script = new Script(board).let("table", board.pages(4096)).run(LNX_3);
        board.root.handshakeReads(2);
        script.run("R IMCTR(1) -> v ; C IMCTR(1) <- $v | 2 ; R IMCTR(1) <- $v | 2")
                .run("R IMCTR(1) = 7 ; R IMCTR(1) = 7 ; R IMCTR(1) = 5");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx6Detach(String compatible) {
        linux(compatible)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = $page
                C IMUCTR(35) <- 0 ; C IMUCTR(35) = 0
                dma C 35 0x1000 = 0x1000 ; R IMCTR(1) = 5 ; C IMCTR(1) = 5 ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx7FreeDomain(String compatible) {
        linux(compatible)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = $page
                C IMUCTR(35) <- 0
                C IMCTR(1) <- 2 ; C IMCTR(1) = 0 ; R IMCTR(1) = 5
                R IMCTR(1) <- 2 ; R IMCTR(1) = 0
                unmap 0x1000 ; misuse = 0
                """)
                .run(LNX_3)
                .run("dma C 35 0x1000 = abort");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx8Interrupt(String compatible) {
        linux(compatible)
                .run(
                        """
                dma C 35 0x7f09a123 = abort ; irq = 1
                R IMSTR(1) = 0x101
                R IMELAR(1) = 0x7f09a123 ; R IMEUAR(1) = 0
                irq = 1
                R IMSTR(1) <- 0
                irq = 0 ; R IMSTR(1) = 0 ; R IMELAR(1) = 0 ; R IMEUAR(1) = 0 ; misuse = 0
                """);
    }

    /** Context 0 is nobody's: its fault holds the line, as no driver looks there. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx8FaultOfAContextThatIsNotOwnedHoldsTheLine(String compatible) {
        linux(compatible)
                .run(
                        """
                R IMTTBCR(0) <- 0x80000080 ; R IMTTLBR0(0) <- $table
                C IMCTR(0) <- 7 ; R IMCTR(0) <- 7 ; C IMUCTR(0) <- 3
                dma C 0 0x5000 = abort ; irq = 1
                R IMSTR(1) = 0 ; R IMSTR(1) <- 0 ; irq = 1
                """);
    }

    /** Nothing is done at suspend; all units lose power. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx9Resume(String compatible) {
        Script script = linux(compatible)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = $page
                power R 0 ; power C 0 ; dma C 35 0x1000 = abort
                power R 1 ; power C 1
                R IMCTR(1) = 0 ; R IMTTLBR0(1) = 0 ; C IMUCTR(35) = 0
                """);
        for (int n = 0; n < IpmmuVariant.of(compatible).orElseThrow().contexts(); n++) {
            script.let("n", n).run("R IMCTR($n) <- 0 ; R IMCTR($n) = 0");
        }
        script.run(LNX_3).run("dma C 35 0x1000 = $page ; irq = 0");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void lnx10RemoveOfACache(String compatible) {
        Script script = linux(compatible).run("C IMUCTR(35) <- 0");
        for (int n = 0; n < IpmmuVariant.of(compatible).orElseThrow().contexts(); n++) {
            script.let("n", n).run("C IMCTR($n) <- 0 ; C IMCTR($n) = 0");
        }
        script.run("R IMCTR(1) = 5 ; dma C 35 0x1000 = 0x1000 ; misuse = 0");
    }

    /** What IMTTBCR held before stays. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void bspAKeepsOldBitsOfImttbcr(String compatible) {
        linux(compatible)
                .run(
                        """
                R IMTTBCR(1) -> o ; R IMTTBCR(1) <- $o | 0x80003580 ; R IMTTBCR(1) = 0x80003580
                map 0x1000 $page ; dma C 35 0x1000 = $page ; misuse = 0
                """);
    }

    /** After a cold reset, DMA works only with this. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void bspBClearsUseSecgrp(String compatible) {
        script(compatible, IpmmuOption.COLD_RESET)
                .run(LNX_3)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = abort ; R IMSTR(1) = 0
                R IMSCTLR -> r ; C IMSCTLR -> c ; R IMSCTLR = 0x10000000 ; C IMSCTLR = 0x10000000
                C IMSCTLR <- $c &~ 0x10000000 ; C IMSCTLR = 0 ; dma C 35 0x1000 = abort
                R IMSCTLR <- $r &~ 0x10000000 ; R IMSCTLR = 0
                dma C 35 0x1000 = $page
                """);
    }

    /** Enabled without FLUSH, over what was there. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void bspCKeepsOldBitsOfImuctr(String compatible) {
        linux(compatible)
                .run(
                        """
                map 0x1000 $page
                C IMUASID(35) <- 0
                C IMUCTR(35) -> o ; C IMUCTR(35) <- $o | 0x11 ; C IMUCTR(35) = 0x11
                dma C 35 0x1000 = $page
                C IMUCTR(35) -> o ; C IMUCTR(35) <- $o | 0x21 ; C IMUCTR(35) = 0x31
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void bspDSuspendAndResume(String compatible) {
        linux(compatible)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = $page
                R IMTTLBR1(1) <- 0x5000 ; R IMTTUBR1(1) <- 6 ; R IMMAIR1(1) <- 7 ; C IMUASID(35) <- 0x102
                R IMTTLBR0(1) -> a ; R IMTTUBR0(1) -> b ; R IMTTBCR(1) -> c ; R IMTTLBR1(1) -> d
                R IMTTUBR1(1) -> e ; R IMMAIR0(1) -> f ; R IMMAIR1(1) -> g ; R IMCTR(1) -> h
                C IMUCTR(35) -> i ; C IMUASID(35) -> j
                power R 0 ; power C 0 ; power R 1 ; power C 1
                R IMTTLBR1(1) = 0 ; R IMMAIR1(1) = 0 ; C IMUASID(35) = 0
                R IMTTLBR0(1) <- $a ; R IMTTLBR0(1) = $table
                R IMTTUBR0(1) <- $b ; R IMTTUBR0(1) = 0
                R IMTTBCR(1) <- $c  ; R IMTTBCR(1) = 0x80000080
                R IMTTLBR1(1) <- $d ; R IMTTLBR1(1) = 0x5000
                R IMTTUBR1(1) <- $e ; R IMTTUBR1(1) = 6
                R IMMAIR0(1) <- $f  ; R IMMAIR0(1) = 0xf404ff44
                R IMMAIR1(1) <- $g  ; R IMMAIR1(1) = 7
                C IMCTR(1) <- $h | 2 ; C IMCTR(1) = 5
                R IMCTR(1) <- $h | 2 ; R IMCTR(1) = 5
                C IMUASID(35) <- $j ; C IMUASID(35) = 0x102
                C IMUCTR(35) <- $i  ; C IMUCTR(35) = 0x11
                dma C 35 0x1000 = $page ; misuse = 0
                """);
    }

    /** Renesas' kernels flush in the fault handler, which matters only where faults are kept. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void bspFlushAfterAFault(String compatible) {
        script(compatible, IpmmuOption.KEPT_FAULTS)
                .run(LNX_3)
                .run("dma C 35 0x1000 = abort ; map 0x1000 $page ; R IMSTR(1) <- 0 ; dma C 35 0x1000 = abort")
                .run(LNX_5)
                .run("R IMSTR(1) <- 0 ; dma C 35 0x1000 = $page");
    }

    private static final String XEN_1_AND_2 =
            """
            R IMSAUXCTLR -> a ; R IMSAUXCTLR <- $a | 8
            R IMSCTLR -> b ; R IMSCTLR <- $b &~ 0x10000000
            C IMSCTLR -> b ; C IMSCTLR <- $b &~ 0x10000000
            D IMSCTLR -> b ; D IMSCTLR <- $b &~ 0x10000000
            """;

    private static final String XEN_3 =
            """
            R IMTTLBR0(1) <- $p2m & 0xfffff000 ; R IMTTLBR0(1) = $p2m
            R IMTTUBR0(1) <- 0                 ; R IMTTUBR0(1) = 0
            R IMTTBCR(1) <- 0xc0000058         ; R IMTTBCR(1) = 0xc0000058
            R IMSTR(1) -> s ; R IMSTR(1) <- $s ; R IMSTR(1) = 0
            R IMCTR(1) <- 0x20000007           ; R IMCTR(1) = 0x20000005
            """;

    private static final String XEN_4 =
            """
            R IMCTR(1) -> v ; C IMCTR(1) <- $v | 2 & 7 ; C IMCTR(1) = 5
            """;

    private static final String XEN_5 =
            """
            C IMUCTR(33) -> o ; C IMUCTR(33) = 0
            C IMUASID(33) <- 0           ; C IMUASID(33) = 0
            C IMUCTR(33) <- $o | 0x11    ; C IMUCTR(33) = 0x11
            """;

    /** A guest's page at 0x12_3456_7000. */
    private static Script xen(String compatible) {
        Script script = script(compatible);
        return script.let("p2m", script.board().p2m(40).root()).run(XEN_1_AND_2);
    }

    private static Script guest(String compatible) {
        Script script = script(compatible);
        TableWriter p2m = script.board().p2m(40);
        p2m.map(0x12_3456_7000L, PAGE, 0x1000, Descriptor.STAGE2_RAM);
        return script.let("p2m", p2m.root()).run(XEN_1_AND_2).run(XEN_3);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen1ProbeOfTheRoot(String compatible) {
        Script script = script(compatible, IpmmuOption.COLD_RESET);
        Board board = script.board();
        board.bus.attach(
                "prr",
                ProductRegister.ADDRESS,
                ProductRegister.WINDOW,
                new ProductRegister(board.variant.soc().orElseThrow().product() | 0x20));
        assertEquals(0x20, board.bus.read32(ProductRegister.ADDRESS) & 0xff);
        for (int n = 0; n < board.variant.contexts(); n++) {
            script.let("n", n).run("R IMCTR($n) <- 0 ; R IMCTR($n) = 0");
        }
        script.run(
                """
                R IMSAUXCTLR -> a ; R IMSAUXCTLR = 0 ; R IMSAUXCTLR <- $a | 8 ; R IMSAUXCTLR = 8
                R IMSCTLR -> b ; R IMSCTLR = 0x10000000 ; R IMSCTLR <- $b &~ 0x10000000 ; R IMSCTLR = 0
                irq = 0 ; misuse = 0
                """);
    }

    /** Firmware's bits survive. */
    @Test
    void xen1AfterFirmware() {
        script(GEN3)
                .run(
                        """
                R IMSAUXCTLR -> a ; R IMSAUXCTLR <- $a | 8           ; R IMSAUXCTLR = 0x01000008
                R IMSCTLR -> b    ; R IMSCTLR <- $b &~ 0x10000000    ; R IMSCTLR = 0xc0000000
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen2ProbeOfACache(String compatible) {
        script(compatible, IpmmuOption.COLD_RESET)
                .run("C IMSCTLR -> b ; C IMSCTLR = 0x10000000 ; C IMSCTLR <- $b &~ 0x10000000 ; C IMSCTLR = 0");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen3FirstDeviceOfAGuest(String compatible) {
        guest(compatible).run("dma C 33 0x1234567000 = 0x1234567000 ; irq = 0 ; misuse = 0");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen4FirstDeviceBehindACache(String compatible) {
        guest(compatible).run(XEN_4).run("D IMCTR(1) = 0 ; dma C 33 0x5000 = 0x5000 ; misuse = 0");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen5EnablePort(String compatible) {
        guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                dma C 33 0x1234567010 = 0x48000010 ; write C 33 0x1234567010 = 0x48000010 ; misuse = 0
                """);
    }

    /** A port of another guest's is left as it is: EINVAL. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen5PortOfAnotherContext(String compatible) {
        guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                C IMUCTR(33) -> o ; C IMUCTR(33) = 0x11
                dma C 33 0x1234567000 = $page
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen6Flush(String compatible) {
        Script script = guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                D IMCTR(1) <- 7 ; D IMUCTR(0) <- 0x11
                dma C 33 0x1234567000 = $page ; dma D 0 0x1234567000 = $page
                """);
        Board board = script.board();
        long level2 = board.memory.read64(board.r.ctx(1, Board.IMTTLBR0) + (0x12_3456_7000L >>> 30) * 8) & ~0xfffL;
        board.memory.write64(level2 + (0x12_3456_7000L >>> 21 & 511) * 8, 0);
        board.root.handshakeReads(1);
        script.run(
                """
                dma C 33 0x1234567000 = $page
                R IMCTR(1) -> v
                C IMCTR(1) <- $v | 2 & 7 ; C IMCTR(1) = 5
                D IMCTR(1) <- $v | 2 & 7 ; D IMCTR(1) = 5
                R IMCTR(1) <- $v | 2 ; R IMCTR(1) = 0x20000007 ; R IMCTR(1) = 0x20000005
                dma C 33 0x1234567000 = abort ; R IMSTR(1) = 0x1101
                dma D 0 0x1234567000 = abort ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen7Detach(String compatible) {
        guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                C IMUCTR(33) <- 0 ; C IMUCTR(33) = 0 ; dma C 33 0x5000 = 0x5000
                C IMCTR(1) <- 2 ; C IMCTR(1) = 0 ; R IMCTR(1) = 0x20000005 ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen8GuestDestroyed(String compatible) {
        guest(compatible).run("R IMCTR(1) <- 2 ; R IMCTR(1) = 0 ; misuse = 0");
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen9Interrupt(String compatible) {
        guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                dma C 33 0xab00000ff8 = abort ; irq = 1
                R IMSTR(1) = 0x101 ; R IMELAR(1) = 0x00000ff8 ; R IMEUAR(1) = 0xab
                R IMSTR(1) <- 0 ; irq = 0 ; R IMELAR(1) = 0 ; R IMEUAR(1) = 0
                R IMCTR(1) = 0x20000005 ; misuse = 0
                """);
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void xen10SuspendAndResume(String compatible) {
        guest(compatible)
                .run(XEN_4)
                .run(XEN_5)
                .run(
                        """
                dma C 33 0x1234567000 = $page
                R IMTTLBR0(1) -> a ; R IMTTUBR0(1) -> b ; R IMTTBCR(1) -> c ; R IMCTR(1) -> d
                C IMUASID(33) -> e ; C IMUCTR(33) -> f
                power C 0 ; power D 0 ; power R 0 ; power R 1 ; power C 1 ; power D 1
                R IMCTR(1) = 0 ; C IMUCTR(33) = 0
                R IMSCTLR -> s ; R IMSCTLR <- $s &~ 0x10000000
                R IMSAUXCTLR -> s ; R IMSAUXCTLR <- $s | 8
                R IMTTLBR0(1) <- $a ; R IMTTLBR0(1) = $p2m
                R IMTTUBR0(1) <- $b ; R IMTTUBR0(1) = 0
                R IMTTBCR(1) <- $c  ; R IMTTBCR(1) = 0xc0000058
                C IMCTR(1) <- $d | 2 & 7 ; C IMCTR(1) = 5
                R IMCTR(1) <- $d | 2 ; R IMCTR(1) = 0x20000005
                C IMSCTLR -> s ; C IMSCTLR <- $s &~ 0x10000000
                C IMUASID(33) <- $e ; C IMUASID(33) = 0
                C IMUCTR(33) <- $f  ; C IMUCTR(33) = 0x11
                dma C 33 0x1234567000 = $page ; irq = 0 ; misuse = 0
                """);
    }

    /** Context 0 of the secure bank, with a cache; descriptors without NS bits or AF, a block of 2 MiB. */
    private static Script loader() {
        Script script = script(GEN3, IpmmuOption.SECURE_BANK);
        Board board = script.board();
        long table = board.pages(4096);
        long level2 = board.pages(4096);
        board.memory.write64(table + 8, level2 | 3);
        board.memory.write64(level2, PAGE | 0x41);
        script.let("secure", table)
                .run(
                        """
                RS IMTTLBR0(0) <- $secure  ; RS IMTTLBR0(0) = $secure
                RS IMTTUBR0(0) <- 0        ; RS IMTTUBR0(0) = 0
                RS IMTTBCR(0) <- 0x80003580 ; RS IMTTBCR(0) = 0x80003580
                RS IMBUSCR(0) <- 0         ; RS IMBUSCR(0) = 0
                RS IMSTR(0) <- 0           ; RS IMSTR(0) = 0
                RS IMMAIR0(0) <- 0x00004f00 ; RS IMMAIR0(0) = 0x00004f00
                RS IMCTR(0) <- 6           ; RS IMCTR(0) = 4
                RS IMCTR(0) <- 5           ; RS IMCTR(0) = 5
                CS IMCTR(0) <- 6           ; CS IMCTR(0) = 4
                CS IMCTR(0) <- 5           ; CS IMCTR(0) = 5
                """);
        for (int u = 0; u < 20; u++) {
            if (u != 3) {
                script.let("u", u)
                        .run(
                                """
                        CS IMUASID($u) <- 0 ; CS IMUASID($u) = 0
                        CS IMUCTR($u) <- 2  ; CS IMUCTR($u) = 0
                        CS IMUCTR($u) <- 1  ; CS IMUCTR($u) = 1
                        """);
            }
        }
        return script;
    }

    @Test
    void secLoader() {
        loader().run(
                        """
                secure C 7 0x40001230 = 0x48001230
                secure C 3 0x40001230 = 0x40001230
                dma C 7 0x40001230 = 0x40001230
                R IMCTR(0) = 0 ; R IMTTLBR0(0) = 0 ; C IMUCTR(7) = 0
                secure C 7 0x80000000 = abort ; irqs = 1 ; irq = 0
                RS IMSTR(0) = 0x101 ; RS IMELAR(0) = 0x80000000 ; R IMSTR(0) = 0
                RS IMSTR(0) <- 0 ; irqs = 0 ; misuse = 0
                """);
    }

    /** The loader's later flush goes to its cache only, if that is enabled. */
    @Test
    void secFlush() {
        loader().run("CS IMCTR(0) -> v ; CS IMCTR(0) = 5 ; CS IMCTR(0) <- $v | 2 ; CS IMCTR(0) = 5 ; misuse = 0");
    }

    /** Linux on the non-secure bank leaves the loader's context alone, also at probe; and secure software sees its bank. */
    @Test
    void secBesideLinux() {
        Script script = loader();
        for (int n = 0; n < 8; n++) {
            script.let("n", n).run("R IMCTR($n) <- 0");
        }
        script.run(LNX_3)
                .run(
                        """
                map 0x1000 $page ; dma C 35 0x1000 = $page
                secure C 7 0x40001230 = 0x48001230
                RS IMCTR(0) = 5 ; CS IMUCTR(7) = 1
                """);
        Board board = script.board();
        assertEquals(5, board.rs.read(0x800 + 0x40), "IMCTR(1) of the non-secure bank");
        board.cs.write(0x800 + board.variant.utlbOffset(35), 0);
        assertEquals(0, board.c.imuctr(35));
        assertFalse(board.interrupt());
    }
}
