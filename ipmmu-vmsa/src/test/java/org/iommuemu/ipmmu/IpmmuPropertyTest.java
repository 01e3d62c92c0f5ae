package org.iommuemu.ipmmu;

import static org.iommuemu.ipmmu.Board.IMCTR;
import static org.iommuemu.ipmmu.Board.IMELAR;
import static org.iommuemu.ipmmu.Board.IMEUAR;
import static org.iommuemu.ipmmu.Board.IMSTR;
import static org.iommuemu.ipmmu.Board.dma;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import java.time.Duration;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.pagetables.TableWriter;

/** Random software, random tables. */
class IpmmuPropertyTest {
    private static final String[] COMPATIBLES = {
        "renesas,ipmmu-vmsa", "renesas,ipmmu-r8a7795", "renesas,rcar-gen4-ipmmu-vmsa"
    };

    /** Whatever software writes, hardware neither throws nor hangs, and its answers have a shape. */
    @Property(tries = 150)
    void randomRegisterWritesAndDmaEndInValues(@ForAll long seed, @ForAll @IntRange(min = 0, max = 2) int which) {
        Board board = new Board(COMPATIBLES[which]);
        Random random = new Random(seed);
        Board.Unit[] units = {board.r, board.c, board.c1};
        // RAM full of what looks like descriptors of each other.
        for (int i = 0; i < 4096; i++) {
            long address = Board.RAM + (random.nextInt(64) << 12);
            board.memory.write64(
                    Board.RAM + i * 8L, (random.nextLong() & 0xfff0_0000_0000_0ffcL) | address | random.nextInt(4));
        }
        assertTimeoutPreemptively(Duration.ofSeconds(5), () -> {
            for (int i = 0; i < 500; i++) {
                Board.Unit unit = units[random.nextInt(3)];
                int n = random.nextInt(board.variant.contexts());
                switch (random.nextInt(6)) {
                    case 0 -> unit.write(random.nextInt((int) board.root.window() / 4) * 4, random.nextInt());
                    case 1 -> unit.read(random.nextInt((int) board.root.window() / 4) * 4);
                    case 2 -> unit.ctx(n, random.nextInt(15) * 4, random.nextInt());
                    case 3 -> {
                        unit.ctx(n, IMCTR, random.nextInt() | 1);
                        unit.ctx(n, Board.IMTTBCR, random.nextInt() | 0x80000000);
                        unit.ctx(n, Board.IMTTLBR0, (int) Board.RAM | random.nextInt(8) << 12);
                    }
                    case 4 -> unit.imuctr(random.nextInt(board.variant.utlbs()), n << 4 | random.nextInt(4));
                    default -> board.root.handshakeReads(random.nextInt(4) - 1);
                }
                for (Ipmmu cache : new Ipmmu[] {board.ds0, board.ds1}) {
                    long address = random.nextLong() >>> random.nextInt(64);
                    long answer =
                            cache.translate(random.nextInt(board.variant.utlbs()), -1, address, random.nextInt(16));
                    if (Translation.translated(answer)) {
                        assertEquals(0, answer & 1L << 62);
                        assertEquals(address & 0xfff, Translation.address(answer, address) & 0xfff);
                    } else {
                        assertEquals(Translation.ABORT, answer);
                    }
                }
                board.interrupts.dispatch();
            }
        });
    }

    /** Random stage 2 tables: every address goes where a plain reading of the tables says, or faults as it says. */
    @Property(tries = 60)
    void stage2AgreesWithAPlainInterpreter(@ForAll long seed, @ForAll @IntRange(min = 1, max = 2) int which) {
        Board board = new Board(COMPATIBLES[which]);
        Random random = new Random(seed);
        int bits = random.nextBoolean() ? 40 : 36;
        TableWriter p2m = board.p2m(bits);
        long[] starts = new long[24];
        for (int i = 0; i < starts.length; i++) {
            int shift = new int[] {12, 12, 21, 30}[random.nextInt(4)];
            starts[i] = (random.nextLong() & (1L << bits) - 1) >>> shift << shift;
            long output = (random.nextLong() & (1L << 40) - 1) >>> shift << shift;
            long attributes = Descriptor.STAGE2_RAM & ~((long) random.nextInt(4) << 6);
            try {
                p2m.map(starts[i], output, 1L << shift, attributes);
            } catch (MappingException e) {
                assertEquals(MappingException.Reason.OVERLAP, e.reason());
            }
        }
        board.xenProbe();
        int n = 1 + random.nextInt(board.variant.contexts() - 1);
        board.xenContext(n, p2m);
        board.xenPort(board.c, n, 0);
        for (int i = 0; i < 300; i++) {
            long address =
                    switch (random.nextInt(4)) {
                        case 0 -> random.nextLong() & (1L << 41) - 1;
                        case 1 -> random.nextLong() & (1L << bits) - 1;
                        default -> starts[random.nextInt(starts.length)] + random.nextInt(1 << random.nextInt(24));
                    };
            boolean write = random.nextBoolean();
            long expected = interpret(board, p2m.root(), bits, address, write);
            long actual = dma(board.ds0, 0, address, write);
            if (expected >= 0) {
                assertEquals(expected, actual);
                assertEquals(0, board.r.ctx(n, IMSTR));
            } else {
                assertEquals(Board.ABORTED, actual);
                assertEquals((int) ~expected, board.r.ctx(n, IMSTR));
                assertEquals((int) address, board.r.ctx(n, IMELAR));
                assertEquals((int) (address >>> 32) & 0xff, board.r.ctx(n, IMEUAR));
                board.r.ctx(n, IMSTR, 0);
            }
            if (random.nextInt(50) == 0) {
                board.linuxInvalidate(board.c, n);
            }
        }
        assertEquals(0, board.misuse.size());
    }

    /** The output address, or the complement of IMSTR. */
    private static long interpret(Board board, long root, int bits, long address, boolean write) {
        if (address >= 1L << bits) {
            return ~0x0101L;
        }
        long one = board.memory.read64(root + 8 * (address / 0x4000_0000L));
        if (one % 2 == 0) {
            return ~0x0101L;
        }
        if (one % 4 == 1) {
            return allowed(one, write) ? field(one, 30) + address % 0x4000_0000L : ~0x0402L;
        }
        long two = board.memory.read64(field(one, 12) + 8 * (address / 0x20_0000L % 512));
        if (two % 2 == 0) {
            return ~0x1101L;
        }
        if (two % 4 == 1) {
            return allowed(two, write) ? field(two, 21) + address % 0x20_0000L : ~0x1402L;
        }
        long three = board.memory.read64(field(two, 12) + 8 * (address / 0x1000 % 512));
        if (three % 4 != 3) {
            return ~0x2101L;
        }
        return allowed(three, write) ? field(three, 12) + address % 0x1000 : ~0x2402L;
    }

    private static boolean allowed(long descriptor, boolean write) {
        return (descriptor >> (write ? 7 : 6)) % 2 != 0;
    }

    /** Bits 39 to low. */
    private static long field(long descriptor, int low) {
        return (descriptor & (1L << 40) - 1) >> low << low;
    }
}
