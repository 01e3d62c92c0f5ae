package org.iommuemu.harness.cli;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;
import org.iommuemu.harness.BoardException;
import org.iommuemu.harness.DriverInC;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Option;
import picocli.CommandLine.TypeConversionException;

/** The options of every command that attaches drivers in C. */
final class DriverOptions {
    @Option(
            names = "--via",
            paramLabel = "jna|jnr|ffm|process",
            converter = ViaConverter.class,
            description =
                    "How drivers in C are attached: in this process over JNA, jnr-ffi or java.lang.foreign (JDK 22 and "
                            + "newer), or in a process of their own. Otherwise the fastest in this process.")
    private Via via = Via.fastest();

    @Option(
            names = "--call-timeout",
            paramLabel = "SECONDS",
            description =
                    "How long an operation of a driver in C may take, 10 where nothing else is said; 0 for ever, as for "
                            + "a driver under a debugger.")
    private long seconds = NativeDriver.TIMEOUT.toSeconds();

    static final class ViaConverter implements ITypeConverter<Via> {
        @Override
        public Via convert(String value) {
            try {
                return Via.of(value);
            } catch (IllegalArgumentException e) {
                throw new TypeConversionException(e.getMessage());
            }
        }
    }

    Via via() {
        return via;
    }

    /** @throws BoardException if it is no time-out */
    static Duration timeout(long seconds) {
        if (seconds < 0 || seconds > Integer.MAX_VALUE) {
            throw new BoardException("--call-timeout " + seconds + ": no such number of seconds");
        }
        return Duration.ofSeconds(seconds);
    }

    /** A driver of a library. */
    DriverInC of(String replaces, Path library) {
        Duration timeout = timeout(seconds);
        return new DriverInC(replaces, (platform, ram) -> NativeDrivers.load(platform, ram, library, via, timeout));
    }

    /** Reads {@code KIND=FILE}. */
    DriverInC inC(String text) {
        String[] parts = text.split("=", 2);
        if (parts.length < 2 || !Set.of(Smmuv3Driver.NAME, IpmmuDriver.NAME).contains(parts[0]) || parts[1].isEmpty()) {
            throw new BoardException(
                    "--driver " + text + ": it is ipmmu=xen, ipmmu=linux, smmuv3=FILE.so or ipmmu=FILE.so");
        }
        if (!Files.isRegularFile(Path.of(parts[1]))) {
            throw new BoardException("--driver " + text + ": there is no such file");
        }
        return of(parts[0], Path.of(parts[1]));
    }
}
