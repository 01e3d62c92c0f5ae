package org.iommuemu.mmio;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.function.BooleanSupplier;

/**
 * The registers of one unit: values, and what happens when software writes them.
 *
 * <p><b>Concurrency.</b> The file's monitor is the unit's lock: a write by software and its effect happen under it, and
 * so should whatever the model does to its registers and queues. Reads of registers without an effect take no lock.
 *
 * <p>32-bit registers are accessed as 32 bits, 64-bit registers as 64 bits or by halves; a 64-bit access of two 32-bit
 * registers is two accesses, the lower address first. Words without a register, also those of a bus window larger than
 * the map, read as zero and ignore writes, and the misuse listener is told.
 */
public final class RegisterFile implements BusDevice {
    /** What a write by software sets off. Runs under the file's monitor. */
    @FunctionalInterface
    public interface WriteEffect {
        /**
         * A register was written.
         *
         * @param before its value before
         * @param after its value now; bits of type {@link Field.Type#BUSY} that were started are set in it
         */
        void written(long before, long after);
    }

    /** What a read by software gives, for registers whose value is made when it is read. Runs under the monitor. */
    @FunctionalInterface
    public interface ReadEffect {
        /**
         * A register is read.
         *
         * @param stored its stored value
         * @return what software sees
         */
        long read(long stored);
    }

    /** @param next another guard of the same register, or null */
    private record Guard(long bits, BooleanSupplier writable, String rule, Guard next) {}

    private static final VarHandle VALUES = MethodHandles.arrayElementVarHandle(long[].class);

    private final RegisterMap map;
    private final String unit;
    private final MisuseListener misuse;

    /** Current values: read with acquire without the monitor, written with release under it. */
    private final long[] values;

    private final WriteEffect[] writeEffects;
    private final ReadEffect[] readEffects;
    private final Guard[] guards;

    /** By register: the handshake that a write of it started; null if none is under way. */
    private final Latency.Wait[] handshakes;

    /** By register: whether hardware is not done, however long it has been; null for never. */
    private final BooleanSupplier[] holds;

    /** How many handshakes are under way. */
    private int underWay;

    private Latency latency = Latency.NONE;

    /** The unit's lock: this, or the file that this one belongs to. */
    private final Object lock;

    /**
     * Registers in their reset state.
     *
     * @param unit its name in messages
     * @param misuse hears of accesses that the architecture does not foresee
     */
    public RegisterFile(RegisterMap map, String unit, MisuseListener misuse) {
        this(map, unit, misuse, null);
    }

    /**
     * Registers in their reset state, in a window of their own, of a unit that has others.
     *
     * @param unit its name in messages
     * @param misuse hears of accesses that the architecture does not foresee
     * @param lockedBy whose monitor is the unit's lock
     */
    public RegisterFile(RegisterMap map, String unit, MisuseListener misuse, RegisterFile lockedBy) {
        lock = lockedBy == null ? this : lockedBy.lock;
        this.map = map;
        this.unit = unit;
        this.misuse = misuse;
        values = map.reset.clone();
        writeEffects = new WriteEffect[values.length];
        readEffects = new ReadEffect[values.length];
        guards = new Guard[values.length];
        handshakes = new Latency.Wait[values.length];
        holds = new BooleanSupplier[values.length];
    }

    /** Adds to what writes of a register do, beyond storing; what was added first is done first. */
    public void onWrite(Register register, WriteEffect effect) {
        WriteEffect first = writeEffects[register.index];
        writeEffects[register.index] = first == null
                ? effect
                : (before, after) -> {
                    first.written(before, after);
                    effect.written(before, after);
                };
    }

    /** Sets how reads of a register are answered. */
    public void onRead(Register register, ReadEffect effect) {
        readEffects[register.index] = effect;
    }

    /**
     * Makes a register writable at times only: other writes are ignored and told to the misuse listener.
     *
     * @param rule the rule that such a write breaks, for the message
     */
    public void guard(Register register, BooleanSupplier writable, String rule) {
        guard(register, -1, writable, rule);
    }

    /**
     * Makes some bits of a register writable at times only: other writes leave them as they are, and the misuse listener is
     * told if they would have changed.
     *
     * @param bits which; all: the write is ignored as a whole, and told in any case
     * @param rule the rule that such a write breaks, for the message
     */
    public void guard(Register register, long bits, BooleanSupplier writable, String rule) {
        guards[register.index] = new Guard(bits, writable, rule, guards[register.index]);
    }

    /**
     * How long handshakes last: acknowledge registers keep their old value, and {@link Field.Type#BUSY} bits stay set, for
     * so many reads by software. 0 (the default): the answer is there at once; negative: it never comes.
     */
    public void handshakeReads(int reads) {
        handshakes(Latency.reads(reads));
    }

    /** How long handshakes last that begin from now on, see {@link #handshakeReads}. */
    public void handshakes(Latency howLong) {
        synchronized (lock) {
            latency = howLong;
        }
    }

    /**
     * Lets handshakes of a register last longer, while hardware is not done with what it was told. When it is, it calls
     * {@link #settle}.
     *
     * @param busy asked under the monitor
     */
    public void holdHandshake(Register register, BooleanSupplier busy) {
        holds[register.index] = busy;
    }

    /** Ends the handshake of a register, if there is one, however long it has lasted: something else has ended it. */
    public void finish(Register register) {
        synchronized (lock) {
            if (handshakes[register.index] != null) {
                end(register.index);
            }
        }
    }

