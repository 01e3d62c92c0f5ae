package org.iommuemu.smmuv3;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;
import org.awaitility.Awaitility;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.MsiFrame;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.pagetables.TableWriter;

/** A board with an SMMU, and what a driver does on it: register accesses, commands, structures in RAM. */
final class TestBoard implements AutoCloseable {
    static final long RAM = 0x4000_0000L;
    static final long RAM_SIZE = 0x4000_0000L;
    static final long SMMU = 0x0905_0000L;
    static final long MSI_FRAME = 0x0802_0000L;
    static final int EVENTQ_IRQ = 106;
    static final int SYNC_IRQ = 108;
    static final int GERROR_IRQ = 109;
    static final int PRIQ_IRQ = 107;
    static final int LOG2_QUEUE = 4;

    /** Leaf attributes of stage 1: read-write for everybody, of one ASID. */
    static final long STAGE1_RW =
            Descriptor.AF | Descriptor.NG | Descriptor.AP_UNPRIVILEGED | 3L << Descriptor.SH_SHIFT;

    static final int IDR1 = 0x4;
    static final int CR0 = 0x20;
    static final int CR0ACK = 0x24;
    static final int GBPA = 0x44;
    static final int IRQ_CTRL = 0x50;
    static final int GERROR = 0x60;
    static final int GERRORN = 0x64;
    static final int STRTAB_BASE = 0x80;
    static final int STRTAB_BASE_CFG = 0x88;
    static final int CMDQ_BASE = 0x90;
    static final int CMDQ_PROD = 0x98;
    static final int CMDQ_CONS = 0x9c;
    static final int EVENTQ_BASE = 0xa0;
    static final int EVENTQ_PROD = 0x100a8;
    static final int EVENTQ_CONS = 0x100ac;

    final PhysicalMemory memory = new PhysicalMemory();
    final Bus bus = new Bus(memory);
    final InterruptController interrupts = new InterruptController();
    final List<String> misuses = new CopyOnWriteArrayList<>();
    volatile Consumer<String> onMisuse = misuses::add;
    final Smmu smmu;
    final long commandQueue;
    final long eventQueue;
    long streamTable;

    private long free = RAM;

    final PageAllocator allocator = new PageAllocator() {
        @Override
        public long allocate(long size) {
            return TestBoard.this.allocate(size);
        }

        @Override
        public void free(long address, long size) {}
    };

    TestBoard() {
        this(SmmuFeatures.smmuv3_2());
    }

    TestBoard(SmmuFeatures features) {
        this(features, TestTiming.chosen());
    }

    TestBoard(SmmuFeatures features, TestTiming timing) {
        this(features, timing.timing());
    }

    TestBoard(SmmuFeatures features, Timing timing) {
        memory.addRam(RAM, RAM_SIZE);
        Smmu.Wires wires = new Smmu.Wires(
                interrupts.line(EVENTQ_IRQ),
                interrupts.line(GERROR_IRQ),
                interrupts.line(SYNC_IRQ),
                interrupts.line(PRIQ_IRQ));
        smmu = new Smmu("smmu", features, bus, wires, (unit, what) -> onMisuse.accept(what), timing);
        bus.attach("smmu", SMMU, smmu.window(), smmu.registers());
        bus.attach("msi", MSI_FRAME, MsiFrame.SIZE, new MsiFrame(interrupts));
        commandQueue = allocate(16L << LOG2_QUEUE);
        eventQueue = allocate(32L << LOG2_QUEUE);
    }

    long allocate(long size) {
        long aligned = Math.max(4096, Long.highestOneBit(size) == size ? size : Long.highestOneBit(size) << 1);
        long address = free + aligned - 1 & -aligned;
        free = address + aligned;
        return address;
    }

    int read(int offset) {
        return bus.read32(SMMU + offset);
    }

    void write(int offset, long value) {
        bus.write32(SMMU + offset, (int) value);
    }

    void write64(int offset, long value) {
        bus.write64(SMMU + offset, value);
    }

    /** Writes and waits for the acknowledgement, as drivers do: at most 100 polls. */
    boolean handshake(int offset, long value) {
        write(offset, value);
        for (int i = 0; i < 100; i++) {
            if (read(offset + 4) == (int) value) {
                return true;
            }
        }
        return false;
    }

    /** Reset and enable in the order of Linux' and Xen's drivers, with a linear stream table of 256 entries. */
    TestBoard enabled() {
        streamTable = allocate(64 << 8);
        enable(streamTable, 8);
        return this;
    }

    void enable(long base, long baseCfg) {
        handshake(CR0, 0);
        write(0x28, 0xd75);
        write(0x2c, 0x6); // PTM, RECINVSID
        write64(STRTAB_BASE, base | 1L << 62);
        write(STRTAB_BASE_CFG, baseCfg);
        write64(CMDQ_BASE, commandQueue | 1L << 62 | LOG2_QUEUE);
        write(CMDQ_PROD, 0);
        write(CMDQ_CONS, 0);
        handshake(CR0, 0x8);
        command(0x04, 31); // CMD_CFGI_ALL
        command(0x30, 0); // CMD_TLBI_NSNH_ALL
        sync();
        write64(EVENTQ_BASE, eventQueue | 1L << 62 | LOG2_QUEUE);
        write(EVENTQ_PROD, 0);
        write(EVENTQ_CONS, 0);
        handshake(CR0, 0xc);
        handshake(IRQ_CTRL, 0);
        write64(0x68, 0);
        write64(0xb0, 0);
        handshake(IRQ_CTRL, 0x5);
        handshake(CR0, 0xd);
    }

