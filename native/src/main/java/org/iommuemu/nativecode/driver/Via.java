package org.iommuemu.nativecode.driver;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import org.iommuemu.nativecode.Library;

/** The ways in: how a driver in C is attached. */
public enum Via {
    /** In this process, over JNA. */
    JNA,
    /** In this process, over jnr-ffi. */
    JNR,
    /** In this process, over {@code java.lang.foreign}; from JDK 22 on. */
    FFM,
    /** In a process of its own, over a Unix socket. */
    PROCESS;

    /** The name of the program that runs a driver library in its own process. */
    static final String RUNNER = "iommu_emu_run";

    /** Why this way is not there, empty if it is. */
    public Optional<String> unavailable() {
        return switch (this) {
            case JNA, JNR -> Optional.empty();
            case FFM -> FfmBinding.unavailable();
            case PROCESS -> Library.notMade(RUNNER);
        };
    }

    /** The fastest that is there and needs no process. */
    public static Via fastest() {
        return FFM.unavailable().isEmpty() ? FFM : JNR;
    }

    /**
     * The way of a name, "ffm" for instance.
     *
     * @throws IllegalArgumentException if there is none; the message names those there are
     */
    public static Via of(String name) {
        return Arrays.stream(values())
                .filter(via -> via.toString().equals(name))
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("there is no way in that is called " + name + ", only "
                        + String.join(
                                ", ", Arrays.stream(values()).map(Via::toString).toList())));
    }

    /** How it calls and is called; of ways within this process. */
    Binding binding() {
        return switch (this) {
            case JNA -> new JnaBinding();
            case JNR -> new JnrBinding();
            case FFM -> new FfmBinding();
            case PROCESS -> throw new IllegalStateException("it is another process");
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
