package org.iommuemu.harness.cli;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.Via;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import picocli.CommandLine;

/** Drivers in C from the command line. */
class DriverCommandsTest {
    private static final String BOARDS = Path.of("..", "boards").toString();
    private static final String SMMU = BOARDS + "/smmuv3-pcie.dtb";
    private static final String GEN3 = BOARDS + "/rcar-gen3.dtb";

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeEach
    void needC() {
        assumeTrue(Library.notMade("stubs/smmuv3.so").isEmpty(), () -> Library.notMade("stubs/smmuv3.so")
                .orElseThrow());
    }

    private int run(String... arguments) {
        CommandLine commandLine = Main.commandLine();
        commandLine.setOut(new PrintWriter(out, true)).setErr(new PrintWriter(err, true));
        return commandLine.execute(arguments);
    }

    private static String stub(String name) {
        return Library.made("stubs/" + name + ".so").toString();
    }

    static Stream<String> ways() {
        return Stream.of(Via.values())
                .filter(via -> via.unavailable().isEmpty())
                .map(Via::toString);
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aBoardBootsWithADriverInC(String via) {
        assertEquals(0, run("boot", SMMU, "--driver", "smmuv3=" + stub("smmuv3"), "--via", via), err::toString);
        assertTrue(out.toString().contains("smmuv3-stub: /iommu@2b400000: OK"), out::toString);
        assertTrue(out.toString().contains("2 of 2 IOMMUs up"), out::toString);
        assertTrue(out.toString().contains("5 of 5 masters' DMA ok"), out::toString);
        assertEquals("", err.toString());
    }

    @ParameterizedTest
    @MethodSource("ways")
    void aDriverInCSharesDomain0sTables(String via) {
        assertEquals(0, run("boot", GEN3, "--driver", "ipmmu=" + stub("ipmmu"), "--via", via), err::toString);
        assertTrue(out.toString().contains("7 of 7 IOMMUs up, 6 deferred, 1 round"), out::toString);
        assertTrue(out.toString().contains("11 of 11 masters' DMA ok"), out::toString);
    }

    @Test
    void aDriverThatFailsToProbeIsAPanic() {
        assertEquals(1, run("boot", SMMU, "--driver", "smmuv3=" + stub("bus_error"), "--via", "process"));
        assertTrue(out.toString().contains("PANIC"), out::toString);
    }

    @ParameterizedTest
    @CsvSource({"smmuv3, 0", "ipmmu, 0", "errno, 1", "storm, 1"})
    void attachTakesADriverThroughEverything(String stub, int status) {
        assertEquals(status, run("attach", stub(stub)), out::toString);
        String last = out.toString().lines().reduce((a, b) -> b).orElseThrow();
        assertEquals(status == 0 ? "ATTACHED: 10 of 10 steps ok" : "FAILED", last);
    }

    @Test
    void attachSaysWhichStepADriverDied() {
        assertEquals(1, run("attach", stub("crash"), "--via", "process"));
        assertTrue(out.toString().contains("FAIL attach"), out::toString);
        assertTrue(out.toString().contains("signal 11"), out::toString);
    }

    @Test
    void attachSaysThatABoardHasNothingForTheDriver() {
        assertEquals(1, run("attach", stub("smmuv3"), "--board", GEN3));
        assertTrue(out.toString().contains("has no IOMMU that is [arm,smmu-v3]"), out::toString);
    }

    @ParameterizedTest
    @CsvSource({
        "attach missing.so, missing.so: there is no such file",
        "attach ../README.md --board=.., ..: it cannot be read",
        "attach ../README.md, ../README.md: it cannot be loaded",
        "attach ../README.md --via=carrier-pigeon, there is no way in that is called carrier-pigeon",
        "attach ../README.md --call-timeout=-1, --call-timeout -1",
        "boot ../boards/smmuv3-pcie.dtb --driver=smmuv3=missing.so, smmuv3=missing.so: there is no such file",
        "boot ../boards/smmuv3-pcie.dtb --driver=gpu=missing.so, --driver gpu=missing.so",
        "serve ../boards/smmuv3-pcie.dtb, --socket",
        "serve ../boards/smmuv3-pcie.dtb --socket=/nowhere/at/all --machine=virt, -machine is of the qtest machine",
        "serve .. --socket=/nowhere/at/all, ..: it cannot be read",
        "serve ../boards/smmuv3-pcie.dtb --socket=/nowhere/at/all --call-timeout=-5, --call-timeout -5",
        "serve missing.dtb --socket=/nowhere/at/all, missing.dtb",
        "serve ../boards/smmuv3-pcie.dtb --socket=/nowhere/at/all, /nowhere/at/all",
    })
    void badInputIsStatus2AndNamesWhatIsWrong(String arguments, String said) {
        assertEquals(2, run(arguments.split(" ")), out::toString);
        assertTrue(err.toString().contains(said), err::toString);
    }

    @Test
    void servedDriverBootsTheBoard(@TempDir Path folder) throws Exception {
        Path socket = folder.resolve("socket");
        CompletableFuture<Integer> status =
                CompletableFuture.supplyAsync(() -> run("serve", SMMU, "--socket", socket.toString(), "--once"));
        await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(socket));
        Process driver = new ProcessBuilder(Library.made("stubs/smmuv3").toString(), socket.toString())
                .inheritIO()
                .start();
        assertEquals(0, status.get(60, TimeUnit.SECONDS), out::toString);
        assertTrue(driver.waitFor(30, TimeUnit.SECONDS));
        assertEquals(0, driver.exitValue());
        assertTrue(out.toString().contains("BOOTED: 2 of 2 IOMMUs up"), out::toString);
    }
}
