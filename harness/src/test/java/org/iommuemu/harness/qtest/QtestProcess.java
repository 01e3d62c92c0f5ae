package org.iommuemu.harness.qtest;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/**
 * A process that speaks qtest, started as programs start QEMU: they listen on two sockets, it connects to them, one for
 * qtest, one for QMP.
 */
final class QtestProcess extends Talk implements AutoCloseable {
    private static final int PATIENCE_SECONDS = 60;

    private final Process process;
    private final Client commands;
    private final Client monitor;

    /** @param accelerator as {@code -accel} takes it */
    QtestProcess(Path folder, List<String> binary, String accelerator, String... options) throws Exception {
        Path qtest = folder.resolve("qtest.sock");
        Path qmp = folder.resolve("qtest.qmp");
        try (ServerSocketChannel first = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
                ServerSocketChannel second = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            first.bind(UnixDomainSocketAddress.of(qtest));
            second.bind(UnixDomainSocketAddress.of(qmp));
            List<String> command = new ArrayList<>(binary);
            command.addAll(List.of("-qtest", "unix:" + qtest, "-qtest-log", "/dev/null"));
            command.addAll(
                    List.of("-chardev", "socket,path=" + qmp + ",id=char0", "-mon", "chardev=char0,mode=control"));
            command.addAll(List.of("-display", "none"));
            command.addAll(List.of(options));
            command.addAll(List.of("-accel", accelerator));
            process = new ProcessBuilder(command)
                    .redirectError(folder.resolve("stderr").toFile())
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            commands = new Client(accept(first));
            monitor = new Client(accept(second));
        }
    }

    private SocketChannel accept(ServerSocketChannel channel) throws Exception {
        CompletableFuture<SocketChannel> accepted = CompletableFuture.supplyAsync(() -> {
            try {
                return channel.accept();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        process.onExit().thenRun(() -> accepted.completeExceptionally(new IOException("it ended before it connected")));
        return accepted.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    String say(String command) {
        try {
            commands.send(command + "\n");
            while (true) {
                String line = commands.line();
                if (line == null || !line.startsWith("IRQ ")) {
                    return line;
                }
                interrupts.add(line);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The greeting first, then one line for each command. */
    String monitor(String command) throws IOException {
        if (command != null) {
            monitor.send(command);
        }
        return monitor.line();
    }

    /** Ends it as programs do, with SIGTERM, and gives its status. */
    int end() throws InterruptedException {
        process.destroy();
        return process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS) ? process.exitValue() : -1;
    }

    @Override
    public void close() throws IOException {
        process.destroyForcibly();
        commands.close();
        monitor.close();
    }
}