    /** Ends the handshakes that have lasted long enough. */
    public void settle() {
        synchronized (lock) {
            for (int i = 0; underWay > 0 && i < handshakes.length; i++) {
                settle(i);
            }
        }
    }

    /** The value of a register as hardware sees it. */
    public long get(Register register) {
        return (long) VALUES.getAcquire(values, register.index);
    }

    /** The value of a field as hardware sees it. */
    public long get(Register register, Field field) {
        return field.get(get(register));
    }

    /** Sets a register by hardware; no effect runs. */
    public void set(Register register, long value) {
        synchronized (lock) {
            VALUES.setRelease(values, register.index, value);
        }
    }

    /** Back to the reset state; no effect runs. */
    public void reset() {
        synchronized (lock) {
            for (int i = 0; i < values.length; i++) {
                VALUES.setRelease(values, i, map.reset[i]);
                handshakes[i] = null;
            }
            underWay = 0;
        }
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size >= 4;
    }

    @Override
    public boolean takesMessages() {
        return false;
    }

    @Override
    public long read(long offset, int size) {
        int at = map.at(offset);
        if (size == 8 && (at == RegisterMap.NONE || map.registers[at >> 1].bytes() == 4)) {
            return read(offset, 4) | read(offset + 4, 4) << 32;
        }
        if (at == RegisterMap.NONE) {
            misuse.misuse(unit, "read at offset 0x%x, where there is no register".formatted(offset));
            return 0;
        }
        int index = at >> 1;
        long value = readRegister(index) & map.readable[index];
        return size == 8 ? value : value >>> 32 * (at & 1) & 0xffffffffL;
    }

    private long readRegister(int index) {
        Register acknowledged = map.registers[index].acknowledged();
        if (readEffects[index] == null && acknowledged == null && map.busy[index] == 0) {
            return (long) VALUES.getAcquire(values, index);
        }
        synchronized (lock) {
            int waiting = acknowledged == null ? index : acknowledged.index;
            settle(waiting);
            ReadEffect effect = readEffects[index];
            long value = effect == null ? values[index] : effect.read(values[index]);
            if (handshakes[waiting] != null) {
                handshakes[waiting].looked();
                settle(waiting);
            }
            return value;
        }
    }

    @Override
    public void write(long offset, int size, long value) {
        int at = map.at(offset);
        if (size == 8 && (at == RegisterMap.NONE || map.registers[at >> 1].bytes() == 4)) {
            write(offset, 4, value & 0xffffffffL);
            write(offset + 4, 4, value >>> 32);
            return;
        }
        if (at == RegisterMap.NONE) {
            misuse.misuse(unit, "write at offset 0x%x, where there is no register".formatted(offset));
            return;
        }
        int index = at >> 1;
        int shift = 32 * (at & 1);
        writeRegister(index, size == 8 ? -1 : 0xffffffffL << shift, value << shift);
    }

    /** @param lanes the bits of the register that the access covers */
    private void writeRegister(int index, long lanes, long value) {
        if (map.storage[index]
                && (map.rw[index] & ~lanes) == 0
                && writeEffects[index] == null
                && guards[index] == null) {
            // Nothing of the old value stays and nothing happens: one store does it.
            VALUES.setRelease(values, index, value & map.rw[index]);
        } else {
            changeRegister(index, lanes, value);
        }
    }

    private void changeRegister(int index, long lanes, long value) {
        synchronized (lock) {
            settle(); // Guards look at what is acknowledged.
            changeLocked(index, lanes, value);
        }
    }

    private void changeLocked(int index, long lanes, long value) {
        long before = values[index];
        long writable = -1;
        for (Guard guard = guards[index]; guard != null; guard = guard.next) {
            if (!guard.writable.getAsBoolean()) {
                writable &= ~guard.bits;
                if (writable == 0 || ((value ^ before) & lanes & guard.bits) != 0) {
                    misuse.misuse(
                            unit,
                            "write of 0x%x to %s ignored: %s"
                                    .formatted(value & lanes, map.registers[index], guard.rule));
                }
            }
        }
        if (writable == 0) {
            return;
        }
        lanes &= writable;
        long stored = lanes & map.rw[index];
        long after = before & ~stored | value & stored;
        after &= ~(value & lanes & map.w1c[index]);
        after &= ~(~value & lanes & map.w0c[index]);
        after |= value & lanes & (map.w1s[index] | map.busy[index]);
        VALUES.setRelease(values, index, after);
        WriteEffect effect = writeEffects[index];
        if (effect != null) {
            effect.written(before, after);
        }
        if (map.acknowledgedBy[index] != RegisterMap.NONE || (value & lanes & map.busy[index]) != 0) {
            underWay += handshakes[index] == null ? 1 : 0;
            handshakes[index] = latency.start();
            settle(index);
        }
    }

    /** Ends the handshake of a register, if there is one that has lasted long enough. */
    private void settle(int index) {
        if (handshakes[index] == null
                || !handshakes[index].isOver()
                || holds[index] != null && holds[index].getAsBoolean()) {
            return;
        }
        end(index);
    }

    private void end(int index) {
        handshakes[index] = null;
        underWay--;
        VALUES.setRelease(values, index, values[index] & ~map.busy[index]);
        int acknowledge = map.acknowledgedBy[index];
        if (acknowledge != RegisterMap.NONE) {
            VALUES.setRelease(values, acknowledge, values[index]);
        }
    }
}
