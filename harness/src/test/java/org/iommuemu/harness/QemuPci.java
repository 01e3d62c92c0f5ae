package org.iommuemu.harness;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * PCI of a machine of QEMU that runs no code: buses are numbered and configuration space is read over QEMU's qtest protocol
 * through ECAM, as firmware and then {@code lspci -nxxxx} would do it.
 */
final class QemuPci implements AutoCloseable {
    /** ECAM of the machine {@code virt} with addresses above 4 GiB: 256 buses. */
    private static final long ECAM = 0x40_1000_0000L;

    private static final int EXTENDED_SRIOV = 0x10;

    private final Process process;
    private final PrintWriter commands;
    private final BufferedReader answers;
    private int lastBus;

    /** @param devices QEMU's {@code -device} options */
    QemuPci(List<String> devices) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                "qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57", "-nodefaults", "-display", "none"));
        command.addAll(List.of("-accel", "tcg", "-S", "-qtest", "stdio", "-qtest-log", "/dev/null"));
        devices.forEach(device -> command.addAll(List.of("-device", device)));
        process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        commands = new PrintWriter(process.getOutputStream(), true, StandardCharsets.US_ASCII);
        answers = process.inputReader(StandardCharsets.US_ASCII);
    }

    private String ask(String command) throws IOException {
        commands.println(command);
        String answer = answers.readLine();
        if (answer == null || !answer.startsWith("OK")) {
            throw new IOException(command + ": " + answer);
        }
        return answer.substring(2).trim();
    }

    private static long address(int bus, int devfn, int offset) {
        return ECAM + ((long) bus << 20 | devfn << 12 | offset);
    }

    private int read(int bus, int devfn, int offset) throws IOException {
        return (int) Long.decode(ask("readl " + address(bus, devfn, offset))).longValue();
    }

    private void write(String width, int bus, int devfn, int offset, int value) throws IOException {
        ask("write%s %d %d".formatted(width, address(bus, devfn, offset), value));
    }

    /** Numbers the buses from this one on, depth first, and makes all virtual functions that there can be. */
    void enumerate(int bus) throws IOException {
        lastBus = Math.max(lastBus, bus);
        for (int devfn = 0; devfn < 256; devfn++) {
            if (!present(bus, devfn)) {
                continue;
            }
            if ((read(bus, devfn, 0x0c) >> 16 & 0x7f) == 1) {
                int secondary = ++lastBus;
                write("b", bus, devfn, 0x18, bus);
                write("b", bus, devfn, 0x19, secondary);
                write("b", bus, devfn, 0x1a, 0xff);
                enumerate(secondary);
                write("b", bus, devfn, 0x1a, lastBus);
            } else {
                makeVirtualFunctions(bus, devfn);
            }
        }
    }

    private boolean present(int bus, int devfn) throws IOException {
        boolean another = (devfn & 7) != 0;
        if (another && (read(bus, devfn & ~7, 0) == -1 || (read(bus, devfn & ~7, 0x0c) >> 23 & 1) == 0)) {
            return false;
        }
        return read(bus, devfn, 0) != -1;
    }

    private void makeVirtualFunctions(int bus, int devfn) throws IOException {
        for (int at = 0x100; at != 0; ) {
            int header = read(bus, devfn, at);
            if (header == 0 || header == -1) {
                return;
            }
            if ((header & 0xffff) == EXTENDED_SRIOV) {
                write("w", bus, devfn, at + 0x10, read(bus, devfn, at + 0x0c) >> 16 & 0xffff);
                write("w", bus, devfn, at + 8, 1);
            }
            at = header >>> 20;
        }
    }

    /** What {@code lspci -nxxxx} would print of the buses up to the last. */
    String dump(int from) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int bus = from; bus <= lastBus; bus++) {
            for (int devfn = 0; devfn < 256; devfn++) {
                if (read(bus, devfn, 4) == -1) {
                    continue; // a virtual function's first word is all ones, too
                }
                int id = read(bus, devfn, 0);
                int revision = read(bus, devfn, 8);
                text.append("%02x:%02x.%d %04x: %04x:%04x (rev %02x)%n"
                        .formatted(
                                bus, devfn >> 3, devfn & 7, revision >>> 16, id & 0xffff, id >>> 16, revision & 0xff));
                rows(text, ask("read %d 4096".formatted(address(bus, devfn, 0))));
                text.append('\n');
            }
        }
        return text.toString();
    }

    /** As lspci, less the zeros at the end; what it says of extended space stays. */
    private static void rows(StringBuilder text, String hex) {
        int end = 0x110;
        for (int at = end; at < 4096; at++) {
            if (!hex.startsWith("00", 2 + 2 * at)) {
                end = (at | 15) + 1;
            }
        }
        for (int at = 0; at < end; at++) {
            text.append(at % 16 == 0 ? "%02x: ".formatted(at) : " ").append(hex, 2 + 2 * at, 4 + 2 * at);
            text.append(at % 16 == 15 ? "\n" : "");
        }
    }

    @Override
    public void close() {
        commands.close();
        try {
            if (!process.waitFor(10, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
