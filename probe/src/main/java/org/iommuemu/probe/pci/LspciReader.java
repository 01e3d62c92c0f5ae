package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What {@code lspci -x}, {@code -xxx} or {@code -xxxx} prints, with or without {@code -v}, {@code -k}, {@code -n},
 * {@code -nn} and {@code -D}; the same that {@code lspci -F} reads. From {@code -v} it also takes the driver and the group
 * that the kernel gave. Mutable, of one thread.
 */
final class LspciReader {
    private static final Pattern FUNCTION =
            Pattern.compile("((?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[01][0-9a-fA-F]\\.[0-7]) (.*)");
    private static final Pattern ROW = Pattern.compile("([0-9a-fA-F]{2,8}): (.*)");
    private static final Pattern BYTES = Pattern.compile("[0-9a-fA-F]{2}(?: [0-9a-fA-F]{2})* *");
    private static final Pattern DRIVER = Pattern.compile("\\s+Kernel driver in use: (\\S+)");
    private static final Pattern GROUP = Pattern.compile("\\s+IOMMU group: (\\d{1,9})");
    private static final Pattern NOT_NAME = Pattern.compile("( \\((rev|prog-if) [^)]*\\))+$");

    private final String file;
    private final Quirks quirks;
    private final List<FunctionDraft> functions = new ArrayList<>();
    private final Map<PciAddress, Integer> lines = new HashMap<>();
    private int withoutCapabilities;
    private int withoutExtended;
    private int silent;

    private FunctionDraft draft;
    private int line;
    private final byte[] bytes = new byte[ConfigSpace.SIZE];
    private final boolean[] there = new boolean[ConfigSpace.SIZE];

    LspciReader(String file, Quirks quirks) {
        this.file = file;
        this.quirks = quirks;
    }

    List<PciFunction> read(List<String> text) {
        for (String row : text) {
            line++;
            Matcher function = FUNCTION.matcher(row);
            Matcher dump = ROW.matcher(row);
            if (function.matches()) {
                close();
                open(function.group(1), function.group(2));
            } else if (dump.matches()) {
                row(dump.group(1), dump.group(2));
            } else if (row.isEmpty()) {
                close();
            } else if (draft != null) {
                detail(row);
            }
        }
        close();
        return finished();
    }

    /**
     * Where lspci named drivers, a function with neither driver nor group had none. One with a group alone may have had a
     * driver that matched and then failed, and pcieport matches bridges that it does not keep.
     */
    private List<PciFunction> finished() {
        if (functions.stream().anyMatch(f -> f.driver != null)) {
            functions.stream()
                    .filter(f -> f.driver == null && f.buses == null && f.kernelGroup.isEmpty())
                    .forEach(f -> f.driver = PciFunction.NO_DRIVER);
        }
        return functions.stream().map(FunctionDraft::build).toList();
    }

    /** What the file leaves open, a sentence each. */
    List<String> warnings() {
        List<String> warnings = new ArrayList<>();
        if (withoutCapabilities > 0) {
            warnings.add(
                    ("%s: only the first 64 bytes of %d functions are there: they count as conventional PCI; lspci "
                                    + "-xxxx, as root, shows all")
                            .formatted(file, withoutCapabilities));
        }
        if (withoutExtended > 0) {
            warnings.add(("%s: no extended configuration space of %d PCI Express functions is there: they count as "
                            + "without ACS; lspci -xxxx, as root, shows it")
                    .formatted(file, withoutExtended));
        }
        if (silent > 0) {
            warnings.add("%s: %d functions did not answer when the file was made (all bytes are ff)"
                    .formatted(file, silent));
        }
        return warnings;
    }

    private String where() {
        return file + ":" + line;
    }

    private void open(String where, String rest) {
        PciAddress address = PciAddress.parse(where)
                .orElseThrow(() -> new PciException(where(), "%s is not an address", PciException.quoted(where)));
        Integer first = lines.putIfAbsent(address, line);
        if (first != null) {
            throw new PciException(where(), "%s is there already, in line %d", address, first);
        }
        draft = new FunctionDraft(address);
        int name = rest.indexOf(": ");
        draft.description = NOT_NAME.matcher(name < 0 ? rest : rest.substring(name + 2))
                .replaceFirst("")
                .replaceAll("\\p{Cntrl}", "?");
        Arrays.fill(bytes, (byte) 0);
        Arrays.fill(there, false);
    }

    private void row(String offset, String text) {
        if (draft == null) {
            throw new PciException(where(), "these bytes belong to no function");
        }
        if (!BYTES.matcher(text).matches()) {
            throw new PciException(where(), "%s: %s are not bytes", draft.address, PciException.quoted(text));
        }
        long at = Long.parseLong(offset, 16);
        for (String pair : text.trim().split(" ")) {
            if (at >= ConfigSpace.SIZE) {
                throw new PciException(where(), "%s: configuration space ends at 0xfff, not 0x%x", draft.address, at);
            }
            if (there[(int) at]) {
                throw new PciException(where(), "%s: byte 0x%x is there already", draft.address, at);
            }
            there[(int) at] = true;
            bytes[(int) at++] = (byte) Integer.parseInt(pair, 16);
        }
    }

    private void detail(String row) {
        Matcher driver = DRIVER.matcher(row);
        Matcher group = GROUP.matcher(row);
        if (driver.matches()) {
            draft.driver = driver.group(1);
        } else if (group.matches()) {
            draft.kernelGroup = OptionalInt.of(Integer.parseInt(group.group(1)));
        }
    }

    private void close() {
        if (draft == null) {
            return;
        }
        String where = file + ":" + lines.get(draft.address);
        int known = 0;
        while (known < there.length && there[known]) {
            known++;
        }
        if (known == 0) {
            throw new PciException(where, "%s has no configuration bytes; lspci -xxxx shows them", draft.address);
        }
        if (known < ConfigSpace.HEADER) {
            throw new PciException(where, "%s: byte 0x%x of its configuration header is missing", draft.address, known);
        }
        for (int i = known; i < there.length; i++) {
            if (there[i]) {
                throw new PciException(
                        where, "%s: byte 0x%x is missing, though 0x%x is there", draft.address, known, i);
            }
        }
        ConfigSpace space = new ConfigSpace(bytes, known);
        space.describe(draft, where, quirks);
        if (space.silent()) {
            silent++;
        } else if (known < ConfigSpace.LEGACY) {
            withoutCapabilities++;
        } else if (known == ConfigSpace.LEGACY && draft.type != PcieType.CONVENTIONAL) {
            withoutExtended++;
        }
        functions.add(draft);
        draft = null;
    }
}
