package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.IMTTBCR;
import static org.iommuemu.ipmmu.Board.IMTTLBR0;
import static org.iommuemu.ipmmu.Board.IMTTLBR1;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;

/**
 * All three table modes, with tables full of anything: every access goes where a plain reading of the tables says, or
 * faults as it says. The interpreter shares no code with the model.
 */
class TableModesPropertyTest {
    private enum Mode {
        S1_32,
        S1_64,
        S2_64
    }

    /** Levels 1 to 3 of the tables' pages; a root may be two pages. */
    private static final int PAGES = 4;

    private final long[][] pages = new long[4][PAGES];

    private Board board;
    private Random random;

    @Property(tries = 150)
    void gen2StageOne(@ForAll long seed) {
        agrees("renesas,ipmmu-vmsa", Mode.S1_32, seed);
    }

    @Property(tries = 450)
    void gen3AllModes(@ForAll long seed, @ForAll @IntRange(max = 2) int mode) {
        agrees("renesas,ipmmu-r8a7795", Mode.values()[mode], seed);
    }

    @Property(tries = 450)
    void gen4AllModes(@ForAll long seed, @ForAll @IntRange(max = 2) int mode) {
        agrees("renesas,rcar-gen4-ipmmu-vmsa", Mode.values()[mode], seed);
    }

    private void agrees(String compatible, Mode mode, long seed) {
        board = new Board(compatible);
        random = new Random(seed);
        boolean gen2 = !board.variant.hasCaches();
        int startLevel = mode == Mode.S2_64 || random.nextInt(4) > 0 ? 1 : 2;
        // What goes with the start level: at most two tables in a row at the start.
        int bits0;
        int bits1;
        if (mode == Mode.S1_32) {
            bits0 = startLevel == 1 ? 32 - random.nextInt(2) : 30 - random.nextInt(2);
            bits1 = startLevel == 1 ? 32 - random.nextInt(2) : 30 - random.nextInt(2);
        } else {
            bits0 = startLevel == 1 ? 33 + random.nextInt(8) : 28 + random.nextInt(3);
            bits1 = startLevel == 1 ? 33 + random.nextInt(8) : 28 + random.nextInt(3);
        }
        int width = mode == Mode.S1_32 ? 32 : 64;
        boolean afe = random.nextInt(4) == 0;
        fillTables(startLevel);
        long base0 = pages[startLevel][0];
        long base1 = pages[startLevel][2];

        if (mode == Mode.S2_64) {
            board.xenProbe();
        }
        int sl0 = gen2 ? 2 - startLevel << 4 : (mode == Mode.S2_64 ? 2 - startLevel : 3 - startLevel) << 6;
        int n = 1 + random.nextInt(board.variant.contexts() - 1);
        board.r.ctx(n, IMTTLBR0, (int) base0);
        board.r.ctx(n, IMTTLBR1, (int) base1);
        board.r.ctx(n, IMTTBCR, (mode == Mode.S2_64 ? 3 : 2) << 30 | width - bits1 << 16 | sl0 | width - bits0);
        board.c.ctx(n, IMCTR, 7);
        board.r.ctx(n, IMCTR, (mode == Mode.S1_32 ? 0 : 1 << 29) | (afe ? 1 << 16 : 0) | 7);
        board.c.imuctr(0, n << 4 | 1);

        for (int i = 0; i < 400; i++) {
            long address = random.nextLong() & (1L << (mode == Mode.S1_32 ? 33 : 41)) - 1;
            if (random.nextBoolean()) {
                address &= (1L << bits0) - 1; // where the tables are
            }
            int access = random.nextInt(2) * Access.WRITE
                    | random.nextInt(2) * Access.PRIVILEGED
                    | (random.nextInt(4) == 0 ? Access.SECURE : 0);
            long expected;
            int space = mode == Mode.S1_32 ? 32 : 40;
            if (address >>> space != 0) {
                expected = ~0x0101L;
            } else if (usesFirst(mode, address, bits0, bits1)) {
                expected = walk(mode, base0, startLevel, address & (1L << bits0) - 1, address, access, afe);
            } else if (mode != Mode.S2_64 && address >= (1L << space) - (1L << bits1)) {
                expected = walk(mode, base1, startLevel, address & (1L << bits1) - 1, address, access, afe);
            } else {
                expected = ~0x0101L;
            }
            long translation = board.ds0.translate(0, -1, address, access);
            long at = address;
            if (expected >= 0) {
                assertEquals(
                        Long.toHexString(expected),
                        Translation.translated(translation)
                                ? Long.toHexString(Translation.address(translation, address))
                                : Integer.toHexString(board.r.ctx(n, IMSTR)),
                        () -> mode + " " + Long.toHexString(at));
            } else {
                assertEquals(Translation.ABORT, translation, () -> mode + " " + Long.toHexString(at));
                assertEquals(
                        Long.toHexString(~expected),
                        Integer.toHexString(board.r.ctx(n, IMSTR)),
                        () -> mode + " " + Long.toHexString(at));
                assertEquals((int) address, board.r.ctx(n, IMELAR));
                board.r.ctx(n, IMSTR, 0);
            }
        }
    }

