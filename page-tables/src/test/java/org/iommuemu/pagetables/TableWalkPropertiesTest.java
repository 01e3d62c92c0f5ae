package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.PlainWalk.Cause;
import org.iommuemu.pagetables.PlainWalk.Outcome;
import org.iommuemu.pagetables.PlainWalk.Right;
import org.iommuemu.pagetables.PlainWalk.Stage;
import org.junit.jupiter.api.Test;

/**
 * {@link TableWalk} agrees with {@link PlainWalk} about random tables. The tables come into being while the plain walk
 * reads them: whenever it meets an entry for the first time, a descriptor is made up, mostly a plausible one, so that
 * walks of all depths end in all ways. System properties: {@code iommuemu.translations}, how many; {@code iommuemu.seed},
 * to begin with the seed of a failure.
 */
class TableWalkPropertiesTest {
    private static final int[] PAGE_BITS = {12, 14, 16};
    private static final int[] OUTPUT_BITS = {32, 36, 40, 42, 44, 48, 48, 48, 52};
    private static final int CALLS_PER_TABLE = 4;
    private static final long TRANSLATIONS = Long.getLong("iommuemu.translations", 400_000);

    private PhysicalMemory memory = newMemory();
    private final Map<Cause, Integer> causes = new EnumMap<>(Cause.class);
    private int successes;
    private int stage2Faults;
    private int reserved;
    private int tableWalkFaults;
    private int tableWriteFaults;
    private int updates;
    private int levelMinus1;
    private int contiguous;
    private int wideOutputs;

    private final Map<Long, Long> written = new HashMap<>();
    private SplittableRandom random;
    private RandomTables tables;
    private long seed;

    private static PhysicalMemory newMemory() {
        PhysicalMemory fresh = new PhysicalMemory();
        RandomTables.addRam(fresh, 52);
        return fresh;
    }

    @Test
    void everyWalkAgreesWithThePlainOne() {
        long first = Long.getLong("iommuemu.seed", System.nanoTime());
        for (long n = 0; n < TRANSLATIONS / CALLS_PER_TABLE; n++) {
            seed = first + n;
            oneTable();
        }
        // This says little if walks all end alike.
        String counts =
                "causes %s, successes %d, stage 2 faults %d, of table walks %d, of table writes %d, updates %d, "
                                .formatted(causes, successes, stage2Faults, tableWalkFaults, tableWriteFaults, updates)
                        + "level -1 %d, contiguous %d, wide outputs %d, reserved %d"
                                .formatted(levelMinus1, contiguous, wideOutputs, reserved);
        for (Cause cause : Cause.values()) {
            assertTrue(causes.getOrDefault(cause, 0) > TRANSLATIONS / 200, cause + ": " + counts);
        }
        assertTrue(successes > TRANSLATIONS / 8, counts);
        assertTrue(reserved < TRANSLATIONS / 50, counts);
        assertTrue(Math.min(stage2Faults, tableWalkFaults) > TRANSLATIONS / 30, counts);
        assertTrue(tableWriteFaults > TRANSLATIONS / 1000 && updates > TRANSLATIONS / 50, counts);
        assertTrue(levelMinus1 > TRANSLATIONS / 2000, counts);
        assertTrue(Math.min(contiguous, wideOutputs) > TRANSLATIONS / 200, counts);
    }

    private void oneTable() {
        random = new SplittableRandom(seed);
        tables = new RandomTables(random);
        if (memory.touchedBytes() > 64 << 20) {
            memory = newMemory();
        }
        boolean nested = random.nextInt(3) == 0;
        Stage first = nested || random.nextBoolean() ? stage1() : stage2();
        first.over = nested ? stage2() : null;
        if (nested) {
            first.over.forceWriteBack = random.nextInt(3) == 0;
            // Its tables are at intermediate addresses.
            first.base = tables.address(first.over.inputBits, 0);
        }
        TableWalk walk = build(first);
        for (int i = 0; i < CALLS_PER_TABLE; i++) {
            oneTranslation(first, walk);
        }
        for (Map.Entry<Long, Long> entry : written.entrySet()) {
            assertEquals(entry.getValue(), memory.read64(entry.getKey()), "descriptor after updates, seed " + seed);
            memory.write64(entry.getKey(), 0);
        }
        written.clear();
    }

