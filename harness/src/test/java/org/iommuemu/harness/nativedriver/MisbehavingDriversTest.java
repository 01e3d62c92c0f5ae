package org.iommuemu.harness.nativedriver;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.boot.Panic;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What the emulator makes of drivers that do one thing wrong. */
class MisbehavingDriversTest {
    private static final Duration SHORT = Duration.ofSeconds(1);

    @BeforeEach
    void needC() {
        assumeTrue(Library.notMade("stubs/crash.so").isEmpty(), () -> Library.notMade("stubs/crash.so")
                .orElseThrow());
    }

    static Stream<Via> ways() {
        return Arrays.stream(Via.values())
                .filter(via -> via != Via.FFM || via.unavailable().isEmpty());
    }

    private static Rig smmu(String stub, Via via, Duration timeout) throws IOException {
        return Rig.stub(Kind.SMMUV3, stub, via, timeout);
    }

    @Test
    void aCrashEndsTheDriversProcessAndNothingElse() throws IOException {
        try (Rig rig = smmu("crash", Via.PROCESS, NativeDriver.TIMEOUT).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            assertEquals(Errno.EIO, rig.iommus.assign(domain, device));
            String words = rig.nativeDriver().lost().orElseThrow();
            assertTrue(words.contains("ended with signal 11"), words);
            assertTrue(words.contains("in attach("), words);
            // Attaching ends with a CMD_SYNC that is waited for: that is what it did last.
            assertTrue(words.matches("(?s).*it did last: .*write32 0x[0-9a-f]+ = 0x[0-9a-f]+, read32 .*"), words);
            // The rest of the machine is as it was, and the driver answers at once.
            assertEquals(Errno.EIO, rig.iommus.assign(rig.domain(2), device));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, Rig.INPUT));
        }
    }

    /** Docs say so: within the emulator's process a crash is the end of it. This is seen from outside. */
    @ParameterizedTest
    @EnumSource(
            value = Via.class,
            names = {"JNA", "JNR"})
    void inThisProcessACrashTakesTheJvmAlong(Via via, @TempDir Path folder) throws Exception {
        Path output = folder.resolve("output");
        Process jvm = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:-CreateCoredumpOnCrash",
                        "-XX:ErrorFile=" + folder.resolve("hs_err"),
                        "-XX:TieredStopAtLevel=1",
                        "-cp",
                        System.getProperty("java.class.path"),
                        "org.iommuemu.harness.cli.Main",
                        "boot",
                        "../boards/smmuv3-pcie.dtb",
                        "--driver",
                        "smmuv3=" + Library.made("stubs/crash.so"),
                        "--via",
                        via.toString())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertTrue(jvm.waitFor(60, TimeUnit.SECONDS), "it hangs");
        assertNotEquals(0, jvm.exitValue());
        assertFalse(Files.readString(output).contains("BOOTED"), Files.readString(output));
        assertTrue(Files.readString(folder.resolve("hs_err")).contains("SIGSEGV"));
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aHangIsGivenUpAndNamed(Via via) throws IOException {
        try (Rig rig = smmu("hang", via, SHORT).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            assertEquals(Errno.ETIMEDOUT, rig.iommus.assign(rig.domain(1), device));
            String words = rig.nativeDriver().lost().orElseThrow();
            assertTrue(words.startsWith("attach(") && words.contains("has not returned for 1000 ms"), words);
            assertTrue(words.contains(via == Via.PROCESS ? "was ended" : "cannot be ended"), words);
            assertEquals(Errno.ETIMEDOUT, rig.iommus.assign(rig.domain(2), device));
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void garbageInItsTablesIsAFaultOfTheDevice(Via via) throws IOException {
        try (Rig rig = smmu("wild", via, NativeDriver.TIMEOUT).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.iommus.assign(domain, device);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, Rig.INPUT));
            rig.board.interrupts().dispatch();
            // What the driver does next may fail or not, but ends.
            rig.iommus.deassign(domain, device);
            assertTrue(rig.nativeDriver().lost().isEmpty(), rig.log.said::toString);
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aNumberThatIsNoErrorIsTakenForEio(Via via) throws IOException {
        try (Rig rig = smmu("errno", via, NativeDriver.TIMEOUT).booted()) {
            Device device = new Device(rig.board.tree().node(Kind.SMMUV3.first).orElseThrow());
            assertEquals(Errno.EIO, rig.iommus.addDevice(device, device.node().iommus()));
            assertFalse(device.isProtected());
            assertTrue(rig.log.has("returned 4711, which is neither 0 nor a negative error number"));
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void anInterruptStormEndsAndIsNamed(Via via) throws IOException {
        try (Rig rig = Rig.stub(Kind.IPMMU, "storm", via, NativeDriver.TIMEOUT).booted()) {
            Device device = rig.device(Kind.IPMMU.first);
            rig.attach(rig.domain(1), device);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, Rig.INPUT));
            assertEquals(InterruptController.STORM_LIMIT, rig.board.interrupts().dispatch());
            assertTrue(rig.log.has("interrupt storm"), rig.log.said::toString);
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aBusErrorFailsTheOperationThatMetIt(Via via) throws IOException {
        try (Rig rig = smmu("bus_error", via, NativeDriver.TIMEOUT)) {
            assertThrows(Panic.class, rig::boot);
            assertTrue(rig.log.has("read of 4 bytes at 0xfffffff0000"), rig.log.said::toString);
            String failed = rig.log.said.stream()
                    .filter(line -> line.contains(": EFAULT: "))
                    .findFirst()
                    .orElseThrow();
            assertTrue(failed.contains("read of 4 bytes at 0xfffffff0000"), failed);
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void threadsOfItsOwnMayReadRegisters(Via via) throws IOException {
        try (Rig rig = smmu("threads", via, NativeDriver.TIMEOUT).booted()) {
            // What a thread of another process says is not in step with what the driver does.
            await().atMost(Duration.ofSeconds(20))
                    .until(() -> rig.log.said.stream()
                                    .filter(line -> line.contains("a thread has read IDR0"))
                                    .count()
                            == 4L * rig.up().size());
        }
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aDelayInsideOfAnOperationLetsInterruptsIn(Via via) throws IOException {
        try (Rig rig = smmu("nested", via, NativeDriver.TIMEOUT).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.write(device, Rig.INPUT);
            assertEquals(List.of(), rig.log.faults);
            assertEquals(Errno.OK, rig.iommus.deassign(domain, device));
            assertTrue(rig.log.has("handled 1 in a delay, 0 nested"), rig.log.said::toString);
            assertEquals(Rig.INPUT, rig.log.faults.get(0).address());
        }
    }

    private static NativeDriverException refused(Path library, Via via) throws IOException {
        return assertThrows(NativeDriverException.class, () -> Rig.of(
                        Kind.SMMUV3,
                        (platform, ram) -> NativeDrivers.load(platform, ram, library, via, NativeDriver.TIMEOUT))
                .close());
    }

    @ParameterizedTest
    @MethodSource("ways")
    void whatIsNoDriverLibraryIsRefusedInOneLine(Via via, @TempDir Path folder) throws IOException {
        Path text = Files.writeString(folder.resolve("text.so"), "no library");
        for (Path library : List.of(folder.resolve("missing.so"), text, Library.made("libiommu_emu_reference.so"))) {
            String message = refused(library, via).getMessage();
            assertTrue(message.contains(library.getFileName().toString()), message);
            assertFalse(message.contains("\n"), message);
        }
        assertTrue(refused(folder.resolve("missing.so"), via).getMessage().endsWith("there is no such file"));
        assertTrue(refused(text, via).getMessage().endsWith("it is no library"));
        // What it lacks, also where another process has found that out.
        String noDriver =
                refused(Library.made("libiommu_emu_reference.so"), via).getMessage();
        assertTrue(noDriver.contains("iommu_emu_driver"), noDriver);
    }

    /** Structures that are too short, of another version, or without an operation; NULL. */
    @ParameterizedTest
    @MethodSource("ways")
    void aDriverThatDoesNotFitIsRefused(Via via, @TempDir Path folder) throws Exception {
        assumeTrue(new ProcessBuilder("sh", "-c", "command -v cc").start().waitFor() == 0, "cc is not on the PATH");
        Map<String, String> drivers = Map.of(
                ".abi_version = 2u << 16, .size = sizeof driver", "version",
                ".abi_version = IOMMU_EMU_ABI_VERSION, .size = 40", "version",
                ".abi_version = IOMMU_EMU_ABI_VERSION, .size = sizeof driver", "lacks");
        for (var driver : drivers.entrySet()) {
            Path source = Files.writeString(
                    folder.resolve("driver.c"),
                    """
                    #include "iommu_emu.h"
                    static const char *const compatible[] = {"arm,smmu-v3", NULL};
                    static const struct iommu_emu_driver driver = {.name = "short", .compatible = compatible, %s};
                    const struct iommu_emu_driver *iommu_emu_driver(uint32_t version)
                    {
                        return version == 0 ? NULL : &driver;
                    }
                    """
                            .formatted(driver.getKey()));
            Path library = Files.createTempFile(folder, "driver", ".so");
            Process cc = new ProcessBuilder(
                            "cc",
                            "-shared",
                            "-fPIC",
                            "-I../native/include",
                            "-o",
                            library.toString(),
                            source.toString())
                    .inheritIO()
                    .start();
            assertEquals(0, cc.waitFor());
            String message = refused(library, via).getMessage();
            assertTrue(message.contains(driver.getValue()), message);
        }
    }
}
