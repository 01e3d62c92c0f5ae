package org.iommuemu.mmio;

/**
 * A field of a register: which bits, how software may touch them, and what they hold after reset. Bits of a register that
 * no field covers are RES0: they read as zero and ignore writes.
 *
 * @param name in the specification's words
 * @param lsb lowest bit
 * @param width in bits
 * @param type what a write by software does
 * @param reset value after reset, right-aligned
 */
public record Field(String name, int lsb, int width, Type type, long reset) {
    /** What a write by software does to a field. Reads give the field's value, except {@link #RAZ_WI}. */
    public enum Type {
        /** Read-write. */
        RW,
        /** Read-only: writes are ignored, hardware sets it. */
        RO,
        /** Write-one-to-clear. */
        W1C,
        /** Write-zero-to-clear: the field becomes old AND written. */
        W0C,
        /** Write-one-to-set. */
        W1S,
        /**
         * Write-one-to-start: reads as one while hardware is busy, then hardware clears it; writing zero does nothing. See
         * {@link RegisterFile#handshakeReads}.
         */
        BUSY,
        /** Reads as zero, writes are ignored. */
        RAZ_WI
    }

    /** Checks the shape. */
    public Field {
        if (lsb < 0 || width < 1 || lsb + width > 64 || width < 64 && reset >>> width != 0) {
            throw new IllegalArgumentException("%s: bits %d+%d, reset 0x%x".formatted(name, lsb, width, reset));
        }
    }

    /** A read-write bit, 0 after reset. */
    public static Field rw(String name, int bit) {
        return rw(name, bit, 1);
    }

    /** A read-write field, 0 after reset. */
    public static Field rw(String name, int lsb, int width) {
        return new Field(name, lsb, width, Type.RW, 0);
    }

    /** A read-only field. */
    public static Field ro(String name, int lsb, int width, long value) {
        return new Field(name, lsb, width, Type.RO, value);
    }

    /** A bit that starts an operation, see {@link Type#BUSY}. */
    public static Field busy(String name, int bit) {
        return new Field(name, bit, 1, Type.BUSY, 0);
    }

    /** The same field with another value after reset. */
    public Field resetTo(long value) {
        return new Field(name, lsb, width, type, value);
    }

    /** The field's bits in the register. */
    public long mask() {
        return -1L >>> 64 - width << lsb;
    }

    /** The field's value in a register's value, right-aligned. */
    public long get(long register) {
        return register >>> lsb & -1L >>> 64 - width;
    }

    /** Whether any bit of the field is set in a register's value. */
    public boolean isSet(long register) {
        return (register & mask()) != 0;
    }

    /** A register's value with this field replaced. */
    public long set(long register, long value) {
        return register & ~mask() | value << lsb & mask();
    }
}
