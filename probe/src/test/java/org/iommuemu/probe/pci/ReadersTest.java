package org.iommuemu.probe.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.ByteRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Both readers: what they take, and the one error for what they do not. */
class ReadersTest {
    private static final String HEADER = row("00: 86 80 05 34 00 00 10 00 12 00 00 06 00 00 00 00");

    /** A first row, then rows of zeros up to the 64th byte. */
    private static String row(String first) {
        StringBuilder rows = new StringBuilder(first).append('\n');
        for (int at = 0x10; at < 0x40; at += 0x10) {
            rows.append("%02x:%s\n".formatted(at, " 00".repeat(16)));
        }
        return rows.toString();
    }

    private static String error(String content) {
        return assertThrows(PciException.class, () -> Pci.parse(content, Quirks.known()))
                .getMessage();
    }

    @Test
    void aDumpTellsAddressDescriptionDriverAndTheKernelsGroup() {
        PciTopology topology = Pci.parse(
                "10000:e1:1f.7 Host bridge: Intel Corporation I/O Hub (rev 12) (prog-if 00 [x])\r\n"
                        + "\tKernel driver in use: hub\r\n\tIOMMU group: 17\r\n\tCapabilities: [60] MSI\r\n"
                        + HEADER + "\n00:00.0 0600: 8086:3405\n" + HEADER,
                Quirks.known());
        PciFunction function = Pci.function(topology, "10000:e1:1f.7");
        assertEquals("Intel Corporation I/O Hub", function.description());
        assertEquals(Optional.of("hub"), topology.driver(function));
        assertEquals(OptionalInt.of(17), function.kernelGroup());
        assertEquals("8086:3405", function.id().toString());
        assertEquals(0x0600, function.classCode());
        assertEquals(PcieType.CONVENTIONAL, function.type());
        assertEquals("8086:3405", Pci.function(topology, "00:00.0").description());
    }

    @Test
    void whereTheDumpNamesDriversAFunctionWithoutTheLineHasNone() {
        String[] functions = {"00:02.0 VGA: x\n\tKernel driver in use: i915\n" + HEADER, "00:03.0 Audio: y\n" + HEADER};
        PciTopology named =
                Pci.parse(functions[0] + "\n" + functions[1].replace("00 06 00", "00 03 00"), Quirks.known());
        assertEquals(Optional.empty(), named.driver(Pci.function(named, "00:03.0")));
        PciTopology silent = Pci.parse(functions[1].replace("00 06 00", "00 03 00"), Quirks.known());
        assertEquals(Optional.of("pci"), silent.driver(Pci.function(silent, "00:03.0")));
    }

