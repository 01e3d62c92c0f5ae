package org.iommuemu.bench;

import java.nio.ByteBuffer;
import java.util.concurrent.TimeUnit;
import org.iommuemu.ipmmu.Ipmmu;
import org.iommuemu.ipmmu.IpmmuVariant;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.Translator;
import org.iommuemu.probe.iommu.P2m;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/**
 * An SMMUv3 and an IPMMU (R-Car Gen3, cache in front of root) that walk one and the same P2M: a stage 2 table of 40 bits,
 * three levels. Reference for all: a hit among as many entries in C.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@OperationsPerInvocation(Chain.STEPS)
public class SharedTableBenchmark {
    private static final long GUEST = 0x12_3400_0000L;
    private static final long ROOT = 0xe67b_0000L;
    private static final long CACHE = 0xe674_0000L;
    private static final int CONTEXT = 1;
    private static final int UTLB = 3;

    private static final int IMCTR = 0x00;
    private static final int IMTTBCR = 0x08;
    private static final int IMTTLBR0 = 0x10;
    private static final int IMTTUBR0 = 0x14;
    private static final int IMSCTLR = 0x500;
    private static final int IMSAUXCTLR = 0x504;

    /** Which of the two the master is behind. */
    @Param({"smmuv3", "ipmmu"})
    public String unit;

    /** In the micro-TLB of the port; in the TLBs of both units; in none. */
    @Param({"64", "1024", "65536"})
    public int pages;

    private DmaPort port;
    private ByteBuffer sets;
    private long input = GUEST;

    /** Puts both units in front of the P2M. */
    @Setup
    public void setUp() {
        SmmuRig rig = new SmmuRig(4 << 20, 8);
        P2m p2m = new P2m(rig.memory, rig.allocator, 40, (address, size) -> {});
        Pages cycle = new Pages(GUEST, pages).map((from, to) -> p2m.mapRam(from, to, Pages.PAGE));
        rig.stage2Stream(1, 1, p2m.root());
        Ipmmu cache = ipmmu(rig.bus, p2m);
        Translator translator = unit.equals("ipmmu") ? cache : rig.smmu;
        int stream = unit.equals("ipmmu") ? UTLB : 1;
        port = pages <= DmaPort.MICRO_TLB.sets()
                ? new DmaPort(rig.bus, translator, stream)
                : new DmaPort(rig.bus, translator, stream, Translator.NO_SUBSTREAM, 0, SmmuRig.NO_MICRO_TLB);
        sets = cycle.sets(Math.max(pages, DmaPort.MICRO_TLB.sets()));
    }

    /** What Xen's driver writes when a domain gets its first device. */
    private static Ipmmu ipmmu(Bus bus, P2m p2m) {
        IpmmuVariant variant = IpmmuVariant.of("renesas,ipmmu-r8a7795").orElseThrow();
        Ipmmu root = Ipmmu.root("mm", variant, bus, null, null, SmmuRig::misuse);
        Ipmmu cache = Ipmmu.cache("ds0", variant, root, 0, SmmuRig::misuse);
        bus.attach("mm", ROOT, root.window(), root.registers());
        bus.attach("ds0", CACHE, cache.window(), cache.registers());
        long aux = ROOT + variant.controlOffset() + IMSAUXCTLR;
        bus.write32(aux, bus.read32(aux) | 1 << 3); // S2PTE
        for (long base : new long[] {ROOT, CACHE}) {
            long control = base + variant.controlOffset() + IMSCTLR;
            bus.write32(control, bus.read32(control) & ~(1 << 28)); // USE_SECGRP
        }
        long context = ROOT + variant.contextOffset(CONTEXT);
        bus.write32(context + IMTTLBR0, (int) p2m.root());
        bus.write32(context + IMTTUBR0, (int) (p2m.root() >>> 32));
        bus.write32(context + IMTTBCR, 1 << 31 | 1 << 30 | 1 << 6 | 64 - 40); // EAE, PMB, SL0 level 1, T0SZ
        bus.write32(context + IMCTR, 1 << 29 | 7); // VA64, INTEN, FLUSH, MMUEN
        bus.write32(CACHE + variant.contextOffset(CONTEXT) + IMCTR, 7);
        bus.write32(CACHE + variant.utlbOffset(UTLB), CONTEXT << 4 | 1); // TTSEL, MMUEN
        return cache;
    }

    /** Reads. */
    @Benchmark
    public long translate() {
        input = Pages.chain(port, input);
        return input;
    }

    /** In C. */
    @Benchmark
    public long reference(Reference reference) {
        input = reference.loops.lookUp(sets, input, Chain.STEPS);
        return input;
    }
}
