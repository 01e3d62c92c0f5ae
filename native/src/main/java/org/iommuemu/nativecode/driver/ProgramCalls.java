package org.iommuemu.nativecode.driver;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.iommuemu.probe.iommu.Errno;

/** The connection of a {@link Program}: calls to it, requests from it. */
final class ProgramCalls implements DriverCalls {
    private static final Set<Operation> OPTIONAL = Set.of(Operation.MAP, Operation.UNMAP, Operation.IOVA_TO_PHYS);

    private final SocketChannel channel;
    /** Connections of threads that the program made. */
    private final Set<SocketChannel> threads = ConcurrentHashMap.newKeySet();

    private final Frame frame;
    private final long token;
    private final long abi;
    private final long pid;
    private final long flags;
    private final long has;
    private final List<String> names;
    private final int protocol;
    private DriverHost host;
    private long found;

    /** The process and the server that it came in by, if they are ours to end. */
    private Process process;

    private DriverServer server;

    ProgramCalls(SocketChannel channel, Frame hello, long token) {
        this.channel = channel;
        this.frame = hello;
        this.token = token;
        protocol = (int) hello.argument(0);
        abi = hello.argument(1);
        pid = hello.argument(2);
        flags = hello.argument(4);
        has = hello.argument(5);
        names = hello.strings();
    }

    void owns(Process started, DriverServer listening) {
        process = started;
        server = listening;
    }

    long token() {
        return token;
    }

    boolean isDriver() {
        return !names.isEmpty();
    }

    long pid() {
        return pid;
    }

    /**
     * Looks whether it works with this emulator.
     *
     * @throws NativeDriverException if not; it has been told so
     */
    void accept() {
        String wrong = check();
        if (wrong != null) {
            refuse(wrong);
            throw new NativeDriverException("%s in process %d: %s".formatted(name(), pid, wrong));
        }
    }

    /** Answers what a program that is no driver asks for, until it leaves. */
    void serve() {
        answer(channel, frame);
    }

    private String check() {
        if (protocol != Frame.PROTOCOL_VERSION) {
            return "its libiommu_emu_client speaks version %d of the protocol, this emulator %d"
                    .formatted(protocol, Frame.PROTOCOL_VERSION);
        }
        if (abi >>> 16 != Abi.MAJOR) {
            return "it was compiled for version %d.%d of the ABI, this is %d.%d"
                    .formatted(abi >>> 16, abi & 0xffff, Abi.MAJOR, Abi.VERSION & 0xffff);
        }
        if (isDriver() && !sharesTables() && !OPTIONAL.stream().allMatch(this::has)) {
            return "it has tables of its own, but lacks map, unmap or iova_to_phys";
        }
        return null;
    }

    private boolean has(Operation operation) {
        return (has & 1L << operation.ordinal()) != 0;
    }

    /** Tells it why it cannot stay. */
    void refuse(String why) {
        refuse(channel, why);
        close();
    }

    /** Tells who has connected why they cannot stay, and closes the connection. */
    static void refuse(SocketChannel channel, String why) {
        try (channel) {
            new Frame()
                    .set(Frame.REFUSED, 0)
                    .payload(why.getBytes(StandardCharsets.UTF_8))
                    .send(channel);
        } catch (IOException e) {
            // They did not wait for the answer.
        }
    }

    void welcome(DriverHost functions, BoardImage image, SharedRam ram) {
        host = functions;
        byte[] path = ram.file().toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer payload = ByteBuffer.allocate(image.size()
                        + 8 * image.pointers().size()
                        + 8 * ram.banks().size()
                        + path.length)
                .order(ByteOrder.nativeOrder());
        payload.put(image.toBytes());
        image.pointers().forEach(at -> payload.putLong(at));
        ram.banks().forEach(bank -> payload.putLong(bank.offset()));
        payload.put(path);
        try {
            frame.set(
                            Frame.WELCOME,
                            0,
                            Abi.VERSION,
                            token,
                            image.size(),
                            image.board(),
                            image.pointers().size(),
                            ram.banks().size())
                    .payload(payload.array())
                    .send(channel);
        } catch (IOException e) {
            throw new NativeDriverException("%s in process %d is gone: %s".formatted(name(), pid, e.getMessage()), e);
        }
    }

