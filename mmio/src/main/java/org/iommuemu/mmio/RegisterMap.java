package org.iommuemu.mmio;

import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * The registers of a kind of unit, compiled to arrays that an access indexes once. Immutable; shared by all units of the
 * kind.
 */
public final class RegisterMap {
    /** No register at this word. */
    static final int NONE = -1;

    final Register[] registers;
    final long[] reset;
    final long[] rw;
    final long[] w1c;
    final long[] w0c;
    final long[] w1s;
    final long[] busy;
    /** What reads do not see as zero: bits of fields that are not RAZ. */
    final long[] readable;
    /** By register: it is made of read-write fields only, and nothing follows it. */
    final boolean[] storage;
    /** By register: the register that acknowledges it, or {@link #NONE}. */
    final int[] acknowledgedBy;

    /** By word of the window: register index * 2 + half, or {@link #NONE}. */
    private final short[] words;

    /**
     * Compiles declarations.
     *
     * @param size of the window in bytes
     * @throws IllegalArgumentException if two registers overlap, or one is misaligned, outside or in another map already
     */
    public RegisterMap(int size, Collection<Register> declarations) {
        registers = declarations.toArray(Register[]::new);
        if (registers.length > Short.MAX_VALUE / 2) {
            throw new IllegalArgumentException(registers.length + " registers are too many");
        }
        words = new short[size / 4];
        Arrays.fill(words, (short) NONE);
        acknowledgedBy = new int[registers.length];
        Arrays.fill(acknowledgedBy, NONE);
        for (int i = 0; i < registers.length; i++) {
            Register register = registers[i];
            if (register.index != NONE) {
                throw new IllegalArgumentException(register + " is declared twice");
            }
            if (register.offset() % register.bytes() != 0) {
                throw new IllegalArgumentException(register + " is misaligned");
            }
            if (register.offset() < 0 || register.offset() > size - register.bytes()) {
                throw new IllegalArgumentException(register + " is outside the window of " + size + " bytes");
            }
            for (int half = 0; half < register.bytes() / 4; half++) {
                int word = register.offset() / 4 + half;
                if (words[word] != NONE) {
                    throw new IllegalArgumentException(register + " overlaps " + registers[words[word] / 2]);
                }
                words[word] = (short) (i * 2 + half);
            }
        }
        List<Register> declared = List.of(registers);
        for (int i = 0; i < registers.length; i++) {
            Register acknowledged = registers[i].acknowledged();
            if (acknowledged != null) {
                if (!declared.contains(acknowledged)) {
                    throw new IllegalArgumentException(registers[i] + " acknowledges " + acknowledged + " elsewhere");
                }
                acknowledgedBy[declared.indexOf(acknowledged)] = i;
            }
        }
        for (int i = 0; i < registers.length; i++) {
            registers[i].index = i;
        }
        reset = Arrays.stream(registers).mapToLong(Register::reset).toArray();
        rw = masks(Field.Type.RW);
        w1c = masks(Field.Type.W1C);
        w0c = masks(Field.Type.W0C);
        w1s = masks(Field.Type.W1S);
        busy = masks(Field.Type.BUSY);
        storage = new boolean[registers.length];
        for (int i = 0; i < registers.length; i++) {
            storage[i] = registers[i].fields().stream().allMatch(field -> field.type() == Field.Type.RW)
                    && acknowledgedBy[i] == NONE
                    && registers[i].acknowledged() == null;
        }
        readable = Arrays.stream(registers).mapToLong(Register::readable).toArray();
    }

    private RegisterMap(RegisterMap of, Map<Register, Long> absent, Map<Integer, Register> aliases) {
        registers = of.registers;
        storage = of.storage;
        acknowledgedBy = of.acknowledgedBy;
        words = of.words.clone();
        reset = of.reset.clone();
        rw = of.rw.clone();
        w1c = of.w1c.clone();
        w0c = of.w0c.clone();
        w1s = of.w1s.clone();
        busy = of.busy.clone();
        readable = of.readable.clone();
        absent.forEach((register, mask) -> {
            for (long[] masks : new long[][] {reset, rw, w1c, w0c, w1s, busy, readable}) {
                masks[register.index] &= ~mask;
            }
        });
        aliases.forEach((offset, register) -> words[offset / 4] = words[register.offset() / 4]);
    }

    /**
     * The same registers as a unit with less has them. They stay the same objects: a {@link RegisterFile} of either map
     * knows them.
     *
     * @param absent bits that are RES0
     * @param aliases offsets at which 32-bit registers can be found, too
     */
    public RegisterMap variant(Map<Register, Long> absent, Map<Integer, Register> aliases) {
        return new RegisterMap(this, absent, aliases);
    }

    private long[] masks(Field.Type type) {
        return Arrays.stream(registers).mapToLong(r -> r.mask(type)).toArray();
    }

    /** Size of the window in bytes. */
    public int size() {
        return words.length * 4;
    }

    /** The registers, in the order in which they were declared. */
    public List<Register> registers() {
        return List.of(registers);
    }

    /** Register index * 2 + half at an offset, or {@link #NONE}. */
    int at(long offset) {
        return offset < size() ? words[(int) offset >>> 2] : NONE;
    }
}
