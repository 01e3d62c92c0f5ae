package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.From;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.Size;

/** Whatever is said, there is one line of an answer, and the machine goes on. */
class QtestProtocolPropertiesTest {
    @Provide
    Arbitrary<String> word() {
        Arbitrary<String> places = Arbitraries.of(
                "0x40000000",
                "0x9050000",
                "0x9050098",
                "0x4010008000",
                "0x10000000",
                "0x8020040",
                "0xffffffffffffffff");
        Arbitrary<String> numbers = Arbitraries.longs().map(number -> "0x" + Long.toHexString(number));
        Arbitrary<String> sizes = Arbitraries.integers().between(0, 0x10000).map(String::valueOf);
        Arbitrary<String> devices = Arbitraries.of("/machine/unattached/device[1]", "unnamed-gpio-in", "sysbus-irq");
        return Arbitraries.oneOf(
                places, numbers, sizes, devices, Arbitraries.strings().ofMaxLength(5));
    }

    @Provide
    Arbitrary<String> commandName() {
        return Arbitraries.of(
                "readb",
                "readw",
                "readl",
                "readq",
                "writeb",
                "writew",
                "writel",
                "writeq",
                "read",
                "write",
                "memset",
                "b64read",
                "b64write",
                "inb",
                "outl",
                "clock_step",
                "clock_set",
                "irq_intercept_in",
                "irq_intercept_out",
                "set_irq_in",
                "endianness",
                "module_load",
                "frobnicate",
                "");
    }

    @Property(tries = 100)
    void everyCommandHasOneAnswer(
            @ForAll @Size(max = 50) List<@From("commandName") String> names, @ForAll List<@From("word") String> words) {
        Talk talk = Talk.with(Talk.virt("edu", "iommu-testdev"));
        talk.writel(Talk.ECAM + (1 << 15) + 0x10, 0x1000_0000);
        talk.writel(Talk.ECAM + (1 << 15) + 4, 7);
        for (int i = 0; i < names.size(); i++) {
            String command = names.get(i) + " "
                    + String.join(" ", words.subList(Math.min(i, words.size()), Math.min(i + 4, words.size())));
            String answer = talk.say(command);
            assertTrue(answer.matches("(?s)(OK|FAIL|ERR)( .*)?"), () -> command + ": " + answer);
        }
        talk.expect("OK little", "endianness");
    }
}