    /** LPAE's rule (Arm ARM, G5.5.4), and with VA64 that TTBR0 is asked first. */
    private static boolean usesFirst(Mode mode, long address, int bits0, int bits1) {
        if (mode == Mode.S1_32 && bits0 == 32 && bits1 < 32) {
            return address < (1L << 32) - (1L << bits1);
        }
        return address < 1L << bits0;
    }

    private void fillTables(int startLevel) {
        for (int level = 1; level <= 3; level++) {
            long base = board.pages(PAGES * 4096);
            for (int i = 0; i < PAGES; i++) {
                pages[level][i] = base + i * 4096L;
            }
        }
        for (int level = startLevel; level <= 3; level++) {
            for (int i = 0; i < PAGES * 512; i++) {
                board.memory.write64(pages[level][0] + i * 8L, descriptor(level));
            }
        }
    }

    private long descriptor(int level) {
        // What is rare in real tables is rare here, so that most walks get far.
        long bits = 0;
        bits |= often() ? 1 : 0;
        bits |= level == 3 ? (often() ? 2 : 0) : random.nextInt(3) > 0 ? 2 : 0;
        bits |= often() ? 1 << 5 : 0; // NS
        bits |= often() ? 1 << 6 : 0; // AP[1], S2 read
        bits |= (long) random.nextInt(2) << 7; // AP[2], S2 write
        bits |= often() ? 1 << 10 : 0; // AF
        bits |= (long) random.nextInt(8) << 2 | (long) random.nextInt(4) << 8 | (long) random.nextInt(2) << 11;
        boolean table = level < 3 && (bits & 3) == 3;
        if (table) {
            bits |= often() ? 1L << 63 : 0; // NSTable
            bits |= often() ? 0 : 1L << 62; // APTable[1]
            bits |= often() ? 0 : 1L << 61; // APTable[0]
            long next = random.nextInt(40) == 0
                    ? 0x70_0000_0000L // no RAM there
                    : pages[level + 1][random.nextInt(PAGES)];
            return bits | next | random.nextInt(256) * (1L << 40);
        }
        // As in tables, address bits from 40 on are ignored; so is the Contiguous hint.
        return bits | random.nextLong() & 0xffff_ffff_f000L | random.nextLong() & 0x7ff0L << 48;
    }

    private boolean often() {
        return random.nextInt(16) > 0;
    }

    /** The output address, or the complement of IMSTR. */
    private long walk(Mode mode, long base, int level, long input, long address, int access, boolean afe) {
        boolean checkNs = mode != Mode.S2_64 && (access & Access.SECURE) == 0;
        boolean noWrites = false;
        boolean noUnprivileged = false;
        long table = base;
        for (; ; level++) {
            int errlvl = level - 1 << 12;
            int shift = level == 1 ? 30 : level == 2 ? 21 : 12;
            if (table >= 0x70_0000_0000L) {
                return ~(0x0004L | errlvl);
            }
            long descriptor = board.memory.read64(table + (input >>> shift) * 8);
            input %= 1L << shift;
            if (descriptor % 2 == 0 || level == 3 && (descriptor & 2) == 0) {
                return ~(0x0101L | errlvl);
            }
            boolean leaf = level == 3 || (descriptor & 2) == 0;
            if (checkNs && (descriptor & (leaf ? 1L << 5 : 1L << 63)) == 0) {
                return ~(0x0502L | errlvl);
            }
            if (!leaf) {
                noWrites |= (descriptor & 1L << 62) != 0;
                noUnprivileged |= (descriptor & 1L << 61) != 0;
                table = descriptor & 0xff_ffff_f000L;
                continue;
            }
            boolean write = (access & Access.WRITE) != 0;
            boolean allowed;
            if (mode == Mode.S2_64) {
                allowed = (descriptor & (write ? 1 << 7 : 1 << 6)) != 0;
            } else {
                boolean privileged = (access & Access.PRIVILEGED) != 0;
                allowed = (privileged || (descriptor & 1 << 6) != 0 && !noUnprivileged)
                        && (!write || (descriptor & 1 << 7) == 0 && !noWrites);
            }
            if (!allowed || afe && (descriptor & 1 << 10) == 0) {
                return ~(0x0402L | errlvl);
            }
            return (descriptor & 0xff_ffff_f000L & -1L << shift) + address % (1L << shift);
        }
    }
}
