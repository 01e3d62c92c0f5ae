package org.iommuemu.bench;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import org.iommuemu.harness.Board;
import org.iommuemu.harness.BootRun;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.nativecode.Library;
import org.iommuemu.nativecode.driver.BareDriver;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * A register read and a write of a driver in C over each way in, and an operation that Java calls in it. Reference: C that
 * reads through a function pointer in C.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(WayInBenchmark.ACCESSES)
public class WayInBenchmark {
    static final int ACCESSES = 1024;

    private static final Log SILENT = new Log() {
        @Override
        public void say(Level level, String subsystem, String text) {}

        @Override
        public void fault(FaultReport fault) {}
    };

    /** How the driver is attached. */
    @Param({"ffm", "jnr", "jna", "process"})
    public String via;

    private SharedRam ram;
    private BareDriver driver;
    private ByteBuffer registers;

    /** Attaches the driver to a board. */
    @Setup
    public void setUp() throws IOException {
        try (InputStream in = WayInBenchmark.class.getResourceAsStream("/boards/smmuv3-pcie.dtb")) {
            Board board = Board.of(
                    DeviceTree.parse("smmuv3-pcie", in.readAllBytes()), OptionalInt.empty(), MisuseListener.NONE);
            ram = SharedRam.of(board.memory());
            Platform platform = new Platform(
                    board.bus(), board.interrupts(), board.heap(), board.tree(), SILENT, BootRun.CPU_IPA_BITS);
            driver = BareDriver.open(platform, ram, Library.made("bench.so"), Via.of(via));
        }
        registers = Reference.memory(4 * 64);
    }

    /** Lets it go. */
    @TearDown
    public void tearDown() {
        driver.close();
        ram.close();
    }

    /** Reads. */
    @Benchmark
    public int readInC() {
        return ok(driver.irq(ACCESSES));
    }

    /** Writes. */
    @Benchmark
    public int writeInC() {
        return ok(driver.remove(ACCESSES));
    }

    /** Operations that do nothing. */
    @Benchmark
    public int operationInC() {
        int rc = 0;
        for (int i = 0; i < ACCESSES; i++) {
            rc |= driver.probe(i);
        }
        return ok(rc);
    }

    private static int ok(int rc) {
        if (rc != 0) {
            throw new IllegalStateException("the driver answers " + rc);
        }
        return rc;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        return reference.loops.read(registers, 0, ACCESSES);
    }
}
