package org.iommuemu.harness.qtest;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.iommuemu.mmio.MisuseListener;

/**
 * A machine and the conversations about it: qtest's commands, monitors. Each place of conversation has a thread and serves
 * one client at a time. It ends when a monitor is told to quit, and when all clients that it connected to are gone and
 * there is no place left where another could come.
 */
public final class QtestServer implements AutoCloseable {
    /** What is said with a client, until its end. */
    @FunctionalInterface
    private interface Conversation {
        void hold(InputStream in, OutputStream out) throws IOException;
    }

    private static final long TICK_MILLIS = 1;

    private final Launch launch;
    private final VirtMachine machine;
    private final QtestProtocol protocol;
    private final PrintStream log;
    private final QtestLog records;
    private final CountDownLatch over = new CountDownLatch(1);
    private final AtomicInteger places = new AtomicInteger();
    private final List<AutoCloseable> open = new ArrayList<>();
    private final List<Path> listening = new ArrayList<>();
    private volatile boolean running;

    /** Where lines of interrupts go; null without a client. Guarded by the machine's monitor. */
    private OutputStream client;

    /**
     * Builds the machine, and opens all places of conversation.
     *
     * @param log gets what goes wrong on the way
     * @throws MachineException if something cannot be built or opened; it says what
     */
    public QtestServer(Launch launch, PrintStream log) {
        this.launch = launch;
        this.log = log;
        running = launch.running();
        MisuseListener misuse = launch.misuse() ? (unit, what) -> log.println(unit + ": " + what) : MisuseListener.NONE;
        machine = new VirtMachine(launch.machine(), misuse);
        protocol = new QtestProtocol(machine, launch.machine().steppedClock(), this::send);
        records = QtestLog.to(launch.qtestLog());
        try {
            places.incrementAndGet(); // Nothing is over before everything is open.
            open("qtest", launch.qtest(), this::qtest);
            for (Chardev monitor : launch.monitors()) {
                open("qmp", monitor, this::qmp);
            }
            for (Chardev other : launch.others()) {
                open("silent", other, (in, out) -> in.transferTo(OutputStream.nullOutputStream()));
            }
            leave();
        } catch (MachineException e) {
            close();
            throw e;
        }
        if (!launch.machine().steppedClock()) {
            start("clock", this::keepTime);
        }
    }

    /** Waits until it is over. */
    public void await() throws InterruptedException {
        over.await();
    }

    /** Ends all conversations. */
    @Override
    public void close() {
        over.countDown();
        synchronized (open) {
            for (AutoCloseable channel : open) {
                try {
                    channel.close();
                } catch (Exception e) {
                    log.println("iommu-emu: " + e.getMessage());
                }
            }
            open.clear();
        }
        records.close();
        for (Path path : listening) {
            try {
                Files.deleteIfExists(path);
            } catch (IOException e) {
                log.println("iommu-emu: " + path + ": it cannot be removed: " + e.getMessage());
            }
        }
    }

    private void open(String name, Chardev place, Conversation conversation) {
        if (place instanceof Chardev.Connect connect) {
            converse(name, connect(connect.path()), conversation);
        } else if (place instanceof Chardev.Listen listen) {
            wait(name, listen.path(), conversation);
        } else if (place instanceof Chardev.Meet meet) {
            SocketChannel channel = null;
            try {
                channel = connect(meet.path());
            } catch (MachineException e) {
                wait(name, meet.path(), conversation);
            }
            if (channel != null) {
                converse(name, channel, conversation);
            }
        } else if (place instanceof Chardev.Stdio) {
            places.incrementAndGet();
            start(name, () -> {
                try {
                    hold(System.in, System.out, conversation);
                } finally {
                    leave();
                }
            });
        }
    }

    private void converse(String name, SocketChannel channel, Conversation conversation) {
        places.incrementAndGet();
        start(name, () -> {
            try {
                hold(channel, conversation);
            } finally {
                leave();
            }
        });
    }

    private void wait(String name, Path path, Conversation conversation) {
        ServerSocketChannel channel = listen(path);
        places.incrementAndGet();
        log.println("iommu-emu: " + name + " listens on " + path);
        start(name, () -> accept(channel, conversation));
    }

    private static void start(String name, Runnable task) {
        Thread thread = new Thread(task, name);
        thread.setDaemon(true);
        thread.start();
    }

    /** A place where no other client can come is done with. */
    private void leave() {
        if (places.decrementAndGet() == 0) {
            over.countDown();
        }
    }

