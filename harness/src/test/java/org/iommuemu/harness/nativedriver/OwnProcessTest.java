package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Our C with other compilers, under sanitizers, and on another architecture: all in a process of its own. */
class OwnProcessTest {
    private static final Path NATIVE = Path.of("..", "native");
    private static final Path C = NATIVE.resolve("src/main/c");

    private static boolean has(String tool) {
        return Arrays.stream(System.getenv("PATH").split(File.pathSeparator))
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, tool)));
    }

    private static void need(String tool) {
        assumeTrue(has(tool), tool + " is not on the PATH");
    }

    private static String run(Path folder, List<String> command) throws Exception {
        Path output = folder.resolve("output");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        assertTrue(process.waitFor(120, TimeUnit.SECONDS), "it hangs");
        assertEquals(0, process.exitValue(), command + "\n" + Files.readString(output));
        return Files.readString(output);
    }

    private static List<String> flags() {
        return List.of(
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-I" + NATIVE.resolve("include"),
                "-I" + C.resolve("stubs"),
                "-I" + C.resolve("client"));
    }

    /** A stub as a program. */
    private static Path program(Path folder, Kind kind, List<String> compiler) throws Exception {
        Path program = folder.resolve(kind.stub);
        List<String> command = new ArrayList<>(compiler);
        command.addAll(flags());
        command.addAll(List.of("-DDRIVER=" + kind.stub + "_stub", "-o", program.toString()));
        for (String source : List.of("main.c", "smmuv3.c", "ipmmu.c", "stage2.c")) {
            command.add(C.resolve("stubs").resolve(source).toString());
        }
        command.add(C.resolve("client/iommu_emu_client.c").toString());
        command.add("-pthread");
        run(folder, command);
        return program;
    }

    /** One long way through all operations. */
    private static void goThroughIt(Kind kind, List<String> command) throws IOException {
        try (Rig rig =
                Rig.of(kind, (platform, ram) -> NativeDrivers.start(platform, ram, command, NativeDriver.TIMEOUT))) {
            rig.booted();
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            Domain a = rig.domain(1);
            Domain b = rig.domain(2);
            rig.attach(a, one);
            rig.attach(b, two);
            rig.map(a, Rig.INPUT, rig.ram(0), 600 * Rig.PAGE);
            rig.map(b, Rig.INPUT, rig.ram(1 << 24), 2 * Rig.PAGE);
            rig.assertReaches(one, Rig.INPUT + 599 * Rig.PAGE, rig.ram(599 * Rig.PAGE));
            rig.assertReaches(two, Rig.INPUT, rig.ram(1 << 24));
            rig.unmap(a, Rig.INPUT, 600 * Rig.PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(one, Rig.INPUT));
            rig.board.interrupts().dispatch();
            assertEquals(Rig.INPUT, rig.log.faults.get(0).address());
            rig.iommus.destroy(a);
            rig.iommus.destroy(b);
            for (String path : rig.up()) {
                assertEquals(
                        Errno.OK,
                        rig.nativeDriver().remove(rig.board.tree().node(path).orElseThrow()));
            }
            rig.nativeDriver().close();
            assertTrue(rig.nativeDriver().lost().isEmpty(), rig.log.said::toString);
            assertFalse(rig.log.has("Sanitizer") || rig.log.has("runtime error"), rig.log.said::toString);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"gcc", "clang"})
    void everyFileOfOursCompilesWithoutAWarning(String compiler, @TempDir Path folder) throws Exception {
        need(compiler);
        List<String> command = new ArrayList<>(List.of(compiler, "-fsyntax-only", "-O2", "-DDRIVER=smmuv3_stub"));
        command.addAll(flags());
        try (Stream<Path> files = Files.walk(C)) {
            files.map(Path::toString).filter(name -> name.endsWith(".c")).forEach(command::add);
        }
        for (String test : List.of("plain.c", "silicon.c", "sessions.c")) {
            command.add(NATIVE.resolve("src/test/c").resolve(test).toString());
        }
        assertTrue(command.size() > 20, command::toString);
        run(folder, command);
    }

    /** One object is linked with the emulator's client here, and with a host of plain loads and stores there. */
    @Test
    void theSameObjectRunsWithoutTheEmulator(@TempDir Path folder) throws Exception {
        need("gcc");
        List<String> objects = new ArrayList<>();
        for (String name : List.of("smmuv3", "stage2")) {
            objects.add(folder.resolve(name + ".o").toString());
            List<String> compile = new ArrayList<>(List.of("gcc", "-c", "-o", objects.get(objects.size() - 1)));
            compile.addAll(flags());
            compile.add(C.resolve("stubs").resolve(name + ".c").toString());
            run(folder, compile);
        }
        List<String> silicon = link(folder, "silicon", objects);
        silicon.add(NATIVE.resolve("src/test/c/silicon.c").toString());
        run(folder, silicon);
        String said = run(folder, List.of(folder.resolve("silicon").toString()));
        assertTrue(said.contains("rc 0, CR0 0xd, "), said);

        List<String> emulated = link(folder, "emulated", objects);
        emulated.addAll(
                List.of("-DDRIVER=smmuv3_stub", C.resolve("stubs/main.c").toString()));
        emulated.addAll(List.of(C.resolve("client/iommu_emu_client.c").toString(), "-pthread"));
        run(folder, emulated);
        goThroughIt(Kind.SMMUV3, List.of(folder.resolve("emulated").toString()));
    }

    private static List<String> link(Path folder, String program, List<String> objects) {
        List<String> command =
                new ArrayList<>(List.of("gcc", "-o", folder.resolve(program).toString()));
        command.addAll(flags());
        command.addAll(objects);
        return command;
    }

    /** Leaks count as errors, too, as the process ends in order. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void driverAndClientAreCleanUnderAddressAndUndefinedBehaviourSanitizer(Kind kind, @TempDir Path folder)
            throws Exception {
        need("gcc");
        List<String> compiler = List.of(
                "gcc",
                "-g",
                "-O1",
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=undefined",
                "-fno-omit-frame-pointer");
        goThroughIt(kind, List.of(program(folder, kind, compiler).toString()));
    }

    /** The emulator is here, the driver on AArch64. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void aDriverOnAarch64DrivesTheSameBoard(Kind kind, @TempDir Path folder) throws Exception {
        need("aarch64-linux-gnu-gcc");
        need("qemu-aarch64");
        Path program = program(folder, kind, List.of("aarch64-linux-gnu-gcc", "-O2", "-static"));
        goThroughIt(kind, List.of("qemu-aarch64", program.toString()));
    }
}
