package org.iommuemu.probe.pci;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Devices whose isolation or requester IDs are not what their configuration space says: {@code quirks.txt} beside this
 * class, which names Linux' function for each. Left out is what takes more than configuration space to know: AMD's
 * southbridges (they need ACPI's IVRS), Switchtec's NTB (its registers).
 */
public final class Quirks {
    private static final Quirks KNOWN = load();
    private static final Quirks NONE = new Quirks(List.of());

    private final List<Entry> entries;

    private enum Kind {
        ACS_FUNCTION,
        ACS_ROOT_PORT,
        ACS_PORT,
        ACS_NO_PORT,
        ACS_RCIEP,
        ACS_PCH,
        ACS_DWORDS,
        ALIAS_FUNCTION,
        ALIAS_DEVFN,
        ALIAS_SLOTS,
        ALIAS_BRIDGE,
        ALIAS_ROOT
    }

    private record Entry(Kind kind, List<String> arguments, int vendor, int first, int last) {
        boolean matches(PciId id) {
            return id.vendor() == vendor && id.device() >= first && id.device() <= last;
        }
    }

    private Quirks(List<Entry> entries) {
        this.entries = entries;
    }

    /** All that the project knows. */
    public static Quirks known() {
        return KNOWN;
    }

    /** None: devices are what they say. */
    public static Quirks none() {
        return NONE;
    }

    private static Quirks load() {
        try (InputStream text = Quirks.class.getResourceAsStream("quirks.txt")) {
            List<Entry> entries = new ArrayList<>();
            new String(text.readAllBytes(), StandardCharsets.UTF_8).lines().forEach(line -> parse(line, entries));
            return new Quirks(List.copyOf(entries));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void parse(String line, List<Entry> entries) {
        String[] words = line.replaceFirst("#.*", "").trim().split(" +");
        if (words[0].isEmpty()) {
            return;
        }
        Kind kind = Kind.valueOf(words[0].toUpperCase(Locale.ROOT).replace('-', '_'));
        List<String> arguments = new ArrayList<>();
        for (String word : List.of(words).subList(1, words.length)) {
            if (word.indexOf(':') != 4) {
                arguments.add(word);
                continue;
            }
            int vendor = Integer.parseInt(word.substring(0, 4), 16);
            String devices = word.substring(5);
            int first = devices.equals("*") ? 0 : Integer.parseInt(devices.substring(0, 4), 16);
            int last = devices.equals("*")
                    ? 0xffff
                    : devices.length() == 4 ? first : Integer.parseInt(devices.substring(5), 16);
            entries.add(new Entry(kind, List.copyOf(arguments), vendor, first, last));
        }
    }

    private boolean has(Kind kind, PciId id) {
        return entries.stream().anyMatch(e -> e.kind == kind && e.matches(id));
    }

    boolean acsInDwords(PciId id, PcieType type) {
        return type == PcieType.ROOT_PORT && has(Kind.ACS_DWORDS, id);
    }

    /**
     * Whether a function isolates whatever its ACS says; empty if its ACS decides (Linux pci_dev_specific_acs_enabled).
     *
     * @param switchedOn whether software has switched on what isolates
     */
    Optional<Boolean> isolates(PciId id, PcieType type, boolean switchedOn) {
        boolean rootPort = type == PcieType.ROOT_PORT;
        boolean port = rootPort || type == PcieType.DOWNSTREAM_PORT;
        if (has(Kind.ACS_FUNCTION, id)
                || rootPort && has(Kind.ACS_ROOT_PORT, id)
                || port && has(Kind.ACS_PORT, id)
                || type == PcieType.RC_INTEGRATED_ENDPOINT && has(Kind.ACS_RCIEP, id)) {
            return Optional.of(true);
        }
        if (rootPort && has(Kind.ACS_PCH, id)) {
            return Optional.of(switchedOn);
        }
        return port && has(Kind.ACS_NO_PORT, id) ? Optional.of(false) : Optional.empty();
    }

    /** The devfns, besides its own, that its DMA may bear. */
    Set<Integer> aliases(PciId id, PciAddress address) {
        Set<Integer> aliases = new TreeSet<>();
        for (Entry entry : entries) {
            if (!entry.matches(id)) {
                continue;
            }
            switch (entry.kind) {
                case ALIAS_FUNCTION ->
                    aliases.add(address.device() << 3 | Integer.parseInt(entry.arguments.get(0), 16));
                case ALIAS_DEVFN -> aliases.addAll(fixed(entry.arguments, id));
                case ALIAS_SLOTS -> {
                    for (int device = 0; device < 32; device++) {
                        for (int function = 0; function < 5; function++) {
                            aliases.add(device << 3 | function);
                        }
                    }
                }
                default -> {
                    // the others say nothing of requester IDs on the own bus
                }
            }
        }
        return aliases;
    }

    private static Set<Integer> fixed(List<String> arguments, PciId id) {
        Set<Integer> aliases = new TreeSet<>();
        for (String argument : arguments) {
            if (argument.startsWith("@")) {
                String subsystem = "@%04x:%04x".formatted(id.subsystemVendor(), id.subsystem());
                if (!argument.equals(subsystem)) {
                    return Set.of();
                }
            } else {
                aliases.add(Integer.parseInt(argument.substring(0, 2), 16) << 3 | argument.charAt(3) - '0');
            }
        }
        return aliases;
    }

    /** Whether a conventional bridge below a port is a PCI Express to PCI bridge in truth. */
    boolean hidesItsExpressSide(PciId id) {
        return has(Kind.ALIAS_BRIDGE, id);
    }

    /** Whether the IOMMU is at this bridge and not at the root. */
    boolean translatesHere(PciId id) {
        return has(Kind.ALIAS_ROOT, id);
    }
}
