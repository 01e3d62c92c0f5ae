package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import org.junit.jupiter.api.Test;

class TranslationTest {

    @Test
    void theIdentityKeepsTheAddressAndIsInnerShareableWriteBack() {
        long translation = Translation.identity(0x000f_1234_5678_9abcL);
        assertEquals(0x000f_1234_5678_9abcL, Translation.address(translation, 0x9abc));
        assertEquals(12, Translation.log2Size(translation));
        assertEquals(0xff, Translation.attributes(translation));
        assertEquals(3, Translation.shareability(translation));
    }

    @Test
    void terminationsAreNotTranslationsAndDiffer() {
        assertFalse(Translation.translated(Translation.ABORT));
        assertFalse(Translation.translated(Translation.RAZ_WI));
        assertEquals(1, Translation.ABORT & 7);
        assertEquals(2, Translation.RAZ_WI & 7);
    }
}
