package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;

/** A conversation in qtest's protocol, wherever the other side is. */
abstract class Talk {
    /** Configuration space of function 0 of slot 1, where {@code virt} has it with highmem. */
    static final long ECAM = 0x40_1000_0000L;

    static final long SMMU = 0x0905_0000L;
    static final long RAM = 0x4000_0000L;

    /** Lines of interrupts since somebody looked. */
    final List<String> interrupts = new ArrayList<>();

    /** Sends a command and takes its answer. */
    abstract String say(String command);

    final void expect(String answer, String command) {
        assertEquals(answer, say(command), command);
    }

    final void ok(String command) {
        expect("OK", command);
    }

    final long readl(long address) {
        return value("readl 0x%x".formatted(address));
    }

    final long readq(long address) {
        return value("readq 0x%x".formatted(address));
    }

    private long value(String command) {
        String answer = say(command);
        assertTrue(answer.matches("OK 0x[0-9a-f]{16}"), () -> command + ": " + answer);
        return Long.parseUnsignedLong(answer.substring(5), 16);
    }

    final void writel(long address, long value) {
        ok("writel 0x%x 0x%x".formatted(address, value & 0xffff_ffffL));
    }

    final void writeq(long address, long value) {
        ok("writeq 0x%x 0x%x".formatted(address, value));
    }

    /** A conversation with a machine in this process. */
    static Talk with(LaunchBuilder options) {
        MachineConfig config = options.build().machine();
        VirtMachine machine = new VirtMachine(config, (unit, what) -> {});
        List<String> lines = new ArrayList<>();
        QtestProtocol protocol = new QtestProtocol(machine, config.steppedClock(), lines::add);
        return new Talk() {
            @Override
            String say(String command) {
                String answer = protocol.answer(command);
                interrupts.addAll(lines);
                lines.clear();
                return answer;
            }
        };
    }

    /** QEMU's options for a machine with an SMMU, and devices. */
    static LaunchBuilder virt(String... devices) {
        LaunchBuilder options = LaunchBuilder.likeQemu();
        options.machine("virt,iommu=smmuv3");
        options.net("-net", "none");
        options.memory("512");
        options.qtest("null");
        options.qmp("null");
        for (String device : devices) {
            options.device(device);
        }
        return options;
    }
}
