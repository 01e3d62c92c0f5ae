package org.iommuemu.mmio;

import java.util.List;

/**
 * The declaration of one register: name, offset, width and fields. A declaration belongs to one {@link RegisterMap}; its
 * values live in a {@link RegisterFile}, so one declaration serves any number of units.
 */
public final class Register {
    private final String name;
    private final int offset;
    private final int bytes;
    private final List<Field> fields;
    private final Register acknowledged;

    /** Position in the map; set once, by {@link RegisterMap}, before the map is published. */
    int index = RegisterMap.NONE;

    private Register(String name, int offset, int bytes, Register acknowledged, List<Field> fields) {
        this.name = name;
        this.offset = offset;
        this.bytes = bytes;
        this.acknowledged = acknowledged;
        this.fields = fields;
        long seen = 0;
        for (Field field : fields) {
            if ((seen & field.mask()) != 0 || field.lsb() + field.width() > bytes * 8) {
                throw new IllegalArgumentException(name + ": field " + field.name() + " does not fit");
            }
            seen |= field.mask();
        }
    }

    /** A register of 32 bits. */
    public static Register word(String name, int offset, Field... fields) {
        return new Register(name, offset, 4, null, List.of(fields));
    }

    /** A register of 64 bits; software may also access its halves. */
    public static Register dword(String name, int offset, Field... fields) {
        return new Register(name, offset, 8, null, List.of(fields));
    }

    /**
     * A read-only register that follows another one when hardware has taken the new value, as SMMU_CR0ACK follows
     * SMMU_CR0.
     */
    public static Register acknowledge(String name, int offset, Register of) {
        List<Field> fields = of.fields.stream()
                .map(f -> new Field(f.name(), f.lsb(), f.width(), Field.Type.RO, f.reset()))
                .toList();
        return new Register(name, offset, of.bytes, of, fields);
    }

    /** The name in the specification. */
    public String name() {
        return name;
    }

    /** Offset from the base of the unit, in bytes. */
    public int offset() {
        return offset;
    }

    /** Width in bytes, 4 or 8. */
    public int bytes() {
        return bytes;
    }

    /** The fields. */
    public List<Field> fields() {
        return fields;
    }

    /** The register that this one acknowledges, or null. */
    Register acknowledged() {
        return acknowledged;
    }

    /** Value after reset. */
    public long reset() {
        long value = 0;
        for (Field field : fields) {
            value = field.set(value, field.reset());
        }
        return value;
    }

    /** The bits that fields of a type cover. */
    long mask(Field.Type type) {
        long mask = 0;
        for (Field field : fields) {
            mask |= field.type() == type ? field.mask() : 0;
        }
        return mask;
    }

    /** The bits that software can see: those of fields that are not RAZ. */
    long readable() {
        long mask = 0;
        for (Field field : fields) {
            mask |= field.type() == Field.Type.RAZ_WI ? 0 : field.mask();
        }
        return mask;
    }

    @Override
    public String toString() {
        return name;
    }
}
