package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.ABORTED;
import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMEUAR;
import static org.iommuemu.ipmmu.Board.IMMAIR0;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.IMTTBCR;
import static org.iommuemu.ipmmu.Board.IMTTLBR0;
import static org.iommuemu.ipmmu.Board.IMTTLBR1;
import static org.iommuemu.ipmmu.Board.IMTTUBR0;
import static org.iommuemu.ipmmu.Board.LINUX_RAM;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Descriptor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What Linux does (ipmmu-vmsa.c), access by access; and what other public software does with stage 1 tables. */
class LinuxScenarioTest {
    private static final String GEN2 = "renesas,ipmmu-vmsa";
    private static final String GEN3 = "renesas,ipmmu-r8a77965";
    private static final String GEN4 = "renesas,rcar-gen4-ipmmu-vmsa";
    private static final long PAGE = Board.RAM + 0x800_0000L;

    /** LNX-1 and LNX-2, ipmmu_probe: the root is reset, a cache is not touched. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void probeDisablesTheRootsContexts(String compatible) {
        Board board = new Board(compatible);
        for (int n = 0; n < board.variant.contexts(); n++) {
            board.r.ctx(n, IMCTR, 0xffffffff);
            assertEquals(0x2003007d, board.r.ctx(n, IMCTR));
            board.r.ctx(n, IMCTR, 0);
            assertEquals(0, board.r.ctx(n, IMCTR));
        }
        assertFalse(board.interrupt());
        assertEquals(0x9000, dma(board.ds0, 0, 0x9000));
        assertEquals(List.of(), board.misuse);
    }

    /** LNX-3 to LNX-7 on one device. */
    @Test
    void attachMapUnmapDetachFree() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        int c = 1;
        // LNX-3, ipmmu_domain_setup_context and ipmmu_utlb_enable.
        board.r.ctx(c, IMTTLBR0, (int) table);
        assertEquals((int) table, board.r.ctx(c, IMTTLBR0));
        board.r.ctx(c, IMTTUBR0, (int) (table >>> 32));
        assertEquals(0, board.r.ctx(c, IMTTUBR0));
        board.r.ctx(c, IMTTBCR, 0x80000080);
        assertEquals(0x80000080, board.r.ctx(c, IMTTBCR));
        board.r.ctx(c, IMMAIR0, 0xf404ff44);
        assertEquals(0xf404ff44, board.r.ctx(c, IMMAIR0));
        board.r.ctx(c, IMSTR, board.r.ctx(c, IMSTR));
        assertEquals(0, board.r.ctx(c, IMSTR));
        board.c.ctx(c, IMCTR, 7);
        assertEquals(5, board.c.ctx(c, IMCTR));
        board.r.ctx(c, IMCTR, 7);
        assertEquals(5, board.r.ctx(c, IMCTR));
        board.c.imuasid(35, 0);
        board.c.imuctr(35, c << 4 | 3);
        assertEquals(0x11, board.c.imuctr(35));

        // LNX-4: memory only.
        board.mapLinux(table, 0xffff_f000L, PAGE, LINUX_RAM);
        assertEquals(PAGE + 0x123, dma(board.ds0, 35, 0xffff_f123L));
        assertEquals(PAGE + 0x124, dma(board.ds0, 35, 0xffff_f124L, true));
        long translation = board.ds0.translate(35, -1, 0xffff_f000L, Access.READ);
        assertEquals(0xff, Translation.attributes(translation));
        assertEquals(3, Translation.shareability(translation));

        // LNX-5.
        board.unmapLinux(table, 0xffff_f000L);
        int v = board.r.ctx(c, IMCTR);
        assertEquals(5, v);
        board.c.ctx(c, IMCTR, v | 2);
        board.r.ctx(c, IMCTR, v | 2);
        assertEquals(5, board.r.ctx(c, IMCTR));
        assertEquals(ABORTED, dma(board.ds0, 35, 0xffff_f123L));
        assertTrue(board.interrupt());

