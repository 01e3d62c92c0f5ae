package org.iommuemu.harness.qtest;

import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.OptionalLong;
import java.util.function.Consumer;
import org.iommuemu.harness.pcie.VirtualClock;

/**
 * QEMU's qtest protocol (QEMU documentation, devel/testing/qtest; system/qtest.c): one command a line, one answer a line,
 * and {@code IRQ raise N} or {@code IRQ lower N} in between where interrupts are intercepted.
 *
 * <p>Where QEMU ends in an assertion, because a word is missing or is no number, the answer is a line that begins with
 * {@code ERR}.
 */
public final class QtestProtocol {
    /** The most bytes that one command touches; {@code memset} may fill any amount of RAM. */
    private static final long MOST_BYTES = 1L << 26;

    private static final String OK = "OK";

    /** What is wrong with a command, as its answer. */
    private static final class Refusal extends Exception {
        private static final long serialVersionUID = 1;

        Refusal(String answer) {
            super(answer, null, false, false);
        }
    }

    private final VirtMachine machine;
    private final boolean steppedClock;
    private final CpuBus bus;
    private final Intercept intercept;

    /**
     * A conversation with a machine.
     *
     * @param steppedClock whether the commands that move time are there
     * @param events gets the lines of interrupts, under the machine's monitor
     */
    public QtestProtocol(VirtMachine machine, boolean steppedClock, Consumer<String> events) {
        this.machine = machine;
        this.steppedClock = steppedClock;
        bus = new CpuBus(machine.bus());
        intercept = new Intercept(machine, events);
    }

    /** A client is there: it takes all lines to be low. */
    public void opened() {
        synchronized (machine) {
            intercept.forgetLevels();
        }
    }

    /**
     * Carries out a command.
     *
     * @param line without its end
     * @return the answer, without an end of line
     */
    public String answer(String line) {
        String[] words = line.split(" ", -1);
        synchronized (machine) {
            try {
                return carryOut(words);
            } catch (Refusal e) {
                return e.getMessage();
            } catch (OutOfMemoryError e) {
                return "ERR out of memory";
            }
        }
    }

    private String carryOut(String[] words) throws Refusal {
        return switch (words[0]) {
            case "readb" -> read(words, 1);
            case "readw" -> read(words, 2);
            case "readl" -> read(words, 4);
            case "readq" -> read(words, 8);
            case "writeb" -> write(words, 1);
            case "writew" -> write(words, 2);
            case "writel" -> write(words, 4);
            case "writeq" -> write(words, 8);
            case "read" -> "OK 0x" + HexFormat.of().formatHex(block(words));
            case "b64read" -> "OK " + Base64.getEncoder().encodeToString(block(words));
            case "write" -> writeBlock(words, QtestProtocol::hex);
            case "b64write" -> writeBlock(words, QtestProtocol::base64);
            case "memset" -> memset(words);
            case "inb" -> in(words, 0xff);
            case "inw" -> in(words, 0xffff);
            case "inl" -> in(words, 0xffff_ffffL);
            case "outb", "outw", "outl" -> out(words);
            case "endianness" -> "OK little";
            case "clock_step" -> steppedClock ? clockStep(words) : unknown(words);
            case "clock_set" -> steppedClock ? clockSet(words) : unknown(words);
            case "irq_intercept_in" -> intercept.inputs(word(words, 1), words.length > 2);
            case "irq_intercept_out" -> intercept.outputs(word(words, 1), words.length > 2 ? words[2] : null);
            case "set_irq_in" ->
                intercept.set(word(words, 1), word(words, 2), (int) number(words, 3), (int) number(words, 4));
            case "module_load" -> "FAIL";
            default -> unknown(words);
        };
    }

    private static String unknown(String[] words) {
        return "FAIL Unknown command '" + words[0] + "'";
    }

    private static String word(String[] words, int at) throws Refusal {
        if (at >= words.length) {
            throw new Refusal("ERR %s: %d arguments are too few".formatted(words[0], words.length - 1));
        }
        return words[at];
    }

    private static long number(String[] words, int at) throws Refusal {
        String word = word(words, at);
        OptionalLong number = Numbers.parse(word);
        return number.orElseThrow(() -> new Refusal("ERR %s: '%s' is not a number".formatted(words[0], word)));
    }

