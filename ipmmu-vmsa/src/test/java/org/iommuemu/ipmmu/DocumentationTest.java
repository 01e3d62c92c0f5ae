package org.iommuemu.ipmmu;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.iommuemu.ipmmu.IpmmuRegisters.Role;
import org.iommuemu.ipmmu.IpmmuVariant.Generation;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.junit.jupiter.api.Test;

/** docs/ipmmu-vmsa.md says what the code says. With -Ddocs.write=true its register table is written anew. */
class DocumentationTest {
    private static final Path PAGE = Path.of("..", "docs", "ipmmu-vmsa.md");
    private static final Pattern REGISTERS = Pattern.compile("(?s)(<!-- registers -->\n).*?(<!-- /registers -->)");

    /** A row: registers of the same name and fields, by generation the first one's offset, and the units that have them. */
    private static final class Row {
        private final Map<Generation, Integer> offsets = new EnumMap<>(Generation.class);
        private final Set<Role> roles = new TreeSet<>();
    }

    @Test
    void registerTableIsThatOfTheDeclarations() throws IOException {
        String text = Files.readString(PAGE);
        String written = REGISTERS.matcher(text).replaceFirst("$1" + Matcher.quoteReplacement(table()) + "$2");
        if (Boolean.getBoolean("docs.write")) {
            Files.writeString(PAGE, written);
        } else {
            assertEquals(written, text, "run this test with -Ddocs.write=true");
        }
    }

    private static String table() {
        Map<String, Row> rows = new LinkedHashMap<>();
        List<String> compatibles =
                List.of("renesas,ipmmu-vmsa", "renesas,ipmmu-r8a7795", "renesas,rcar-gen4-ipmmu-vmsa");
        for (String compatible : compatibles) {
            IpmmuVariant variant = IpmmuVariant.of(compatible).orElseThrow();
            List<Role> roles = variant.hasCaches() ? List.of(Role.ROOT, Role.CACHE) : List.of(Role.STANDALONE);
            for (Role role : roles) {
                for (Register register : IpmmuRegisters.of(variant, role).map.registers()) {
                    String name = register.name().replaceFirst("_?\\d+$", "");
                    Row row = rows.computeIfAbsent(name + " | " + fields(register), key -> new Row());
                    row.offsets.putIfAbsent(variant.generation(), register.offset());
                    row.roles.add(role);
                }
            }
        }
        StringBuilder table = new StringBuilder(
                "\n| register | fields | Gen2 | Gen3 | Gen4 | in |\n| --- | --- | --- | --- | --- | --- |\n");
        rows.entrySet().stream().sorted((a, b) -> order(a.getKey(), b.getKey())).forEach(entry -> {
            Row row = entry.getValue();
            String offsets = Arrays.stream(Generation.values())
                    .map(g -> row.offsets.containsKey(g) ? "0x%x".formatted(row.offsets.get(g)) : "–")
                    .collect(Collectors.joining(" | "));
            String roles = row.roles.stream()
                    .map(role -> role == Role.STANDALONE ? "Gen2" : role.name().toLowerCase(java.util.Locale.ROOT))
                    .collect(Collectors.joining(", "));
            table.append("| %s | %s | %s |\n".formatted(entry.getKey(), offsets, roles));
        });
        return table.append('\n').toString();
    }

    /** What belongs together stands together, in the order of the declarations otherwise. */
    private static int order(String a, String b) {
        String first = a.substring(0, a.indexOf(' '));
        String second = b.substring(0, b.indexOf(' '));
        return first.compareTo(second);
    }

    private static String fields(Register register) {
        return register.fields().stream()
                .filter(field -> field.type() != Field.Type.RAZ_WI)
                .map(DocumentationTest::field)
                .collect(Collectors.joining(", "));
    }

    private static String field(Field field) {
        String bits =
                field.width() == 1 ? "" + field.lsb() : "%d:%d".formatted(field.lsb() + field.width() - 1, field.lsb());
        String type = field.type() == Field.Type.RW ? "" : " " + field.type();
        String reset = field.reset() == 0 ? "" : " = %x".formatted(field.reset());
        return "%s %s%s%s".formatted(field.name(), bits, type, reset);
    }

    @Test
    void everyOptionIsListedWithItsQuestion() throws IOException {
        Set<String> listed = found("(?m)^\\| (U\\d+) \\| `(\\w+)` \\|", m -> m.group(1) + " " + m.group(2));
        Set<String> there = Arrays.stream(IpmmuOption.values())
                .map(option -> "U" + option.question() + " " + option)
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(there, listed);
    }

    @Test
    void everySequenceIsListedWithItsTest() throws IOException {
        Set<String> listed = found("`(?:SequenceTest|ScenarioRulesTest)#(\\w+?)\\*?`", m -> m.group(1));
        Pattern number = Pattern.compile("(lnx\\d+|bsp[A-Z]|xen\\d+|sec|check\\d+).*");
        Set<String> there = Stream.of(SequenceTest.class, ScenarioRulesTest.class)
                .flatMap(type -> Arrays.stream(type.getDeclaredMethods()))
                .map(Method::getName)
                .map(number::matcher)
                .filter(Matcher::matches)
                .map(m -> m.group(1))
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(there, listed);
    }

    private static Set<String> found(String pattern, java.util.function.Function<MatchResult, String> what)
            throws IOException {
        return Pattern.compile(pattern)
                .matcher(Files.readString(PAGE))
                .results()
                .map(what)
                .collect(Collectors.toCollection(TreeSet::new));
    }
}
