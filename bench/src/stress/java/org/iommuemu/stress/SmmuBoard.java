package org.iommuemu.stress;

import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.smmuv3.Smmu;
import org.iommuemu.smmuv3.SmmuFeatures;

/**
 * A board with an SMMU whose streams all see the {@link Place places}, and what a driver does on it. One thread at a time
 * drives; any number of ports.
 *
 * <p>The stage 1 stream of a place has its number. Its CD is A or B: tables of the first and of the second frames. The nested
 * stream of a place has that number and {@link #NESTED_STREAMS}; for its stage 2, too, there are two tables.
 */
final class SmmuBoard {
    static final int NESTED_STREAMS = Place.COUNT;
    static final int STAGE2_STREAM = 2 * Place.COUNT;
    static final int ASID_A = 1;
    static final int ASID_B = 2;
    static final int STAGE2_VMID = 9;
    /** And the number of the place. */
    static final int NESTED_VMIDS = 1024;

    static final int CFGI_STE = 0x03;
    static final int TLBI_NH_ALL = 0x10;
    static final int TLBI_NH_ASID = 0x11;
    static final int TLBI_NH_VA = 0x12;
    static final int TLBI_S12_VMALL = 0x28;
    static final int TLBI_S2_IPA = 0x2a;
    static final int SYNC = 0x46;

    static final long BASE = 0x0905_0000L;
    private static final int CR0 = 0x20;
    private static final int CR0ACK = 0x24;
    private static final int CMDQ_PROD = 0x98;
    private static final int CMDQ_CONS = 0x9c;
    static final int EVENTQ_PROD = 0x100a8;
    static final int EVENTQ_CONS = 0x100ac;

    private static final long STREAM_TABLE = 0x10_0000;
    private static final int LOG2_STREAMS = 12;
    private static final long COMMANDS = 0x1000;
    private static final int LOG2_COMMANDS = 6;
    private static final long EVENTS = 0x2000;
    private static final long CD_A = 0x6000;
    private static final long CD_B = 0x7000;
    private static final long CD_NESTED = 0x8000;
    private static final long LEVEL2 = 0x1_0000;
    private static final long LEVEL3 = 0x2_0000;
    /** T0SZ, S2T0SZ: 30 bits, so that walks start at level 2. */
    private static final long INPUT_SIZE = 64 - 30;

    private static final long STAGE1_RW =
            Descriptor.AF | Descriptor.NG | Descriptor.AP_UNPRIVILEGED | 3L << Descriptor.SH_SHIFT;

    final PhysicalMemory memory;
    final Bus bus;
    final Smmu smmu;

    private static final long STAGE2_LEVEL2 = LEVEL2 + 4 * Place.PAGE;
    private static final long STAGE2_LEVEL3 = LEVEL3 + 3 * 2 * Place.PAGE;

    private int prod;

    SmmuBoard() {
        this(new PhysicalMemory(), true, EVENTS, 4);
    }

    /** A board whose tables are there already, of another board over the same memory. */
    SmmuBoard(PhysicalMemory memory, long eventQueue, int log2Events) {
        this(memory, false, eventQueue, log2Events);
    }

    private SmmuBoard(PhysicalMemory memory, boolean first, long eventQueue, int log2Events) {
        this.memory = memory;
        bus = new Bus(memory);
        smmu = new Smmu("smmu", SmmuFeatures.smmuv3_2(), bus, Smmu.Wires.NONE, (unit, what) -> {
            throw new AssertionError(what);
        });
        bus.attach("smmu", BASE, Smmu.WINDOW, smmu.registers());
        if (first) {
            memory.addRam(0, Place.RAM_SIZE);
            structures();
        }
        write64(0x80, STREAM_TABLE); // SMMU_STRTAB_BASE
        write(0x88, LOG2_STREAMS);
        write64(0x90, COMMANDS | LOG2_COMMANDS); // SMMU_CMDQ_BASE
        write64(0xa0, eventQueue | log2Events); // SMMU_EVENTQ_BASE
        write(CR0, 0xd); // SMMUEN, EVENTQEN, CMDQEN
        if (read(CR0ACK) != 0xd) {
            throw new AssertionError("not enabled");
        }
    }

