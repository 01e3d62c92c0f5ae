package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertTrue;

import com.code_intelligence.jazzer.junit.FuzzTest;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.Translator;

/**
 * Whatever software does, the SMMU ends in an outcome that the architecture has: it neither throws nor hangs nor takes
 * more than it was given. Each target takes any bytes; with {@code -Pfuzz} Jazzer looks for them. {@link SmmuFuzzTest}
 * gives each a sample in every build.
 */
class SmmuFuzz {
    private static final List<SmmuFeatures> FEATURES = List.of(
            SmmuFeatures.smmuv3_2(),
            SmmuFeatures.qemuVirt(),
            SmmuFeatures.minimal().toBuilder().cmdqLog2Size(4).eventqLog2Size(4).build(), // As the board's.
            SmmuFeatures.smmuv3_0(),
            SmmuFeatures.smmuv3_3(),
            SmmuFeatures.mmu600(),
            SmmuFeatures.mmu700(),
            SmmuFeatures.aem());

    private static final int[] REGISTERS = {
        0x20, 0x28, 0x2c, 0x44, 0x50, 0x64, 0x68, 0x70, 0x74, 0x80, 0x84, 0x88, 0x90, 0x94, 0x98, 0x9c, 0xa0, 0xa4,
        0xb0, 0xb8, 0xbc, 0xc0, 0xd0, 0xd8, 0xdc, 0x100, 0x108, 0x110, 0x118, 0x138, 0x13c, 0x180, 0x100a8, 0x100ac,
        0x100c8, 0x100cc, 0x20a00, 0x20a08, 0x20a10, 0x20a18, 0x30000, 0x30008, 0x3000c, 0x31000, 0x31008
    };

    /** Behind the window of any SMMU. */
    private static final long COUNTERS = TestBoard.SMMU + 0x10_0000;

    /** Bytes as numbers; zeros behind their end. */
    private static final class Input {
        private final ByteBuffer bytes;

        Input(byte[] bytes) {
            this.bytes = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        }

        boolean isEmpty() {
            return !bytes.hasRemaining();
        }

        int octet() {
            return isEmpty() ? 0 : bytes.get() & 0xff;
        }

        long number(int octets) {
            long number = 0;
            for (int i = 0; i < octets; i++) {
                number |= (long) octet() << 8 * i;
            }
            return number;
        }

        /** Small, near RAM, or anything. */
        long value() {
            int kind = octet();
            return switch (kind & 3) {
                case 0 -> kind >> 2;
                case 1 -> TestBoard.RAM + (number(3) & 0xff_ffff);
                default -> number(8);
            };
        }

        long[] words(int count) {
            long[] words = new long[count];
            for (int i = 0; i < count; i++) {
                words[i] = number(8);
            }
            return words;
        }
    }

    private static TestBoard board(Input input) {
        return new TestBoard(FEATURES.get(input.octet() % FEATURES.size()));
    }

    private static void translate(TestBoard board, int streamId, Input input) {
        int how = input.octet();
        int substream = (how & 0x10) != 0 ? input.octet() : Translator.NO_SUBSTREAM;
        board.smmu.translate(streamId, substream, input.value(), how & 0xf);
    }

    /** What is taken is in proportion to what was done, and RAM is only where structures, tables and queues are. */
    private static void assertModest(TestBoard board) {
        assertTrue(board.memory.touchedBytes() < 1 << 25, () -> board.memory.touchedBytes() + " bytes touched");
    }

    // Targets

    /** Accesses to registers, of any size and alignment. */
    @FuzzTest(maxDuration = "10m")
    void registers(byte[] data) {
        Input input = new Input(data);
        TestBoard board = board(input);
        long[] cycles = {0};
        PerformanceMonitors group = new PerformanceMonitors(
                "pmcg", PerformanceMonitors.Shape.USUAL, board.bus, null, () -> cycles[0]++, (unit, what) -> {});
        board.bus.attach("pmcg", COUNTERS, PerformanceMonitors.PAGE, group.page0());
        board.bus.attach("counters", COUNTERS + PerformanceMonitors.PAGE, PerformanceMonitors.PAGE, group.page1());
        board.smmu.monitor(group);
        while (!input.isEmpty()) {
            int how = input.octet();
            int align = (how & 2) != 0 ? ~7 : -1;
            long address = TestBoard.SMMU;
            if ((how & 1) != 0) {
                address += REGISTERS[input.octet() % REGISTERS.length];
            } else if ((how & 16) != 0) {
                address = COUNTERS + (input.number(2) % (2 * PerformanceMonitors.PAGE) & align);
            } else {
                address += input.number(3) % board.smmu.window() & align;
            }
            int size = (how & 4) != 0 ? 8 : 4;
            try {
                board.bus.write(address, size, input.value());
                board.bus.read(address, size);
            } catch (BusError e) {
                // Misaligned, across the end, or of a page that is not there: the bus says so to software.
            }
            if ((how & 8) != 0) {
                translate(board, input.octet(), input);
            }
        }
        assertModest(board);
    }

