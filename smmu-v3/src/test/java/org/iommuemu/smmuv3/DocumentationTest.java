package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.junit.jupiter.api.Test;

/**
 * docs/smmu-v3.md says what the code says. With -Ddocs.write=true the offsets and fields of its registers are written
 * anew; whether they are there, and which test shows it, is for people to say.
 */
class DocumentationTest {
    private static final Path PAGE = Path.of("..", "docs", "smmu-v3.md");
    private static final Pattern REGISTERS = Pattern.compile("(?s)(<!-- registers -->\n).*?(<!-- /registers -->)");

    private static String page() {
        try {
            return Files.readString(PAGE);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The part of the page between two marks. */
    private static String part(String mark) {
        String text = page();
        String start = "<!-- " + mark + " -->";
        return text.substring(text.indexOf(start), text.indexOf("<!-- /" + mark + " -->"));
    }

    private static Stream<MatchResult> found(String pattern, String text) {
        return Pattern.compile(pattern).matcher(text).results();
    }

    private static Set<String> found(String pattern, String text, Function<MatchResult, String> what) {
        return found(pattern, text).map(what).collect(Collectors.toCollection(TreeSet::new));
    }

    // Registers

    @Test
    void registerTableIsThatOfTheDeclarations() throws IOException {
        String text = page();
        String written = REGISTERS.matcher(text).replaceFirst("$1" + Matcher.quoteReplacement(table()) + "$2");
        if (Boolean.getBoolean("docs.write")) {
            Files.writeString(PAGE, written);
        } else {
            assertEquals(written, text, "run this test with -Ddocs.write=true");
        }
        assertEquals(Set.of(), found("(?m)^\\|.*\\| \\? \\|.*", part("registers"), MatchResult::group), "say where");
    }

    private static String table() {
        Map<String, String> said = new HashMap<>();
        found("(?m)^\\| 0x[0-9a-f]+ \\| (\\S+) \\|[^|]*(\\|.*\\|)$", part("registers"))
                .forEach(m -> said.put(m.group(1), m.group(2)));
        StringBuilder table = new StringBuilder(
                "\n| offset | register | fields | there | shown by |\n| --- | --- | --- | --- | --- |\n");
        Set<String> seen = new LinkedHashSet<>();
        Stream.of(Registers.MAP, Registers.VATOS_MAP)
                .flatMap(map -> map.registers().stream())
                .forEach(register -> {
                    // Of those that each control page has, the first.
                    String name = register.name().replaceFirst("(CONTROL_PAGE_[A-Z]+)\\d+$", "$1");
                    if (seen.add(name)) {
                        table.append("| 0x%x | %s | %s %s%n"
                                .formatted(
                                        register.offset(),
                                        name,
                                        fields(register),
                                        said.getOrDefault(name, "| ? | ? |")));
                    }
                });
        return table.append('\n').toString();
    }

    private static String fields(Register register) {
        return register.fields().stream().map(DocumentationTest::field).collect(Collectors.joining(", "));
    }

    private static String field(Field field) {
        String bits =
                field.width() == 1 ? "" + field.lsb() : "%d:%d".formatted(field.lsb() + field.width() - 1, field.lsb());
        return "%s %s%s".formatted(field.name(), bits, field.type() == Field.Type.RW ? "" : " " + field.type());
    }

    @Test
    void everyRegisterThatTheCodeNamesIsListed() throws IOException {
        String text = page();
        try (Stream<Path> sources = Files.list(Path.of("src", "main", "java", "org", "iommuemu", "smmuv3"))) {
            for (Path source : sources.toList()) {
                found("\"(SMMU_[A-Z0-9_]+)\"", Files.readString(source))
                        .map(m -> m.group(1))
                        .filter(name -> !name.endsWith("_"))
                        .forEach(name -> assertTrue(text.contains(name), () -> name + " of " + source));
            }
        }
    }

    @Test
    void everyRegisterOfACounterGroupThatIsListedIsThere() throws IOException {
        String source = Files.readString(
                Path.of("src", "main", "java", "org", "iommuemu", "smmuv3", "PerformanceMonitors.java"));
        found("`SMMU_PMCG_([A-Z0-9_]+)`", page())
                .map(m -> m.group(1))
                .forEach(name -> assertTrue(
                        source.contains('"' + name + '"') || source.contains("SMMU_PMCG_" + name + '"'), name));
    }

    // Commands, events, structures

    @Test
    void commandsAreThoseOfTheModel() {
        Set<String> there = Arrays.stream(Command.Opcode.values())
                .map(opcode -> "0x%02x %s".formatted(opcode.number, opcode))
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(
                there, found("(?m)^\\| (0x\\w\\w) \\| (CMD_\\w+) \\|", page(), m -> m.group(1) + " " + m.group(2)));
    }

    @Test
    void eventsAreThoseOfTheModel() {
        Set<String> there = Arrays.stream(Event.Type.values())
                .map(type -> "0x%02x %s".formatted(type.number, type))
                .collect(Collectors.toCollection(TreeSet::new));
        String row = "(?m)^\\| (0x\\w\\w) \\| ([CFE]_\\w+) \\| ";
        assertEquals(there, found(row + "(?!no )", page(), m -> m.group(1) + " " + m.group(2)));
        assertEquals(Set.of("E_PAGE_REQUEST"), found(row + "no ", page(), m -> m.group(2)));
    }

    /** Every bit of an STE and of a CD has its line. */
    @Test
    void structuresAreListedBitForBit() {
        for (String structure : List.of("ste", "cd")) {
            int[] next = {0};
            found("(?m)^\\| (?:(\\d+):)?(\\d+) \\|", part(structure)).forEach(m -> {
                assertEquals(next[0], Integer.parseInt(m.group(2)), structure);
                next[0] = 1 + Integer.parseInt(m.group(1) == null ? m.group(2) : m.group(1));
            });
            assertEquals(512, next[0], structure);
        }
    }

    // What makes things be there, and what shows that they are

    @Test
    void featuresAndOptionsExist() {
        Set<String> known = new TreeSet<>();
        Arrays.stream(SmmuFeature.values()).forEach(feature -> known.add(feature.name()));
        Arrays.stream(SmmuOption.values()).forEach(option -> known.add(option.name()));
        Arrays.stream(SmmuFeatures.Builder.class.getMethods()).forEach(method -> known.add(method.getName()));
        // The column before the last of every row.
        found("(?m)^\\|.*\\| ([^|]*) \\| [^|]*\\|$", page())
                .flatMap(m -> found("`([^`]+)`", m.group(1)))
                .forEach(m -> assertTrue(known.contains(m.group(1)), () -> m.group(1) + " is no feature"));
        Arrays.stream(SmmuOption.values())
                .forEach(option -> assertTrue(page().contains("`" + option + "`"), () -> option + " is not told"));
    }

    @Test
    void everyTestThatIsNamedExists() throws IOException {
        Map<String, String> sources = new HashMap<>();
        for (Path module : List.of(Path.of("."), Path.of("..", "harness"))) {
            try (Stream<Path> files = Files.walk(module.resolve("src/test/java"))) {
                for (Path file :
                        files.filter(path -> path.toString().endsWith(".java")).toList()) {
                    sources.put(file.getFileName().toString().replace(".java", ""), Files.readString(file));
                }
            }
        }
        List<String> missing = new ArrayList<>();
        found("`(\\w+)#(\\w+)`", page()).forEach(m -> {
            String source = sources.getOrDefault(m.group(1), "");
            if (!Pattern.compile("void " + m.group(2) + "\\(").matcher(source).find()) {
                missing.add(m.group());
            }
        });
        assertEquals(List.of(), missing);
    }
}