    private void structures() {
        long[] stage1Level3 = {LEVEL3, LEVEL3 + 2 * Place.PAGE};
        for (int which = 0; which < 2; which++) {
            Place.mapAll(memory, stage1Level3[which], which, STAGE1_RW);
            level2(LEVEL2 + which * Place.PAGE, stage1Level3[which]);
        }
        long nestedLevel3 = LEVEL3 + 2 * 2 * Place.PAGE;
        for (int place = 0; place < Place.COUNT; place++) {
            memory.write64(Place.descriptor(nestedLevel3, place), Place.input(place) | STAGE1_RW | 3);
        }
        level2(LEVEL2 + 2 * Place.PAGE, nestedLevel3);
        for (int which = 0; which < 2; which++) {
            long level3 = STAGE2_LEVEL3 + which * 2 * Place.PAGE;
            Place.mapAll(memory, level3, which, Descriptor.STAGE2_RAM);
            level2(STAGE2_LEVEL2 + which * Place.PAGE, level3);
            // The structures, one to one.
            memory.write64(STAGE2_LEVEL2 + which * Place.PAGE, Descriptor.STAGE2_RAM | 1);
        }

        words(CD_A, cd(ASID_A), LEVEL2, 0, 0xff);
        words(CD_B, cd(ASID_B), LEVEL2 + Place.PAGE, 0, 0xff);
        words(CD_NESTED, cd(ASID_A), LEVEL2 + 2 * Place.PAGE, 0, 0xff);
        for (int stream = 0; stream < Place.COUNT; stream++) {
            words(ste(stream), 1 | 5 << 1 | CD_A, 0, 0, 0);
        }
        // S2SL0 0: level 2; S2PS 48 bits, S2AA64, S2R
        long stage2Word = (INPUT_SIZE | 5 << 16) << 32 | 1L << 51 | 1L << 58;
        words(ste(STAGE2_STREAM), 1 | 6 << 1, 0, STAGE2_VMID | stage2Word, STAGE2_LEVEL2);
        for (int place = 0; place < Place.COUNT; place++) {
            words(ste(NESTED_STREAMS + place), 1 | 7 << 1 | CD_NESTED, 0, NESTED_VMIDS + place | stage2Word, STAGE2_LEVEL2);
        }
    }

    private void level2(long table, long level3) {
        memory.write64(table + 8, level3 | 3);
        memory.write64(table + 16, level3 + Place.PAGE | 3);
    }

    /** EPD1, V, IPS 48 bits, AA64, A, R. */
    private static long cd(int asid) {
        return INPUT_SIZE | 1L << 30 | 1L << 31 | 5L << 32 | 1L << 41 | 1L << 45 | 1L << 46 | (long) asid << 48;
    }

    /** Address of the descriptor that maps a place in stage 1 with CD A. */
    static long stage1Descriptor(int place) {
        return Place.descriptor(LEVEL3, place);
    }

    /** Address of the descriptor that maps a place in stage 2. */
    static long stage2Descriptor(int place) {
        return Place.descriptor(STAGE2_LEVEL3, place);
    }

    /** Address of an STE. Bit 12 of its first word selects CD A or B. */
    static long ste(int stream) {
        return STREAM_TABLE + 64L * stream;
    }

    private void words(long address, long... words) {
        for (int i = 0; i < words.length; i++) {
            memory.write64(address + 8L * i, words[i]);
        }
    }

    int read(int offset) {
        return bus.read32(BASE + offset);
    }

    void write(int offset, int value) {
        bus.write32(BASE + offset, value);
    }

    private void write64(int offset, long value) {
        bus.write64(BASE + offset, value);
    }

    /** Puts a command into the queue; {@link #sync} tells the SMMU. */
    void command(int opcode, long operands, long word1) {
        long at = COMMANDS + 16L * (prod & (1 << LOG2_COMMANDS) - 1);
        bus.write64(at, opcode | operands);
        bus.write64(at + 8, word1);
        prod = prod + 1 & (2 << LOG2_COMMANDS) - 1;
    }

    void invalidate(int opcode, int vmid, int asid, long address) {
        command(opcode, (long) vmid << 32 | (long) asid << 48, address);
    }

    /** CMD_SYNC, and waits until the SMMU has consumed it, as drivers do. */
    void sync() {
        command(SYNC, 0, 0);
        write(CMDQ_PROD, prod);
        while (read(CMDQ_CONS) != prod) {
            Thread.onSpinWait();
        }
    }

    /** @param cached whether the port has a micro-TLB */
    DmaPort port(int stream, boolean cached) {
        TlbGeometry one = TlbGeometry.of(1, 1);
        return new DmaPort(
                bus,
                smmu,
                stream,
                Translator.NO_SUBSTREAM,
                0,
                cached ? one : one.with(TlbGeometry.Replacement.NEVER_CACHE));
    }
}
