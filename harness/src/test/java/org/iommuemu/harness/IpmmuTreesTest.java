package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.iommuemu.ipmmu.IpmmuVariant;
import org.iommuemu.ipmmu.IpmmuVariant.Generation;
import org.iommuemu.ipmmu.Soc;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The IPMMU nodes of all trees at hand are where the chips have them: ours, and Debian's if boards/fetch-debian-dtbs.sh has
 * fetched them. The table is from the device trees of Linux (renesas/r8a77*.dtsi): unit, base, and for Gen3 and Gen4 by
 * chip the bit in IMSSTR; for Gen2 the interrupts.
 */
class IpmmuTreesTest {
    private static final List<String> GEN3_CHIPS = List.of(
            "R8A7795",
            "R8A7796 R8A77961",
            "R8A77965",
            "R8A77970",
            "R8A77980",
            "R8A77990",
            "R8A77995",
            "R8A774A1",
            "R8A774B1",
            "R8A774C0",
            "R8A774E1");

    /** H3 as from ES2.0. */
    private static final String GEN3 =
            """
            e6740000  0  0  0  -  -  0  0  0  0  0  0
            e7740000  1  1  1  0  0  1  1  1  1  1  1
            e6570000  2  2  2  -  -  2  2  2  2  2  2
            ff8b0000  3  3  -  3  3  -  -  -  -  -  -
            ec670000  4  4  4  -  -  4  4  4  4  4  4
            fd800000  6  5  6  -  -  6  6  5  6  6  6
            fd950000  7  6  -  -  -  -  -  6  -  -  7
            fd960000  8  -  -  -  -  -  -  -  -  -  8
            fd970000  9  -  -  -  -  -  -  -  -  -  9
            ffc80000 10  7 10  7 10 10 10  -  -  -  -
            fe6b0000 12  8 12  -  - 12 12  8 12 12 12
            fe990000 16  - 16  - 12 16 16  - 16 16 16
            fe6f0000 13  -  -  -  -  -  -  -  -  - 13
            febd0000 14  9 14  9 14 14 14  9 14 14 14
            febe0000 15  -  -  -  -  -  -  -  -  - 15
            fe980000 17  -  -  -  -  -  -  -  -  - 17
            e7b00000  -  -  -  -  4  -  -  -  -  -  -
            e7960000  -  -  -  - 11  -  -  -  -  -  -
            """;

    private static final List<String> GEN4_CHIPS = List.of("R8A779A0", "R8A779F0", "R8A779G0", "R8A779H0");

    /** x: there, without a bit. */
    private static final String GEN4 =
            """
            ee480000 10 10  x  x
            ee4c0000 19 19  x  x
            eed00000  0  0  x  x
            eed40000  1  2  x  x
            eed80000  3  -  x  x
            eedc0000 12  -  x  x
            eee00000  6  -  x  x
            eee80000 14  -  x  x
            eeec0000 15  -  x  x
            eef00000  5  -  x  x
            eef40000 11  -  x  -
            """;

    /** Interrupts, non-secure then secure. */
    private static final String GEN2 =
            """
            e6280000 223 224
            e6290000 225
            e62a0000 260 261
            e6740000 198 199
            ec680000 226
            fe951000 222 221
            ffc80000 307
            """;

    static Stream<Path> trees() throws IOException {
        try (Stream<Path> files = Files.walk(BootTest.BOARDS)) {
            return files
                    .filter(file -> file.toString().endsWith(".dtb"))
                    .filter(file -> file.getFileName().toString().matches("rcar.*|r8a77.*"))
                    .sorted()
                    .toList()
                    .stream();
        }
    }

    @ParameterizedTest
    @MethodSource("trees")
    void unitsAreWhereTheChipHasThem(Path file) throws IOException {
        int units = 0;
        for (DeviceTreeNode node : DeviceTree.read(file).nodes()) {
            IpmmuVariant variant = IommuKind.variant(node).orElse(null);
            if (variant == null) {
                continue;
            }
            units++;
            String base = "%08x".formatted(node.reg().get(0).base());
            assertEquals(variant.window(), node.reg().get(0).size(), node::path);
            if (variant.generation() == Generation.GEN2) {
                String[] row = row(GEN2, base, node);
                List<String> interrupts = node.property("interrupts").stream()
                        .flatMap(p -> Stream.iterate(1, i -> i < p.cells(), i -> i + 3)
                                .map(p::cell)
                                .map(String::valueOf))
                        .toList();
                assertEquals(List.of(row).subList(1, row.length), interrupts, node::path);
            } else if (!node.has("renesas,ipmmu-main")) {
                assertEquals(variant.generation() == Generation.GEN3 ? "e67b0000" : "eefc0000", base, node::path);
                assertTrue(node.has("interrupts") || node.has("interrupts-extended"), node::path);
            } else {
                boolean gen3 = variant.generation() == Generation.GEN3;
                Soc soc = variant.soc().orElseThrow();
                List<String> chips = gen3 ? GEN3_CHIPS : GEN4_CHIPS;
                int column = 1;
                while (!List.of(chips.get(column - 1).split(" ")).contains(soc.name())) {
                    column++;
                }
                int cells = node.property("renesas,ipmmu-main").orElseThrow().cells();
                String bit = cells > 1
                        ? String.valueOf(node.property("renesas,ipmmu-main")
                                .orElseThrow()
                                .cell(1))
                        : "x";
                String expected = row(gen3 ? GEN3 : GEN4, base, node)[column];
                // The numbers were taken out of the bindings of Gen4 later.
                assertTrue(expected.equals(bit) || !gen3 && !expected.equals("-"), () -> node.path() + " " + bit);
            }
        }
        assertTrue(units > 0);
    }

    private static String[] row(String table, String base, DeviceTreeNode node) {
        return table.lines()
                .filter(line -> line.startsWith(base))
                .map(line -> line.split(" +"))
                .findFirst()
                .orElseThrow(() -> new AssertionError(node.path() + ": no such unit"));
    }
}