    private SocketChannel connect(Path path) {
        try {
            SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
            remember(channel);
            channel.connect(UnixDomainSocketAddress.of(path));
            return channel;
        } catch (IOException | IllegalArgumentException e) {
            throw new MachineException("failed to connect to '%s': %s".formatted(path, e.getMessage()));
        }
    }

    private ServerSocketChannel listen(Path path) {
        try {
            ServerSocketChannel channel = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
            remember(channel);
            if (isSocket(path)) {
                Files.delete(path); // An earlier process left it.
            }
            channel.bind(UnixDomainSocketAddress.of(path));
            listening.add(path);
            return channel;
        } catch (IOException | IllegalArgumentException e) {
            throw new MachineException("failed to listen on '%s': %s".formatted(path, e.getMessage()));
        }
    }

    private static boolean isSocket(Path path) throws IOException {
        if (!Files.exists(path)) {
            return false;
        }
        int mode = (Integer) Files.getAttribute(path, "unix:mode");
        return (mode & 0170000) == 0140000;
    }

    private void remember(AutoCloseable channel) {
        synchronized (open) {
            open.add(channel);
        }
    }

    private void accept(ServerSocketChannel channel, Conversation conversation) {
        while (over.getCount() > 0) {
            try {
                SocketChannel next = channel.accept();
                remember(next);
                hold(next, conversation);
            } catch (IOException e) {
                if (over.getCount() > 0) {
                    log.println("iommu-emu: " + e.getMessage());
                }
                return;
            }
        }
    }

    private void hold(SocketChannel channel, Conversation conversation) {
        try (channel) {
            hold(SocketStreams.input(channel), SocketStreams.output(channel), conversation);
        } catch (IOException e) {
            log.println("iommu-emu: " + e.getMessage());
        } finally {
            synchronized (open) {
                open.remove(channel);
            }
        }
    }

    private void hold(InputStream in, OutputStream out, Conversation conversation) {
        try {
            conversation.hold(in, new BufferedOutputStream(out, 0x10000));
        } catch (Framing.TooLong e) {
            log.println("iommu-emu: a client said " + e.getMessage());
        } catch (IOException e) {
            // The client is gone; that ends the conversation as its last line would have.
        } catch (RuntimeException e) {
            log.println("iommu-emu: internal error, please report it: " + e);
            e.printStackTrace(log);
        }
    }

    private void qtest(InputStream in, OutputStream out) throws IOException {
        try {
            synchronized (machine) {
                client = out;
                protocol.opened();
            }
            Framing lines = new Framing(in);
            for (String line; (line = lines.line()) != null; ) {
                records.received(line);
                // One monitor around both, so that an interrupt's line does not come between an answer and its command.
                synchronized (machine) {
                    String answer = protocol.answer(line);
                    records.sent(answer);
                    out.write((answer + "\n").getBytes(StandardCharsets.ISO_8859_1));
                }
                if (!lines.hasLine()) {
                    out.flush();
                }
            }
        } finally {
            synchronized (machine) {
                client = null;
            }
        }
    }

    /** A line of an interrupt, under the machine's monitor. */
    private void send(String line) {
        if (client != null) {
            try {
                client.write((line + "\n").getBytes(StandardCharsets.ISO_8859_1));
                client.flush();
            } catch (IOException e) {
                client = null; // Its conversation ends with the next read.
            }
        }
    }

    private void qmp(InputStream in, OutputStream out) throws IOException {
        boolean[] quit = new boolean[1];
        Qmp qmp = new Qmp(machine, new Qmp.Control() {
            @Override
            public boolean running() {
                return running;
            }

            @Override
            public void run(boolean on) {
                running = on;
            }

            @Override
            public void quit() {
                quit[0] = true;
            }
        });
        Framing values = new Framing(in);
        send(out, qmp.greeting());
        for (String value; !quit[0] && (value = values.value()) != null; ) {
            for (String answer : qmp.answer(value)) {
                send(out, answer);
            }
        }
        if (quit[0]) {
            over.countDown();
        }
    }

    private static void send(OutputStream out, String line) throws IOException {
        out.write((line + "\r\n").getBytes(StandardCharsets.UTF_8));
        out.flush();
    }

    /** Moves the machine's time with the host's while it runs. */
    private void keepTime() {
        long last = System.nanoTime();
        while (over.getCount() > 0) {
            long now = System.nanoTime();
            if (running) {
                synchronized (machine) {
                    machine.clock().advanceTo(machine.clock().now() + now - last);
                }
            }
            last = now;
            try {
                Thread.sleep(TICK_MILLIS);
            } catch (InterruptedException e) {
                return;
            }
        }
    }
}
