package org.iommuemu.harness.cli;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.iommuemu.harness.BoardException;

/** A file that the command line names. */
final class InputFile {
    private InputFile() {}

    /** Makes something of a file. */
    @FunctionalInterface
    interface Reader<T> {
        T read(Path file) throws IOException;
    }

    /**
     * Reads it.
     *
     * @throws BoardException if it is not there, or cannot be read; the message names it
     */
    static <T> T read(Path file, Reader<T> reader) {
        try {
            return reader.read(file);
        } catch (NoSuchFileException e) {
            throw new BoardException(file + ": there is no such file");
        } catch (AccessDeniedException e) {
            throw new BoardException(file + ": it may not be read");
        } catch (IOException e) {
            throw new BoardException(file + ": it cannot be read: " + e.getMessage());
        }
    }
}
