package org.iommuemu.ipmmu;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.pagetables.TableWriter;

/** A board of a test: 256 MiB of RAM, a root, two caches, their first interrupt; and what a driver of it needs. */
final class Board {
    static final long RAM = 0x4000_0000L;
    static final long RAM_SIZE = 0x1000_0000L;
    static final int SPI = 196 + 32;
    /** Where the bus of a test has what only secure software sees. */
    static final long SECURE = 0x80_0000_0000L;

    // Context registers.
    static final int IMCTR = 0x00;
    static final int IMTTBCR = 0x08;
    static final int IMTTLBR0 = 0x10;
    static final int IMTTUBR0 = 0x14;
    static final int IMTTLBR1 = 0x18;
    static final int IMTTUBR1 = 0x1c;
    static final int IMSTR = 0x20;
    static final int IMMAIR0 = 0x28;
    static final int IMELAR = 0x30;
    static final int IMEUAR = 0x34;

    /** Leaf attributes as Linux gives them: non-secure, unprivileged, inner shareable, AF. */
    static final long LINUX_RAM =
            1 << 2 | Descriptor.NS | Descriptor.AP_UNPRIVILEGED | 3 << 8 | Descriptor.AF | 1 << 11;

    final IpmmuVariant variant;
    final PhysicalMemory memory = new PhysicalMemory();
    final Bus bus = new Bus(memory);
    final InterruptController interrupts = new InterruptController();
    final List<String> misuse = new ArrayList<>();
    final Ipmmu root;
    final Ipmmu ds0;
    final Ipmmu ds1;
    final Unit r;
    final Unit c;
    final Unit c1;
    /** Root and first cache as secure software sees them; null without a secure bank. */
    final Unit rs;

    final Unit cs;
    private long nextPage = RAM;

    Board(String compatible) {
        this(IpmmuVariant.of(compatible).orElseThrow());
    }

    Board(IpmmuVariant variant) {
        this.variant = variant;
        memory.addRam(RAM, RAM_SIZE);
        if (variant.hasCaches()) {
            boolean gen4 = variant.generation() == IpmmuVariant.Generation.GEN4;
            root = Ipmmu.root("mm", variant, bus, interrupts.line(SPI), interrupts.line(SPI + 1), this::heard);
            ds0 = Ipmmu.cache("ds0", variant, root, 0, this::heard);
            ds1 = Ipmmu.cache("ds1", variant, root, 1, this::heard);
            r = attach("mm", gen4 ? 0xeefc0000L : 0xe67b0000L, root);
            c = attach("ds0", gen4 ? 0xeed00000L : 0xe6740000L, ds0);
            c1 = attach("ds1", gen4 ? 0xeed40000L : 0xe7740000L, ds1);
        } else {
            root = Ipmmu.standalone("ds", variant, bus, interrupts.line(SPI), interrupts.line(SPI + 1), this::heard);
            ds0 = root;
            ds1 = root;
            r = attach("ds", 0xe6740000L, root);
            c = r;
            c1 = r;
        }
        boolean banks = variant.has(IpmmuOption.SECURE_BANK);
        rs = banks ? attach("secure mm", r.base + SECURE, root.window(), root.secureRegisters()) : null;
        cs = banks && c != r ? attach("secure ds0", c.base + SECURE, ds0.window(), ds0.secureRegisters()) : rs;
    }

    private synchronized void heard(String unit, String what) {
        misuse.add(unit + ": " + what);
    }

    private Unit attach(String name, long base, Ipmmu unit) {
        return attach(name, base, unit.window(), unit.registers());
    }

    private Unit attach(String name, long base, long window, BusDevice registers) {
        bus.attach(name, base, window, registers);
        return new Unit(base);
    }

    /** A unit as its driver sees it. */
    final class Unit {
        final long base;

        Unit(long base) {
            this.base = base;
        }

        int read(int offset) {
            return bus.read32(base + offset);
        }

        void write(int offset, int value) {
            bus.write32(base + offset, value);
        }

        /** A context register. */
        int ctx(int n, int register) {
            return read(variant.contextOffset(n) + register);
        }

        void ctx(int n, int register, int value) {
            write(variant.contextOffset(n) + register, value);
        }

        int imuctr(int u) {
            return read(variant.utlbOffset(u));
        }

        void imuctr(int u, int value) {
            write(variant.utlbOffset(u), value);
        }

        void imuasid(int u, int value) {
            write(variant.utlbOffset(u) + 8, value);
        }

        int imsctlr() {
            return read(variant.controlOffset() + 0x500);
        }

        void imsctlr(int value) {
            write(variant.controlOffset() + 0x500, value);
        }

        int imsauxctlr() {
            return read(variant.controlOffset() + 0x504);
        }

        void imsauxctlr(int value) {
            write(variant.controlOffset() + 0x504, value);
        }
    }

    boolean interrupt() {
        return interrupts.isPending(SPI);
    }

