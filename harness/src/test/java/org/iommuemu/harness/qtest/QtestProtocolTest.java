package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Commands and answers, as QEMU's system/qtest.c gives them. */
class QtestProtocolTest {
    private static final String GIC = "/machine/unattached/device[1]";

    private final Talk talk = Talk.with(Talk.virt("edu"));

    @ParameterizedTest
    @CsvSource({
        "endianness, OK little",
        "readb 0x40000000, OK 0x0000000000000088",
        "readw 0x40000000, OK 0x0000000000007788",
        "readl 0x40000001, OK 0x0000000044556677",
        "readq 1073741824, OK 0x1122334455667788",
        "readq 010000000000, OK 0x1122334455667788",
        "read 0x40000000 0x4, OK 0x88776655",
        "b64read 0x40000000 4, OK iHdmVQ==",
        "inb 0x60, OK 0x00ff",
        "inw 0x60, OK 0xffff",
        "inl 0x60, OK 0xffffffff",
        "outl 0xcf8 0, OK",
        "memset 0x40000000 0 1, OK",
        "write 0x40000000 2 0x, ERR invalid argument size",
        "b64write 0x40000000 2 AA, ERR invalid argument size",
        "frobnicate 1 2, FAIL Unknown command 'frobnicate'",
        "'', FAIL Unknown command ''",
        "module_load hw- usb, FAIL",
    })
    void everyCommandHasItsAnswer(String command, String answer) {
        talk.ok("writeq 0x40000000 0x1122334455667788");
        talk.expect(answer, command);
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "readl",
                "readl zz",
                "readl 08",
                "readl 0x10000000000000000",
                "writel 0x40000000",
                "write 0x40000000 4",
                "read 0x40000000 0",
                "read 0x40000000 0xffffffffffffffff",
                "memset 0x40000000 0xffffffffffff 0",
                "b64write 0x40000000 4 A=A=A",
                "inb 0x10000",
                "clock_step soon",
                "clock_set",
                "irq_intercept_in",
                "set_irq_in /machine/unattached/device[1] unnamed-gpio-in 9999 1"
            })
    void whatIsMalformedIsAnsweredAndTheNextCommandWorks(String command) {
        assertTrue(talk.say(command).startsWith("ERR "), () -> command + ": " + talk.say(command));
        talk.expect("OK little", "endianness");
    }

    @Test
    void shortDataIsFilledUpWithZeros() {
        talk.ok("memset 0x40000000 8 0xff");
        talk.ok("write 0x40000000 6 0x0102ZZ");
        talk.expect("OK 0x0102ff000000ffff", "read 0x40000000 8");
        talk.ok("b64write 0x40000000 2 CQgHBg==");
        talk.expect("OK 0x0908ff00", "read 0x40000000 4");
    }

    @Test
    void whatNothingAnswersReadsAsZerosAndThePciWindowAsOnes() {
        talk.expect("OK 0x00000000", "read 0x3ffffffe 4");
        talk.ok("write 0x5ffffffe 4 0x01020304");
        talk.expect("OK 0x01020000", "read 0x5ffffffe 4");
        talk.expect("OK 0x00000000ffffffff", "readl 0x10000000");
        talk.expect("OK 0x000000000000ffff", "readl 0x3efffffe");
        talk.expect("OK 0x0000000000000000", "readb 0x9050000");
    }

    @Test
    void aBlockOverADeviceThatTakesSmallPiecesIsReadPageByPage() {
        talk.expect("OK 0xffffffffffffffff3412e811", "read 0x%x 12".formatted(Talk.ECAM + 0x7ff8));
    }

    @Test
    void timeStandsStillUntilItIsTold() {
        talk.expect(
                "FAIL cannot advance clock to the next deadline because there is no pending deadline", "clock_step");
        talk.expect("OK 100", "clock_step 100");
        talk.expect("OK 500", "clock_set 500");
        talk.expect("FAIL 500", "clock_set 400");
        talk.expect("FAIL could not advance time", "clock_step 0");
    }

    @Test
    void timeThatRunsCannotBeTold() {
        LaunchBuilder options = Talk.virt();
        options.accelerator("tcg,thread=single");
        Talk running = Talk.with(options);
        running.expect("FAIL Unknown command 'clock_step'", "clock_step 1");
    }

    @Test
    void oneDevicesPinsAreIntercepted() {
        talk.expect("FAIL Unknown device", "irq_intercept_in /machine/nowhere");
        talk.expect("FAIL No intercepts installed", "irq_intercept_in /machine/peripheral-anon/device[0]");
        talk.expect("FAIL No intercepts installed", "irq_intercept_out /machine/unattached/device[6] nonsense");
        talk.expect("FAIL Interception of named in-GPIOs not yet supported", "irq_intercept_in " + GIC + " name");
        talk.ok("irq_intercept_in " + GIC);
        talk.ok("irq_intercept_in " + GIC);
        talk.expect("FAIL IRQ intercept already enabled", "irq_intercept_in /machine/unattached/device[6]");
    }

    @Test
    void anInterruptIsToldBeforeTheAnswerOfWhatRaisedIt() {
        talk.ok("irq_intercept_in " + GIC);
        talk.ok("set_irq_in " + GIC + " unnamed-gpio-in 7 1");
        talk.ok("set_irq_in " + GIC + " unnamed-gpio-in 7 1");
        talk.ok("set_irq_in " + GIC + " unnamed-gpio-in 7 0");
        assertEquals(List.of("IRQ raise 7", "IRQ lower 7"), talk.interrupts);
    }

    @Test
    void anOutputHasTheNumberThatItsDeviceGivesIt() {
        talk.ok("irq_intercept_out /machine/unattached/device[6] sysbus-irq");
        talk.writel(Talk.SMMU + 0x90, 0x4000_0000 | 4);
        talk.writel(Talk.SMMU + 0x94, 0);
        talk.writel(Talk.SMMU + 0x50, 1); // GERROR_IRQEN
        talk.writel(Talk.SMMU + 0x20, 8); // CMDQEN
        talk.writeq(Talk.RAM, 0xff); // No command: CERROR_ILL.
        talk.writel(Talk.SMMU + 0x98, 1);
        assertEquals(List.of("IRQ raise 3", "IRQ lower 3"), talk.interrupts);
    }

    @Test
    void withoutHighmemConfigurationSpaceIsLow() {
        LaunchBuilder options = Talk.virt("edu,addr=4");
        options.machine("highmem=off");
        Talk low = Talk.with(options);
        low.expect("OK 0x0000000011e81234", "readl 0x3f020000");
        low.expect("OK 0x0000000000000000", "readl 0x4010020000");
    }
}
