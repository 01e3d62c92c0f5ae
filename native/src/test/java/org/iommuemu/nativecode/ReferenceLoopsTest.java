package org.iommuemu.nativecode;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.pagetables.WalkResult;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The C loops give what Java computes, through both bindings. */
class ReferenceLoopsTest {
    private static final long RAM = 0x4000_0000L;
    private static final int RAM_BYTES = 8 << 20;
    private static final long PAGE = 4096;
    private static final long BLOCK = 2 << 20;

    /** Both bindings; made by the test itself, as there is nothing to make where there was no C compiler. */
    static Stream<Named<Supplier<ReferenceLoops>>> bindings() {
        return Stream.of(Named.of("JNA", ReferenceLoops::jna), Named.of("jnr-ffi", ReferenceLoops::jnr));
    }

    private static ReferenceLoops loops(Supplier<ReferenceLoops> binding) {
        String reason = ReferenceLoops.unavailable().orElse("");
        assumeTrue(reason.isEmpty(), reason);
        return binding.get();
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    // The walk

    /** A table written by the emulator's own software side, in RAM and as the image that C gets. */
    private static final class Tables {
        final PhysicalMemory memory = new PhysicalMemory();
        final TableWriter writer;
        final TableWalk walk;

        Tables() {
            memory.addRam(RAM, RAM_BYTES);
            PageAllocator allocator = new PageAllocator() {
                private long next = RAM;

                @Override
                public long allocate(long size) {
                    long address = next;
                    next += size;
                    return next <= RAM + RAM_BYTES ? address : NONE;
                }

                @Override
                public void free(long address, long size) {}
            };
            writer = new TableWriter(
                    memory, allocator, new TableWriter.Geometry(Granule.KIB_4, 0, 48, 48), (input, size) -> {});
            walk = TableWalk.stage1(memory, Granule.KIB_4, writer.root(), 48, 48)
                    .build();
        }

        void map(long input, long output, long size) {
            writer.map(input, output, size, Descriptor.AF | Descriptor.AP_UNPRIVILEGED);
        }

        ByteBuffer image() {
            byte[] bytes = new byte[RAM_BYTES];
            memory.read(RAM, bytes, 0, bytes.length);
            return direct(RAM_BYTES).put(bytes);
        }

        long translate(long input) {
            long result = walk.walk(input, Access.READ);
            return WalkResult.isFault(result) ? ReferenceLoops.FAULT : Translation.address(result, input);
        }
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void walkGivesTheAddressesOfTableWalk(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Random random = new Random(1);
        Tables tables = new Tables();
        for (int i = 0; i < 200; i++) {
            // Pages and 2 MiB blocks at every end of the 48 bits, and one block of 1 GiB.
            long unit = i == 0 ? 1L << 30 : i % 3 == 0 ? BLOCK : PAGE;
            long input = ((long) i % 4 << 46) + ((long) i << 31) + (random.nextLong() & 0x3fff_ffffL & -unit);
            tables.map(input, random.nextLong() & 0xffff_ffff_ffffL & -unit, unit);
        }
        ByteBuffer image = tables.image();
        int mapped = 0;
        for (int i = 0; i < 200_000; i++) {
            int slot = random.nextInt(200);
            long input = ((long) slot % 4 << 46) + ((long) slot << 31) + (random.nextLong() & 0x3fff_ffffL);
            long expected = tables.translate(input);
            mapped += expected == ReferenceLoops.FAULT ? 0 : 1;
            assertEquals(expected, loops.walk(image, RAM, tables.writer.root(), input, 1), Long.toHexString(input));
        }
        assertEquals(true, mapped > 100 && mapped < 199_900, mapped + " of the inputs were mapped");
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void nestedWalkLooksUpTheAddressesOfTablesAndTheOutput(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Tables tables = new Tables();
        tables.map(0x1234_5678_9000L, 0x7000, PAGE);
        // The tables are one page further up than stage 1 believes, and so is what it maps to.
        ByteBuffer image = tables.image();
        ByteBuffer sets = direct(16 * 64);
        for (long table = RAM; table < RAM + 4 * PAGE; table += PAGE) {
            int set = (int) (table >>> 12 & 15) * 64;
            sets.putLong(set, table | 1).putLong(set + 32, table + PAGE);
        }
        long input = 0x1234_5678_9abcL;
        long root = tables.writer.root();
        assertEquals(ReferenceLoops.FAULT, loops.nestedWalk(image, RAM + PAGE, root, sets, input, 1), "output misses");
        sets.putLong(7 * 64 + 8, 0x7001).putLong(7 * 64 + 40, 0x8000);
        assertEquals(0x8abc, loops.nestedWalk(image, RAM + PAGE, root, sets, input, 1));
        assertEquals(ReferenceLoops.FAULT, loops.nestedWalk(image, RAM + PAGE, root, sets, 0x1000, 1), "not mapped");
        assertEquals(0x1000, loops.nestedWalk(image, RAM + PAGE, root, sets, 0x1000, 0));
        sets.putLong((int) (root >>> 12 & 15) * 64, 0);
        assertEquals(ReferenceLoops.FAULT, loops.nestedWalk(image, RAM + PAGE, root, sets, input, 1), "a table misses");
        assertThrows(
                IllegalArgumentException.class, () -> loops.nestedWalk(image, RAM, root, direct(3 * 64), input, 1));
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void walkOfEveryMappedPageGivesItsOutput(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Tables tables = new Tables();
        Random random = new Random(2);
        Map<Long, Long> outputs = new HashMap<>();
        while (outputs.size() < 500) {
            long input = random.nextLong() & 0x0000_8000_07ff_f000L;
            long output = random.nextLong() & 0xffff_ffff_f000L;
            if (outputs.putIfAbsent(input, output) == null) {
                tables.map(input, output, PAGE);
            }
        }
        ByteBuffer image = tables.image();
        outputs.forEach((input, output) -> {
            assertEquals(output + 0x123, loops.walk(image, RAM, tables.writer.root(), input + 0x123, 1));
            assertEquals(output + 0x123, tables.translate(input + 0x123));
        });
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void walkGoesOnFromEachOutput(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Tables tables = new Tables();
        for (int i = 0; i < 64; i++) {
            tables.map(i * PAGE, (i * 5 + 3) % 64 * PAGE, PAGE);
        }
        ByteBuffer image = tables.image();
        long input = 0xabc;
        long expected = input;
        for (int count = 0; count < 200; count++) {
            assertEquals(expected, loops.walk(image, RAM, tables.writer.root(), input, count));
            expected = tables.translate(expected);
        }
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void walkThatLeavesTheImageIsAFault(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Tables tables = new Tables();
        tables.map(0, 0, PAGE);
        ByteBuffer image = tables.image();
        long root = tables.writer.root();
        assertEquals(0, loops.walk(image, RAM, root, 0, 1));
        assertEquals(ReferenceLoops.FAULT, loops.walk(image, RAM, RAM - PAGE, 0, 1), "root below the image");
        assertEquals(ReferenceLoops.FAULT, loops.walk(image, RAM, RAM + RAM_BYTES, 0, 1), "root above the image");
        assertEquals(ReferenceLoops.FAULT, loops.walk(image, RAM, -8, 0, 1), "root at the end of everything");
        assertEquals(ReferenceLoops.FAULT, loops.walk(image, RAM, root, 1L << 48, 1), "input of 49 bits");
        assertEquals(ReferenceLoops.FAULT, loops.walk(direct(0), RAM, root, 0, 1), "no image");
        // Only the level 0 table is in the image.
        assertEquals(
                ReferenceLoops.FAULT,
                loops.walk(image.duplicate().limit(4096).flip().slice(), RAM, root, 0, 1));
        // A second step from an output that nothing maps.
        tables.map(PAGE, 5 * PAGE, PAGE);
        assertEquals(5 * PAGE, loops.walk(tables.image(), RAM, root, PAGE, 1));
        assertEquals(ReferenceLoops.FAULT, loops.walk(tables.image(), RAM, root, PAGE, 2));
    }

    // The set-associative array

    @ParameterizedTest
    @MethodSource("bindings")
    void lookUpGivesWhatAMapGives(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        Random random = new Random(3);
        int setCount = 64;
        ByteBuffer sets = direct(setCount * 64);
        Map<Long, Long> expected = new HashMap<>();
        for (int set = 0; set < setCount; set++) {
            // Sets of 0 to 4 entries, in any ways.
            for (int way = 0; way < ReferenceLoops.WAYS; way++) {
                long page = (long) random.nextInt(1 << 8) * setCount + set;
                if (random.nextInt(3) > 0 && !expected.containsKey(page)) {
                    // Outputs of few page numbers, so that a chain goes on now and then.
                    long value = (long) random.nextInt(1 << 14) << 12;
                    sets.putLong(set * 64 + way * 8, page << 12 | 1);
                    sets.putLong(set * 64 + 32 + way * 8, value);
                    expected.put(page, value);
                }
            }
        }
        for (long page = 0; page < 1 << 14; page++) {
            long input = page << 12 | 0x777;
            Long value = expected.get(page);
            long one = value == null ? ReferenceLoops.FAULT : value | 0x777;
            assertEquals(one, loops.lookUp(sets, input, 1));
            Long next = value == null ? null : expected.get(value >>> 12);
            assertEquals(next == null ? ReferenceLoops.FAULT : next | 0x777, loops.lookUp(sets, input, 2));
            assertEquals(input, loops.lookUp(sets, input, 0));
        }
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void setsMustBeAPowerOfTwo(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        for (int bytes : new int[] {0, 63, 65, 3 * 64}) {
            assertThrows(IllegalArgumentException.class, () -> loops.lookUp(direct(bytes), 0, 1), bytes + " bytes");
        }
    }

    // Words and registers

    @ParameterizedTest
    @MethodSource("bindings")
    void loadFollowsOffsets(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        ByteBuffer words = direct(80);
        for (int i = 0; i < 8; i++) {
            words.putLong(i * 8, (i * 3 + 1) % 8 * 8);
        }
        words.putLong(64, 4).putLong(72, 80);
        long expected = 16;
        for (int count = 0; count < 50; count++) {
            assertEquals(expected, loops.load(words, 16, count));
            expected = words.getLong((int) expected);
        }
        assertEquals(4, loops.load(words, 64, 1));
        assertEquals(ReferenceLoops.FAULT, loops.load(words, 64, 2), "misaligned");
        assertEquals(ReferenceLoops.FAULT, loops.load(words, 72, 2), "outside");
        assertEquals(ReferenceLoops.FAULT, loops.load(words, -8, 1), "outside");
        assertEquals(ReferenceLoops.FAULT, loops.load(direct(4), 0, 1), "too small");
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void readFollowsRegisters(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        ByteBuffer registers = direct(44);
        for (int i = 0; i < 8; i++) {
            registers.putInt(i * 4, (i * 5 + 3) % 8 * 4);
        }
        registers.putInt(32, 2).putInt(36, 44).putInt(40, -1);
        long expected = 12;
        for (int count = 0; count < 50; count++) {
            assertEquals(expected, loops.read(registers, 12, count));
            expected = registers.getInt((int) expected);
        }
        assertEquals(ReferenceLoops.FAULT, loops.read(registers, 32, 2), "misaligned");
        assertEquals(ReferenceLoops.FAULT, loops.read(registers, 36, 2), "outside");
        assertEquals(0xffff_ffffL, loops.read(registers, 40, 1), "zero-extended");
        assertEquals(ReferenceLoops.FAULT, loops.read(registers, -4, 1), "outside");
    }

    // Commands

    @ParameterizedTest
    @MethodSource("bindings")
    void decodeTakesFieldsOfEveryCommand(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        ByteBuffer ring = direct(64);
        ring.putLong(0, 0x0007_0003_0000_0012L).putLong(8, 0x1234_5678_9abc_d001L); // CMD_TLBI_NH_VA, Leaf
        ring.putLong(16, 0x0007_0003_0000_0011L).putLong(24, -1); // CMD_TLBI_NH_ASID
        ring.putLong(32, 0xffff_0003_0000_0028L).putLong(40, -1); // CMD_TLBI_S12_VMALL
        ring.putLong(48, 0x46).putLong(56, -1); // CMD_SYNC
        long[] each = {
            0x12 ^ 3L << 16 ^ 7L << 32 ^ 0x1234_5678_9abc_d000L, 0x11 ^ 3L << 16 ^ 7L << 32, 0x28 ^ 3L << 16, 0x46
        };
        long expected = 0;
        for (int count = 0; count < 200; count++) {
            assertEquals(expected, loops.decode(ring, 2, count));
            expected = Long.rotateLeft(expected, 1) ^ each[(2 + count) % 4];
        }
        ring.putLong(48, 0x47);
        assertEquals(each[2], loops.decode(ring, 2, 1));
        assertEquals(ReferenceLoops.FAULT, loops.decode(ring, 2, 2), "no such command");
        assertEquals(ReferenceLoops.FAULT, loops.decode(ring, 4, 1), "outside");
        assertEquals(ReferenceLoops.FAULT, loops.decode(ring, -1, 1), "outside");
        assertEquals(ReferenceLoops.FAULT, loops.decode(direct(48), 0, 1), "no power of two");
        assertEquals(ReferenceLoops.FAULT, loops.decode(direct(0), 0, 0), "no command");
        assertThrows(IllegalArgumentException.class, () -> loops.decode(ring, 0, -1));
    }

    // Arguments

    @ParameterizedTest
    @MethodSource("bindings")
    void positionAndLimitDoNotMatter(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        ByteBuffer words = direct(32);
        words.putLong(0, 24).putLong(24, 8).putLong(8, 0);
        words.position(16).limit(20);
        assertEquals(8, loops.load(words, 0, 2));
        assertEquals(16, words.position());
        // A slice begins where it begins.
        ByteBuffer tail = words.clear().position(8).slice().order(ByteOrder.LITTLE_ENDIAN);
        tail.putLong(0, 16).putLong(16, 0);
        assertEquals(16, loops.load(tail, 0, 3));
    }

    @ParameterizedTest
    @MethodSource("bindings")
    void wrongArgumentsAreRefused(Supplier<ReferenceLoops> binding) {
        ReferenceLoops loops = loops(binding);
        ByteBuffer heap = ByteBuffer.allocate(64);
        ByteBuffer direct = direct(64);
        assertThrows(IllegalArgumentException.class, () -> loops.lookUp(heap, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> loops.walk(heap, 0, 0, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> loops.load(heap, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> loops.read(heap, 0, 1));
        assertThrows(IllegalArgumentException.class, () -> loops.lookUp(direct, 0, -1));
        assertThrows(IllegalArgumentException.class, () -> loops.walk(direct, 0, 0, 0, -1));
        assertThrows(IllegalArgumentException.class, () -> loops.load(direct, 0, -1));
        assertThrows(IllegalArgumentException.class, () -> loops.read(direct, 0, -1));
    }
}
