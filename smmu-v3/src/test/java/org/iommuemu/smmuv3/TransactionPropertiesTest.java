package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.ShrinkingMode;
import net.jqwik.api.lifecycle.AfterContainer;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.PlainWalk;
import org.iommuemu.pagetables.RandomTables;

/**
 * The model agrees with {@link PlainSmmu} about whole transactions: output address and attributes, or how it ends, with
 * the event record byte for byte, and what was written to descriptors. Features, registers, structures and tables are
 * random; structures and descriptors come into being while the plain SMMU reads them, mostly legal ones. System
 * property {@code iommuemu.transactions}: how many.
 */
class TransactionPropertiesTest {
    private static final int TRIES = 100;
    private static final long TRANSACTIONS = Long.getLong("iommuemu.transactions", 102_000);
    private static final int TRANSACTIONS_PER_CONFIGURATION = 6;
    private static final long SMMU = 0x0905_0000L;
    private static final long QUEUES = 0x0765_0000L;
    private static final long COMMANDS = QUEUES;
    private static final long EVENTS = QUEUES + 0x1000;

    /** How transactions ended, over all tries: this says little if all end alike. */
    private static final Map<String, Integer> ENDS = new TreeMap<>();

    private final Map<Long, Long> written = new HashMap<>();
    private SplittableRandom random;
    private RandomTables tables;
    private RandomStructures structures;
    private SmmuFeatures features;
    private int oas;
    private PhysicalMemory memory;
    private Bus bus;
    private Smmu smmu;
    private PlainSmmu plain;
    /** The first stage that a transaction met, and one of the transaction before. */
    private PlainWalk.Stage stage;

    private PlainWalk.Stage hint;
    /** Streams of which a CD was read. */
    private final Set<Long> withContext = new HashSet<>();

    private long current;
    /** A descriptor was updated since configurations were invalidated. */
    private boolean updated;

    private Supplier<String> where;
    /** Structures and descriptors that the plain SMMU read for a transaction, to be told if it ends otherwise. */
    private final List<Supplier<String>> reads = new ArrayList<>();

    @Property(tries = TRIES, shrinking = ShrinkingMode.OFF)
    void everyTransactionEndsAsThePlainOne(@ForAll long seed) {
        random = new SplittableRandom(seed);
        features = features();
        newBoard();
        for (long n = 0; n < TRANSACTIONS / TRIES / TRANSACTIONS_PER_CONFIGURATION; n++) {
            if (memory.touchedBytes() > 64 << 20) {
                newBoard();
            }
            configure();
            for (int i = 0; i < TRANSACTIONS_PER_CONFIGURATION; i++) {
                transact();
            }
            written.forEach((address, value) -> {
                assertEquals(value, memory.read64(address), () -> "RAM at 0x%x, %s".formatted(address, where.get()));
                memory.write64(address, 0);
            });
            written.clear();
        }
    }

    @AfterContainer
    static void transactionsEndInAllWays() {
        long all = TRANSACTIONS;
        for (String end : List.of("COMPLETED", "ABORTED", "RAZ_WI", "STALLED")) {
            assertTrue(ENDS.getOrDefault(end, 0) > all / 200, ENDS::toString);
        }
        for (int event : new int[] {2, 3, 4, 6, 8, 9, 0xa, 0xb, 0x10, 0x11, 0x12, 0x13}) {
            assertTrue(ENDS.getOrDefault("event 0x%02x".formatted(event), 0) > all / 4000, ENDS::toString);
        }
        for (String end : List.of("class CD", "class TT", "stage 2", "nested", "stage 1", "stage 2 only")) {
            assertTrue(ENDS.getOrDefault(end, 0) > all / 200, ENDS::toString);
        }
    }

    private static void count(String what) {
        ENDS.merge(what, 1, Integer::sum);
    }

    // The board

    private boolean oneIn(int n) {
        return random.nextInt(n) == 0;
    }