    /** Answers what a thread of the program asks for, on its connection, until that or the session is over. */
    void answerThread(SocketChannel connection, Frame with) {
        threads.add(connection);
        try (connection) {
            if (channel.isOpen()) {
                answer(connection, with);
            }
        } catch (IOException e) {
            // There is nothing left to close.
        } finally {
            threads.remove(connection);
        }
    }

    private void answer(SocketChannel from, Frame with) {
        try {
            while (true) {
                with.receive(from);
                request(from, with);
            }
        } catch (IOException e) {
            // It has left.
        }
    }

    private void request(SocketChannel from, Frame f) throws IOException {
        if (f.kind() != Frame.REQUEST) {
            throw new IOException("it sends a frame of kind %d where a request should be".formatted(f.kind()));
        }
        long a = f.argument(0);
        long b = f.argument(1);
        long value = 0;
        int result = 0;
        switch (f.op()) {
            case Frame.REQUEST_READ -> value = host.read(a, (int) b);
            case Frame.REQUEST_WRITE -> host.write(a, (int) b, f.argument(2));
            case Frame.REQUEST_DELAY -> host.delay(a);
            case Frame.REQUEST_TIME -> value = host.time();
            case Frame.REQUEST_LOG -> {
                host.log((int) a, f.text());
                return;
            }
            case Frame.REQUEST_ALLOC -> {
                value = host.alloc(a);
                result = (int) Math.min(value, 0);
            }
            case Frame.REQUEST_FREE -> result = host.free(a, b);
            case Frame.REQUEST_IRQ -> result = host.requestIrq((int) a);
            case Frame.REQUEST_RELEASE_IRQ -> result = host.releaseIrq((int) a);
            case Frame.REQUEST_FAULT -> {
                List<String> texts = f.strings();
                host.fault(texts.isEmpty() ? "" : texts.get(0), texts.size() < 2 ? "" : texts.get(1), a, b, (int)
                        f.argument(2));
                return;
            }
            case Frame.REQUEST_LIMIT_INPUT -> result = host.limitInput((int) a);
            default -> result = -Errno.ENOSYS.number();
        }
        f.setReply(value, result).send(from);
    }

    @Override
    public String name() {
        return isDriver() ? names.get(0) : "program";
    }

    @Override
    public List<String> compatible() {
        return isDriver() ? names.subList(1, names.size()) : List.of();
    }

    @Override
    public boolean sharesTables() {
        return (flags & Abi.SHARES_TABLES) != 0;
    }

    @Override
    public int call(Operation operation, long... arguments) throws IOException {
        if (OPTIONAL.contains(operation) && !has(operation)) {
            return 0;
        }
        try {
            frame.set(Frame.CALL, operation.ordinal(), arguments);
            if (operation == Operation.ADD_DEVICE) {
                ByteBuffer ids = ByteBuffer.allocate(4 * (arguments.length - 3)).order(ByteOrder.nativeOrder());
                for (int i = 3; i < arguments.length; i++) {
                    ids.putInt((int) arguments[i]);
                }
                frame.payload(ids.array());
            }
            frame.send(channel);
            frame.receive(channel);
            while (frame.kind() != Frame.RETURN) {
                request(channel, frame);
                frame.receive(channel);
            }
        } catch (IOException e) {
            throw new IOException(obituary(e), e);
        }
        found = frame.argument(0);
        return frame.result();
    }

    private String obituary(IOException how) {
        String what = "process %d: %s".formatted(pid, how.getMessage());
        try {
            if (process != null && process.waitFor(5, TimeUnit.SECONDS)) {
                int status = process.exitValue();
                return status > 128
                        ? "process %d ended with signal %d".formatted(pid, status - 128)
                        : "process %d ended with status %d".formatted(pid, status);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        return what;
    }

    @Override
    public long found() {
        return found;
    }

    @Override
    public String abandon() {
        close();
        return process != null ? "its process %d was ended".formatted(pid) : "process %d was left".formatted(pid);
    }

    @Override
    public void end() {
        try {
            frame.set(Frame.GOODBYE, 0).send(channel);
        } catch (IOException e) {
            // It is gone already.
        }
        try {
            if (process != null && !process.waitFor(5, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        close();
    }

    /** Closes its connections, and ends its process if that is ours. */
    void close() {
        close(channel);
        threads.forEach(ProgramCalls::close);
        if (process != null) {
            process.destroyForcibly();
        }
        if (server != null) {
            server.close();
        }
    }

    private static void close(SocketChannel channel) {
        try {
            channel.close();
        } catch (IOException e) {
            // There is nothing left to close.
        }
    }
}
