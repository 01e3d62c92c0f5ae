package org.iommuemu.harness.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** The command as a person or a script uses it: cases in, status, stdout and stderr out. */
class ConformanceCommandTest {
    private static final String VECTORS =
            Path.of("src", "test", "resources", "vectors").toString();
    private static final String CASE =
            "{\"id\":\"a-1\",\"category\":\"a\",\"authority\":\"architecture\",\"mem\":[%s],\"steps\":[%s]}";

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @TempDir
    private Path folder;

    private int run(Object... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        return commandLine.execute(
                Stream.concat(Stream.of("conformance"), Arrays.stream(arguments).map(Object::toString))
                        .toArray(String[]::new));
    }

    private Path cases(String... lines) throws IOException {
        return Files.write(folder.resolve("cases.jsonl"), List.of(lines));
    }

    private Path oneCase(String steps) throws IOException {
        return cases(CASE.formatted("", steps));
    }

    private JsonNode json(int status, Path file) throws IOException {
        assertEquals(status, run("--json", file), err::toString);
        assertEquals("", err.toString());
        return new ObjectMapper().readTree(out.toString());
    }

    private void assertBadInput(Path file, String... parts) {
        assertEquals(2, run(file), out::toString);
        assertEquals("", out.toString());
        assertEquals(1, err.toString().lines().count(), err::toString);
        for (String part : parts) {
            assertTrue(err.toString().contains(part), () -> part + " is not in " + err);
        }
    }

    @Test
    void everyCaseOfOursPasses() {
        assertEquals(0, run(VECTORS), out::toString);
        assertTrue(out.toString().contains("PASSED: 488 of 488 cases pass"), out::toString);
    }

    @Test
    void jsonHasTheFieldsThatAreDocumentedAndNothingElseIsOnStdout() throws IOException {
        JsonNode report = json(1, oneCase("{\"op\":\"r32\",\"off\":\"0\",\"exp\":\"1\"}"));
        assertEquals(List.of("passed", "failed", "skipped", "categories", "failures"), names(report));
        assertEquals(
                "{\"passed\":0,\"failed\":1,\"skipped\":0}",
                report.get("categories").get("a").toString());
        JsonNode failure = report.get("failures").get(0);
        assertEquals(List.of("id", "authority", "step", "what"), names(failure));
        assertEquals("a-1", failure.get("id").textValue());
        assertEquals("architecture", failure.get("authority").textValue());
        assertEquals(0, failure.get("step").intValue());
        assertEquals(
                "register 0x0 is 0xd40101a, expected 0x1 (mask 0xffffffff)",
                failure.get("what").textValue());
    }

