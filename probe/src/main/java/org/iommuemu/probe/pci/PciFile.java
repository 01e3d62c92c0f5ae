package org.iommuemu.probe.pci;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Reads a topology: what {@code lspci -xxxx} printed, or the short text form, whose first word is {@code pci-topology}. */
public final class PciFile {
    /** More than any machine's; a file beyond it is something else. */
    private static final int LARGEST = 256 << 20;

    private PciFile() {}

    /**
     * Reads a file, with the quirks of {@link Quirks#known()}.
     *
     * @throws PciException if it is neither form, or wrong in one line that the message names
     * @throws IOException if it cannot be read
     */
    public static PciTopology read(Path file) throws IOException {
        return read(file, Quirks.known());
    }

    /** As {@link #read(Path)}, with quirks of the caller's choice. */
    public static PciTopology read(Path file, Quirks quirks) throws IOException {
        // What a file says of its size means nothing for a device or a pipe.
        try (InputStream in = Files.newInputStream(file)) {
            byte[] content = in.readNBytes(LARGEST + 1);
            if (content.length > LARGEST) {
                throw new PciException(file.toString(), "more than 256 MiB are not what lspci prints");
            }
            return parse(file.toString(), content, quirks);
        }
    }

    /** Reads a file's content; {@code name} is what errors call it. */
    static PciTopology parse(String name, byte[] content, Quirks quirks) {
        List<String> lines = new String(content, StandardCharsets.UTF_8).lines().toList();
        if (isText(lines)) {
            return topology(name, new TextReader(name).read(lines), quirks, List.of());
        }
        LspciReader reader = new LspciReader(name, quirks);
        return topology(name, reader.read(lines), quirks, reader.warnings());
    }

    private static PciTopology topology(
            String name, List<PciFunction> functions, Quirks quirks, List<String> warnings) {
        if (functions.isEmpty()) {
            throw new PciException(
                    name, "no PCI function is in it: it is neither what lspci -xxxx prints nor a pci-topology");
        }
        return new PciTopology(name, functions, quirks, warnings);
    }

    private static boolean isText(List<String> lines) {
        return lines.stream()
                .map(String::strip)
                .filter(line -> !line.isEmpty() && !line.startsWith("#"))
                .findFirst()
                .map(line -> line.split("\\s", 2)[0].equals(TextReader.FIRST_WORD))
                .orElse(false);
    }
}
