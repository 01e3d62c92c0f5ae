package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.ShrinkingMode;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Granule;

/** Whatever software does, the SMMU neither throws nor hangs, and touches no memory but its Event queue. */
class MalformedInputTest {
    private static final List<SmmuFeatures> FEATURES = List.of(
            SmmuFeatures.smmuv3_2(),
            SmmuFeatures.qemuVirt(),
            SmmuFeatures.smmuv3_3().toBuilder()
                    .stallMax(4)
                    .commandQueuePages(0, 0)
                    .build(),
            SmmuFeatures.builder()
                    .oas(32)
                    .sidSize(32)
                    .ssidSize(20)
                    .granules(java.util.Set.of(Granule.KIB_16))
                    .cmdqLog2Size(0)
                    .eventqLog2Size(0)
                    .build());

    private static final int[] REGISTERS = {
        0x20,
        0x28,
        0x2c,
        0x44,
        0x50,
        0x64,
        0x68,
        0x70,
        0x74,
        0x80,
        0x84,
        0x88,
        0x90,
        0x94,
        0x98,
        0x9c,
        0xa0,
        0xa4,
        0xb0,
        0xb8,
        0xbc,
        0x100a8,
        0x100ac,
        // The Enhanced Command queue of a unit that has one, behind the page of VATOS
        0x30000,
        0x30008,
        0x3000c
    };

    @Property(tries = 300, shrinking = ShrinkingMode.OFF)
    void registers(@ForAll long seed) {
        Random random = new Random(seed);
        TestTiming timing = TestTiming.values()[random.nextInt(TestTiming.values().length)];
        try (TestBoard board = new TestBoard(FEATURES.get(random.nextInt(FEATURES.size())), timing)) {
            registers(board, random);
            board.read(TestBoard.CMDQ_CONS); // Throws if the unit's own thread has died.
        }
    }

    private static void registers(TestBoard board, Random random) {
        for (int i = 0; i < 200; i++) {
            int offset = random.nextInt(4) == 0
                    ? random.nextInt((int) board.smmu.window()) & ~7
                    : REGISTERS[random.nextInt(REGISTERS.length)];
            if (offset >= board.smmu.window()) {
                continue;
            }
            // Addresses near RAM, and small sizes, meet something more often than random bits do.
            long value =
                    switch (random.nextInt(3)) {
                        case 0 -> random.nextInt(32);
                        case 1 -> TestBoard.RAM + random.nextInt(1 << 20);
                        default -> random.nextLong();
                    };
            board.bus.write(TestBoard.SMMU + offset, 4, value);
            board.bus.read(TestBoard.SMMU + offset, 4);
            translate(board, random);
        }
    }

    @Property(tries = 300, shrinking = ShrinkingMode.OFF)
    void structuresCommandsAndDescriptors(@ForAll long seed) {
        Random random = new Random(seed);
        TestTiming timing = random.nextBoolean() ? TestTiming.AT_ONCE : TestTiming.LATE;
        TestBoard board = new TestBoard(FEATURES.get(random.nextInt(FEATURES.size())), timing).enabled();
        long noise = board.allocate(1 << 20);
        for (int i = 0; i < 1 << 14; i++) {
            // Tables that lead back into the noise, and into nowhere.
            long descriptor = random.nextLong() & 0xfff0_0000_0000_0fffL | noise + (random.nextInt(1 << 8) << 12);
            board.bus.write64(noise + 8 * random.nextInt(1 << 17), descriptor | 1);
        }
        for (int i = 0; i < 100; i++) {
            int streamId = random.nextInt(4);
            long[] ste = random.longs(8).toArray();
            ste[0] = ste[0] & ~0x000f_ffff_ffff_ffcfL | noise + 64 * random.nextInt(64) | 0x9;
            ste[1] &= random.nextBoolean() ? 0x3 : -1L;
            ste[2] = ste[2] & ~(0x1fL << 52) | 1L << 51;
            ste[3] = noise;
            board.writeWords(board.streamTable + 64 * streamId, ste);
            long[] cd = random.longs(4).toArray();
            cd[0] = cd[0] & ~(0x7L << 42) | 1L << 31 | 1L << 41;
            cd[1] = noise + (random.nextInt(64) << 12);
            board.writeWords(noise + 64 * random.nextInt(64), cd);
            long opcode = random.nextInt(4) == 0
                    ? random.nextInt(256)
                    : List.of(1, 2, 3, 4, 5, 6, 0x12, 0x2a, 0x30, 0x40, 0x41, 0x44, 0x45, 0x46)
                            .get(random.nextInt(14));
            board.command(random.nextLong() & ~0x4ffL | opcode, random.nextLong());
            board.write(TestBoard.GERRORN, board.read(TestBoard.GERROR));
            translate(board, random);
            board.write(TestBoard.EVENTQ_CONS, board.read(TestBoard.EVENTQ_PROD));
        }
        assertTrue(board.memory.touchedBytes() < 1 << 25);
    }

    private static void translate(TestBoard board, Random random) {
        int substream = random.nextBoolean() ? Translator.NO_SUBSTREAM : random.nextInt(1 << 20) >>> random.nextInt(20);
        long address = random.nextLong() >>> random.nextInt(64);
        board.smmu.translate(random.nextInt() >>> random.nextInt(32), substream, address, random.nextInt(16));
        board.smmu.translate(random.nextInt(4), Translator.NO_SUBSTREAM, address, random.nextInt(16));
    }
}
