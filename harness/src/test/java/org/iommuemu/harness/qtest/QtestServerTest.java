package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Clients on sockets, well-behaved and not. */
@Timeout(60)
class QtestServerTest {
    @TempDir
    private Path folder;

    private final ByteArrayOutputStream said = new ByteArrayOutputStream();
    private QtestServer server;

    @AfterEach
    void close() {
        if (server != null) {
            server.close();
        }
    }

    private void start(String qtest, String... qmps) {
        LaunchBuilder options = LaunchBuilder.likeQemu();
        options.machine("virt,iommu=smmuv3");
        options.qtest(qtest);
        for (String qmp : qmps) {
            options.qmp(qmp);
        }
        server = new QtestServer(options.build(), new PrintStream(said, true));
    }

    private ServerSocketChannel listen(Path path) throws IOException {
        ServerSocketChannel channel = ServerSocketChannel.open(java.net.StandardProtocolFamily.UNIX);
        channel.bind(UnixDomainSocketAddress.of(path));
        return channel;
    }

    @Test
    void whoListensIsConnectedToAndWhenAllAreGoneItIsOver() throws Exception {
        Path qtest = folder.resolve("qtest");
        Path qmp = folder.resolve("qmp");
        try (ServerSocketChannel first = listen(qtest);
                ServerSocketChannel second = listen(qmp)) {
            start("unix:" + qtest, "unix:" + qmp);
            Client monitor = new Client(second.accept());
            try (Client client = new Client(first.accept())) {
                client.send("endianness\n");
                assertEquals("OK little", client.line());
            }
            monitor.line();
            monitor.send("{'execute':'qmp_capabilities'}");
            assertEquals("{\"return\":{}}", monitor.line());
            monitor.close();
            server.await();
        }
    }

    @Test
    void clientsComeOneAfterTheOtherAndFindTheMachineAsItWas() throws Exception {
        Path path = folder.resolve("socket");
        start("unix:" + path + ",server=on,wait=off");
        try (Client client = Client.of(path)) {
            client.send("writel 0x40000000 0x12345678\n");
            assertEquals("OK", client.line());
        }
        try (Client client = Client.of(path)) {
            client.send("readl 0x40000000\n");
            assertEquals("OK 0x0000000012345678", client.line());
        }
        server.close();
        assertFalse(Files.exists(path));
    }

    @Test
    void whoSaysNothingMoreStillGetsAllAnswers() throws Exception {
        Path path = folder.resolve("socket");
        start("unix:" + path + ",server=on");
        try (Client client = Client.of(path)) {
            client.send("readb 0\n".repeat(1000) + "endianness");
            client.endOfInput();
            for (int i = 0; i < 1000; i++) {
                assertEquals("OK 0x0000000000000000", client.line());
            }
            assertNull(client.line(), "an unfinished line is no command");
        }
    }

    @Test
    void whoGoesWithoutReadingAnswersHarmsNobody() throws Exception {
        Path path = folder.resolve("socket");
        start("unix:" + path + ",server=on");
        for (int i = 0; i < 20; i++) {
            try (Client client = Client.of(path)) {
                client.send("read 0x40000000 0x10000\n".repeat(50));
            }
        }
        try (Client client = Client.of(path)) {
            client.send("endianness\n");
            assertEquals("OK little", client.line());
        }
    }

    @Test
    void theMonitorShakesHandsAnswersAndQuits() throws Exception {
        Path path = folder.resolve("qmp");
        start("null", "unix:" + path + ",server=on");
        try (Client client = Client.of(path)) {
            assertTrue(client.line().startsWith("{\"QMP\":{\"version\":{\"qemu\":"));
            client.send("{\"execute\": \"query-status\", \"id\": 7}");
            assertTrue(client.line().matches("\\{\"error\":\\{\"class\":\"CommandNotFound\",.*\"id\":7}"));
            client.send("{\"execute\": \"qmp_capabilities\"}");
            client.line();
            client.send("nonsense\n");
            assertTrue(client.line().contains("JSON parse error"));
            client.send("{ 'execute': 'qom-list', 'arguments': { 'path': '/machine/unattached' } }");
            assertTrue(client.line().contains("\"name\":\"device[6]\",\"type\":\"child<arm-smmuv3>\""));
            client.send("{'execute':'qom-list-types','arguments':{'implements':'device','abstract':false}}");
            assertTrue(client.line().contains("\"name\":\"iommu-testdev\""));
            client.send("{'execute':'frobnicate'}{'execute':'stop'}");
            assertEquals(
                    "{\"error\":{\"class\":\"CommandNotFound\",\"desc\":\"The command frobnicate has not been found\"}}",
                    client.line());
            assertTrue(client.line().contains("\"event\":\"STOP\""));
            assertEquals("{\"return\":{}}", client.line());
            client.send("{'execute':'quit'}");
            assertEquals("{\"return\":{}}", client.line());
        }
        server.await();
    }

    @Test
    void timeRunsWithAnAcceleratorThatRuns() throws Exception {
        LaunchBuilder options = Talk.virt("edu");
        Path path = folder.resolve("socket");
        options.accelerator("tcg");
        options.qtest("unix:" + path + ",server=on");
        server = new QtestServer(options.build(), new PrintStream(said, true));
        try (Client client = Client.of(path)) {
            long config = Talk.ECAM + (1 << 15);
            client.send("writel 0x%x 0x10000000\nwritel 0x%x 6\n".formatted(config + 0x10, config + 4));
            client.send("irq_intercept_in /machine/unattached/device[1]\nwritel 0x10000098 5\n");
            for (int i = 0; i < 4; i++) {
                assertEquals("OK", client.line());
            }
            assertEquals("IRQ raise 4", client.line());
        }
    }

    @Test
    void whereNobodyListensIsAnErrorThatNamesIt() {
        Path path = folder.resolve("nowhere");
        assertTrue(assertThrows(MachineException.class, () -> start("unix:" + path))
                .getMessage()
                .contains(path.toString()));
    }

    @Test
    void aFileInTheWayIsNotRemoved() throws IOException {
        Path path = Files.writeString(folder.resolve("file"), "precious");
        assertThrows(MachineException.class, () -> start("unix:" + path + ",server=on"));
        assertEquals("precious", Files.readString(path));
    }

    @Test
    void aSocketThatAnEarlierServerLeftIsReplaced() throws Exception {
        Path path = folder.resolve("socket");
        listen(path).close();
        assertTrue(Files.exists(path));
        start("unix:" + path + ",server=on");
        try (Client client = Client.of(path)) {
            client.send("endianness\n");
            assertEquals("OK little", client.line());
        }
        assertTrue(said.toString().contains("qtest listens on " + path));
    }
}
