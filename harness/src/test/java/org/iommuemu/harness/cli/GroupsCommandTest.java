package org.iommuemu.harness.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.w3c.dom.Document;
import picocli.CommandLine;

/** The command as a person or a script uses it: arguments in, status, stdout and stderr out. */
class GroupsCommandTest {
    private static final Path BOARDS = Path.of("..", "boards");
    private static final String D05 = BOARDS.resolve("pci/d05.pci").toString();
    private static final String LINUX_72 =
            BOARDS.resolve("pci/virt-linux-7.2.lspci").toString();

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        return commandLine.execute(
                Stream.concat(Stream.of("groups"), Arrays.stream(arguments)).toArray(String[]::new));
    }

    private int historic(String... more) {
        return run(Stream.concat(
                        Stream.of(D05, "--algorithm=historic", "--defer=pcieport", "--defer=serial"),
                        Arrays.stream(more))
                .toArray(String[]::new));
    }

    private JsonNode json() throws IOException {
        return new ObjectMapper().readTree(out.toString());
    }

    private String lastLine() {
        return out.toString().lines().reduce((a, b) -> b).orElse("");
    }

    private void assertSays(String line) {
        assertTrue(out.toString().lines().anyMatch(line::equals), () -> line + "\nis not in\n" + out);
    }

    @Test
    void theTreeIsThatOfLspciWithGroupsInBraces() {
        assertEquals(0, run(D05));
        assertSays("-+-[0002:f8]---00.0{0}-[f9]--+-00.0{0}  MosChip Semiconductor Technology Ltd.");
        assertSays(" +-[0006:c0]---00.0{-}-[c1]--");
        assertSays(" +-[000a:10]---00.0{3}-[11-12]--+-00.0{3}  Mellanox Technologies MT27800 Family [ConnectX-5]");
        assertSays(" \\-[000d:30]---00.0{5}-[31]--");
        assertSays("pci 000a:11:00.3: Adding to iommu group 3");
        assertSays("3      000a:10:00.0  acs-path: 000a:10:00.0 has no ACS");
        assertEquals("RIGHT: 14 of 17 functions in 6 groups (topology)", lastLine());
        assertEquals("", err.toString());
    }

    @Test
    void aSplitGroupIsStatus1AndNamed() {
        assertEquals(1, historic());
        assertSays("pcieport 000a:10:00.0: Adding to iommu group 5");
        assertSays(
                "split: these have to be one group: 000a:10:00.0 000a:11:00.0 000a:11:00.1 000a:11:00.2 000a:11:00.3");
        assertSays("without a group: 0002:f9:00.2 000c:21:00.0");
        assertEquals("WRONG: 12 of 17 functions in 8 groups (historic)", lastLine());
    }

    @Test
    void theDriverLoadedLateIsStatus0() {
        assertEquals(0, historic("--late", "mlx5_core"));
    }

    @Test
    void thePortThatProbesFirstMakesTheHistoricAlgorithmRight() {
        assertEquals(0, run(D05, "--algorithm", "historic"));
        assertEquals(1, run(D05, "--algorithm", "historic", "--probe-order", "mlx5_core,000a:10:00.0"));
    }

    @Test
    void childrenOfAFailedBridgeWaitForEverWithDeviceLinks() {
        assertEquals(1, run(D05, "--algorithm", "device-links", "--fail", "000a:10:00.0"));
        assertSays("pci 000a:11:00.1: deferred probe pending");
        assertSays("unprobed: 000a:11:00.0 000a:11:00.1 000a:11:00.2 000a:11:00.3");
        assertEquals(0, run(D05, "--algorithm", "device-links", "--defer", "pcieport"));
    }

    @Test
    void jsonHasTheFieldsThatAreDocumentedAndNothingElseIsOnStdout() throws IOException {
        assertEquals(1, historic("--json"));
        JsonNode report = json();
        assertEquals(
                List.of(
                        "file",
                        "algorithm",
                        "warnings",
                        "functions",
                        "groups",
                        "log",
                        "split",
                        "unprobed",
                        "ungrouped",
                        "kernel"),
                names(report));
        assertEquals(
                List.of("address", "id", "type", "description", "driver", "acs", "group", "iommu", "streamIds"),
                names(report.get("functions").get(0)));
        assertEquals(
                List.of("number", "functions", "bonds"),
                names(report.get("groups").get(0)));
        assertEquals("historic", report.get("algorithm").textValue());
        assertEquals(5, report.get("split").get(0).size());
        assertTrue(report.get("kernel").isNull());
    }

    private static List<String> names(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey).toList();
    }

    @Test
    void bondsTellRuleAndReason() throws IOException {
        assertEquals(0, run(LINUX_72, "--json"));
        JsonNode bond = StreamSupport.stream(json().get("groups").spliterator(), false)
                .flatMap(group -> StreamSupport.stream(group.get("bonds").spliterator(), false))
                .filter(b -> b.get("rule").textValue().equals("siblings"))
                .findFirst()
                .orElseThrow();
        assertEquals(List.of("rule", "a", "b", "why"), names(bond));
        assertEquals("0000:02:00.0 has no ACS", bond.get("why").textValue());
    }

    @Test
    void theGroupsOfTheMachinesKernelAreCompared() {
        assertEquals(0, run(LINUX_72));
        assertSays("several groups of the machine's kernel: 0000:02:00.0 0000:02:01.0 0000:03:00.0 0000:04:00.0");
        assertTrue(lastLine().endsWith("; the machine's kernel had others"), lastLine());
        assertEquals(0, run(LINUX_72, "--without-rule", "siblings"));
        assertTrue(lastLine().endsWith("; the machine's kernel had the same"), lastLine());
    }

    @Test
    void acsIsSwitchedOnIfAskedFor() {
        String off = BOARDS.resolve("pci/virt-linux-6.1.lspci").toString();
        assertEquals(0, run(off));
        assertTrue(lastLine().startsWith("RIGHT: 21 of 21 functions in 5 groups"), lastLine());
        assertEquals(0, run(off, "--enable-acs"));
        assertTrue(lastLine().startsWith("RIGHT: 21 of 21 functions in 13 groups"), lastLine());
    }

    @Test
    void aBoardGivesStreamIdsAndWhatItCannotTellApartIsOneGroup() throws IOException {
        String board = BOARDS.resolve("smmuv3-pcie.dtb").toString();
        assertEquals(0, run(LINUX_72, "--board", board, "--json"));
        JsonNode virtual = StreamSupport.stream(json().get("functions").spliterator(), false)
                .filter(f -> f.get("address").textValue().equals("0000:05:00.2"))
                .findFirst()
                .orElseThrow();
        assertEquals("/iommu@2b600000", virtual.get("iommu").textValue());
        assertEquals("[2816]", virtual.get("streamIds").toString());
        out.getBuffer().setLength(0);
        assertEquals(0, run(LINUX_72, "--board", board));
        assertTrue(out.toString().contains("0000:05:00.2  0xb00 /iommu@2b600000"), out::toString);
        assertTrue(out.toString().contains("stream-id: both are StreamID 0xb00 of /iommu@2b600000"), out::toString);
    }

    @Test
    void theDrawingHasABoxForEachFunctionAndFramesWhatIsWrong(@TempDir Path folder) throws Exception {
        Path file = folder.resolve("groups.svg");
        assertEquals(1, historic("--svg", file.toString()));
        Document drawing =
                DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file.toFile());
        String content = Files.readString(file);
        assertEquals("svg", drawing.getDocumentElement().getTagName());
        assertEquals(17, content.split("<rect class=\"box").length - 1);
        assertEquals(5, content.split("<rect class=\"box split").length - 1);
        assertTrue(content.contains("WRONG: functions framed in red have to be one group"));
    }

    @Test
    void namesInTheDrawingAreEscaped(@TempDir Path folder) throws Exception {
        Path topology = folder.resolve("a&b.pci");
        Files.writeString(topology, "pci-topology\n00:00.0 pci \"<&>\"\n");
        Path file = folder.resolve("groups.svg");
        assertEquals(0, run(topology.toString(), "--svg", file.toString()));
        DocumentBuilderFactory.newInstance().newDocumentBuilder().parse(file.toFile());
    }

    private void assertBadInput(int status, String... parts) {
        assertEquals(2, status);
        assertEquals("", out.toString());
        assertFalse(err.toString().contains("internal error"), err::toString);
        for (String part : parts) {
            assertTrue(err.toString().contains(part), () -> part + " is not in " + err);
        }
    }

    @Test
    void badInputIsStatus2AndOneLine(@TempDir Path folder) throws IOException {
        assertBadInput(run("nowhere.lspci"), "nowhere.lspci: there is no such file");
        assertBadInput(run(folder.toString()), folder.toString());
        assertBadInput(run(D05, "--board", "nowhere.dtb"), "nowhere.dtb: there is no such file");
        assertBadInput(run(D05, "--board", D05), "d05.pci");
        assertBadInput(run(D05, "--svg", folder.toString()), "--svg " + folder, "cannot be written");
        assertBadInput(run(D05, "--defer", "frob"), "--defer frob: ", "no such function, and no such driver");
        assertEquals(6, err.toString().lines().count(), err::toString);
    }

    @ParameterizedTest
    @ValueSource(strings = {"--algorithm=frob", "--without-rule=frob", "--frob", "--late", "--probe-order=00:99.0"})
    void badOptionsAreStatus2AndNameTheOption(String option) {
        assertBadInput(run(D05, option), option.replaceFirst("=.*", ""));
    }
}
