package org.iommuemu.nativecode.driver;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/**
 * Where programs connect: a Unix socket. The first connection of a program is its session; the threads that it makes open
 * further ones, which find their session by its token. One program at a time; others are told so.
 */
public final class DriverServer implements AutoCloseable {
    private final ServerSocketChannel server;
    private final Path path;
    private final BlockingQueue<Program> waiting = new LinkedBlockingQueue<>();
    private final SecureRandom tokens = new SecureRandom();
    /** Null if it is not ours. */
    private Path folder;

    private ProgramCalls current;

    private DriverServer(ServerSocketChannel server, Path path) {
        this.server = server;
        this.path = path;
    }

    /**
     * Listens.
     *
     * @param path of the socket; one that nobody listens at any more is replaced
     * @throws IOException if that is not possible, with the reason
     */
    public static DriverServer listen(Path path) throws IOException {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of(path);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            if (Files.exists(path) && isDead(address)) {
                Files.delete(path);
            }
            server.bind(address);
        } catch (IOException e) {
            server.close();
            throw new IOException(path + ": it cannot be listened at: " + e.getMessage(), e);
        }
        path.toFile().deleteOnExit();
        DriverServer made = new DriverServer(server, path);
        daemon("driver server", made::accept);
        return made;
    }

    /** Listens at a socket in a folder of its own, which goes with it. */
    static DriverServer listenInFolderOfItsOwn() throws IOException {
        Path folder = Files.createTempDirectory("iommu-emu-");
        folder.toFile().deleteOnExit();
        DriverServer made = listen(folder.resolve("socket"));
        made.folder = folder;
        return made;
    }

    Path path() {
        return path;
    }

    /** Whether it is a socket that nobody listens at: what an emulator that was killed leaves. */
    private static boolean isDead(UnixDomainSocketAddress address) {
        if (Files.isRegularFile(address.getPath()) || Files.isDirectory(address.getPath())) {
            return false;
        }
        try (SocketChannel probe = SocketChannel.open(address)) {
            return !probe.isConnected();
        } catch (IOException e) {
            return true;
        }
    }

    private static void daemon(String name, Runnable body) {
        Thread thread = new Thread(body, name);
        thread.setDaemon(true);
        thread.start();
    }

    private void accept() {
        try {
            while (true) {
                SocketChannel channel = server.accept();
                daemon("driver connection", () -> welcome(channel));
            }
        } catch (IOException e) {
            // Closed.
        }
    }

    private void welcome(SocketChannel channel) {
        Frame hello = new Frame();
        try {
            hello.receive(channel);
            if (hello.kind() != Frame.HELLO) {
                throw new IOException("it starts with a frame of kind %d".formatted(hello.kind()));
            }
        } catch (IOException e) {
            // Either it has left, or it is something else and can be told so.
            ProgramCalls.refuse(channel, "this is no libiommu_emu_client: " + e.getMessage());
            return;
        }
        if (hello.argument(3) != 0) {
            ProgramCalls session = session(hello.argument(3));
            if (session != null) {
                session.answerThread(channel, hello);
            } else {
                ProgramCalls.refuse(channel, "its session is over");
            }
            return;
        }
        ProgramCalls program = new ProgramCalls(channel, hello, tokens.nextLong() | 1);
        if (isFirst(program)) {
            waiting.add(new Program(program));
        } else {
            program.refuse("another program is attached");
        }
    }

    private synchronized ProgramCalls session(long token) {
        return current != null && current.token() == token ? current : null;
    }

    private synchronized boolean isFirst(ProgramCalls program) {
        if (current != null) {
            return false;
        }
        current = program;
        return true;
    }

    /** Waits for a program. When it is done, {@link #done} lets the next one in. */
    public Program next() throws InterruptedException {
        return waiting.take();
    }

    /** Waits for a program for a while; null if none comes. */
    Program next(long milliseconds) throws InterruptedException {
        return waiting.poll(milliseconds, TimeUnit.MILLISECONDS);
    }

    /** The program that is attached has left. */
    public synchronized void done() {
        current = null;
    }

    @Override
    public void close() {
        try {
            server.close();
            Files.deleteIfExists(path);
            if (folder != null) {
                Files.deleteIfExists(folder);
            }
        } catch (IOException e) {
            // Nobody can connect any more either way.
        }
    }
}
