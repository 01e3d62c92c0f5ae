package org.iommuemu.bench;

import java.nio.ByteBuffer;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.smmuv3.Smmu;
import org.iommuemu.smmuv3.SmmuFeatures;

/** An SMMUv3 on a bus, enabled as drivers do it (IHI 0070), with a two-level stream table. */
final class SmmuRig {
    static final long CMD_TLBI_NH_ASID = 0x11;
    static final long CMD_TLBI_NH_VA = 0x12;
    static final long CMD_SYNC = 0x46;
    static final int LOG2_COMMANDS = 10;

    /** The unit's TLBs: with four times as many places as pages, hardly any set is full of 4,096 hashed ones. */
    static final TlbGeometry TLB = TlbGeometry.of(4096, 4);

    static final TlbGeometry NO_MICRO_TLB = TlbGeometry.of(1, 1).with(TlbGeometry.Replacement.NEVER_CACHE);

    private static final long BASE = 0x0905_0000L;
    private static final long RAM = 0x8000_0000L;
    private static final int SPLIT = 8;
    private static final int LOG2_EVENTS = 4;

    private static final int CR0 = 0x20;
    private static final int CR0ACK = 0x24;
    private static final int STRTAB_BASE = 0x80;
    private static final int STRTAB_BASE_CFG = 0x88;
    private static final int CMDQ_BASE = 0x90;
    private static final int CMDQ_PROD = 0x98;
    private static final int CMDQ_CONS = 0x9c;
    private static final int EVENTQ_BASE = 0xa0;

    /** Leaf attributes of stage 1: read-write for everybody, of one ASID. */
    static final long STAGE1_RAM =
            Descriptor.AF | Descriptor.NG | Descriptor.AP_UNPRIVILEGED | 3L << Descriptor.SH_SHIFT;

    final PhysicalMemory memory = new PhysicalMemory();
    final Bus bus = new Bus(memory);
    final BumpAllocator allocator;
    final Smmu smmu;
    private final long commandQueue;
    private final long level1;
    private final ContextDescriptors contextDescriptors = new ContextDescriptors();
    private int producer;

    /**
     * An SMMU that is enabled, all its streams invalid.
     *
     * @param ramBytes for everything
     * @param log2Streams at least 8
     */
    SmmuRig(long ramBytes, int log2Streams) {
        memory.addRam(RAM, ramBytes);
        allocator = new BumpAllocator(memory, RAM, ramBytes);
        SmmuFeatures features = SmmuFeatures.builder()
                .sidSize(Math.max(log2Streams, 16))
                .tlb(TLB)
                .build();
        smmu = new Smmu("smmu", features, bus, Smmu.Wires.NONE, SmmuRig::misuse);
        bus.attach("smmu", BASE, Smmu.WINDOW, smmu.registers());
        commandQueue = allocator.allocate(16L << LOG2_COMMANDS);
        level1 = allocator.allocate(Math.max(4096, 8L << log2Streams - SPLIT));
        enable(log2Streams);
    }

    static void misuse(String unit, String what) {
        throw new IllegalStateException(unit + ": " + what);
    }

    private void enable(int log2Streams) {
        bus.write64(BASE + STRTAB_BASE, level1);
        bus.write32(BASE + STRTAB_BASE_CFG, 1 << 16 | SPLIT << 6 | log2Streams);
        bus.write64(BASE + CMDQ_BASE, commandQueue | LOG2_COMMANDS);
        bus.write64(BASE + EVENTQ_BASE, allocator.allocate(4096) | LOG2_EVENTS);
        bus.write32(BASE + CR0, 0xd);
        if (bus.read32(BASE + CR0ACK) != 0xd) {
            throw new IllegalStateException("SMMU_CR0ACK does not follow SMMU_CR0");
        }
    }

    /** Writes a command into a slot of the queue; the SMMU does not know yet. */
    void write(int index, long word0, long word1) {
        long at = commandQueue + 16L * (index & (1 << LOG2_COMMANDS) - 1);
        memory.write64(at, word0);
        memory.write64(at + 8, word1);
    }

    /** Moves SMMU_CMDQ_PROD on, whatever the queue holds there. */
    void produce(int commands) {
        producer = producer + commands & (2 << LOG2_COMMANDS) - 1;
        bus.write32(BASE + CMDQ_PROD, producer);
    }

    /** Writes one command and CMD_SYNC, and has both consumed. */
    void commandAndSync(long word0, long word1) {
        write(producer, word0, word1);
        write(producer + 1, CMD_SYNC, 0);
        produce(2);
    }

    /** Whether SMMU_CMDQ_CONS has reached SMMU_CMDQ_PROD without an error. */
    boolean consumed() {
        return bus.read32(BASE + CMDQ_CONS) == producer;
    }

    /** The commands of the queue as they are in RAM. */
    ByteBuffer commands() {
        return Reference.image(memory, commandQueue, 16 << LOG2_COMMANDS);
    }

    /** An empty stage 1 table of 48 bits, 4 KiB granule. */
    TableWriter stage1Table() {
        return TableSet.writer(memory, allocator);
    }

    /** Writes an STE, which no access has used so far, and the level 2 table it is in. */
    private void stream(int streamId, long word0, long word2, long word3) {
        long entry = level1 + 8L * (streamId >>> SPLIT);
        if (memory.read64(entry) == 0) {
            memory.write64(entry, allocator.allocate(64 << SPLIT) | SPLIT + 1);
        }
        long ste = (memory.read64(entry) & -4096) + 64L * (streamId & (1 << SPLIT) - 1);
        memory.write64(ste + 8, 0);
        memory.write64(ste + 16, word2);
        memory.write64(ste + 24, word3);
        memory.write64(ste, word0);
    }

    /** Puts a stream behind a stage 1 table: STE and CD (T0SZ 16, 4 KiB, EPD1, IPS 48 bits, AA64, R, A). VMID 0. */
    void stage1Stream(int streamId, int asid, TableWriter table) {
        long cd = contextDescriptors.next();
        memory.write64(cd, 16 | 1L << 30 | 1L << 31 | 5L << 32 | 1L << 41 | 1L << 45 | 1L << 46 | (long) asid << 48);
        memory.write64(cd + 8, table.root());
        memory.write64(cd + 24, 0xff);
        stream(streamId, 0x1 | 5 << 1 | cd, 0, 0);
    }

    /** Puts a stream behind a stage 2 table of 40 bits that starts at level 1. */
    void stage2Stream(int streamId, int vmid, long root) {
        // S2T0SZ 24, S2SL0 1, S2TG 4 KiB, S2PS 48 bits; S2AA64, S2R
        stream(streamId, 0x1 | 6 << 1, vmid | (24L | 1 << 6 | 5 << 16) << 32 | 1L << 51 | 1L << 58, root);
    }

    /** A stream's port with a micro-TLB. */
    DmaPort port(int streamId) {
        return new DmaPort(bus, smmu, streamId);
    }

    /** A stream's port without a micro-TLB: every access goes to the unit. */
    DmaPort portWithoutMicroTlb(int streamId) {
        return new DmaPort(bus, smmu, streamId, Translator.NO_SUBSTREAM, 0, NO_MICRO_TLB);
    }

    /** CDs, 64 of them in a page. */
    private final class ContextDescriptors {
        private long page;
        private int used;

        long next() {
            if (used % 64 == 0) {
                page = allocator.allocate(4096);
            }
            return page + 64L * (used++ % 64);
        }
    }
}
