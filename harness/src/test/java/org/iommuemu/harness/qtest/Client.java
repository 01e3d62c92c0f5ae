package org.iommuemu.harness.qtest;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** The client's end of a socket. */
final class Client implements AutoCloseable {
    private final SocketChannel channel;
    private final BufferedReader lines;

    Client(SocketChannel channel) {
        this.channel = channel;
        lines = new BufferedReader(
                new InputStreamReader(Channels.newInputStream(channel), StandardCharsets.ISO_8859_1));
    }

    static Client of(Path path) throws IOException {
        return new Client(SocketChannel.open(UnixDomainSocketAddress.of(path)));
    }

    void send(String text) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(text.getBytes(StandardCharsets.ISO_8859_1));
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    String line() throws IOException {
        return lines.readLine();
    }

    void endOfInput() throws IOException {
        channel.shutdownOutput();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
