package org.iommuemu.harness.qtest;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Cuts a stream of bytes into lines or into JSON values. */
final class Framing {
    /** The longest piece in bytes: what qtest may write with one line, in hexadecimal, and some more. */
    static final int LONGEST = (1 << 27) + 0x1000;

    /** A line or value that does not end. */
    static final class TooLong extends IOException {
        private static final long serialVersionUID = 1;

        TooLong(String message) {
            super(message);
        }
    }

    private final InputStream in;
    private final byte[] buffer = new byte[0x10000];
    private int at;
    private int end;
    private byte[] piece = new byte[0x100];
    private int length;

    Framing(InputStream in) {
        this.in = in;
    }

    /** Whether {@link #line} would return without waiting for more. */
    boolean hasLine() {
        for (int i = at; i < end; i++) {
            if (buffer[i] == '\n') {
                return true;
            }
        }
        return false;
    }

    /**
     * The next line without its line feed; null at the end, where an unfinished line is dropped.
     *
     * @throws TooLong if a line is longer than {@link #LONGEST}
     */
    String line() throws IOException {
        length = 0;
        for (int b; (b = next()) >= 0; ) {
            if (b == '\n') {
                return text(StandardCharsets.ISO_8859_1);
            }
            add(b);
        }
        return null;
    }

    /**
     * The next JSON object, or whatever stands in its place up to the end of the line; null at the end.
     *
     * @throws TooLong if an object is longer than {@link #LONGEST}
     */
    String value() throws IOException {
        length = 0;
        int depth = 0;
        int quote = 0;
        boolean escaped = false;
        for (int b; (b = next()) >= 0; ) {
            if (depth == 0 && length == 0 && Character.isWhitespace(b)) {
                continue;
            }
            if (depth == 0 && b == '\n') {
                break;
            }
            add(b);
            if (quote != 0) {
                quote = b == quote && !escaped ? 0 : quote;
                escaped = b == '\\' && !escaped;
            } else if (b == '"' || b == '\'') {
                quote = depth > 0 ? b : 0;
            } else if (b == '{' || b == '[') {
                depth++;
            } else if ((b == '}' || b == ']') && --depth <= 0) {
                break;
            }
        }
        return length == 0 ? null : text(StandardCharsets.UTF_8);
    }

    private int next() throws IOException {
        if (at == end) {
            at = 0;
            end = Math.max(0, in.read(buffer));
            if (end == 0) {
                return -1;
            }
        }
        return buffer[at++] & 0xff;
    }

    private void add(int b) throws IOException {
        if (length == piece.length) {
            if (length >= LONGEST) {
                throw new TooLong("more than " + LONGEST + " bytes without an end");
            }
            piece = Arrays.copyOf(piece, length * 2);
        }
        piece[length++] = (byte) b;
    }

    private String text(Charset charset) {
        String text = new String(piece, 0, length, charset);
        if (piece.length > 0x100000) {
            piece = new byte[0x100]; // A long one is rare.
        }
        return text;
    }
}
