package org.iommuemu.harness.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

/** The two commands that serve a machine, where they refuse to: one line that names what, and a status. */
class ServeCommandTest {
    private static void refuses(int status, String part, String... arguments) {
        StringWriter err = new StringWriter();
        CommandLine commandLine = Main.commandLine();
        commandLine.setErr(new PrintWriter(err, true));
        assertEquals(status, commandLine.execute(arguments), err::toString);
        assertTrue(err.toString().contains(part), err::toString);
    }

    @Test
    void aServerOfItsOwnHasTheProjectsStatus() {
        refuses(2, "-machine raspi3b", "serve", "--machine", "raspi3b", "--qtest", "stdio");
        refuses(2, "-qtest", "serve", "--machine", "virt");
        refuses(2, "/nowhere/socket", "serve", "--machine", "virt", "--qtest", "unix:/nowhere/socket");
        refuses(2, "--frob", "serve", "--frob");
    }

    @Test
    void whatChangesNothingIsTakenTogether() {
        refuses(
                1,
                "-device e1000",
                "qtest-system-aarch64 -M virt -qtest stdio -display none -nographic -no-reboot -no-user-config -vga none -cpu max "
                        .concat("-audio none -audiodev none,id=a -serial none -monitor none -name x -S -device e1000")
                        .split(" "));
    }

    @Test
    void theLauncherHasQemusStatus() {
        refuses(1, "-machine: no machine", "qtest-system-aarch64", "-qtest", "stdio");
        refuses(1, "-device e1000", "qtest-system-aarch64", "-M", "virt", "-qtest", "stdio", "-device", "e1000");
        refuses(1, "/nowhere/socket", "qtest-system-aarch64", "-M", "virt", "-qtest", "unix:/nowhere/socket");
        refuses(1, "-kernel", "qtest-system-aarch64", "-M", "virt", "-kernel", "Image");
        refuses(1, "-device", "qtest-system-aarch64", "-M", "virt", "-device");
    }
}
