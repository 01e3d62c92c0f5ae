package org.iommuemu.bench;

import java.io.IOException;
import java.io.InputStream;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.iommuemu.harness.BootOptions;
import org.iommuemu.harness.BootReport;
import org.iommuemu.harness.BootRun;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/**
 * A board from its device tree to the end of its boot: models on a bus, drivers, domain 0 with all RAM, every device
 * assigned, DMA by each, a fault by each.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class BoardStartBenchmark {
    private static final long WARM_UP_NS = 1_500_000_000L;

    private static final Log SILENT = new Log() {
        @Override
        public void say(Level level, String subsystem, String text) {}

        @Override
        public void fault(FaultReport fault) {}
    };

    /** One of {@code boards}; or that with 1 TiB in its largest bank of RAM. */
    @Param({"rcar-gen3", "rcar-gen4", "smmuv3-pcie", "smmuv3-pcie+1TiB"})
    public String board;

    private byte[] blob;

    /** Reads the tree, and warms the JVM: short iterations alone would be spent in the interpreter. */
    @Setup
    public void setUp() throws IOException {
        String name = board.replace("+1TiB", "");
        try (InputStream in = BoardStartBenchmark.class.getResourceAsStream("/boards/" + name + ".dtb")) {
            blob = in.readAllBytes();
        }
        if (!name.equals(board)) {
            List<AddressRange> banks = DeviceTree.parse(board, blob).memory();
            resize(banks.get(banks.size() - 1), 1L << 40);
        }
        long end = System.nanoTime() + WARM_UP_NS;
        do {
            boot();
        } while (System.nanoTime() - end < 0);
    }

    /** Makes a bank of RAM as large as asked, in the blob: base and size are cells behind one another. */
    private void resize(AddressRange bank, long size) {
        ByteBuffer cells = ByteBuffer.wrap(blob).order(ByteOrder.BIG_ENDIAN);
        for (int at = 0; at + 16 <= blob.length; at += 4) {
            if (cells.getLong(at) == bank.base() && cells.getLong(at + 8) == bank.size()) {
                cells.putLong(at + 8, size);
                return;
            }
        }
        throw new IllegalStateException("%s: no bank at 0x%x".formatted(board, bank.base()));
    }

    /** The whole boot. */
    @Benchmark
    @Figure(against = "", nsAtMost = 5e6)
    public BootReport boot(Footprint footprint) {
        return boot();
    }

    private BootReport boot() {
        BootReport report = BootRun.run(DeviceTree.parse(board, blob), BootOptions.DEFAULT, SILENT);
        if (!report.ioVirtualisation() || !report.masters().stream().allMatch(BootReport.MasterResult::ok)) {
            throw new IllegalStateException(board + " does not boot: " + report);
        }
        return report;
    }

    /** What a boot touches of RAM, which is kept outside of the heap. */
    @State(Scope.Thread)
    @AuxCounters(AuxCounters.Type.EVENTS)
    public static class Footprint {
        /** Host memory behind the board's RAM. */
        public double kibibytesOfRam;

        private double measured;

        /** Boots once, with nothing else that would use or free memory of this kind. */
        @Setup
        public void setUp(BoardStartBenchmark benchmark) {
            BufferPoolMXBean direct = ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class).stream()
                    .filter(pool -> pool.getName().equals("direct"))
                    .findFirst()
                    .orElseThrow();
            long before = direct.getMemoryUsed();
            benchmark.boot();
            measured = (direct.getMemoryUsed() - before) / 1024.0;
        }

        /** Every iteration's is the same. */
        @TearDown(Level.Iteration)
        public void tell() {
            kibibytesOfRam = measured;
        }
    }
}