    /** Submits a command and waits for the SMMU. */
    void command(long word0, long word1) {
        submit(word0, word1);
        settle();
    }

    void submit(long word0, long word1) {
        int prod = read(CMDQ_PROD);
        long at = commandQueue + 16L * (prod & (1 << LOG2_QUEUE) - 1);
        bus.write64(at, word0);
        bus.write64(at + 8, word1);
        write(CMDQ_PROD, prod + 1 & (2 << LOG2_QUEUE) - 1);
    }

    /** Waits until the Command queue is empty, in error or disabled. Whatever the last command did can be seen then. */
    void settle() {
        for (int i = 0; i < 100; i++) {
            if (isSettled()) {
                return;
            }
        }
        Awaitility.await()
                .pollDelay(Duration.ZERO)
                .pollInterval(Duration.ofMillis(1))
                .until(this::isSettled);
    }

    private boolean isSettled() {
        int mask = (2 << Math.min(read(CMDQ_BASE) & 0x1f, read(0x4) >>> 21 & 0x1f)) - 1; // SMMU_IDR1.CMDQS
        return ((read(CMDQ_CONS) ^ read(CMDQ_PROD)) & mask) == 0
                || ((read(GERROR) ^ read(GERRORN)) & 1) != 0
                || (read(CR0) & 0x8) == 0;
    }

    @Override
    public void close() {
        smmu.close();
    }

    void sync() {
        command(0x46, 0);
    }

    void writeWords(long address, long... words) {
        for (int i = 0; i < words.length; i++) {
            bus.write64(address + 8L * i, words[i]);
        }
    }

    /** Writes an STE of the linear table and invalidates what was cached of it. */
    void stream(int streamId, long... ste) {
        writeWords(streamTable + 64L * streamId, ste);
        command(0x03 | (long) streamId << 32, 1);
        sync();
    }

    TableWriter stage1Table() {
        return new TableWriter(
                memory, allocator, new TableWriter.Geometry(Granule.KIB_4, 0, 48, 48), (input, size) -> {});
    }

    /** 40 bits, two concatenated tables at level 1. */
    TableWriter stage2Table() {
        return new TableWriter(
                memory, allocator, new TableWriter.Geometry(Granule.KIB_4, 1, 40, 48), (input, size) -> {});
    }

    /** An STE for stage 2 only, recording faults. */
    static long[] stage2(int vmid, TableWriter table) {
        // S2T0SZ 24, S2SL0 1, S2TG 4K, S2PS 48 bits; S2AA64, S2R
        return new long[] {0x1 | 6 << 1, 0, vmid | (24L | 1 << 6 | 5 << 16) << 32 | 1L << 51 | 1L << 58, table.root()};
    }

    /** An STE for stage 1 only, with one CD. */
    static long[] stage1(int vmid, long cd) {
        return new long[] {0x1 | 5 << 1 | cd, 0, vmid, 0};
    }

    /** An STE for both stages; {@code cd} is an IPA. */
    static long[] nested(int vmid, long cd, TableWriter table) {
        long[] ste = stage2(vmid, table);
        ste[0] = 0x1 | 7 << 1 | cd;
        return ste;
    }

    /** A CD: TTB0 of 48 bits, 4 KiB granule, no TTB1; R, A; AA64. {@code root} is an IPA where there is stage 2. */
    static long[] cd(int asid, long root) {
        long word0 = 16 | 1L << 30 | 1L << 31 | 5L << 32 | 1L << 41 | 1L << 45 | 1L << 46 | (long) asid << 48;
        return new long[] {word0, root, 0, 0xff};
    }

    long newCd(int asid, long root) {
        long address = allocate(64);
        writeWords(address, cd(asid, root));
        return address;
    }

    DmaPort port(int streamId) {
        return new DmaPort(bus, smmu, streamId);
    }

    DmaPort.Response dmaRead(int streamId, long address) {
        return port(streamId).read(address, new byte[4], 0, 4);
    }

    DmaPort.Response dmaWrite(int streamId, long address) {
        return port(streamId).write(address, new byte[4], 0, 4);
    }

    /** Takes what is in the Event queue: four words per record. */
    List<long[]> events() {
        List<long[]> events = new ArrayList<>();
        int prod = read(EVENTQ_PROD);
        int cons = read(EVENTQ_CONS) & 0x7fff_ffff;
        int mask = (2 << LOG2_QUEUE) - 1;
        for (; cons != (prod & mask); cons = cons + 1 & mask) {
            long at = eventQueue + 32L * (cons & mask >> 1);
            events.add(new long[] {bus.read64(at), bus.read64(at + 8), bus.read64(at + 16), bus.read64(at + 24)});
        }
        write(EVENTQ_CONS, cons | prod & 0x8000_0000);
        return events;
    }

    /** The only event in the queue. */
    long[] event() {
        List<long[]> events = events();
        if (events.size() != 1) {
            throw new AssertionError(events.size() + " events");
        }
        return events.get(0);
    }

    static int type(long[] event) {
        return (int) event[0] & 0xff;
    }

    static int faultClass(long[] event) {
        return (int) (event[1] >>> 40) & 3;
    }

    static boolean isStage2(long[] event) {
        return (event[1] >>> 39 & 1) != 0;
    }
}
