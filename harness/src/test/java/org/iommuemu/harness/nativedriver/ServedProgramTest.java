package org.iommuemu.harness.nativedriver;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.DriverServer;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.Program;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.iommu.Platform;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Programs that were started by somebody else, and what they see when the emulator goes away. */
class ServedProgramTest {
    private static final Duration LONG = Duration.ofSeconds(30);

    @TempDir
    private Path folder;

    private DriverServer server;
    private Path socket;
    private final List<Process> started = new ArrayList<>();

    @BeforeEach
    void listen() throws IOException {
        assumeTrue(Library.notMade("stubs/smmuv3").isEmpty(), () -> Library.notMade("stubs/smmuv3")
                .orElseThrow());
        socket = folder.resolve("socket");
        server = DriverServer.listen(socket);
    }

    @AfterEach
    void close() {
        if (server != null) {
            server.close();
        }
        started.forEach(Process::destroyForcibly);
    }

    private Process start(String output, String... command) throws IOException {
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve(output).toFile())
                .start();
        started.add(process);
        return process;
    }

    private Process startStub() throws IOException {
        return start("stub", Library.made("stubs/smmuv3").toString(), socket.toString());
    }

    private String output(String name) throws IOException {
        return Files.readString(folder.resolve(name));
    }

    private static int status(Process process) throws InterruptedException {
        assertTrue(process.waitFor(30, TimeUnit.SECONDS), "it hangs");
        return process.exitValue();
    }

    /** A program that is no driver has a rig to itself; nothing here drives it. */
    private Rig rig(Rig.Factory factory) throws IOException {
        return Rig.of(Kind.SMMUV3, factory);
    }

    @Test
    void aDriverThatConnectsIsUsedLikeAnyOther() throws Exception {
        Process process = startStub();
        try (Program program = server.next();
                Rig rig = rig((platform, ram) -> program.attach(platform, ram, NativeDriver.TIMEOUT))) {
            assertEquals(process.pid(), program.pid());
            rig.booted();
        }
        assertEquals(0, status(process), output("stub"));
    }

    @Test
    void anotherProgramIsRefusedUntilTheFirstHasLeft() throws Exception {
        Process first = startStub();
        try (Program program = server.next()) {
            assertEquals(first.pid(), program.pid());
            Process second = start("second", Library.made("stubs/ipmmu").toString(), socket.toString());
            assertEquals(2, status(second));
            assertTrue(output("second").contains("another program is attached"), output("second"));
        }
        assertEquals(2, status(first));
        assertTrue(output("stub").contains("went away before it answered"), output("stub"));
        server.done();
        Process third = startStub();
        try (Program program = server.next()) {
            assertEquals(third.pid(), program.pid());
        }
    }

    @Test
    @SuppressWarnings("try") // Closing it early is the scenario.
    void aDriverBetweenOperationsIsToldThatTheEmulatorIsGone() throws Exception {
        Process process = startStub();
        try (Program program = server.next();
                Rig rig = rig((platform, ram) -> program.attach(platform, ram, NativeDriver.TIMEOUT))) {
            rig.booted();
            program.close(); // As if the emulator had been killed.
            assertEquals(69, status(process));
            assertTrue(output("stub").contains("the emulator went away"), output("stub"));
        }
    }

    @Test
    void aDriverThatIsKilledIsNoticedWithTheNextOperation() throws Exception {
        Process process = startStub();
        try (Program program = server.next();
                Rig rig = rig((platform, ram) -> program.attach(platform, ram, NativeDriver.TIMEOUT))) {
            rig.booted();
            process.destroyForcibly();
            status(process);
            assertThrows(AssertionError.class, () -> rig.device(Kind.SMMUV3.first));
            assertTrue(rig.nativeDriver().lost().orElseThrow().contains("gone in add_device("), rig.log.said::toString);
        }
    }

    private Path compile(String name) throws Exception {
        assumeTrue(new ProcessBuilder("sh", "-c", "command -v cc").start().waitFor() == 0, "cc is not on the PATH");
        Path program = folder.resolve(name);
        Process compiler = start(
                "compiler",
                "cc",
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-I../native/include",
                "-o",
                program.toString(),
                "../native/src/test/c/" + name + ".c",
                Library.made("libiommu_emu_client.a").toString(),
                "-pthread");
        assertEquals(0, status(compiler), output("compiler"));
        return program;
    }

    @Test
    void aThreadOfAProgramOutlivesASession() throws Exception {
        Process process = start("said", compile("sessions").toString(), socket.toString());
        for (int i = 0; i < 3; i++) {
            try (Program program = server.next()) {
                serve(program);
            }
            server.done();
        }
        assertEquals(0, status(process), output("said"));
        assertTrue(output("said").contains("session 2, IDR0 0x080ff69b"), output("said"));
    }

    @Test
    void aProgramThatIsNoDriverHasTheBoardUntilTheEmulatorGoesAway() throws Exception {
        Path plain = compile("plain");
        Process process = start("plain-output", plain.toString(), socket.toString());
        Program program = server.next();
        assertFalse(program.isDriver());
        Thread serving = new Thread(() -> serve(program));
        serving.start();
        await().atMost(LONG)
                .until(() -> !process.isAlive() || output("plain-output").contains("banks"));
        String said = output("plain-output");
        assertTrue(said.contains("/iommu@2b400000 at 0x2b400000, IDR0 0x"), said + status0(process));
        assertTrue(said.contains("/usb@2c200000 behind /iommu@2b600000, 0x30"), said);
        assertTrue(said.contains("interrupt eventq "), said);
        assertTrue(said.contains("2 banks, fdt of ") && said.contains("magic d0"), said);
        program.close(); // As if the emulator had been killed.
        assertEquals(69, status(process));
        assertTrue(output("plain-output").contains("the emulator went away during read(0x2b400000"), said);
        serving.join();
    }

    private static String status0(Process process) {
        return process.isAlive() ? "" : " status " + process.exitValue();
    }

    private void serve(Program program) {
        Rig.Factory nobody = (Platform platform, SharedRam ram) -> {
            program.serve(platform, ram);
            return null;
        };
        try (Rig rig = rig(nobody)) {
            assertTrue(rig.log.faults.isEmpty());
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }
}