    private void oneTranslation(Stage first, TableWalk walk) {
        long input = tables.input(first);
        int access = random.nextInt(8);
        try {
            Outcome expected = new PlainWalk(ram)
                    .translate(
                            first,
                            input,
                            (access & Access.PRIVILEGED) != 0,
                            (access & Access.WRITE) != 0,
                            (access & Access.INSTRUCTION) != 0);
            compare(expected, walk.walk(input, access), first, input, access);
        } catch (PlainWalk.Reserved e) {
            reserved++;
            walk.walk(input, access); // Whatever it is, it is a value.
            written.replaceAll((address, value) -> memory.read64(address));
        }
    }

    private void compare(Outcome expected, long result, Stage stage, long input, int access) {
        String where =
                "seed %d input %x access %d page bits %d start %d input bits %d output bits %d, second %s, over %s: %s, got %x"
                        .formatted(
                                seed,
                                input,
                                access,
                                stage.pageBits,
                                stage.startLevel,
                                stage.inputBits,
                                stage.outputBits,
                                stage.second,
                                stage.over != null,
                                expected,
                                result);
        if (expected.cause() != null) {
            causes.merge(expected.cause(), 1, Integer::sum);
            stage2Faults += expected.stage2() ? 1 : 0;
            tableWalkFaults += expected.tableWalk() ? 1 : 0;
            tableWriteFaults += expected.tableWrite() ? 1 : 0;
            levelMinus1 += expected.level() < 0 ? 1 : 0;
            assertTrue(WalkResult.isFault(result), where);
            assertEquals(expected.cause().name(), WalkResult.kind(result).name(), where);
            assertEquals(expected.level(), WalkResult.level(result), where);
            assertEquals(expected.stage2(), WalkResult.isStage2(result), where);
            assertEquals(expected.tableWalk(), WalkResult.isTableWalk(result), where);
            assertEquals(expected.tableWrite(), WalkResult.isTableWrite(result), where);
            assertEquals(expected.faultAddress() & 0x000f_ffff_ffff_fff8L, WalkResult.address(result), where);
            return;
        }
        successes++;
        contiguous += (expected.log2Size() - stage.pageBits) % (stage.pageBits - 3) != 0 && stage.over == null ? 1 : 0;
        wideOutputs += expected.address() >>> 48 != 0 ? 1 : 0;
        assertTrue(!WalkResult.isFault(result) && Translation.translated(result), where);
        assertEquals(expected.address(), Translation.address(result, input), where);
        assertEquals(expected.log2Size(), Translation.log2Size(result), where);
        assertEquals(expected.mair(), Translation.attributes(result), where);
        assertEquals(expected.shareability(), Translation.shareability(result), where);
        assertEquals(expected.notGlobal(), WalkResult.isNotGlobal(result), where);
        for (Right right : Right.values()) {
            int kind = right.ordinal() >= 3 ? Access.PRIVILEGED : 0;
            kind |= switch (right.ordinal() % 3) {
                case 0 -> Access.READ;
                case 1 -> Access.WRITE;
                default -> Access.INSTRUCTION;
            };
            assertEquals(expected.rights().contains(right), WalkResult.permits(result, kind), right + ", " + where);
        }
    }

    private TableWalk build(Stage s) {
        Granule granule = Granule.values()[(s.pageBits - 12) / 2];
        TableWalk.Builder builder;
        if (s.second) {
            builder = TableWalk.stage2(memory, granule, s.base, s.inputBits, s.outputBits, s.startLevel);
        } else {
            builder = TableWalk.stage1(memory, granule, s.base, s.inputBits, s.outputBits);
        }
        long mair = 0;
        for (int i = 7; i >= 0; i--) {
            mair = mair << 8 | s.mair[i];
        }
        if (s.ds) {
            builder.ds(s.shareability);
        }
        return builder.upper(s.upper)
                .lpa(s.lpa)
                .addressBits(s.addressBits == 48 ? 52 : s.addressBits)
                .contiguous(!s.contiguousIgnored)
                .accessFlagUpdate(s.ha)
                .dirtyState(s.hd)
                .xnx(s.xnx)
                .protectedTableWalk(s.ptw)
                .bigEndian(s.bigEndian)
                .accessFlagFaults(!s.accessFlagDisabled)
                .hierarchical(!s.hierarchyDisabled)
                .onePrivilegeLevel(s.onePrivilege)
                .wxn(s.wxn)
                .pan(s.pan)
                .forceWriteBack(s.forceWriteBack)
                .nonSecureOnly(s.nonSecureOnly)
                .mair(mair)
                .over(s.over == null ? null : build(s.over))
                .build();
    }