    boolean secureInterrupt() {
        return interrupts.isPending(SPI + 1);
    }

    PageAllocator pages() {
        return new PageAllocator() {
            @Override
            public long allocate(long size) {
                return pages(size);
            }

            @Override
            public void free(long address, long size) {
                memory.zero(address, size);
            }
        };
    }

    /** Zeroed RAM, aligned to its size. */
    long pages(long size) {
        long address = nextPage + size - 1 & -size;
        nextPage = address + size;
        return address;
    }

    /** A guest's stage 2 table, as Xen shares it. */
    TableWriter p2m(int ipaBits) {
        return new TableWriter(
                memory, pages(), new TableWriter.Geometry(Granule.KIB_4, 1, ipaBits, 40), (input, size) -> {});
    }

    /** Maps a 4 KiB page in a table of Linux: level 1 with four entries, NSTable in all tables. */
    void mapLinux(long table, long iova, long page, long attributes) {
        long level2 = table(table + (iova >>> 30 << 3));
        long level3 = table(level2 + ((iova >>> 21 & 511) << 3));
        memory.write64(level3 + ((iova >>> 12 & 511) << 3), page | attributes | 3);
    }

    void unmapLinux(long table, long iova) {
        long level2 = memory.read64(table + (iova >>> 30 << 3)) & 0xff_ffff_f000L;
        long level3 = memory.read64(level2 + ((iova >>> 21 & 511) << 3)) & 0xff_ffff_f000L;
        memory.write64(level3 + ((iova >>> 12 & 511) << 3), 0);
    }

    private long table(long entry) {
        if (memory.read64(entry) == 0) {
            memory.write64(entry, pages(4096) | Descriptor.NS_TABLE | 3);
        }
        return memory.read64(entry) & 0xff_ffff_f000L;
    }

    static final long ABORTED = -1;

    /** Where an access goes: the physical address, or {@link #ABORTED}. */
    static long dma(Ipmmu unit, int utlb, long address, boolean write) {
        long translation = unit.translate(utlb, Translator.NO_SUBSTREAM, address, write ? Access.WRITE : Access.READ);
        return Translation.translated(translation) ? Translation.address(translation, address) : ABORTED;
    }

    static long dma(Ipmmu unit, int utlb, long address) {
        return dma(unit, utlb, address, false);
    }

    DmaPort port(Ipmmu unit, int utlb) {
        return new DmaPort(bus, unit, utlb);
    }

    // What drivers do, for tests about something else.

    /** XEN-1 and XEN-2: secure groups off, stage 2 tables. */
    void xenProbe() {
        for (int n = 0; n < variant.contexts(); n++) {
            r.ctx(n, IMCTR, 0);
        }
        r.imsauxctlr(r.imsauxctlr() | 8);
        r.imsctlr(r.imsctlr() & ~0x10000000);
        c.imsctlr(c.imsctlr() & ~0x10000000);
        c1.imsctlr(c1.imsctlr() & ~0x10000000);
    }

    /** XEN-3. */
    void xenContext(int n, TableWriter p2m) {
        r.ctx(n, IMTTLBR0, (int) p2m.root() & 0xfffff000);
        r.ctx(n, IMTTUBR0, (int) (p2m.root() >>> 32) & 0xff);
        r.ctx(n, IMTTBCR, 0xc0000040 | 64 - p2m.geometry().inputBits());
        r.ctx(n, IMSTR, r.ctx(n, IMSTR));
        r.ctx(n, IMCTR, 0x20000007);
    }

    /** XEN-4 and XEN-5. */
    void xenPort(Unit cache, int n, int u) {
        cache.ctx(n, IMCTR, (r.ctx(n, IMCTR) | 2) & 7);
        int old = cache.imuctr(u);
        cache.imuasid(u, 0);
        cache.imuctr(u, old | n << 4 | 1);
    }

    /** LNX-3, of a context and one port. */
    void linuxAttach(Unit cache, int n, int u, long table) {
        boolean gen2 = !variant.hasCaches();
        r.ctx(n, IMTTLBR0, (int) table);
        r.ctx(n, IMTTUBR0, (int) (table >>> 32));
        r.ctx(n, IMTTBCR, gen2 ? 0x80003510 : 0x80000080);
        r.ctx(n, IMMAIR0, 0xf404ff44);
        r.ctx(n, IMSTR, r.ctx(n, IMSTR));
        if (!gen2) {
            cache.ctx(n, IMCTR, 7);
        }
        r.ctx(n, IMCTR, 7);
        cache.imuasid(u, 0);
        cache.imuctr(u, n << 4 | 3);
    }

    /** LNX-5. */
    void linuxInvalidate(Unit cache, int n) {
        int v = r.ctx(n, IMCTR);
        cache.ctx(n, IMCTR, v | 2);
        r.ctx(n, IMCTR, v | 2);
        for (int i = 0; i < 100 && (r.ctx(n, IMCTR) & 2) != 0; i++) {
            Thread.onSpinWait();
        }
    }
}
