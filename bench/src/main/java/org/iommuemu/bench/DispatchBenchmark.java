package org.iommuemu.bench;

import java.io.IOException;
import java.io.InputStream;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.Platform;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * What it costs that an operation of a page finds its IOMMU: invalidations of a page in three domains, one after the other
 * in no regular order, with drivers that only note domain and address, which says what comes next. A uniform system has one kind
 * of IOMMU, to which calls are bound; a mixed one goes by the set of IOMMUs that the domain uses.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class DispatchBenchmark {
    private static final int DOMAINS = 3;
    private static final long RAM = 1L << 30;
    private static final long RAM_SIZE = 1 << 20;
    private static final int PAGE = 4096;

    private static final Log SILENT = new Log() {
        @Override
        public void say(Level level, String subsystem, String text) {}

        @Override
        public void fault(FaultReport fault) {}
    };

    /** Drivers without hardware. What they are told ends up in a place that they share. */
    private abstract static class Kind implements IommuOps {
        @Override
        public Errno dtXlate(Device device, List<Integer> args) {
            return Errno.OK;
        }

        @Override
        public Errno addDevice(Device device) {
            device.setProtected(true);
            return Errno.OK;
        }

        @Override
        public Errno assignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public Errno deassignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public void teardown(Domain domain) {}

        /** A driver looks at the domain, too: for its context. */
        static void note(long[] last, Domain domain, long next) {
            last[0] = next;
            last[1] += domain.id();
        }
    }

    private static final class First extends Kind {
        private final long[] last;

        private First(long[] last) {
            this.last = last;
        }

        @Override
        public void iotlbFlush(Domain domain, long address, long size) {
            note(last, domain, address + size);
        }
    }

    private static final class Second extends Kind {
        private final long[] last;

        private Second(long[] last) {
            this.last = last;
        }

        @Override
        public void iotlbFlush(Domain domain, long address, long size) {
            note(last, domain, address + size);
        }
    }

    private static final class Third extends Kind {
        private final long[] last;

        private Third(long[] last) {
            this.last = last;
        }

        @Override
        public void iotlbFlush(Domain domain, long address, long size) {
            note(last, domain, address + size);
        }
    }

    private final long[] last = new long[2];
    private final First first = new First(last);
    private final byte[] order = new byte[Chain.STEPS];

    /** Three systems with three domains each, a device in every one; a process has one of them. */
    @State(Scope.Benchmark)
    public abstract static class Domains {
        private final Domain[] domains = new Domain[DOMAINS];
    }

    /** One kind, and calls that are bound to it. */
    public static class Uniform extends Domains {
        /** Makes it. */
        @Setup
        public void setUp(DispatchBenchmark benchmark) throws IOException {
            IommuOps ops = benchmark.first;
            system(Iommus.Mode.UNIFORM, List.of(ops, ops, ops), super.domains);
        }
    }

    /** One kind, that could be more. */
    public static class OneKind extends Domains {
        /** Makes it. */
        @Setup
        public void setUp(DispatchBenchmark benchmark) throws IOException {
            IommuOps ops = benchmark.first;
            system(Iommus.Mode.MIXED, List.of(ops, ops, ops), super.domains);
        }
    }

    /** Three kinds. */
    public static class ThreeKinds extends Domains {
        /** Makes it. */
        @Setup
        public void setUp(DispatchBenchmark benchmark) throws IOException {
            long[] last = benchmark.last;
            system(Iommus.Mode.MIXED, List.of(benchmark.first, new Second(last), new Third(last)), super.domains);
        }
    }

    /** Says in which order domains come. */
    @Setup
    public void setUp() {
        int[] next = Chain.cycle(Chain.STEPS);
        for (int i = 0; i < order.length; i++) {
            order[i] = (byte) (next[i] % DOMAINS);
        }
    }

    private static void system(Iommus.Mode mode, List<IommuOps> kinds, Domain[] domains) throws IOException {
        DeviceTree tree;
        try (InputStream in = DispatchBenchmark.class.getResourceAsStream("/boards/smmuv3-pcie.dtb")) {
            tree = DeviceTree.parse("smmuv3-pcie", in.readAllBytes());
        }
        PhysicalMemory memory = new PhysicalMemory();
        memory.addRam(RAM, RAM_SIZE);
        Platform platform = new Platform(
                new Bus(memory),
                new InterruptController(),
                new HypervisorHeap(memory, RAM, RAM_SIZE),
                tree,
                SILENT,
                40);
        Iommus iommus = new Iommus(platform, mode, Iommus.Probing.FIRMWARE_SPEC);
        for (int i = 0; i < DOMAINS; i++) {
            // Any nodes will do.
            DeviceTreeNode node = tree.nodes().get(i);
            iommus.register(node, kinds.get(i));
            Device device = new Device(tree.nodes().get(DOMAINS + i));
            domains[i] = iommus.createDomain(i + 1);
            if (iommus.addDevice(device, List.of(new Specifier(node, List.of(0)))) != Errno.OK
                    || iommus.assign(domains[i], device) != Errno.OK) {
                throw new IllegalStateException("no device in domain " + (i + 1));
            }
        }
    }

    private int step(int at) {
        return order[at & Chain.STEPS - 1];
    }

    /** The driver is called as what it is. */
    @Benchmark
    @Figure(against = "")
    public long direct(Uniform system) {
        Domain[] domains = ((Domains) system).domains;
        long address = 0;
        for (int i = 0; i < Chain.STEPS; i++) {
            first.iotlbFlush(domains[step((int) (address / PAGE))], address, PAGE);
            address = last[0];
        }
        return address;
    }

    /** Bound to the one kind that there is. */
    @Benchmark
    @Figure(against = "direct", atMost = 1.1)
    public long uniform(Uniform system) {
        return flush(system);
    }

    /** By domain; all have the same kind. */
    @Benchmark
    @Figure(against = "direct")
    public long mixedOneKind(OneKind system) {
        return flush(system);
    }

    /** By domain; each has another kind. */
    @Benchmark
    @Figure(against = "direct")
    public long mixedThreeKinds(ThreeKinds system) {
        return flush(system);
    }

    private long flush(Domains system) {
        Domain[] domains = system.domains;
        long address = 0;
        for (int i = 0; i < Chain.STEPS; i++) {
            domains[step((int) (address / PAGE))].iotlbFlush(address, PAGE);
            address = last[0];
        }
        return address;
    }
}