    /** Bytes in the Command queue: each command is consumed, or an error stops the queue. */
    @FuzzTest(maxDuration = "10m")
    void commands(byte[] data) {
        Input input = new Input(data);
        TestBoard board = board(input).enabled();
        while (!input.isEmpty()) {
            board.command(input.number(8), input.number(8));
            // CMDQ_CONS.ERR keeps what it was.
            boolean consumed = (board.read(TestBoard.CMDQ_CONS) & 0xfffff) == board.read(TestBoard.CMDQ_PROD);
            boolean stopped = ((board.read(TestBoard.GERROR) ^ board.read(TestBoard.GERRORN)) & 1) != 0;
            assertTrue(consumed != stopped, () -> "consumed %b, stopped %b".formatted(consumed, stopped));
            if (stopped) {
                int error = board.read(TestBoard.CMDQ_CONS) >>> 24 & 0x7f;
                assertTrue(error >= 1 && error <= 3, () -> "CERROR " + error);
                skip(board);
            }
        }
        assertModest(board);
    }

    /** Replaces the command in error, as a driver does, and acknowledges the error. */
    private static void skip(TestBoard board) {
        int cons = board.read(TestBoard.CMDQ_CONS);
        long at = board.commandQueue + 16L * (cons & (1 << TestBoard.LOG2_QUEUE) - 1);
        board.writeWords(at, 0x46, 0);
        board.write(TestBoard.GERRORN, board.read(TestBoard.GERROR));
    }

    /** An STE and a CD of any content: the access completes, or ends with at most one record. */
    @FuzzTest(maxDuration = "10m")
    void structures(byte[] data) {
        Input input = new Input(data);
        TestBoard board = board(input);
        board.enabled();
        long cd = board.allocate(1 << 16);
        while (!input.isEmpty()) {
            long[] ste = input.words(8);
            // Otherwise most are not valid, or lead to no CD.
            ste[0] = ste[0] & ~0x00ff_ffff_ffff_ffc0L | cd | 9;
            for (int i = 0; i < 4; i++) {
                board.writeWords(cd + 64 * i, input.words(8));
                board.bus.write32(cd + 64 * i, board.bus.read32(cd + 64 * i) | 1 << 31);
            }
            board.stream(1, ste);
            for (int i = 0; i < 3; i++) {
                int before = board.read(TestBoard.EVENTQ_PROD);
                translate(board, 1, input);
                int records = board.read(TestBoard.EVENTQ_PROD) - before & 0x1f;
                assertTrue(records <= 1, () -> records + " records for one access");
                board.write(TestBoard.EVENTQ_CONS, board.read(TestBoard.EVENTQ_PROD));
            }
        }
        assertModest(board);
    }

    /** Tables of any content under structures that are legal: one stage, the other, or both. */
    @FuzzTest(maxDuration = "10m")
    void descriptors(byte[] data) {
        Input input = new Input(data);
        TestBoard board = new TestBoard(FEATURES.get(0)).enabled();
        int shape = input.octet();
        long tables = board.allocate(1 << 16);
        long cd = board.newCd(1, tables);
        // Stage 2: 40 bits, two concatenated tables at level 1, with what varies between software.
        long s2 =
                (24L | 1 << 6 | 5 << 16 | (shape >> 2 & 1) << 20 | (shape >> 3 & 7) << 21) << 32 | 1L << 51 | 1L << 58;
        long config = 5 + shape % 3;
        board.stream(1, 1 | config << 1 | cd, 0, 1 | s2 & ~(1L << 57), tables);
        for (int i = 0; i < 64 && !input.isEmpty(); i++) {
            // Few places, so that tables lead to each other, in cycles, too.
            long at = tables + (input.octet() & 0xf) * 4096L + (input.octet() & 7) * 8L;
            long descriptor = input.number(8);
            int how = input.octet();
            if ((how & 3) != 0) {
                descriptor = descriptor & ~0x0000_ffff_ffff_f000L | tables + (how >> 4) * 4096L | 3;
            }
            board.bus.write64(at, descriptor);
            translate(board, 1, input);
            board.write(TestBoard.EVENTQ_CONS, board.read(TestBoard.EVENTQ_PROD));
        }
        assertModest(board);
    }
}