    /** Features that some SMMU can have. */
    private SmmuFeatures features() {
        while (true) {
            int[] widths = {32, 36, 40, 42, 44, 48, 48, 52, 52};
            SmmuFeatures.Builder builder = SmmuFeatures.builder()
                    .architecture(random.nextInt(4))
                    .bbml(random.nextInt(3))
                    .sidSize(7 + random.nextInt(26))
                    .ssidSize(oneIn(4) ? 0 : 1 + random.nextInt(20))
                    .oas(widths[random.nextInt(widths.length)])
                    .vax(oneIn(2) ? 48 : 52)
                    .stallModel(SmmuFeatures.StallModel.values()[random.nextInt(3)])
                    .hardwareUpdate(SmmuFeatures.HardwareUpdate.values()[random.nextInt(3)])
                    .tableEndianness(SmmuFeatures.TableEndianness.values()[oneIn(2) ? 0 : random.nextInt(3)])
                    .tlb(TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE));
            for (SmmuFeature feature : SmmuFeature.values()) {
                if (oneIn(4)) {
                    builder.with(feature);
                } else if (oneIn(6)) {
                    builder.without(feature);
                }
            }
            try {
                // PlainSmmu tells neither VMSAv8-32 nor the VMS.
                return builder.without(SmmuFeature.VMSAV8_32, SmmuFeature.MPAM).build();
            } catch (IllegalArgumentException e) {
                // No SMMU can be like that; the next one, perhaps.
            }
        }
    }

    private void newBoard() {
        written.clear();
        memory = new PhysicalMemory();
        memory.addRam(QUEUES, 0x10000);
        bus = new Bus(memory);
        smmu = new Smmu("smmu", features, bus, Smmu.Wires.NONE, MisuseListener.NONE);
        bus.attach("smmu", SMMU, Smmu.WINDOW, smmu.registers());
        PlainRegisters registers = new PlainRegisters(offset -> offset == 0x80 || offset == 0xa0
                ? bus.read64(SMMU + offset)
                : bus.read32(SMMU + offset) & 0xffff_ffffL);
        oas = registers.oas();
        RandomTables.addRam(memory, oas);
        tables = new RandomTables(random);
        structures = new RandomStructures(random, tables, registers);
        plain = new PlainSmmu(registers, ram);
        write64(0x90, COMMANDS | 4);
        write64(0xa0, EVENTS | 4);
        write(0x20, 0xc);
    }

    private void write(int offset, long value) {
        bus.write32(SMMU + offset, (int) value);
    }

    private void write64(int offset, long value) {
        bus.write64(SMMU + offset, value);
    }

    private void configure() {
        hint = null;
        withContext.clear();
        tables.permissive(oneIn(2) ? 90 : random.nextInt(100));
        write(0x20, 0xc);
        write(0x2c, random.nextInt(2) | (oneIn(4) ? 0 : 2)); // E2H, RECINVSID
        int sidSize = features.sidSize();
        int log2Size = oneIn(40) ? random.nextInt(64) : Math.min(sidSize, 2 + random.nextInt(10));
        int split = oneIn(10) ? random.nextInt(32) : 6 + 2 * random.nextInt(3);
        write64(0x80, structures.address(0, oas, 6) & 0x000f_ffff_ffff_ffc0L);
        write(0x88, log2Size | split << 6 | (oneIn(3) ? 0 : 1) << 16);
        write(0x44, random.nextInt() & (oneIn(4) ? -1 : ~(1 << 20)) | 1 << 31); // GBPA
        invalidateConfigurations();
        write(0x20, oneIn(30) ? 0xc : 0xd);
    }

    private void invalidateConfigurations() {
        command(0x04, 31); // CMD_CFGI_ALL
        updated = false;
    }

    private void command(long word0, long word1) {
        int prod = bus.read32(SMMU + 0x98);
        bus.write64(COMMANDS + 16L * (prod & 15), word0);
        bus.write64(COMMANDS + 16L * (prod & 15) + 8, word1);
        write(0x98, prod + 1 & 31);
    }

    /** The plain SMMU's RAM: what was written, or else something new. What it writes, the model must write. */
    private final PlainSmmu.Memory ram = new PlainSmmu.Memory() {
        @Override
        public Long read(long address, PlainWalk.Stage read, int level) {
            if (stage == null || !read.second) {
                stage = read;
            }
            if (!RandomTables.inRam(address, oas)) {
                return null;
            }
            long stored = written.computeIfAbsent(address, a -> {
                long descriptor = tables.descriptor(read, level);
                return create(address, read.bigEndian ? Long.reverseBytes(descriptor) : descriptor);
            });
            reads.add(() -> "stage %d level %d at 0x%x: %x".formatted(read.second ? 2 : 1, level, address, stored));
            return stored;
        }

        @Override
        public long[] read(long address, PlainSmmu.Structure structure) {
            if (!RandomTables.inRam(address, oas)) {
                return null;
            }
            if (structure == PlainSmmu.Structure.CD) {
                withContext.add(current);
            }
            long[] words = structures.structure(structure);
            for (int i = 0; i < structure.words; i++) {
                long word = words[i];
                words[i] = written.computeIfAbsent(address + 8L * i, a -> create(a, word));
            }
            words = Arrays.copyOf(words, structure.words);
            long[] read = words;
            reads.add(() -> "%s at 0x%x: %s".formatted(structure, address, show(read)));
            return words;
        }

        @Override
        public void write(long address, long value) {
            count("update");
            updated = true;
            written.put(address, value);
        }
    };

    private long create(long address, long value) {
        memory.write64(address, value);
        return value;
    }

    // Transactions

    private PlainSmmu.Access access() {
        int log2Size = (int) Plain.bits(bus.read32(SMMU + 0x88), 5, 0);
        long streamId = oneIn(20)
                ? random.nextInt() & 0xffff_ffffL
                : random.nextInt(3) & (1L << Math.min(log2Size, features.sidSize())) - 1;
        Long substreamId =
                oneIn(features.ssidSize() > 0 ? 2 : 20) ? (long) random.nextInt(oneIn(8) ? 1 << 20 : 3) : null;
        long address =
                stage == null || oneIn(20) ? random.nextLong() >>> random.nextInt(64) : structures.address(stage);
        if (oneIn(8)) {
            address ^= (long) random.nextInt(256) << 56;
        }
        return new PlainSmmu.Access(
                streamId, substreamId, address, random.nextBoolean(), random.nextBoolean(), random.nextBoolean());
    }

    private void transact() {
        PlainSmmu.Access access = access();
        int kind = (access.privileged() ? Access.PRIVILEGED : 0)
                | (access.write() ? Access.WRITE : 0)
                | (access.instruction() ? Access.INSTRUCTION : 0);
        int substreamId = access.substreamId() == null
                ? Translator.NO_SUBSTREAM
                : access.substreamId().intValue();
        PlainSmmu.Outcome expected;
        stage = null;
        if (updated) {
            invalidateConfigurations(); // The descriptor may be part of a structure.
        }
        current = access.streamId();
        reads.clear();
        try {
            expected = plain.transact(access);
        } catch (PlainWalk.Reserved e) {
            count("reserved");
            long end = smmu.translate((int) access.streamId(), substreamId, access.address(), kind);
            if (Translation.isStalled(end)) {
                command(0x45 | access.streamId() << 32, 0);
                smmu.resume(end, (int) access.streamId(), substreamId, access.address(), kind);
            }
            written.replaceAll((address, value) -> memory.read64(address));
            updated = true;
            events();
            return;
        }
        hint = stage == null ? hint : stage;
        long got = smmu.translate((int) access.streamId(), substreamId, access.address(), kind);
        where = () -> "%s, expected %s, event %s, of %s\n%s\n"
                .formatted(
                        access,
                        expected.end(),
                        show(expected.event()),
                        show(stage),
                        reads.stream().map(Supplier::get).collect(Collectors.joining("\n")));
        compare(access, expected, got);
        if (Translation.isStalled(got)) {
            command(0x45 | access.streamId() << 32, 0); // CMD_STALL_TERM
            long end = smmu.resume(got, (int) access.streamId(), substreamId, access.address(), kind);
            assertEquals(Translation.ABORT, end, where);
        }
        List<long[]> events = events();
        assertEquals(expected.event() == null ? 0 : 1, events.size(), where);
        if (expected.event() != null) {
            long[] event = events.get(0);
            count("event 0x%02x".formatted(event[0] & 0xff));
            if ((event[0] & 0xff) >= 0xb) {
                count(List.of("class CD", "class TT", "class IN").get((int) (event[1] >>> 40) & 3));
                count((event[1] >>> 39 & 1) != 0 ? "stage 2" : "stage 1");
            }
            for (int i = 0; i < 4; i++) {
                long known = ~expected.unknown()[i];
                int word = i;
                assertEquals(
                        Long.toHexString(expected.event()[i] & known),
                        Long.toHexString(event[i] & known),
                        () -> "word " + word + " of event " + show(event) + ", " + where.get());
            }
        }
    }

    private void compare(PlainSmmu.Access access, PlainSmmu.Outcome expected, long got) {
        PlainSmmu.End end = Translation.translated(got)
                ? PlainSmmu.End.COMPLETED
                : Translation.isStalled(got)
                        ? PlainSmmu.End.STALLED
                        : got == Translation.RAZ_WI ? PlainSmmu.End.RAZ_WI : PlainSmmu.End.ABORTED;
        assertEquals(expected.end(), end, where);
        count(end.toString());
        if (end == PlainSmmu.End.COMPLETED) {
            if (stage != null) {
                count(stage.over != null ? "nested" : stage.second ? "stage 2 only" : "stage 1 only");
            }
            assertEquals(
                    Long.toHexString(expected.address()),
                    Long.toHexString(Translation.address(got, access.address())),
                    where);
            assertEquals(Integer.toHexString(expected.mair()), Integer.toHexString(Translation.attributes(got)), where);
            assertEquals(expected.shareability(), Translation.shareability(got), where);
        }
    }

    private List<long[]> events() {
        int prod = bus.read32(SMMU + 0x100a8);
        int cons = bus.read32(SMMU + 0x100ac);
        List<long[]> events = new ArrayList<>();
        for (; cons != prod; cons = cons + 1 & 31) {
            long at = EVENTS + 32L * (cons & 15);
            events.add(
                    new long[] {memory.read64(at), memory.read64(at + 8), memory.read64(at + 16), memory.read64(at + 24)
                    });
        }
        write(0x100ac, prod);
        return events;
    }

    private static String show(long[] event) {
        return event == null
                ? "none"
                : Arrays.toString(
                        Arrays.stream(event).mapToObj(Long::toHexString).toArray());
    }

    private static String show(PlainWalk.Stage stage) {
        return stage == null
                ? "none"
                : "second %b page bits %d start %d input bits %d output bits %d base %x over %s"
                        .formatted(
                                stage.second,
                                stage.pageBits,
                                stage.startLevel,
                                stage.inputBits,
                                stage.outputBits,
                                stage.base,
                                show(stage.over));
    }
}
