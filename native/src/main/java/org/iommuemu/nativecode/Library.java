package org.iommuemu.nativecode;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** Finds what the build made of the C code: resources {@code <os>-<arch>/<name>}. */
public final class Library {
    private static final String OS = System.getProperty("os.name");
    private static final String ARCH = System.getProperty("os.arch");
    private static final String REFERENCE = resource(OS, ARCH);

    /** One copy of each for this process: a resource may lie in a jar, and what is loaded or run must be a file. */
    private static final Map<String, Path> FILES = new HashMap<>();

    private Library() {}

    /** Where the build puts the library of a system with the reference loops. */
    static String resource(String osName, String osArch) {
        return folder(osName, osArch) + "libiommu_emu_reference" + (isMac(osName) ? ".dylib" : ".so");
    }

    private static String folder(String osName, String osArch) {
        String arch = osArch.equals("amd64") || osArch.equals("x86_64") ? "x86-64" : osArch;
        return (isMac(osName) ? "macos-" : "linux-") + arch + "/";
    }

    private static boolean isMac(String osName) {
        return osName.toLowerCase(Locale.ROOT).startsWith("mac");
    }

    /** Why the library with the reference loops cannot be loaded, empty if it can. */
    static Optional<String> unavailable() {
        return unavailable(REFERENCE);
    }

    static Optional<String> unavailable(String resource) {
        return Library.class.getResource("/" + resource) != null
                ? Optional.empty()
                : Optional.of("no " + resource + " on the class path: native was built without a C compiler,"
                        + " or for another system");
    }

    /**
     * The library with the reference loops as a file.
     *
     * @throws UnsatisfiedLinkError if there is none, with the reason
     */
    static Path path() {
        return file(REFERENCE);
    }

    /**
     * What the build made for this system, as a file that can be loaded or run.
     *
     * @param name in the system's folder: "iommu_emu_run", "stubs/smmuv3.so"
     * @throws UnsatisfiedLinkError if there is none, with the reason
     */
    public static Path made(String name) {
        return file(folder(OS, ARCH) + name);
    }

    /** Why {@link #made} has no such thing, empty if it has. */
    public static Optional<String> notMade(String name) {
        return unavailable(folder(OS, ARCH) + name);
    }

    static void require(String resource) {
        unavailable(resource).ifPresent(reason -> {
            throw new UnsatisfiedLinkError(reason);
        });
    }

    private static synchronized Path file(String resource) {
        require(resource);
        return FILES.computeIfAbsent(resource, Library::extract);
    }

    private static Path extract(String resource) {
        try (InputStream in = Library.class.getResourceAsStream("/" + resource)) {
            Path file = Files.createTempFile("iommu-emu-", resource.substring(resource.lastIndexOf('/') + 1));
            file.toFile().deleteOnExit();
            Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
            file.toFile().setExecutable(true);
            return file;
        } catch (IOException e) {
            throw new UncheckedIOException("cannot copy " + resource + " to a file", e);
        }
    }
}
