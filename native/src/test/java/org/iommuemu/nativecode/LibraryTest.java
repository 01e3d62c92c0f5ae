package org.iommuemu.nativecode;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import org.junit.jupiter.api.Test;

class LibraryTest {
    @Test
    void resourceIsNamedAsTheBuildNamesIt() {
        assertEquals("linux-x86-64/libiommu_emu_reference.so", Library.resource("Linux", "amd64"));
        assertEquals("linux-aarch64/libiommu_emu_reference.so", Library.resource("Linux", "aarch64"));
        assertEquals("macos-x86-64/libiommu_emu_reference.dylib", Library.resource("Mac OS X", "x86_64"));
        assertEquals("macos-aarch64/libiommu_emu_reference.dylib", Library.resource("Mac OS X", "aarch64"));
    }

    @Test
    void libraryIsAFileThatCanBeLoaded() {
        assumeTrue(ReferenceLoops.unavailable().isEmpty(), () -> ReferenceLoops.unavailable()
                .orElseThrow());
        assertTrue(Files.isReadable(Library.path()));
    }

    @Test
    void whereThereIsNoLibraryTheErrorSaysWhichAndWhy() {
        String resource = Library.resource("Linux", "no-such-architecture");
        String reason = Library.unavailable(resource).orElseThrow();
        assertTrue(reason.contains(resource) && reason.contains("without a C compiler"), reason);
        UnsatisfiedLinkError error = assertThrows(UnsatisfiedLinkError.class, () -> Library.require(resource));
        assertEquals(reason, error.getMessage());
    }
}
