package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.iommuemu.harness.Tools;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The launcher as a process: what libqtest passes to it and wants of it. */
@Timeout(120)
class LauncherTest {
    private static final List<String> LAUNCHER = List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-cp",
            System.getProperty("java.class.path"),
            "org.iommuemu.harness.cli.Main",
            "qtest-system-aarch64");

    @TempDir
    private Path folder;

    @Test
    void whatLibqtestDoesFromTheHandshakeToTheSignal() throws Exception {
        try (QtestProcess process = new QtestProcess(
                folder,
                LAUNCHER,
                "qtest",
                "-machine",
                "virt,acpi=off,gic-version=3,iommu=smmuv3",
                "-smp",
                "1",
                "-m",
                "512",
                "-cpu",
                "max",
                "-net",
                "none",
                "-device",
                "iommu-testdev")) {
            process.expect("OK little", "endianness");
            assertTrue(process.monitor(null).contains("\"QMP\""));
            assertEquals("{\"return\":{}}", process.monitor("{\"execute\": \"qmp_capabilities\"}"));
            assertEquals(0x0005_1b36, process.readl(Talk.ECAM + (1 << 15)));
            assertEquals(3, process.readl(Talk.SMMU) & 3);
            assertEquals(0, process.end(), "any other status is a crash to libqtest");
        }
    }

    @Test
    void aProgramAsksWhatThereIsWithoutAMachine() throws Exception {
        try (QtestProcess process = new QtestProcess(folder, LAUNCHER, "qtest", "-machine", "none")) {
            process.monitor(null);
            process.monitor("{\"execute\": \"qmp_capabilities\"}");
            assertTrue(process.monitor("{\"execute\": \"query-machines\"}").contains("\"alias\":\"virt\""));
            assertTrue(process.monitor("{\"execute\": \"quit\"}").contains("return"));
        }
    }

    private String failure(String... options) throws Exception {
        List<String> command = new ArrayList<>(LAUNCHER);
        command.addAll(List.of(options));
        List<String> lines =
                Tools.run(1, folder, command.toArray(String[]::new)).lines().toList();
        assertEquals(1, lines.size(), lines::toString);
        return lines.get(0);
    }

    @Test
    void anUnknownOptionIsStatus1AndNamed() throws Exception {
        assertTrue(failure("-machine", "virt", "-frob", "x").startsWith("qtest-system-aarch64: Unknown option"));
    }
}