    private static List<String> names(JsonNode object) {
        return object.properties().stream().map(Map.Entry::getKey).toList();
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                // SMMUEN == 0: a bypass.
                "'sid':'0','iova':'40000000','len':4,'dir':'r','exp':{'ok':0,'ev':[]} | OK, expected an abort",
                "'sid':'0','iova':'1000','len':4,'dir':'r','exp':{'ok':1,'ev':[]} | BUS_ERROR, expected completion",
                "'sid':'0','iova':'40000000','len':2,'dir':'r','exp':{'ok':1,'data':'0a01'} | byte 0 is 0x00, expected 0x0a",
                "'sid':'0','iova':'40000ffe','len':4,'dir':'w','data':'01020304','exp':{'ok':1,'segs':[['40000ffe',2],"
                        + "['41000000',2]]} | went to [0x40000ffe+4], expected [0x40000ffe+2, 0x41000000+2]",
                "'sid':'0','iova':'40000000','len':1,'dir':'r','exp':{'ok':1,'ev':['10"
                        + "00000000000000000000000000000000000000000000000000000000000000']} | no event, expected 10",
            })
    void theFirstDifferenceIsTold(String dma, String what) throws IOException {
        Path file = oneCase(("{'op':'mem','addr':'50000000','data':'00'},{'op':'dma'," + dma + "}").replace('\'', '"'));
        JsonNode failure = json(1, file).get("failures").get(0);
        assertEquals(1, failure.get("step").intValue());
        assertTrue(failure.get("what").textValue().contains(what), failure::toString);
        assertEquals(1, run(file));
        assertTrue(out.toString().contains("FAILED a-1 (architecture), step 1: "), out::toString);
        assertTrue(out.toString().contains("FAILED: 0 of 1 cases pass"), out::toString);
    }

    @Test
    void qemusWordCountsOnlyWhereTheArchitectureIsSilentAndIsAskedFor() throws IOException {
        Path silent = oneCase("{\"op\":\"r32\",\"off\":\"0\",\"exp\":\"1\",\"auth\":\"qemu-only\"}");
        assertEquals(0, run(silent));
        assertEquals(1, run("--qemu", silent));
        Path both = oneCase(
                "{\"op\":\"r32\",\"off\":\"0\",\"exp\":\"1\",\"auth\":\"qemu-only\",\"arch\":{\"exp\":\"d40101a\"}}");
        assertEquals(0, run(both));
        assertEquals(1, run("--qemu", both));
    }

    @Test
    void whatTheMachineCannotHoldIsSkippedAndDoesNotPass() throws IOException {
        Path file = cases(CASE.formatted("[\"1000\",\"00\"]", ""));
        assertEquals(1, json(1, file).get("skipped").intValue());
        assertEquals(1, run(file));
        assertTrue(out.toString().contains("SKIPPED a-1: mem: there is no RAM at 0x1000"), out::toString);
    }

    @Test
    void theMachineIsThatOfMetaJson() throws IOException {
        Files.writeString(folder.resolve("meta.json"), "{\"idr\":{\"14\":\"75\"},\"ram\":[\"1000\",\"3000\"]}");
        Path file = cases(
                CASE.formatted(
                        "[\"2fff\",\"00\"]",
                        "{\"op\":\"r32\",\"off\":\"14\",\"exp\":\"75\"},"
                                + "{\"op\":\"dma\",\"sid\":\"0\",\"iova\":\"2000\",\"len\":1,\"dir\":\"r\",\"exp\":{\"ok\":1}},"
                                + "{\"op\":\"dma\",\"sid\":\"0\",\"iova\":\"3000\",\"len\":1,\"dir\":\"r\",\"exp\":{\"ok\":0}}"));
        assertEquals(0, run(file), out::toString);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{'idr':{'0':'8d40101a'}} | 0x80000000",
                "{'idr':{'14':'77'}} | OAS",
                "{'idr':{'20':'0'}} | 0x20",
                "{'idr':{'x':'0'}} | hex",
                "{'idr':{'0':5}} | idr, 0: not a string",
                "{'ram':['2000','1000']} | ram",
                "{'ram':['2000']} | 1 elements",
                "{'registerPages':['0','1000']} | registerPages",
                "{'eventMask':{'1':'ff'}} | 1 bytes, not 32",
                "{ | not JSON",
                "[] | not an object",
            })
    void aMachineThatCannotBeIsRefused(String meta, String why) throws IOException {
        Files.writeString(folder.resolve("meta.json"), meta.replace('\'', '"'));
        assertBadInput(oneCase(""), "meta.json", why);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{'op':'frob'} | frob",
                "{'off':'0'} | \"op\" is missing",
                "{'op':'w32','off':'20'} | \"val\" is missing",
                "{'op':'w32','off':'20','val':'100000000'} | 32 bits",
                "{'op':'w32','off':'20','val':'0x1'} | 0x1",
                "{'op':'w32','off':'20','val':1} | val: not a string",
                "{'op':'w64','off':'1fffc','val':'1'} | beyond the registers",
                "{'op':'r32','off':'20'} | \"exp\" is missing",
                "{'op':'r32','off':'20','exp':'0','auth':'mine'} | mine",
                "{'op':'r32','off':'20','exp':'0','irq':['X']} | X",
                "{'op':'mem','addr':'40000000','data':'0'} | data",
                "{'op':'dma','dir':'x'} | dir",
                "{'op':'dma','dir':'r','len':0} | len",
                "{'op':'dma','dir':'r','len':'4'} | len",
                "{'op':'dma','dir':'w','len':4,'data':'00'} | 1 bytes, not 4",
                "{'op':'dma','dir':'r','len':4,'sid':'0','iova':'0'} | \"exp\" is missing",
                "{'op':'dma','dir':'r','len':4,'sid':'0','iova':'0','exp':{}} | exp: \"ok\" is missing",
                "{'op':'dma','dir':'r','len':4,'sid':'0','iova':'0','exp':{'ok':2}} | ok",
                "{'op':'dma','dir':'r','len':4,'sid':'0','iova':'0','exp':{'ok':0,'ev':['00']}} | ev[0]",
                "{'op':'dma','dir':'r','len':4,'sid':'0','iova':'0','exp':{'ok':1,'segs':[['0']]}} | segs[0]",
                "5 | not an object",
            })
    void aBadStepIsStatus2AndNamesFileLineCaseAndStep(String step, String why) throws IOException {
        String good = CASE.formatted("", "");
        Path file = cases(
                good,
                "",
                CASE.formatted("", "{'op':'r32','off':'0','exp':'0'}," + step).replace('\'', '"'));
        assertBadInput(file, "cases.jsonl:3, case a-1, step 1", why);
    }

    @ParameterizedTest
    @ValueSource(strings = {"{", "5", "{} {}", "{\"id\":1}", "{\"id\":\"a\",\"id\":\"b\"}", "{\"id\":\"a\"}"})
    void aBadLineIsStatus2AndIsNamed(String line) throws IOException {
        assertBadInput(cases(CASE.formatted("", ""), line), "cases.jsonl:2");
    }

    @Test
    void aFileThatCannotBeReadOrIsEmptyIsStatus2() throws IOException {
        assertBadInput(folder.resolve("nowhere.jsonl"), "nowhere.jsonl", "no such file");
        assertBadInput(folder, folder.toString(), "no .jsonl");
        assertBadInput(cases(""), "cases.jsonl", "no case");
        Files.write(folder.resolve("cases.jsonl"), new byte[] {(byte) 0xff, (byte) 0xfe});
        assertBadInput(folder.resolve("cases.jsonl"), "UTF-8");
        assertEquals(2, run());
        assertTrue(err.toString().contains("FILE"), err::toString);
    }
}
