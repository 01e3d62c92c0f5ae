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
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import picocli.CommandLine;

/** The command as a person or a script uses it: arguments in, status, stdout and stderr out. */
class BootCommandTest {
    private static final String GEN3 = Path.of("..", "boards", "rcar-gen3.dtb").toString();
    private static final String MIXED = Path.of("..", "boards", "mixed.dtb").toString();
    private static final String SMMU =
            Path.of("..", "boards", "smmuv3-pcie.dtb").toString();

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... arguments) {
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        return commandLine.execute(
                Stream.concat(Stream.of("boot"), Arrays.stream(arguments)).toArray(String[]::new));
    }

    private JsonNode json(int status, String... arguments) throws IOException {
        assertEquals(
                status,
                run(Stream.concat(Stream.of("--json"), Arrays.stream(arguments)).toArray(String[]::new)));
        assertEquals("", err.toString());
        JsonNode node = new ObjectMapper().readTree(out.toString());
        out.getBuffer().setLength(0);
        return node;
    }

    private void assertOneErrorLine(String... parts) {
        assertEquals("", out.toString());
        assertEquals(1, err.toString().lines().count(), err::toString);
        for (String part : parts) {
            assertTrue(err.toString().contains(part), () -> part + " is not in " + err);
        }
    }

    @Test
    void jsonHasTheFieldsThatAreDocumentedAndNothingElseIsOnStdout() throws IOException {
        JsonNode report = json(0, GEN3);
        assertEquals(
                List.of(
                        "board",
                        "cmdline",
                        "rc",
                        "panic",
                        "ioVirtualisation",
                        "rounds",
                        "iommus",
                        "masters",
                        "dispatch",
                        "unmap",
                        "operations"),
                names(report));
        assertEquals(
                List.of("path", "compatible", "kind", "base", "answers"),
                names(report.get("iommus").get(0)));
        assertEquals(
                List.of("path", "iommu", "ids", "domain", "dma", "fault"),
                names(report.get("masters").get(0)));
        assertEquals("OK", report.get("rc").textValue());
        assertTrue(report.get("panic").isNull());
        assertTrue(report.get("ioVirtualisation").booleanValue());
        assertEquals(1, report.get("rounds").intValue());
        assertEquals("ipmmu-cache", report.get("iommus").get(0).get("kind").textValue());
        assertEquals(
                "[\"EAGAIN\",\"OK\"]",
                report.get("iommus").get(0).get("answers").toString());
        assertTrue(report.get("masters").get(0).get("ids").get(0).isIntegralNumber());
        assertEquals(0, report.get("masters").get(0).get("domain").intValue());
    }

    private static List<String> names(JsonNode object) {
        return object.properties().stream().map(java.util.Map.Entry::getKey).toList();
    }

    @Test
    void aPanicIsStatus1AndSaidInBothForms() throws IOException {
        String forced = "/iommu@2b400000=EIO";
        JsonNode report = json(1, SMMU, "--fail", forced);
        assertEquals(
                "Couldn't configure correctly all the IOMMUs.",
                report.get("panic").textValue());
        assertEquals("EIO", report.get("rc").textValue());
        assertEquals(1, run(SMMU, "--fail=" + forced));
        assertTrue(out.toString().contains("(XEN) Panic on CPU 0:\n(XEN) Couldn't configure correctly"));
        assertTrue(lastLine().startsWith("PANIC: "));
    }

    private String lastLine() {
        return out.toString().lines().reduce((a, b) -> b).orElse("");
    }

    @Test
    void theLogTellsEveryStepAndEndsWithTheVerdict() {
        assertEquals(0, run(GEN3));
        String log = out.toString();
        assertTrue(log.contains("/soc/iommu@e6740000: EAGAIN, deferred: its root is not registered yet"), log);
        assertTrue(log.contains("round 1: 6 deferred"), log);
        assertTrue(log.contains("I/O virtualisation enabled"), log);
        assertTrue(log.contains("fault: /soc/iommu@e67b0000: TF address 0x"), log);
        assertEquals("BOOTED: 7 of 7 IOMMUs up, 6 deferred, 1 round; 11 of 11 masters' DMA ok", lastLine());
    }

    @Test
    void theHypervisorsCommandLineComesFromOptionWordsOrTheTree() throws IOException {
        assertEquals(
                "iommu=0", json(0, GEN3, "--cmdline", "iommu=0").get("cmdline").textValue());
        JsonNode words = json(0, GEN3, "iommu=verbose", "iommu=off");
        assertEquals("iommu=verbose iommu=off", words.get("cmdline").textValue());
        assertFalse(words.get("ioVirtualisation").booleanValue());
    }

    @Test
    void moreIsSaidIfTheCommandLineAsksForIt() {
        run(SMMU);
        assertFalse(out.toString().contains("ias 48-bit"));
        run(SMMU, "iommu=verbose");
        assertTrue(out.toString().contains("ias 48-bit, oas 48-bit, 16-bit StreamIDs, 2-level stream table"));
    }

    @Test
    void anUnknownWordWarns() {
        assertEquals(0, run(GEN3, "iommu=frobnicate"));
        assertTrue(out.toString().contains("unknown word in iommu=: \"frobnicate\""));
    }

    @Test
    void ipmmusAreDrivenAsLinuxDoesIfAskedFor() throws IOException {
        JsonNode masters = json(0, GEN3, "--driver", "ipmmu=linux").get("masters");
        assertEquals("ok", masters.get(0).get("dma").textValue());
        assertEquals(1, masters.get(0).get("domain").intValue());
        assertEquals(0, run(GEN3, "--driver", "ipmmu=xen"));
    }

    @Test
    void ipmmusDifferFromWhatIsAssumedIfAskedFor() throws IOException {
        JsonNode masters = json(0, GEN3, "--ipmmu-option", "COLD_RESET", "--driver=ipmmu=linux")
                .get("masters");
        assertEquals("ABORT", masters.get(0).get("dma").textValue(), "Linux leaves USE_SECGRP as it is");
        masters = json(0, GEN3, "--ipmmu-option=COLD_RESET", "--ipmmu-option=PAGE_OF_FAULT")
                .get("masters");
        assertEquals("ok", masters.get(0).get("dma").textValue());
    }

    @Test
    void threeKindsOfIommuShareOneP2mAndEachSeesAnUnmap() throws IOException {
        JsonNode report = json(0, MIXED);
        assertEquals("mixed", report.get("dispatch").textValue());
        List<String> kinds = new ArrayList<>();
        report.get("iommus").forEach(iommu -> {
            kinds.add(iommu.get("kind").textValue());
            assertEquals(
                    "OK",
                    iommu.get("answers").get(iommu.get("answers").size() - 1).textValue());
        });
        assertTrue(kinds.containsAll(List.of("smmuv3", "ipmmu-root", "ipmmu-cache", "grant-dma")), kinds::toString);
        JsonNode unmap = report.get("unmap");
        assertEquals(List.of("domain", "page", "table", "paths"), names(unmap));
        assertEquals(
                List.of("master", "iommu", "kind", "id", "before", "after"),
                names(unmap.get("paths").get(0)));
        List<String> seen = new ArrayList<>();
        unmap.get("paths").forEach(path -> {
            assertEquals("ok", path.get("before").textValue());
            seen.add(path.get("kind").textValue() + " " + path.get("after").textValue());
        });
        assertTrue(
                seen.containsAll(List.of("smmuv3 F_TRANSLATION", "ipmmu-cache TF", "grant-dma BAD_FRAME")),
                seen::toString);
    }

    @Test
    void oneKindOfIommuIsUniformAndNothingIsUnmapped() throws IOException {
        JsonNode report = json(0, GEN3);
        assertEquals("uniform", report.get("dispatch").textValue());
        assertTrue(report.get("unmap").isNull());
        assertTrue(report.get("operations").isEmpty());
        assertTrue(json(0, GEN3, "iommu=0").get("dispatch").isNull());
    }

    @Test
    void aSecondKindIsRefusedWhereUniformDispatchIsAskedFor() {
        assertEquals(0, run(MIXED, "--dispatch", "uniform"));
        assertTrue(out.toString().contains("cannot set IOMMU ops, already set to a different value"), out::toString);
        assertTrue(lastLine().endsWith("2 of 6 masters' DMA ok"), out::toString);
    }

    @Test
    void operationsOfAToolstackAnswerOneAfterTheOther() throws IOException {
        String ethernet = "/soc/ethernet@e6800000";
        JsonNode operations = json(
                        0,
                        MIXED,
                        "--do=create dom1",
                        "--do=assign dom1 " + ethernet,
                        "--do=deassign d0 " + ethernet,
                        "--do=test-assign " + ethernet,
                        "--do=assign dom1 " + ethernet,
                        "--do=dma " + ethernet + " 0x40000000",
                        "--do=unmap dom1 0x40000000",
                        "--do=dma " + ethernet + " 0x40000000",
                        "--do=assign dom1 0000:00:00.0",
                        "--do=assign dom1 0000:07:00.0",
                        "--do=assign dom2 " + ethernet,
                        "--do=reassign dom0 dom1 /virtio@2000000",
                        "--do=suspend",
                        "--do=resume",
                        "--do=create dom1",
                        "--do=destroy dom1",
                        "--do=free-tables 1",
                        "--do=free-tables")
                .get("operations");
        List<String> answers = new ArrayList<>();
        operations.forEach(operation -> answers.add(operation.get("answer").textValue()));
        assertEquals(List.of("operation", "answer", "detail"), names(operations.get(0)));
        assertEquals(
                "OK EBUSY OK OK OK OK OK EFAULT OK ENODEV ESRCH OK OK OK EEXIST OK OK OK", String.join(" ", answers));
        assertEquals("TF", operations.get(7).get("detail").textValue());
        assertEquals("0 left", operations.get(17).get("detail").textValue());
    }

    @Test
    void dmaBeyondWhatAnIpmmuHasAddressBitsForIsAFault() throws IOException {
        JsonNode operations = json(0, MIXED, "--do=dma /soc/ethernet@e6800000 0x8000048000000")
                .get("operations");
        assertEquals("EFAULT", operations.get(0).get("answer").textValue());
        assertEquals("TF", operations.get(0).get("detail").textValue());
    }

    @Test
    void everyFaultOfAGrantCanBeSeen() throws IOException {
        String disk = "/virtio@2000000";
        String first = " 0x8000000000008000 ";
        String second = " 0x8000000000009000 ";
        JsonNode operations = json(
                        0,
                        MIXED,
                        "--do=grant " + disk + " 0x48000000",
                        "--do=backend dom1 " + disk + first + "write",
                        "--do=backend dom2 " + disk + first + "read",
                        "--do=grant " + disk + " 0x48001000 ro",
                        "--do=backend dom1 " + disk + second + "read",
                        "--do=backend dom1 " + disk + second + "write",
                        "--do=backend dom1 " + disk + " 0x800000000000a000 read",
                        "--do=backend dom1 " + disk + " 0xfffffffffffff000 read",
                        "--do=backend dom1 " + disk + " 0x8000 read",
                        "--do=backend dom1 " + disk + first + "hold",
                        "--do=revoke " + disk + first,
                        "--do=backend dom1 " + disk + first + "release",
                        "--do=revoke " + disk + first,
                        "--do=backend dom1 " + disk + first + "read",
                        "--do=grant " + disk + " 0x48000000",
                        "--do=grant /soc/ethernet@e6800000 0x48000000")
                .get("operations");
        List<String> answers = new ArrayList<>();
        operations.forEach(operation -> answers.add(operation.get("answer").textValue() + " "
                + operation.get("detail").textValue()));
        assertEquals(
                List.of(
                        "OK 0x8000000000008000",
                        "OK ok",
                        "EFAULT FOREIGN_DOMAIN",
                        "OK 0x8000000000009000",
                        "OK ok",
                        "EFAULT READ_ONLY",
                        "EFAULT NOT_GRANTED",
                        "EFAULT BAD_REFERENCE",
                        "EFAULT NOT_A_GRANT",
                        "OK ok",
                        "EBUSY null",
                        "OK ok",
                        "OK null",
                        "EFAULT NOT_GRANTED",
                        "EINVAL not granted",
                        "ENODEV null"),
                answers);
    }

    @Test
    void functionsOfARealMachineDoDmaWithTheStreamIdsOfAllTheirRequesterIds() throws IOException {
        String dump = Path.of("..", "boards", "pci", "virt-linux-7.2.lspci").toString();
        JsonNode report = json(
                0,
                MIXED,
                "--pci=" + dump,
                "--do=create dom1",
                "--do=assign dom1 0000:05:00.1",
                "--do=dma 0000:05:00.1 0x40000000",
                "--do=dma 0000:05:00.0 0x40000000",
                "--do=assign dom1 0000:07:01.0",
                "--do=assign dom1 0000:07:03.0");
        JsonNode bridge = report.get("masters").get(2);
        assertEquals("/soc/pcie@10000000", bridge.get("path").textValue());
        assertEquals("ok", bridge.get("dma").textValue());
        List<Integer> ids = new ArrayList<>();
        bridge.get("ids").forEach(id -> ids.add(id.intValue()));
        assertTrue(ids.containsAll(List.of(0x500, 0x501, 0x700, 0x708, 0x710)), ids::toString);
        List<String> answers = new ArrayList<>();
        report.get("operations")
                .forEach(operation -> answers.add(operation.get("answer").textValue()));
        // 07:01.0 and 07:02.0 are behind a bridge that puts its own requester ID in place of theirs.
        assertEquals("OK OK OK EFAULT EBUSY ENODEV", String.join(" ", answers));
    }

    @Test
    void withoutIoVirtualisationAToolstackIsAnsweredEnosys() throws IOException {
        JsonNode operations =
                json(0, MIXED, "iommu=0", "--do=assign dom0 /nowhere").get("operations");
        assertEquals("ENOSYS", operations.get(0).get("answer").textValue());
    }

    @Test
    void aMissingFileIsStatus2() {
        assertEquals(2, run("nowhere.dtb"));
        assertOneErrorLine("nowhere.dtb", "no such file");
    }

    @Test
    void aFolderIsStatus2(@TempDir Path folder) {
        assertEquals(2, run(folder.toString()));
        assertOneErrorLine(folder.toString());
    }

    @Test
    void aTruncatedTreeIsStatus2(@TempDir Path folder) throws IOException {
        byte[] whole = Files.readAllBytes(Path.of(GEN3));
        for (int length : new int[] {0, 3, 40, 100, whole.length / 2, whole.length - 1}) {
            err.getBuffer().setLength(0);
            Path file = folder.resolve("cut.dtb");
            Files.write(file, Arrays.copyOf(whole, length));
            assertEquals(2, run(file.toString()), () -> "of " + length + " bytes");
            assertOneErrorLine("cut.dtb");
        }
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "--without-driver=frob",
                "--fail=/nowhere=EIO",
                "--fail=nonsense",
                "--prr=x",
                "--driver=ipmmu=bsd",
                "--driver=smmuv3=linux",
                "--ipmmu-option=FROB",
                "--frob",
                "--dispatch=both",
                "--do=frob dom1",
                "--do=assign dom1",
                "--do=assign one /soc",
                "--do=dma /soc x",
                "--do=free-tables -1",
                "--do=grant /x 0x1000 rw",
                "--do=backend dom1 /x 0x1000 erase",
                "--do=revoke /x 0x10000000000000000",
                "--pci=/nowhere/at/all",
                "--without-driver"
            })
    void badOptionsAreStatus2AndNameTheOption(String option) {
        assertEquals(2, run(GEN3, option));
        assertEquals("", out.toString());
        assertTrue(err.toString().contains(option.replaceFirst("--pci=|=.*", "")), err::toString);
    }

    @Test
    void noBoardIsStatus2() {
        assertEquals(2, run());
        assertTrue(err.toString().contains("BOARD.dtb"), err::toString);
    }
}
