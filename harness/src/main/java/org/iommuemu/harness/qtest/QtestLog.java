package org.iommuemu.harness.qtest;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;

/** What was said with qtest's clients, as {@code -qtest-log} wants it: R for received, S for sent, and seconds. */
final class QtestLog implements AutoCloseable {
    /** Null for none. */
    private final PrintWriter writer;

    private final long start = System.nanoTime();

    private QtestLog(PrintWriter writer) {
        this.writer = writer;
    }

    /** @param file or null for none */
    static QtestLog to(Path file) {
        try {
            return new QtestLog(file == null ? null : new PrintWriter(Files.newBufferedWriter(file)));
        } catch (IOException e) {
            throw new MachineException("-qtest-log %s: it cannot be written: %s".formatted(file, e.getMessage()));
        }
    }

    void received(String line) {
        write("R", line);
    }

    void sent(String line) {
        write("S", line);
    }

    private void write(String direction, String line) {
        if (writer != null) {
            writer.println("[%s +%.6f] %s".formatted(direction, (System.nanoTime() - start) / 1e9, line));
            writer.flush();
        }
    }

    @Override
    public void close() {
        if (writer != null) {
            writer.close();
        }
    }
}
