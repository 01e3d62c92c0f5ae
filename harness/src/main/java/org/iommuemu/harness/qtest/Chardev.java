package org.iommuemu.harness.qtest;

import java.nio.file.Path;
import java.util.Set;

/** Where a conversation takes place. */
public sealed interface Chardev {
    /** A Unix socket that somebody listens on. */
    record Connect(Path path) implements Chardev {}

    /** A Unix socket to listen on, for one client at a time. */
    record Listen(Path path) implements Chardev {}

    /** A Unix socket: somebody else's if somebody listens on it, otherwise one to listen on. */
    record Meet(Path path) implements Chardev {}

    /** Standard input and output. */
    record Stdio() implements Chardev {}

    /** Nowhere. */
    record Nothing() implements Chardev {}

    /**
     * Reads the short form, {@code unix:PATH[,server=on][,wait=off]} for instance.
     *
     * @param option for messages
     */
    static Chardev ofShortForm(String option, String text) {
        if (text.equals("none") || text.equals("null")) {
            return new Nothing();
        }
        if (text.equals("stdio")) {
            return new Stdio();
        }
        if (!text.startsWith("unix:")) {
            throw new MachineException("%s %s: it is unix:PATH, stdio, null or chardev:ID".formatted(option, text));
        }
        return socket(option, KeyValues.parse(option, text.substring("unix:".length()), "path"));
    }

    /** Reads what is behind {@code -chardev}, without its {@code id}. */
    static Chardev of(String option, KeyValues values) {
        String backend = values.take("backend");
        return switch (backend == null ? "" : backend) {
            case "socket" -> socket(option, values);
            case "stdio" -> {
                values.ignore(Set.of("signal", "mux"));
                values.nothingLeft("stdio");
                yield new Stdio();
            }
            case "null" -> {
                values.nothingLeft("null");
                yield new Nothing();
            }
            default -> throw new MachineException("%s %s: it is socket, stdio or null".formatted(option, backend));
        };
    }

    private static Chardev socket(String option, KeyValues values) {
        String path = values.take("path");
        if (path == null || path.isEmpty()) {
            throw new MachineException(option + ": a socket needs a path; only Unix sockets are there");
        }
        boolean server = values.takeSwitch("server", false);
        values.ignore(Set.of("wait", "reconnect", "logfile", "logappend", "mux"));
        values.nothingLeft("a socket");
        return server ? new Listen(Path.of(path)) : new Connect(Path.of(path));
    }
}
