package org.iommuemu.nativecode;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;
import java.util.Optional;

/** Finds the library with the C code: a resource {@code <os>-<arch>/<name>}, as the build named it. */
final class Library {
    private static final String RESOURCE = resource(System.getProperty("os.name"), System.getProperty("os.arch"));

    private Library() {}

    /** Where the build puts the library of a system. */
    static String resource(String osName, String osArch) {
        boolean mac = osName.toLowerCase(Locale.ROOT).startsWith("mac");
        String arch = osArch.equals("amd64") || osArch.equals("x86_64") ? "x86-64" : osArch;
        return (mac ? "macos-" : "linux-") + arch + "/libiommu_emu_reference" + (mac ? ".dylib" : ".so");
    }

    /** Why the library cannot be loaded, empty if it can. */
    static Optional<String> unavailable() {
        return unavailable(RESOURCE);
    }

    static Optional<String> unavailable(String resource) {
        return Library.class.getResource("/" + resource) != null
                ? Optional.empty()
                : Optional.of("no " + resource + " on the class path: native was built without a C compiler,"
                        + " or for another system");
    }

    /**
     * The library as a file.
     *
     * @throws UnsatisfiedLinkError if there is none, with the reason
     */
    static Path path() {
        require(RESOURCE);
        return Extracted.PATH;
    }

    static void require(String resource) {
        unavailable(resource).ifPresent(reason -> {
            throw new UnsatisfiedLinkError(reason);
        });
    }

    /** One copy for this process: a resource may lie in a jar, and what is loaded must be a file. */
    private static final class Extracted {
        static final Path PATH = extract();

        private static Path extract() {
            try (InputStream in = Library.class.getResourceAsStream("/" + RESOURCE)) {
                Path file = Files.createTempFile("iommu-emu-", RESOURCE.substring(RESOURCE.lastIndexOf('/') + 1));
                file.toFile().deleteOnExit();
                Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
                return file;
            } catch (IOException e) {
                throw new UncheckedIOException("cannot copy " + RESOURCE + " to a file", e);
            }
        }
    }
}
