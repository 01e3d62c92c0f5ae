package org.iommuemu.nativecode.driver;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A {@code struct frame} of {@code protocol.h}, with its payload; made once for each connection and used again. */
final class Frame {
    static final int SIZE = 64;
    static final int PROTOCOL_VERSION = 1;

    static final int HELLO = 1;
    static final int WELCOME = 2;
    static final int REFUSED = 3;
    static final int CALL = 4;
    static final int RETURN = 5;
    static final int REQUEST = 6;
    static final int REPLY = 7;
    static final int GOODBYE = 8;

    static final int REQUEST_READ = 0;
    static final int REQUEST_WRITE = 1;
    static final int REQUEST_DELAY = 2;
    static final int REQUEST_TIME = 3;
    static final int REQUEST_LOG = 4;
    static final int REQUEST_ALLOC = 5;
    static final int REQUEST_FREE = 6;
    static final int REQUEST_IRQ = 7;
    static final int REQUEST_RELEASE_IRQ = 8;
    static final int REQUEST_FAULT = 9;
    static final int REQUEST_LIMIT_INPUT = 10;

    /** What a program sends behind a frame are names and log lines. */
    private static final int MOST_RECEIVED = 1 << 20;

    private static final byte[] NONE = {};
    private static final int ARGUMENTS = 8;
    private static final int PAYLOAD = 56;
    private static final int RESULT = 60;

    private final ByteBuffer head = ByteBuffer.allocateDirect(SIZE).order(ByteOrder.nativeOrder());
    private byte[] payload = NONE;

    int kind() {
        return head.getInt(0);
    }

    int op() {
        return head.getInt(4);
    }

    long argument(int index) {
        return head.getLong(ARGUMENTS + 8 * index);
    }

    int result() {
        return head.getInt(RESULT);
    }

    /** The payload as text. */
    String text() {
        return new String(payload, StandardCharsets.UTF_8);
    }

    /** The strings of the payload, each ended by a 0. */
    List<String> strings() {
        List<String> strings = new ArrayList<>();
        for (int start = 0, i = 0; i < payload.length; i++) {
            if (payload[i] == 0) {
                strings.add(new String(payload, start, i - start, StandardCharsets.UTF_8));
                start = i + 1;
            }
        }
        return strings;
    }

    Frame set(int kind, int op, long... arguments) {
        head.putInt(0, kind).putInt(4, op).putInt(RESULT, 0);
        for (int i = 0; i < 6; i++) {
            head.putLong(ARGUMENTS + 8 * i, i < arguments.length ? arguments[i] : 0);
        }
        payload = NONE;
        return this;
    }

    /** As {@link #set}, for what is answered to every access: nothing is allocated. */
    Frame setReply(long value, int result) {
        head.putInt(0, REPLY).putInt(4, 0).putInt(RESULT, result).putLong(ARGUMENTS, value);
        payload = NONE;
        return this;
    }

    Frame payload(byte[] bytes) {
        payload = bytes;
        return this;
    }

    void send(SocketChannel channel) throws IOException {
        head.putInt(PAYLOAD, payload.length).clear();
        writeAll(channel, head);
        if (payload.length > 0) {
            writeAll(channel, ByteBuffer.wrap(payload));
        }
    }

    /** @throws IOException if the other end is gone, or what it says is no frame */
    void receive(SocketChannel channel) throws IOException {
        head.clear();
        while (head.hasRemaining()) {
            readSome(channel, head);
            if (head.position() >= Integer.BYTES && (kind() < HELLO || kind() > GOODBYE)) {
                // It is somebody else, who may wait for an answer to less than a frame.
                throw new IOException("what it says is no frame: it starts with 0x%08x".formatted(kind()));
            }
        }
        int length = head.getInt(PAYLOAD);
        if (length < 0 || length > MOST_RECEIVED) {
            throw new IOException("what it says is no frame: a payload of %d bytes".formatted(length));
        }
        payload = length == 0 ? NONE : new byte[length];
        if (length > 0) {
            readAll(channel, ByteBuffer.wrap(payload));
        }
    }

    private static void writeAll(SocketChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            channel.write(bytes);
        }
    }

    private static void readAll(SocketChannel channel, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            readSome(channel, bytes);
        }
    }

    private static void readSome(SocketChannel channel, ByteBuffer bytes) throws IOException {
        if (channel.read(bytes) < 0) {
            throw new EOFException("it closed its connection");
        }
    }
}
