package org.iommuemu.nativecode.driver;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.iommuemu.nativecode.Library;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;

/** Attaches drivers in C. */
public final class NativeDrivers {
    private static final long START_MILLISECONDS = 20_000;
    private static final byte[] ELF = {0x7f, 'E', 'L', 'F'};

    private NativeDrivers() {}

    /**
     * Attaches a driver library.
     *
     * @param ram of the board, before it was touched
     * @param library a file that exports {@code iommu_emu_driver}
     * @param timeout for each operation; zero to wait for ever
     * @throws NativeDriverException if that is not possible
     */
    public static NativeDriver load(Platform platform, SharedRam ram, Path library, Via via, Duration timeout) {
        check(library, via);
        if (via == Via.PROCESS) {
            return start(platform, ram, inProcessOfItsOwn(library), timeout);
        }
        InProcessDriver calls = new InProcessDriver(library, via.binding());
        NativeDriver driver = new NativeDriver(platform, ram, calls, timeout);
        calls.connect(driver.host(), driver.image(), ram);
        driver.open();
        return driver;
    }

    static void check(Path library, Via via) {
        via.unavailable().ifPresent(reason -> {
            throw new NativeDriverException("--via " + via + ": " + reason);
        });
        if (!Files.isReadable(library)) {
            throw new NativeDriverException(
                    library + (Files.exists(library) ? ": it may not be read" : ": there is no such file"));
        }
        if (!looksLikeALibrary(library)) {
            throw new NativeDriverException(library + ": it cannot be loaded: it is no library");
        }
    }

    /** The loader would find out, too, and the JVM print a warning that leads elsewhere. */
    private static boolean looksLikeALibrary(Path library) {
        try (InputStream in = Files.newInputStream(library)) {
            byte[] start = in.readNBytes(ELF.length);
            return Arrays.equals(start, ELF) || !System.getProperty("os.name").equals("Linux");
        } catch (IOException e) {
            return false; // A folder, for instance.
        }
    }

    /** The command that runs a library. */
    static List<String> inProcessOfItsOwn(Path library) {
        return List.of(
                Library.made(Via.RUNNER).toString(), library.toAbsolutePath().toString());
    }

    /**
     * Starts a program that is a driver, and attaches it. What it prints goes to the log.
     *
     * @param command the program and its arguments; the socket's path becomes the last one
     * @throws NativeDriverException if that is not possible
     */
    public static NativeDriver start(Platform platform, SharedRam ram, List<String> command, Duration timeout) {
        Program program = start(command, platform.log());
        try {
            return program.attach(platform, ram, timeout);
        } catch (NativeDriverException e) {
            program.close();
            throw e;
        }
    }

    /** Starts a program and waits until it has connected. */
    static Program start(List<String> command, Log log) {
        String name = Path.of(command.get(command.size() - 1)).getFileName().toString();
        Process process = null;
        DriverServer server = null;
        try {
            server = DriverServer.listenInFolderOfItsOwn();
            process = new ProcessBuilder(Stream.concat(
                                    command.stream(), Stream.of(server.path().toString()))
                            .toList())
                    .redirectErrorStream(true)
                    .start();
            List<String> first = new CopyOnWriteArrayList<>();
            Thread output = logOutput(process, name, log, first);
            Program program = connected(server, process);
            if (program == null) {
                output.join(1000); // It may have said why.
                throw new NativeDriverException("%s: the process %s%s"
                        .formatted(
                                name,
                                process.isAlive()
                                        ? "does not connect"
                                        : "ended with status %d before it connected".formatted(process.exitValue()),
                                first.stream().map(line -> "; " + line).collect(Collectors.joining())));
            }
            program.calls().owns(process, server);
            process = null; // Both are the program's now.
            server = null;
            return program;
        } catch (IOException e) {
            throw new NativeDriverException("%s: it cannot be started: %s".formatted(name, e.getMessage()), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new NativeDriverException(name + ": interrupted while it was started", e);
        } finally {
            if (process != null) {
                process.destroyForcibly();
            }
            if (server != null) {
                server.close();
            }
        }
    }

    private static Program connected(DriverServer server, Process process) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(START_MILLISECONDS);
        Program program = null;
        while (program == null && process.isAlive() && System.nanoTime() < end) {
            program = server.next(20);
        }
        return program;
    }

    /** @param first gets the first few lines */
    private static Thread logOutput(Process process, String name, Log log, List<String> first) {
        Thread thread = new Thread(
                () -> {
                    try (BufferedReader lines = new BufferedReader(
                            new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
                        for (String line; (line = lines.readLine()) != null; ) {
                            log.warning(name, line);
                            if (first.size() < 4) {
                                first.add(line);
                            }
                        }
                    } catch (IOException e) {
                        // The process was ended.
                    }
                },
                "output of " + name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }
}