    private Stage stage1() {
        Stage s = new Stage();
        common(s);
        int most = s.ds || s.pageBits == 16 ? 52 : 48;
        s.inputBits = most - random.nextInt(most - (s.pageBits == 16 ? 16 : 15));
        // The fewest levels that reach.
        s.startLevel = 3;
        while (s.pageBits + (4 - s.startLevel) * (s.pageBits - 3) < s.inputBits) {
            s.startLevel--;
        }
        s.upper = random.nextInt(4) == 0;
        s.hierarchyDisabled = random.nextInt(3) == 0;
        s.onePrivilege = random.nextInt(4) == 0;
        s.wxn = random.nextInt(3) == 0;
        s.pan = random.nextInt(3) == 0;
        s.nonSecureOnly = random.nextInt(3) == 0;
        for (int i = 0; i < 8; i++) {
            s.mair[i] = random.nextInt(4) == 0
                    ? random.nextInt(4) * 4
                    : (1 + random.nextInt(15)) * 16 + 1 + random.nextInt(15);
        }
        return s;
    }

    private Stage stage2() {
        Stage s = new Stage();
        s.second = true;
        common(s);
        do {
            s.inputBits = (s.ds || s.pageBits == 16 ? 52 : 48) - random.nextInt(32);
            s.startLevel = s.ds && s.pageBits == 12 ? random.nextInt(5) - 1 : random.nextInt(4);
            // At least one bit, at most 16 tables.
        } while (levelInputBits(s) < 1 || levelInputBits(s) > s.pageBits - 3 + 4);
        return s;
    }

    private static int levelInputBits(Stage s) {
        return s.inputBits - (s.pageBits + (3 - s.startLevel) * (s.pageBits - 3));
    }

    private void common(Stage s) {
        s.pageBits = PAGE_BITS[random.nextInt(3)];
        s.outputBits = OUTPUT_BITS[random.nextInt(OUTPUT_BITS.length)];
        s.base = tables.address(s.outputBits, 0);
        s.bigEndian = random.nextInt(4) == 0;
        s.accessFlagDisabled = random.nextInt(4) == 0;
        s.lpa = s.pageBits == 16 && random.nextBoolean();
        s.ds = s.pageBits != 16 && random.nextInt(3) == 0;
        if ((s.lpa || s.ds) && random.nextBoolean()) {
            s.outputBits = 52;
            s.base = tables.address(52, 0);
        }
        s.shareability = new int[] {0, 2, 3}[random.nextInt(3)];
        s.addressBits = !s.lpa && !s.ds && random.nextInt(4) == 0 ? 40 : 48;
        s.contiguousIgnored = random.nextInt(3) == 0;
        s.ha = random.nextInt(3) == 0;
        s.hd = random.nextInt(4) != 0;
        s.xnx = random.nextBoolean();
        s.ptw = s.second && random.nextInt(3) == 0;
    }

    /** The plain walk's memory: what was written, or else a new descriptor. What it writes, the other walk must write. */
    private final PlainWalk.Memory ram = new PlainWalk.Memory() {
        @Override
        public Long read(long address, Stage stage, int level) {
            return RandomTables.inRam(address, 52)
                    ? written.computeIfAbsent(address, a -> create(a, stage, level))
                    : null;
        }

        @Override
        public void write(long address, long value) {
            updates++;
            written.put(address, value);
        }
    };

    private long create(long address, Stage stage, int level) {
        long descriptor = tables.descriptor(stage, level);
        long stored = stage.bigEndian ? Long.reverseBytes(descriptor) : descriptor;
        memory.write64(address, stored);
        return stored;
    }
}
