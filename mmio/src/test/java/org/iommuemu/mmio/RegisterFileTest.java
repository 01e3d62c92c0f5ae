package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.iommuemu.mmio.Field.Type;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class RegisterFileTest {
    private final List<String> misuse = new ArrayList<>();

    private final Register control = Register.word(
            "CONTROL", 0, Field.rw("EN", 0), Field.rw("MODE", 4, 3).resetTo(5), Field.busy("GO", 31));
    private final Register ack = Register.acknowledge("CONTROL_ACK", 4, control);
    private final Register id = Register.word("ID", 8, Field.ro("VERSION", 0, 16, 0x1234));
    private final Register flags = Register.word(
            "FLAGS",
            0xc,
            new Field("W1C", 0, 8, Type.W1C, 0xff),
            new Field("W0C", 8, 8, Type.W0C, 0xff),
            new Field("W1S", 16, 4, Type.W1S, 1),
            new Field("HIDDEN", 24, 4, Type.RAZ_WI, 0xf));
    private final Register base = Register.dword("BASE", 0x10, Field.rw("ADDR", 4, 48), Field.rw("RA", 62));
    private final Register plain = Register.word("PLAIN", 0x20, Field.rw("ALL", 0, 32));
    private final Register next = Register.word("NEXT", 0x24, Field.rw("ALL", 0, 32));

    private final RegisterMap map = new RegisterMap(0x100, List.of(control, ack, id, flags, base, plain, next));
    private final RegisterFile file = new RegisterFile(map, "unit", (unit, what) -> misuse.add(unit + ": " + what));

    @Test
    void afterResetEveryRegisterHoldsItsResetValue() {
        assertEquals(0x50, file.read(0, 4));
        assertEquals(0x50, file.read(4, 4));
        assertEquals(0x1234, file.read(8, 4));
        assertEquals(0x0001_ffff, file.read(0xc, 4));
        assertEquals(0, file.read(0x10, 8));
        assertEquals(7, map.registers().size());
        assertEquals(0x100, map.size());
    }

    @Test
    void readWriteFieldsTakeTheValueAndBitsWithoutAFieldIgnoreIt() {
        file.write(0, 4, 0x7fff_ffff);
        assertEquals(0x71, file.read(0, 4));
        file.write(0x10, 8, -1);
        assertEquals(0x400f_ffff_ffff_fff0L, file.read(0x10, 8));
        assertEquals(1, file.get(base, base.fields().get(1)));
        assertEquals((1L << 48) - 1, file.get(base, base.fields().get(0)));
    }

    @Test
    void readOnlyFieldsIgnoreWritesAndFollowHardware() {
        file.write(8, 4, 0xffff);
        assertEquals(0x1234, file.read(8, 4));
        file.set(id, 0x4321);
        assertEquals(0x4321, file.read(8, 4));
        assertEquals(0x4321, file.get(id));
    }

    @Test
    void writeOneToClearClearsOnesOnly() {
        file.write(0xc, 4, 0xff0f);
        assertEquals(0x0001_fff0, file.read(0xc, 4));
    }

    @Test
    void writeZeroToClearKeepsOldAndWritten() {
        file.write(0xc, 4, 0x0f00);
        assertEquals(0x0f00, file.read(0xc, 4) & 0xff00);
        file.write(0xc, 4, 0xff00);
        assertEquals(0x0f00, file.read(0xc, 4) & 0xff00, "a one sets nothing");
    }

    @Test
    void writeOneToSetSetsOnesOnly() {
        file.write(0xc, 4, 0x4_ff00);
        assertEquals(0x5_0000, file.read(0xc, 4) & 0xf_0000);
        file.write(0xc, 4, 0xff00);
        assertEquals(0x5_0000, file.read(0xc, 4) & 0xf_0000);
    }

    @Test
    void razWiReadsAsZeroWhateverHardwareHolds() {
        assertEquals(0x0f00_0000, file.get(flags) & 0x0f00_0000);
        assertEquals(0, file.read(0xc, 4) & 0x0f00_0000);
        file.write(0xc, 4, 0x0500_ff00);
        assertEquals(0x0f00_0000, file.get(flags) & 0x0f00_0000);
    }

    @Test
    void theHalvesOfA64BitRegisterMayBeWrittenInBothOrders() {
        file.write(0x14, 4, 0x4001_2345L);
        file.write(0x10, 4, 0x6789_abcfL);
        assertEquals(0x4001_2345_6789_abc0L, file.read(0x10, 8));
        file.write(0x10, 4, 0x1111_1110L);
        file.write(0x14, 4, 0x0002_2222L);
        assertEquals(0x0002_2222_1111_1110L, file.read(0x10, 8));
        assertEquals(0x1111_1110, file.read(0x10, 4));
        assertEquals(0x0002_2222, file.read(0x14, 4));
        file.write(0x14, 4, 0xffff_ffff_4000_0000L);
        assertEquals(0x4000_0000_1111_1110L, file.get(base), "only the low bits of the value count");
    }

    @Test
    void a64BitAccessOfTwo32BitRegistersIsTwoAccessesTheLowerFirst() {
        List<String> order = new ArrayList<>();
        file.onWrite(plain, (before, after) -> order.add("PLAIN=%x".formatted(after)));
        file.onWrite(next, (before, after) -> order.add("NEXT=%x".formatted(after)));
        file.onRead(next, stored -> {
            order.add("NEXT");
            return stored;
        });
        file.onRead(plain, stored -> {
            order.add("PLAIN");
            return stored;
        });
        file.write(0x20, 8, 0x8765_4321_fedc_ba98L);
        assertEquals(0x8765_4321_fedc_ba98L, file.read(0x20, 8));
        assertEquals(List.of("PLAIN=fedcba98", "NEXT=87654321", "PLAIN", "NEXT"), order);
    }

    @Test
    void whereThereIsNoRegisterReadsGiveZeroAndTheMisuseListenerIsTold() {
        assertEquals(0, file.read(0x40, 4));
        file.write(0x44, 4, 1);
        assertEquals(0, file.read(0x48, 8));
        file.write(0x48, 8, 1);
        assertEquals(6, misuse.size());
        assertEquals("unit: read at offset 0x40, where there is no register", misuse.get(0));
        assertEquals("unit: write at offset 0x44, where there is no register", misuse.get(1));
    }

    @Test
    void onlyWordsAndDoublewordsAreAccepted() {
        assertFalse(file.accepts(0, 1));
        assertFalse(file.accepts(0, 2));
        assertTrue(file.accepts(0, 4));
        assertTrue(file.accepts(0, 8));
    }

    @Test
    void aWriteEffectSeesBeforeAndAfterAndMayChangeTheRegister() {
        List<String> seen = new ArrayList<>();
        file.onWrite(plain, (before, after) -> {
            seen.add("%x>%x".formatted(before, after));
            assertEquals(after, file.get(plain), "it is stored already");
            assertTrue(Thread.holdsLock(file));
            file.set(plain, after + 1);
        });
        file.write(0x20, 4, 5);
        file.write(0x20, 4, 9);
        assertEquals(List.of("0>5", "6>9"), seen);
        assertEquals(10, file.read(0x20, 4));
        file.set(plain, 77);
        file.reset();
        assertEquals(2, seen.size(), "hardware's changes have no effect");
        assertEquals(0, file.read(0x20, 4));
    }

    @Test
    void aReadEffectMakesTheValueThatSoftwareSees() {
        file.onRead(flags, stored -> {
            assertTrue(Thread.holdsLock(file));
            return stored | 0x0f0e_0000;
        });
        assertEquals(0x000f_ffff, file.read(0xc, 4), "RAZ bits stay zero");
        assertEquals(0x0f01_ffff, file.get(flags), "what is stored does not change");
    }

    @Test
    void aGuardedWriteIsIgnoredAndTold() {
        AtomicBoolean open = new AtomicBoolean();
        file.guard(base, open::get, "EN must be 0");
        file.onWrite(base, (before, after) -> open.set(false));
        file.write(0x10, 8, 0xfff0);
        file.write(0x14, 4, 0x1);
        assertEquals(0, file.read(0x10, 8));
        assertEquals(
                List.of(
                        "unit: write of 0xfff0 to BASE ignored: EN must be 0",
                        "unit: write of 0x100000000 to BASE ignored: EN must be 0"),
                misuse);
        open.set(true);
        file.write(0x10, 8, 0xfff0);
        assertEquals(0xfff0, file.read(0x10, 8));
        assertFalse(open.get());
    }

    @Test
    void withoutDelayAHandshakeIsOverWhenTheWriteReturns() {
        List<Long> started = new ArrayList<>();
        file.onWrite(control, (before, after) -> started.add(after));
        file.write(0, 4, 0x8000_0021L);
        assertEquals(List.of(0x8000_0021L), started);
        assertEquals(0x21, file.read(4, 4));
        assertEquals(0x21, file.read(0, 4));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7})
    void anAcknowledgeRegisterKeepsItsOldValueForNReads(int n) {
        file.handshakeReads(n);
        file.write(0, 4, 1);
        for (int i = 0; i < n; i++) {
            assertEquals(0x50, file.read(4, 4), "read " + i);
        }
        assertEquals(1, file.read(4, 4));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7})
    void aBusyBitStaysSetForNReads(int n) {
        file.handshakeReads(n);
        file.write(0, 4, 0x8000_0000L);
        for (int i = 0; i < n; i++) {
            assertEquals(0x8000_0000L, file.read(0, 4), "read " + i);
        }
        assertEquals(0, file.read(0, 4));
    }

    @Test
    void aHandshakeThatNeverEndsNeverEnds() {
        file.handshakeReads(-1);
        file.write(0, 4, 0x8000_0001L);
        for (int i = 0; i < 1000; i++) {
            assertEquals(0x50, file.read(4, 4));
            assertEquals(0x8000_0001L, file.read(0, 4));
        }
        file.reset();
        assertEquals(0x50, file.read(0, 4));
        file.handshakeReads(0);
        file.write(0, 4, 1);
        assertEquals(1, file.read(4, 4));
    }

    @Test
    void writesOfSoftwareDoNotReachAnAcknowledgeRegister() {
        file.write(4, 4, 0);
        assertEquals(0x50, file.read(4, 4));
    }

    @Test
    void resetEndsHandshakes() {
        file.handshakeReads(1);
        file.write(0, 4, 1);
        file.reset();
        file.read(4, 4);
        file.set(control, 0x21);
        file.read(4, 4);
        assertEquals(0x50, file.read(4, 4));
    }

    @Test
    void aWriteOfManyThreadsIsWholeAndItsEffectRunsOncePerWrite() {
        long[] effects = new long[1];
        file.onWrite(base, (before, after) -> effects[0]++);
        Threads.run(3, n -> {
            for (int i = 0; i < 20_000; i++) {
                if (n == 0) {
                    long seen = file.read(0x10, 8);
                    assertEquals(seen >>> 32 & 0xfffff, seen >>> 4 & 0xfffff);
                } else {
                    long half = i * 2L + n & 0xfffff;
                    file.write(0x10, 8, half << 32 | half << 4);
                }
            }
        });
        assertEquals(40_000, effects[0]);
    }

    @Test
    void registersThatOverlapAreRefusedAndBothAreNamed() {
        Exception e = assertThrows(
                IllegalArgumentException.class,
                () -> new RegisterMap(0x100, List.of(Register.dword("WIDE", 8), Register.word("NARROW", 12))));
        assertTrue(e.getMessage().contains("WIDE") && e.getMessage().contains("NARROW"), e.getMessage());
    }

    @Test
    void aDeclarationBelongsToOneMap() {
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(0x100, List.of(plain)));
        Register twice = Register.word("TWICE", 0);
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(0x100, List.of(twice, twice)));
    }

    @Test
    void misalignedRegistersAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(0x100, List.of(Register.dword("WIDE", 4))));
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(0x100, List.of(Register.word("ODD", 2))));
    }

    @Test
    void fieldsThatOverlapOrDoNotFitAreRefused() {
        assertThrows(
                IllegalArgumentException.class, () -> Register.word("R", 0, Field.rw("A", 0, 4), Field.rw("B", 3, 1)));
        assertThrows(IllegalArgumentException.class, () -> Register.word("R", 0, Field.rw("A", 31, 2)));
        Register.dword("R", 0, Field.rw("A", 31, 33));
        assertThrows(IllegalArgumentException.class, () -> Field.rw("A", 60, 5));
        assertThrows(IllegalArgumentException.class, () -> Field.rw("A", -1, 5));
        assertThrows(IllegalArgumentException.class, () -> Field.rw("A", 0, 0));
        assertThrows(IllegalArgumentException.class, () -> Field.rw("A", 0, 3).resetTo(8));
    }

    @ParameterizedTest
    @EnumSource(Type.class)
    void whatASoftwareWriteMakesOfAFieldDependsOnItsTypeOnly(Type type) {
        Register register = Register.dword("R", 0, new Field("F", 30, 4, type, 0b0011));
        RegisterFile one = new RegisterFile(new RegisterMap(8, List.of(register)), "u", MisuseListener.NONE);
        one.handshakeReads(-1);
        // The field lies across both halves: one write of the whole, with 0101.
        one.write(0, 8, 0b0101L << 30);
        long expected =
                switch (type) {
                    case RW -> 0b0101;
                    case RO, RAZ_WI -> 0b0011;
                    case W1C -> 0b0010;
                    case W0C -> 0b0001;
                    case W1S, BUSY -> 0b0111;
                };
        assertEquals(expected, one.get(register) >>> 30);
        assertEquals(type == Type.RAZ_WI ? 0 : expected, one.read(0, 8) >>> 30);
        // By halves: the lower one with ones, which must leave the upper one alone.
        one.reset();
        one.write(0, 4, 0xffff_ffffL);
        long upper = one.get(register) >>> 32;
        assertEquals(0, upper, "0b00 in the upper half stays");
    }

    @Test
    void registersOutsideTheWindowAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(8, List.of(Register.word("R", 8))));
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(12, List.of(Register.dword("R", 8))));
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(8, List.of(Register.word("R", -4))));
    }

    @Test
    void anAcknowledgeRegisterIsInTheMapOfWhatItAcknowledges() {
        Register elsewhere = Register.word("ELSEWHERE", 0);
        Register stray = Register.acknowledge("STRAY_ACK", 4, elsewhere);
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(8, List.of(stray)));
        new RegisterMap(8, List.of(elsewhere));
        Register second = Register.acknowledge("SECOND_ACK", 4, elsewhere);
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(8, List.of(Register.word("R", 0), second)));
    }

    @Test
    void aRefusedMapLeavesItsRegistersFree() {
        Register good = Register.word("GOOD", 0);
        assertThrows(IllegalArgumentException.class, () -> new RegisterMap(8, List.of(good, Register.word("SAME", 0))));
        assertEquals(List.of(good), new RegisterMap(8, List.of(good)).registers());
    }

    @Test
    void aWindowLargerThanTheMapHasNoRegistersBehindIt() {
        Bus bus = new Bus(new PhysicalMemory());
        bus.attach("/unit", 0x1000, 0x200, file);
        assertEquals(0, bus.read32(0x1100));
        bus.write64(0x11f8, 1);
        assertEquals(3, misuse.size());
    }

    @Test
    void aWriteThatStartsNothingDoesNotProlongWhatIsUnderWay() {
        Register start = Register.word("START", 0, Field.busy("GO", 0), Field.rw("MODE", 1));
        RegisterFile one = new RegisterFile(new RegisterMap(4, List.of(start)), "u", MisuseListener.NONE);
        one.handshakeReads(2);
        one.write(0, 4, 1);
        assertEquals(1, one.read(0, 4));
        one.write(0, 4, 2);
        assertEquals(3, one.read(0, 4));
        assertEquals(2, one.read(0, 4));
    }

    @Test
    void aHandshakeThatIsOverDoesNotEndALaterOne() {
        file.handshakeReads(3);
        file.write(0, 4, 1);
        file.handshakeReads(0);
        file.write(0, 4, 0x21);
        assertEquals(0x21, file.read(4, 4));
        file.set(control, 0x11);
        for (int i = 0; i < 5; i++) {
            assertEquals(0x21, file.read(4, 4), "nothing is under way");
        }
    }

    @Test
    void bitsWithoutAFieldReadAsZeroWhateverHardwareHolds() {
        file.set(id, 0xffff_1234L);
        assertEquals(0x1234, file.read(8, 4));
        file.onRead(flags, stored -> -1);
        assertEquals(0x000f_ffff, file.read(0xc, 4));
    }

    @Test
    void aHandshakeLastsAsLongAsTheClockSays() {
        long[] now = {1_000};
        file.handshakes(Latency.nanoseconds(50, () -> now[0]));
        file.write(0, 4, 1);
        now[0] += 49;
        assertEquals(0x50, file.read(4, 4));
        now[0] += 1;
        assertEquals(1, file.read(4, 4));
    }

    @Test
    void aGuardSeesAHandshakeThatIsOverThoughNobodyLooked() {
        long[] now = {0};
        file.guard(flags, () -> file.get(ack) == 1, "not acknowledged");
        file.handshakes(Latency.nanoseconds(50, () -> now[0]));
        file.write(0, 4, 1);
        file.write(0xc, 4, 1);
        assertEquals(1, misuse.size(), "ignored");
        now[0] = 50;
        file.write(0xc, 4, 1);
        assertEquals(1, misuse.size());
    }

    @Test
    void aHandshakeWaitsForHardwareThatIsNotDone() {
        boolean[] busy = {true};
        file.holdHandshake(control, () -> busy[0]);
        file.write(0, 4, 1);
        for (int i = 0; i < 3; i++) {
            assertEquals(0x50, file.read(4, 4));
        }
        busy[0] = false;
        file.settle();
        assertEquals(1, file.get(ack));
    }

    @Test
    void effectsOfAWriteAddUp() {
        List<String> done = new ArrayList<>();
        file.onWrite(control, (before, after) -> done.add("first"));
        file.onWrite(control, (before, after) -> done.add("second"));
        file.write(0, 4, 1);
        assertEquals(List.of("first", "second"), done);
    }

    @Test
    void aSecondWindowOfAUnitHasTheSameLock() {
        Register other = Register.word("OTHER", 0, Field.rw("A", 0));
        RegisterFile second = new RegisterFile(new RegisterMap(4, List.of(other)), "u", MisuseListener.NONE, file);
        boolean[] locked = new boolean[1];
        second.onWrite(other, (before, after) -> locked[0] = Thread.holdsLock(file));
        second.write(0, 4, 1);
        assertTrue(locked[0]);
    }
}
