package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Our own short form: a function a line, behind the line {@code pci-topology}. docs/pci-groups.md has all its words.
 * Mutable, of one thread.
 */
final class TextReader {
    static final String FIRST_WORD = "pci-topology";

    private static final Pattern TOKEN = Pattern.compile("\"([^\"]*)\"|[^\\s\"]+");
    private static final Pattern BUSES = Pattern.compile("([0-9a-fA-F]{2})(?:-([0-9a-fA-F]{2}))?");
    private static final Pattern ID = Pattern.compile("([0-9a-fA-F]{4}):([0-9a-fA-F]{4})");
    private static final Pattern DEVFN = Pattern.compile("([01][0-9a-fA-F])\\.([0-7])");

    private final String file;
    private final List<PciFunction> functions = new ArrayList<>();
    private final Map<PciAddress, Integer> lines = new HashMap<>();
    private int line;

    TextReader(String file) {
        this.file = file;
    }

    List<PciFunction> read(List<String> text) {
        boolean begun = false;
        for (String row : text) {
            line++;
            List<String> words = words(row);
            if (words.isEmpty()) {
                continue;
            }
            if (begun) {
                function(words);
            } else if (words.size() > 1) {
                throw error("%s stands alone", FIRST_WORD);
            }
            begun = true;
        }
        return functions;
    }

    /** The words of a line; the quoted one keeps its first quote. A comment begins with # outside of quotes. */
    private List<String> words(String row) {
        List<String> words = new ArrayList<>();
        Matcher token = TOKEN.matcher(row);
        int at = 0;
        while (token.find()) {
            if (!row.substring(at, token.start()).isBlank()) {
                throw error("a quote is not closed");
            }
            at = token.end();
            if (token.group().startsWith("#")) {
                return words;
            }
            words.add(token.group(1) == null ? token.group() : '"' + token.group(1));
        }
        if (!row.substring(at).isBlank()) {
            throw error("a quote is not closed");
        }
        return words;
    }

    private void function(List<String> words) {
        PciAddress address = PciAddress.parse(words.get(0))
                .orElseThrow(() -> error("%s is not an address, such as 000a:11:00.0", shown(words.get(0))));
        Integer first = lines.putIfAbsent(address, line);
        if (first != null) {
            throw error("%s is there already, in line %d", address, first);
        }
        FunctionDraft draft = new FunctionDraft(address);
        if (words.size() < 2) {
            throw error("%s: it has no type", address);
        }
        draft.type = PcieType.of(words.get(1)).orElseThrow(() -> error("%s is not a type", shown(words.get(1))));
        for (String word : words.subList(2, words.size())) {
            if (word.startsWith("\"")) {
                draft.description = word.substring(1).replaceAll("\\p{Cntrl}", "?");
            } else {
                int equals = word.indexOf('=');
                if (equals < 0) {
                    flag(draft, word);
                } else {
                    value(draft, word, word.substring(0, equals), word.substring(equals + 1));
                }
            }
        }
        boolean bridge = draft.type.isPort()
                || draft.type == PcieType.PCIE_TO_PCI_BRIDGE
                || draft.type == PcieType.PCI_TO_PCIE_BRIDGE;
        if (bridge && draft.buses == null) {
            throw error("%s: a %s has buses behind it, bus=01 or bus=01-04", address, draft.type.word());
        }
        if (!bridge && draft.buses != null && draft.type != PcieType.CONVENTIONAL) {
            throw error("%s: no bus is behind a %s", address, draft.type.word());
        }
        if (draft.classCode == 0 && draft.buses != null) {
            draft.classCode = PciTopology.CLASS_BRIDGE_PCI;
        }
        functions.add(draft.build());
    }

    private void flag(FunctionDraft draft, String word) {
        switch (word) {
            case "multifunction" -> draft.multifunction = true;
            case "ari" -> draft.ari = true;
            case "ari-forwarding" -> draft.ariForwarding = true;
            case "no-iommu" -> draft.translated = false;
            default -> throw error("%s: %s is not known", draft.address, shown(word));
        }
    }

    private void value(FunctionDraft draft, String word, String key, String value) {
        switch (key) {
            case "bus" -> draft.buses = buses(draft.address, value);
            case "acs" -> draft.acs = acs(word, value);
            case "id" -> {
                Matcher id = matcher(ID, word, value);
                draft.id = new PciId(hex(id.group(1)), hex(id.group(2)), 0, 0);
            }
            case "class" ->
                draft.classCode = hex(
                        matcher(Pattern.compile("[0-9a-fA-F]{4}"), word, value).group());
            case "driver" ->
                draft.driver = matcher(Pattern.compile("[\\w.-]+"), word, value).group();
            case "pf" -> draft.physical = physical(draft.address, word, value);
            case "alias" -> {
                Matcher devfn = matcher(DEVFN, word, value);
                draft.aliases.add(hex(devfn.group(1)) << 3 | hex(devfn.group(2)));
            }
            case "phantom" ->
                draft.phantomBits =
                        hex(matcher(Pattern.compile("[1-3]"), word, value).group());
            default -> throw error("%s: %s is not known", draft.address, shown(word));
        }
    }

    private BusRange buses(PciAddress address, String value) {
        Matcher buses = matcher(BUSES, "bus=" + value, value);
        int secondary = hex(buses.group(1));
        int subordinate = buses.group(2) == null ? secondary : hex(buses.group(2));
        if (secondary == 0 || subordinate < secondary) {
            throw error("%s: bus=%s is not a range of buses from 01 on", address, value);
        }
        return new BusRange(secondary, subordinate);
    }

    private PciAddress physical(PciAddress address, String word, String value) {
        PciAddress physical = PciAddress.parse(value).orElseThrow(() -> error("%s is not an address", shown(word)));
        return value.length() > "bb:dd.f".length()
                ? physical
                : new PciAddress(address.domain(), physical.bus(), physical.device(), physical.function());
    }

    /** {@code on} and {@code off}: the four that isolation takes. Otherwise the services that there are, each + or -. */
    private Acs acs(String word, String value) {
        switch (value) {
            case "on":
                return new Acs(Acs.REQUIRED, Acs.REQUIRED);
            case "off":
                return new Acs(Acs.REQUIRED, 0);
            case "none":
                return new Acs(0, 0);
            default:
        }
        int capability = 0;
        int control = 0;
        for (String service : value.split(",", -1)) {
            int bit = service.length() == 3 ? Acs.NAMES.indexOf(service.substring(0, 2)) : -1;
            boolean on = service.endsWith("+");
            if (bit < 0 || !on && !service.endsWith("-")) {
                throw error("%s is not on, off, none, or services such as SV+,RR-", shown(word));
            }
            capability |= 1 << bit;
            control |= on ? 1 << bit : 0;
        }
        return new Acs(capability, control);
    }

    private Matcher matcher(Pattern pattern, String word, String value) {
        Matcher matcher = pattern.matcher(value);
        if (!matcher.matches()) {
            throw error("%s has no value of its form", shown(word));
        }
        return matcher;
    }

    private static int hex(String digits) {
        return Integer.parseInt(digits, 16);
    }

    private static String shown(String word) {
        return PciException.quoted(word);
    }

    private PciException error(String what, Object... args) {
        return new PciException(file + ":" + line, what, args);
    }
}
