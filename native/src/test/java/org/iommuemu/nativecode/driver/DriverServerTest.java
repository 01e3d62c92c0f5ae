package org.iommuemu.nativecode.driver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What connects is not always what it should be. */
@Timeout(30)
class DriverServerTest {
    @TempDir
    private Path folder;

    private Path socket;
    private DriverServer server;

    @BeforeEach
    void listen() throws IOException {
        socket = folder.resolve("socket");
        server = DriverServer.listen(socket);
    }

    @AfterEach
    void close() {
        server.close();
    }

    private SocketChannel connect() throws IOException {
        return SocketChannel.open(UnixDomainSocketAddress.of(socket));
    }

    private static Frame hello(int protocol, long abi, String names) {
        return new Frame()
                .set(Frame.HELLO, 0, protocol, abi, 4711, 0, 0, 0)
                .payload(names.getBytes(StandardCharsets.UTF_8));
    }

    private static void assertRefused(SocketChannel channel, String why) {
        // Reading a channel has no time-out of its own.
        assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
            Frame answer = new Frame();
            answer.receive(channel);
            assertEquals(Frame.REFUSED, answer.kind());
            assertTrue(answer.text().contains(why), answer::text);
            assertEnds(channel);
        });
    }

    private static void assertEnds(SocketChannel channel) throws IOException {
        assertEquals(-1, channel.read(ByteBuffer.allocate(64)));
    }

    @Test
    void whatSpeaksAnotherLanguageIsLeftAndOthersStillComeIn() throws Exception {
        try (SocketChannel stranger = connect();
                SocketChannel driver = connect()) {
            ByteBuffer http = ByteBuffer.wrap("GET / HTTP/1.1\r\nHost: somewhere else\r\nAccept: everything\r\n\r\n\r\n"
                    .getBytes(StandardCharsets.US_ASCII));
            stranger.write(http);
            assertRefused(stranger, "this is no libiommu_emu_client: what it says is no frame");
            assertNull(server.next(100));
            hello(Frame.PROTOCOL_VERSION, Abi.VERSION, "driver\0arm,smmu-v3\0").send(driver);
            try (Program program = server.next()) {
                assertEquals("driver", program.calls().name());
                assertEquals(4711, program.pid());
            }
        }
    }

    @Test
    void whoDoesNotSayHelloIsLeft() throws Exception {
        try (SocketChannel channel = connect()) {
            new Frame().set(Frame.REQUEST, Frame.REQUEST_READ, 0x1000, 4).send(channel);
            assertRefused(channel, "it starts with a frame of kind 6");
        }
    }

    private static Frame helloOfAThread(long token) {
        return new Frame().set(Frame.HELLO, 0, Frame.PROTOCOL_VERSION, Abi.VERSION, 1, token);
    }

    @Test
    void aThreadOfNoSessionIsLeft() throws Exception {
        try (SocketChannel thread = connect()) {
            helloOfAThread(0x1234).send(thread);
            assertRefused(thread, "its session is over");
        }
    }

    @Test
    @SuppressWarnings("try") // Closing it early is the scenario.
    void threadsAreLeftWithTheirSession() throws Exception {
        try (SocketChannel driver = connect();
                SocketChannel thread = connect()) {
            hello(Frame.PROTOCOL_VERSION, Abi.VERSION, "driver\0arm,smmu-v3\0").send(driver);
            Program program = server.next();
            helloOfAThread(program.calls().token()).send(thread);
            program.close();
            assertTimeoutPreemptively(Duration.ofSeconds(20), () -> assertEnds(thread));
        }
    }

    @Test
    void whatWasCompiledForAnotherVersionIsToldSo() throws Exception {
        for (Frame hello : new Frame[] {
            hello(Frame.PROTOCOL_VERSION, 7L << 16, "driver\0"),
            hello(9, Abi.VERSION, "driver\0"),
            // Tables of its own, and no map.
            hello(Frame.PROTOCOL_VERSION, Abi.VERSION, "driver\0")
        }) {
            try (SocketChannel channel = connect()) {
                hello.send(channel);
                Program program = server.next();
                NativeDriverException refused =
                        assertThrows(NativeDriverException.class, () -> program.attach(null, null, Duration.ZERO));
                Frame answer = new Frame();
                answer.receive(channel);
                assertEquals(Frame.REFUSED, answer.kind());
                assertTrue(refused.getMessage().endsWith(answer.text()), refused::getMessage);
                assertEnds(channel);
                server.done();
            }
        }
    }

    @Test
    void aSocketThatIsInUseIsNotTakenAway() throws IOException {
        assertThrows(IOException.class, () -> DriverServer.listen(socket));
        Path file = Files.writeString(folder.resolve("file"), "mine");
        assertThrows(IOException.class, () -> DriverServer.listen(file));
        assertEquals("mine", Files.readString(file));
    }

    @Test
    void aSocketThatAKilledEmulatorLeftIsReplaced() throws IOException {
        Path left = folder.resolve("left");
        try (var killed = java.nio.channels.ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX)) {
            killed.bind(UnixDomainSocketAddress.of(left));
        }
        assertTrue(Files.exists(left));
        DriverServer.listen(left).close();
    }
}
