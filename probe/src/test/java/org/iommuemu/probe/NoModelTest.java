package org.iommuemu.probe;

import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The module is compiled and tested without the models: no class of theirs can be reached, not even by its name. */
class NoModelTest {
    @ParameterizedTest
    @ValueSource(strings = {"org.iommuemu.smmuv3.Smmu", "org.iommuemu.ipmmu.Ipmmu"})
    void aModelsClassIsNotThere(String name) {
        assertThrows(ClassNotFoundException.class, () -> Class.forName(name));
    }
}
