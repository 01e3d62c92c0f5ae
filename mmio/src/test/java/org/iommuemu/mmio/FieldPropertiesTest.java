package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;

class FieldPropertiesTest {
    @Property
    void settingAFieldChangesItAndNothingElse(@ForAll long register, @ForAll long value, @ForAll int shape) {
        int lsb = (shape & 0x7fff_ffff) % 64;
        int width = 1 + (shape >>> 8 & 0xff) % (64 - lsb);
        Field field = Field.rw("F", lsb, width);
        long ones = width == 64 ? -1 : (1L << width) - 1;
        assertEquals(ones << lsb, field.mask());
        long set = field.set(register, value);
        assertEquals(value & ones, field.get(set));
        assertEquals(register & ~(ones << lsb), set & ~(ones << lsb));
        assertEquals((register >>> lsb & ones) != 0, field.isSet(register));
    }
}
