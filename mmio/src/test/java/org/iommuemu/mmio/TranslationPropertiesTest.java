package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;

class TranslationPropertiesTest {
    @Property
    void everyFieldIsKeptAndNoneDisturbsAnother(
            @ForAll @LongRange(max = (1L << 52) - 1) long address,
            @ForAll @IntRange(min = 12, max = 52) int log2Size,
            @ForAll @IntRange(max = 255) int attributes,
            @ForAll @IntRange(max = 3) int shareability) {
        long translation = Translation.of(address, log2Size, attributes, shareability);
        assertTrue(Translation.translated(translation));
        assertEquals(address & ~0xfffL | 0x123, Translation.address(translation, 0xffff_ffff_ffff_f123L));
        assertEquals(log2Size, Translation.log2Size(translation));
        assertEquals(attributes, Translation.attributes(translation));
        assertEquals(shareability, Translation.shareability(translation));
    }
}
