package org.iommuemu.nativecode.driver;

import com.sun.jna.LastErrorException;
import com.sun.jna.Native;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory;

/**
 * Guest RAM in a file that this process and a driver map: the bytes that walks read are the driver's. The file is as long as
 * RAM and sparse, so what it takes is what was touched. It is made in {@code /dev/shm} where that has room, and has no name
 * there: it is gone with the last process that uses it, however that ends. (Where there is no {@code /proc} it has one, until
 * it is closed.)
 */
public final class SharedRam implements AutoCloseable {
    private static final long PIECE = 1L << 30;
    private static final int ALIGNMENT = PhysicalMemory.BACKING_ALIGNMENT;

    /** As much should be free for the tables and pages of an ordinary board. */
    private static final long LEAST_ROOM = 256 << 20;

    /**
     * A bank.
     *
     * @param base physical address of its first byte
     * @param size in bytes
     * @param offset of its first byte in the file
     */
    record Bank(long base, long size, long offset) {}

    private static final class Posix {
        private static final int O_RDWR = 2;
        /** As Linux numbers it, which is where there is a {@code /proc}. */
        private static final int O_CLOEXEC = 0x80000;

        private static final int PROT_READ_WRITE = 3;
        private static final int MAP_SHARED = 1;

        static {
            Native.register(Posix.class, "c");
        }

        static native int open(String path, int flags) throws LastErrorException;

        static native int close(int fd);

        static native long mmap(long address, long length, int protection, int flags, int fd, long offset)
                throws LastErrorException;

        static native int munmap(long address, long length);
    }

    private final Path file;
    private final List<Bank> banks;
    private final long length;

    /** What keeps a file without a name; -1 once it is closed, or where the file has one. */
    private int fd = -1;

    private long mapping;
    private boolean kept;

    private SharedRam(List<Bank> banks, long length) throws IOException {
        this.banks = banks;
        this.length = length;
        Path named = Files.createTempFile(folder(), "iommu-emu-ram-", "");
        if (Files.isDirectory(Path.of("/proc/self/fd"))) {
            try {
                fd = Posix.open(named.toString(), Posix.O_RDWR | Posix.O_CLOEXEC);
            } finally {
                Files.delete(named);
            }
            file = Path.of("/proc/%d/fd/%d".formatted(ProcessHandle.current().pid(), fd));
        } else {
            file = named;
            file.toFile().deleteOnExit();
        }
    }

    /**
     * Puts all RAM of a board into a file.
     *
     * @param memory whose RAM nobody has touched yet
     * @throws NativeDriverException if there is no such file to be had
     */
    public static SharedRam of(PhysicalMemory memory) {
        List<PhysicalMemory.Range> extents = new ArrayList<>();
        List<Bank> banks = new ArrayList<>();
        long length = 0;
        for (PhysicalMemory.Range range : memory.ranges()) {
            long base = range.base() & -ALIGNMENT;
            long end = range.end() + ALIGNMENT - 1 & -ALIGNMENT;
            long behind =
                    extents.isEmpty() ? -1 : extents.get(extents.size() - 1).end();
            if (base < behind) {
                base = behind; // Two banks in one unit of backing: it is there already.
            }
            // Where the bank's unit starts in the file: right behind the last one, or in the middle of it.
            long offset = length + (range.base() - base);
            if (end > base) {
                extents.add(new PhysicalMemory.Range(base, end - base));
                length += end - base;
            }
            banks.add(new Bank(range.base(), range.size(), offset));
        }
        SharedRam ram = null;
        try {
            ram = new SharedRam(List.copyOf(banks), length);
            map(memory, ram.file, extents, length);
            SharedRam made = ram;
            ram = null;
            return made;
        } catch (IOException | LastErrorException e) {
            throw new NativeDriverException("guest RAM of 0x%x bytes cannot be shared: %s".formatted(length, e), e);
        } finally {
            if (ram != null) {
                ram.close();
            }
        }
    }

    private static Path folder() throws IOException {
        Path shm = Path.of("/dev/shm");
        boolean roomy = Files.isWritable(shm) && Files.getFileStore(shm).getUsableSpace() >= LEAST_ROOM;
        return roomy ? shm : Path.of(System.getProperty("java.io.tmpdir"));
    }

    private static void map(PhysicalMemory memory, Path file, List<PhysicalMemory.Range> extents, long length)
            throws IOException {
        try (RandomAccessFile opened = new RandomAccessFile(file.toFile(), "rw")) {
            opened.setLength(length);
            long offset = 0;
            for (PhysicalMemory.Range extent : extents) {
                for (long done = 0; done < extent.size(); done += PIECE) {
                    long piece = Math.min(PIECE, extent.size() - done);
                    memory.back(
                            extent.base() + done,
                            opened.getChannel().map(FileChannel.MapMode.READ_WRITE, offset + done, piece));
                }
                offset += extent.size();
            }
        }
    }

    List<Bank> banks() {
        return banks;
    }

    /** How a process of this user opens it. */
    Path file() {
        return file;
    }

    /** Maps RAM once more, for C in this process: each bank contiguous. By bank, where its first byte is. */
    synchronized long[] pointers() {
        if (mapping == 0) {
            int fd = Posix.open(file.toString(), Posix.O_RDWR);
            try {
                mapping = Posix.mmap(0, length, Posix.PROT_READ_WRITE, Posix.MAP_SHARED, fd, 0);
            } finally {
                Posix.close(fd);
            }
        }
        return banks.stream().mapToLong(bank -> mapping + bank.offset).toArray();
    }

    /** A driver in this process was given up and may go on using RAM: its mapping stays. */
    synchronized void keep() {
        kept = true;
    }

    /** The emulator's own mapping stays; that of drivers in this process goes, and so does the file. */
    @Override
    public synchronized void close() {
        if (mapping != 0 && !kept) {
            Posix.munmap(mapping, length);
            mapping = 0;
        }
        if (fd != -1) {
            Posix.close(fd);
            fd = -1;
        } else {
            file.toFile().delete(); // No effect in /proc.
        }
    }
}