    @Test
    void aFunctionThatDidNotAnswerIsNotSeveral() {
        String ones = "00:05.0 x: y\n" + (HEADER + "\n").replaceAll("(?<= )[0-9a-f]{2}", "ff");
        PciTopology topology = Pci.parse(ones, Quirks.known());
        assertFalse(topology.isMultifunction(Pci.function(topology, "00:05.0")));
        assertEquals(
                List.of("t: 1 functions did not answer when the file was made (all bytes are ff)"),
                topology.warnings());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'' | t: no PCI function is in it: it is neither what lspci -xxxx prints nor a pci-topology",
                "'just\nprose' | t: no PCI function is in it: it is neither what lspci -xxxx prints nor a pci-topology",
                "'00: 00' | t:1: these bytes belong to no function",
                "'00:00.0 a: b' | t:1: 0000:00:00.0 has no configuration bytes; lspci -xxxx shows them",
                "'00:00.0 a: b\n00: 00 11' | t:1: 0000:00:00.0: byte 0x2 of its configuration header is missing",
                "'00:00.0 a: b\n00: 00 xx' | t:2: 0000:00:00.0: \"00 xx\" are not bytes",
                "'00:00.0 a: b\n00: 00 1' | t:2: 0000:00:00.0: \"00 1\" are not bytes",
                "'00:00.0 a: b\n00: 00\n00: 00' | t:3: 0000:00:00.0: byte 0x0 is there already",
                "'00:00.0 a: b\nfff: 00 00' | t:2: 0000:00:00.0: configuration space ends at 0xfff, not 0x1000",
                "'ffffffff:00:00.0 a: b' | t:1: \"ffffffff:00:00.0\" is not an address"
            })
    void aBrokenDumpIsOneErrorWithItsLine(String content, String message) {
        assertEquals(message, error(content));
    }

    @Test
    void brokenConfigurationSpaceIsOneErrorWithTheFunction() {
        String function = "00:01.0 a: b\n";
        assertEquals("t:6: 0000:00:01.0 is there already, in line 1", error(function + HEADER + function + HEADER));
        assertEquals(
                "t:1: 0000:00:01.0: byte 0x40 is missing, though 0x50 is there", error(function + HEADER + "50: 00\n"));
        String bridge = function + HEADER.replace("00 06 00 00 00 00", "04 06 00 00 01 00");
        assertEquals(
                "t:1: 0000:00:01.0: subordinate bus 01 is below secondary bus 02",
                error(bridge.replace("10: 00 00 00 00 00 00 00 00 00 00 00", "10: 00 00 00 00 00 00 00 00 00 02 01")));
        String round = function + HEADER.replace("30: 00 00 00 00 00", "30: 00 00 00 00 40") + "40: 01 40 00 00\n";
        assertEquals("t:1: 0000:00:01.0: its capabilities go round in a circle at 0x40", error(round));
    }

    @Test
    void extendedCapabilitiesThatGoRoundAreOneError() throws IOException {
        String dump = Files.readString(Pci.BOARDS.resolve("virt-linux-7.2.lspci"));
        String round = dump.replaceFirst("(?m)^100: 01 00 02 14", "100: 01 00 02 10");
        assertTrue(error(round).endsWith("its extended capabilities go round in a circle at 0x100"), error(round));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "pci-topology 2 | t:1: pci-topology stands alone",
                "'pci-topology\n00:00 pci' | t:2: \"00:00\" is not an address, such as 000a:11:00.0",
                "'pci-topology\n00:00.0' | t:2: 0000:00:00.0: it has no type",
                "'pci-topology\n00:00.0 frob' | t:2: \"frob\" is not a type",
                "'pci-topology\n00:00.0 reserved' | t:2: \"reserved\" is not a type",
                "'pci-topology\n00:00.0 pci frob' | t:2: 0000:00:00.0: \"frob\" is not known",
                "'pci-topology\n00:00.0 pci frob=1' | t:2: 0000:00:00.0: \"frob=1\" is not known",
                "'pci-topology\n00:00.0 pci id=12' | t:2: \"id=12\" has no value of its form",
                "'pci-topology\n00:00.0 pci acs=SV' | t:2: \"acs=SV\" is not on, off, none, or services such as SV+,RR-",
                "'pci-topology\n00:00.0 pci acs=XY+' | t:2: \"acs=XY+\" is not on, off, none, or services such as SV+,RR-",
                "'pci-topology\n00:00.0 pci alias=20.0' | t:2: \"alias=20.0\" has no value of its form",
                "'pci-topology\n00:00.0 pci \"open' | t:2: a quote is not closed",
                "'pci-topology\n\n00:00.0 pci\n00:00.0 pci' | t:4: 0000:00:00.0 is there already, in line 3",
                "'pci-topology\n00:01.0 root-port' | t:2: 0000:00:01.0: a root-port has buses behind it, bus=01 or bus=01-04",
                "'pci-topology\n00:01.0 root-port bus=04-01' | t:2: 0000:00:01.0: bus=04-01 is not a range of buses from 01 on",
                "'pci-topology\n00:01.0 endpoint bus=01' | t:2: 0000:00:01.0: no bus is behind a endpoint",
                "'pci-topology\n01:01.0 root-port bus=01' | t: 0000:01:01.0: the bus behind it, 01, is not above its own bus",
                "'pci-topology\n00:01.0 root-port bus=01\n00:02.0 root-port bus=01' | t: 0000:00:02.0: 0000:00:01.0 has bus 01 behind it, too",
                "'pci-topology\n00:01.0 endpoint pf=00:02.0' | t: 0000:00:01.0: its physical function 0000:00:02.0 is not there",
                "'pci-topology\n00:01.0 endpoint pf=00:01.0' | t: 0000:00:01.0: 0000:00:01.0 is no physical function"
            })
    void aBrokenTextIsOneErrorWithItsLine(String content, String message) {
        assertEquals(message, error(content));
    }

    @Test
    void namesOfTheFileCannotDriveATerminal() {
        assertEquals("t:2: \"\\?[31m\" is not a type".replace("\\", ""), error("pci-topology\n00:00.0 \u001b[31m"));
        PciTopology topology = Pci.parse("00:00.0 a: \u001b[31mred\n" + HEADER, Quirks.known());
        assertEquals("?[31mred", topology.functions().get(0).description());
    }

    @Test
    void commentsBlankLinesAndQuotesWithHashesAreFine() {
        PciTopology topology = Pci.text("", "  # a comment with a \"", "00:00.0 pci \"a # b\" # c");
        assertEquals("a # b", topology.functions().get(0).description());
    }

    /** A topology or one error, whatever is in the file. */
    @Property(tries = 300)
    void damagedDumpsNeverDoAnythingElse(
            @ForAll @IntRange(max = 20_000) int at,
            @ForAll @Size(min = 1, max = 40) @ByteRange(min = 0) byte[] damage,
            @ForAll @IntRange(max = 1) int which)
            throws IOException {
        byte[] content = Files.readAllBytes(Pci.BOARDS.resolve(which == 0 ? "virt-linux-7.2.lspci" : "d05.pci"));
        int from = at % (content.length - damage.length);
        System.arraycopy(damage, 0, content, from, damage.length);
        try {
            PciTopology topology = PciFile.parse("t", content, Quirks.known());
            assertEquals(Pci.right(topology), Pci.right(topology));
            Pci.run(topology, Algorithm.DEVICE_LINKS, Pci.usual(topology));
        } catch (PciException e) {
            assertTrue(e.getMessage().startsWith("t:") && !e.getMessage().contains("\n"), e.getMessage());
        }
    }

    @Test
    void hexDigitsChangedOneByOneNeverDoAnythingElse() throws IOException {
        String whole = Files.readString(Pci.BOARDS.resolve("virt-linux-7.2.lspci"));
        String[] lines = whole.split("\n");
        for (int line = 0; line < lines.length; line += 7) {
            String kept = lines[line];
            lines[line] = kept.replaceAll("(?<= )00(?= |$)", "ff");
            try {
                Pci.right(
                        PciFile.parse("t", String.join("\n", lines).getBytes(StandardCharsets.UTF_8), Quirks.known()));
            } catch (PciException e) {
                assertTrue(e.getMessage().startsWith("t:"), e.getMessage());
            }
            lines[line] = kept;
        }
    }
}