    private static int length(String[] words) throws Refusal {
        long length = number(words, 2);
        if (Long.compareUnsigned(length, MOST_BYTES) > 0) {
            throw new Refusal("ERR %s: 0x%x bytes are too many for one line".formatted(words[0], length));
        }
        return (int) length;
    }

    private String read(String[] words, int size) throws Refusal {
        byte[] bytes = new byte[size];
        bus.read(number(words, 1), bytes);
        long value = 0;
        for (int i = size - 1; i >= 0; i--) {
            value = value << 8 | bytes[i] & 0xff;
        }
        return "OK 0x%016x".formatted(value);
    }

    private String write(String[] words, int size) throws Refusal {
        long address = number(words, 1);
        long value = number(words, 2);
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) (value >>> 8 * i);
        }
        bus.write(address, bytes);
        return OK;
    }

    private byte[] block(String[] words) throws Refusal {
        long address = number(words, 1);
        byte[] bytes = new byte[length(words)];
        if (bytes.length == 0 && words[0].equals("read")) {
            throw new Refusal("ERR invalid argument size");
        }
        bus.read(address, bytes);
        return bytes;
    }

    @FunctionalInterface
    private interface Decoder {
        byte[] decode(String text, int length) throws Refusal;
    }

    private String writeBlock(String[] words, Decoder decoder) throws Refusal {
        long address = number(words, 1);
        int length = length(words);
        String text = word(words, 3);
        if (text.length() < 3) {
            throw new Refusal("ERR invalid argument size");
        }
        bus.write(address, decoder.decode(text, length));
        return OK;
    }

    /** Hexadecimal digits behind two characters; what is missing is zero, what is no digit has all bits set. */
    private static byte[] hex(String text, int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length && i * 2 + 4 <= text.length(); i++) {
            int high = Character.digit(text.charAt(i * 2 + 2), 16);
            int low = Character.digit(text.charAt(i * 2 + 3), 16);
            bytes[i] = (byte) (high << 4 | low);
        }
        return bytes;
    }

    private static byte[] base64(String text, int length) throws Refusal {
        try {
            byte[] bytes = Base64.getMimeDecoder().decode(text);
            return bytes.length > length ? Arrays.copyOf(bytes, length) : bytes;
        } catch (IllegalArgumentException e) {
            throw new Refusal("ERR b64write: the data is not base64");
        }
    }

    private String memset(String[] words) throws Refusal {
        long address = number(words, 1);
        long length = number(words, 2);
        byte value = (byte) number(words, 3);
        boolean many = Long.compareUnsigned(length, MOST_BYTES) > 0;
        if (many && (length < 0 || !machine.bus().memory().isRam(address, length))) {
            throw new Refusal("ERR memset: 0x%x bytes are too many where there is no RAM".formatted(length));
        }
        bus.fill(address, length, value);
        return OK;
    }

    /** There is no I/O space on this machine: ones are read. */
    private static String in(String[] words, long ones) throws Refusal {
        port(words);
        return "OK 0x%04x".formatted(ones);
    }

    private static String out(String[] words) throws Refusal {
        port(words);
        number(words, 2);
        return OK;
    }

    private static void port(String[] words) throws Refusal {
        if (number(words, 1) >>> 16 != 0) {
            throw new Refusal("ERR %s: '%s' is no port".formatted(words[0], words[1]));
        }
    }

    private String clockStep(String[] words) throws Refusal {
        VirtualClock clock = machine.clock();
        long before = clock.now();
        if (words.length > 1) {
            clock.advanceTo(before + number(words, 1));
        } else {
            OptionalLong deadline = clock.deadline();
            if (deadline.isEmpty()) {
                return "FAIL cannot advance clock to the next deadline because there is no pending deadline";
            }
            clock.advanceTo(deadline.getAsLong());
        }
        return clock.now() > before ? "OK " + clock.now() : "FAIL could not advance time";
    }

    private String clockSet(String[] words) throws Refusal {
        long time = number(words, 1);
        machine.clock().advanceTo(time);
        long now = machine.clock().now();
        return (now == time ? "OK " : "FAIL ") + now;
    }
}