        // LNX-8, ipmmu_irq: the reserved context 0 is not looked at.
        int s = board.r.ctx(c, IMSTR);
        assertEquals(0x2101, s);
        assertEquals(0xffff_f123, board.r.ctx(c, IMELAR));
        assertEquals(0, board.r.ctx(c, IMEUAR));
        board.r.ctx(c, IMSTR, 0);
        assertFalse(board.interrupt());

        // LNX-6: the context stays.
        board.c.imuctr(35, 0);
        assertEquals(0xffff_f123L, dma(board.ds0, 35, 0xffff_f123L));
        assertEquals(5, board.r.ctx(c, IMCTR));

        // LNX-7, ipmmu_domain_destroy_context.
        board.c.ctx(c, IMCTR, 2);
        assertEquals(0, board.c.ctx(c, IMCTR));
        board.r.ctx(c, IMCTR, 2);
        assertEquals(0, board.r.ctx(c, IMCTR));
        assertEquals(List.of(), board.misuse);
    }

    /** Linux did not flush after mapping: an empty entry is not remembered. */
    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void pageThatFaultedTranslatesOnceItIsMapped(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x7f09_a000L));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertEquals(0x7f09_a000, board.r.ctx(1, IMELAR));
        board.mapLinux(table, 0x7f09_a000L, PAGE, LINUX_RAM);
        assertEquals(PAGE, dma(board.ds0, 0, 0x7f09_a000L));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void permissionsOfStage1(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM | Descriptor.AP_READ_ONLY);
        board.mapLinux(table, 0x2000, PAGE, LINUX_RAM & ~Descriptor.AP_UNPRIVILEGED);
        board.mapLinux(table, 0x3000, PAGE, LINUX_RAM & ~Descriptor.AF);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000, true));
        assertEquals(0x2402, board.r.ctx(1, IMSTR));
        board.r.ctx(1, IMSTR, 0);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x2000));
        assertEquals(0x2402, board.r.ctx(1, IMSTR));
        board.r.ctx(1, IMSTR, 0);
        assertTrue(Translation.translated(board.ds0.translate(0, -1, 0x2000, Access.PRIVILEGED | Access.WRITE)));
        // The Access flag is checked only if IMCTR.AFE is set.
        assertEquals(PAGE, dma(board.ds0, 0, 0x3000));
        board.c.ctx(1, IMCTR, 7);
        board.r.ctx(1, IMCTR, 0x10007);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x3000));
        assertEquals(0x2402, board.r.ctx(1, IMSTR));
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void addressesBeyond4GiBAreOutOfRange(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0));
        for (long address : new long[] {1L << 32, 0xab_0000_0000L, 1L << 40, -4096}) {
            assertEquals(ABORTED, dma(board.ds0, 0, address));
            assertEquals(0x0101, board.r.ctx(1, IMSTR));
            assertEquals((int) address, board.r.ctx(1, IMELAR));
            board.r.ctx(1, IMSTR, 0);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {GEN2, GEN3, GEN4})
    void tableWhereNoRamIsEndsInAWalkAbort(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.memory.write64(table, 0x1_0000_0000L | Descriptor.NS_TABLE | 3);
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(ABORTED, dma(board.ds0, 0, 0x1000));
        assertEquals(0x1004, board.r.ctx(1, IMSTR));
        assertTrue(board.interrupt());
        board.linuxAttach(board.c, 2, 1, 0x8_0000_0000L);
        assertEquals(ABORTED, dma(board.ds0, 1, 0x1000));
        assertEquals(0x0004, board.r.ctx(2, IMSTR));
    }

    /** The first driver of 2014 had a root table of 32 bytes, at any multiple of 32. */
    @Test
    void gen2RootTableNeedsOnly32ByteAlignment() {
        Board board = new Board(GEN2);
        long table = board.pages(4096) + 0x7e0;
        for (int i = 0; i < 4; i++) {
            board.mapLinux(table, ((long) i << 30) + 0x5000, PAGE + i * 0x1000L, LINUX_RAM);
        }
        board.linuxAttach(board.c, 0, 31, table);
        assertEquals((int) table, board.r.ctx(0, IMTTLBR0));
        for (int i = 0; i < 4; i++) {
            assertEquals(PAGE + i * 0x1000L + 4, dma(board.ds0, 31, ((long) i << 30) + 0x5004));
        }
        assertEquals(List.of(), board.misuse);
    }

    /** LNX-1 and LNX-3 on Gen2, where context 0 is used, IMBUSCR is set and all is in the bank at + 0x800. */
    @Test
    void gen2UnitStandsAlone() {
        Board board = new Board(GEN2);
        board.r.ctx(0, IMCTR, 0);
        int imbuscr = board.r.ctx(0, 0x0c);
        board.r.ctx(0, 0x0c, imbuscr & ~7);
        long table = board.pages(4096);
        board.mapLinux(table, 0x8000_0000L, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 0, 5, table);
        assertEquals(0x80003510, board.r.ctx(0, IMTTBCR));
        assertEquals(PAGE, dma(board.ds0, 5, 0x8000_0000L));
        assertEquals(ABORTED, dma(board.ds0, 5, 0x9000_0000L));
        assertEquals(0x1101, board.r.ctx(0, IMSTR));
        assertTrue(board.interrupt());
        board.r.ctx(0, IMSTR, 0);
        assertFalse(board.interrupt());
        assertEquals(List.of(), board.misuse);
        // The bank at offset 0 is inert.
        board.r.write(0, 7);
        assertEquals(0, board.r.read(0));
        assertEquals(2, board.misuse.size());
    }

    /** The Cortex-R7 loader: context 0, secure descriptors, a secure master. */
    @Test
    void secureLoaderUsesContext0() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        long entries = board.pages(4096);
        board.memory.write64(table + 8, entries | 3);
        board.memory.write64(entries, PAGE | 0x41); // 2 MiB block, AP[1], AF = 0
        board.r.ctx(0, IMTTLBR0, (int) table);
        board.r.ctx(0, IMTTUBR0, 0);
        board.r.ctx(0, IMTTBCR, 0x80003580);
        board.r.ctx(0, IMSTR, 0);
        board.r.ctx(0, IMMAIR0, 0x00004f00);
        board.r.ctx(0, IMCTR, 6);
        assertEquals(4, board.r.ctx(0, IMCTR));
        board.r.ctx(0, IMCTR, 5);
        board.c.ctx(0, IMCTR, 6);
        board.c.ctx(0, IMCTR, 5);
        for (int u = 0; u < 20; u++) {
            if (u != 3) {
                board.c.imuasid(u, 0);
                board.c.imuctr(u, 2);
                assertEquals(0, board.c.imuctr(u));
                board.c.imuctr(u, 1);
                assertEquals(1, board.c.imuctr(u));
            }
        }
        long translation = board.ds0.translate(7, -1, 0x4000_1230L, Access.SECURE | Access.WRITE);
        assertEquals(PAGE + 0x1230, Translation.address(translation, 0x4000_1230L));
        assertEquals(21, Translation.log2Size(translation));
        // A non-secure master must not, although a secure one's translation is cached.
        assertEquals(ABORTED, dma(board.ds0, 7, 0x4000_1230L));
        assertEquals(0x0502, board.r.ctx(0, IMSTR));
        assertEquals(0x4000_1230L, dma(board.ds0, 3, 0x4000_1230L));
        // The loader's later flush.
        assertEquals(5, board.c.ctx(0, IMCTR));
        board.c.ctx(0, IMCTR, 5 | 2);
        assertEquals(5, board.c.ctx(0, IMCTR));
        assertEquals(List.of(), board.misuse);
    }

    /** An early port of Xen: stage 1 tables of 38 bits with VA64, the same root in both TTBRs. */
    @Test
    void va64WithStage1TablesUsesBothTableBases() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        long other = board.pages(4096);
        board.mapLinux(table, 0x3f_ffff_f000L, PAGE, LINUX_RAM);
        board.mapLinux(other, 0x3f_ffff_f000L, PAGE + 0x1000, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.r.ctx(1, IMTTLBR1, (int) other);
        board.r.ctx(1, IMTTBCR, 0xb51a359a);
        assertEquals(0xb51a359a, board.r.ctx(1, IMTTBCR));
        board.r.ctx(1, IMCTR, 0x20000007);
        assertEquals(PAGE, dma(board.ds0, 0, 0x3f_ffff_f000L));
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0xff_ffff_f000L));
        assertEquals(ABORTED, dma(board.ds0, 0, 0x40_0000_0000L));
        assertEquals(0x0101, board.r.ctx(1, IMSTR));
        assertEquals(List.of(), board.misuse);
    }

    /** LPAE's rule, when one of TSZ0 and TSZ1 is 0. */
    @Test
    void tsz1GivesTheTopOfTheAddressesToTheSecondTable() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        long other = board.pages(4096);
        board.mapLinux(table, 0x7fff_f000L, PAGE, LINUX_RAM);
        board.mapLinux(other, 0x4000_0000L, PAGE + 0x1000, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.r.ctx(1, IMTTLBR1, (int) other);
        board.r.ctx(1, IMTTBCR, 0x80010080); // TSZ1 = 1: the top half
        assertEquals(PAGE, dma(board.ds0, 0, 0x7fff_f000L));
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0xc000_0000L));
        board.linuxInvalidate(board.c, 1);
        board.r.ctx(1, IMTTBCR, 0x80010081); // Both: nothing in the middle here either
        assertEquals(PAGE, dma(board.ds0, 0, 0x7fff_f000L));
        assertEquals(PAGE + 0x1000, dma(board.ds0, 0, 0xc000_0000L));
    }

    @Test
    void wrongTableControlFaultsAndIsTold() {
        Board board = new Board(GEN3);
        List<Integer> values = new ArrayList<>(List.of(0x00000080, 0x800000c0, 0x80000083, 0x80000000, 0x8000003f));
        for (int value : values) {
            board.misuse.clear();
            board.linuxAttach(board.c, 1, 0, board.pages(4096));
            board.r.ctx(1, IMTTBCR, value);
            assertEquals(ABORTED, dma(board.ds0, 0, 0x1000));
            assertEquals(ABORTED, dma(board.ds0, 0, 0x2000));
            assertEquals(0x0101, board.r.ctx(1, IMSTR));
            assertEquals(1, board.misuse.size(), () -> Integer.toHexString(value));
            board.r.ctx(1, IMSTR, 0);
        }
        // PMB without S2PTE: stage 1 descriptors.
        board.misuse.clear();
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.r.ctx(1, IMTTBCR, 0xc0000080);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        assertEquals(1, board.misuse.size());
    }

    /** Renesas' kernels set bits in IMTTBCR and IMUCTR and clear none: what was there before stays. */
    @Test
    void bitsThatAreOnlyEverSetSurvive() {
        Board board = new Board(GEN3);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        board.r.ctx(1, IMTTBCR, board.r.ctx(1, IMTTBCR) | 0x80003580);
        assertEquals(0x80003580, board.r.ctx(1, IMTTBCR));
        board.c.imuctr(0, board.c.imuctr(0) | 1 << 4 | 1);
        assertEquals(0x11, board.c.imuctr(0));
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
    }

    /** LNX-9 and LNX-10: resume resets all contexts first; remove clears a cache's own copies. */
    @ParameterizedTest
    @ValueSource(strings = {GEN3, GEN4})
    void resumeAndRemove(String compatible) {
        Board board = new Board(compatible);
        long table = board.pages(4096);
        board.mapLinux(table, 0x1000, PAGE, LINUX_RAM);
        board.linuxAttach(board.c, 1, 0, table);
        for (int n = 0; n < board.variant.contexts(); n++) {
            board.r.ctx(n, IMCTR, 0);
        }
        board.linuxAttach(board.c, 1, 0, table);
        assertEquals(PAGE, dma(board.ds0, 0, 0x1000));
        board.c.imuctr(0, 0);
        for (int n = 0; n < board.variant.contexts(); n++) {
            board.c.ctx(n, IMCTR, 0);
            assertEquals(0, board.c.ctx(n, IMCTR));
        }
        assertEquals(5, board.r.ctx(1, IMCTR));
        assertEquals(0x1000, dma(board.ds0, 0, 0x1000));
        assertEquals(List.of(), board.misuse);
    }
}
