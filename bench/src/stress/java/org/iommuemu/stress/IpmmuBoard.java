package org.iommuemu.stress;

import org.iommuemu.ipmmu.Ipmmu;
import org.iommuemu.ipmmu.IpmmuVariant;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;

/** A board with an R-Car Gen3 IPMMU, root and one cache, context 1 of which maps the {@link Place places}. */
final class IpmmuBoard {
    private static final IpmmuVariant VARIANT =
            IpmmuVariant.of("renesas,ipmmu-r8a7795").orElseThrow();
    private static final int CONTEXT = 1;
    private static final int UTLB = 0;
    private static final long ROOT = 0xe67b_0000L;
    private static final long CACHE = 0xe674_0000L;
    private static final int IMCTR = VARIANT.contextOffset(CONTEXT);
    private static final int ENABLE = 5; // MMUEN, INTEN
    private static final int FLUSH = 2;

    private static final long LEVEL1 = 0x1000;
    private static final long LEVEL2 = 0x2000;
    private static final long LEVEL3 = 0x4000;
    private static final long PAGES =
            1 << 2 | Descriptor.NS | Descriptor.AP_UNPRIVILEGED | 3L << Descriptor.SH_SHIFT | Descriptor.AF | Descriptor.NG;

    final PhysicalMemory memory = new PhysicalMemory();
    private final Bus bus = new Bus(memory);
    private final Ipmmu cache;

    IpmmuBoard() {
        memory.addRam(0, Place.RAM_SIZE);
        memory.write64(LEVEL1, LEVEL2 | Descriptor.NS_TABLE | 3);
        memory.write64(LEVEL2 + 8, LEVEL3 | Descriptor.NS_TABLE | 3);
        memory.write64(LEVEL2 + 16, LEVEL3 + Place.PAGE | Descriptor.NS_TABLE | 3);
        Place.mapAll(memory, LEVEL3, 0, PAGES);

        Ipmmu root = Ipmmu.root("mm", VARIANT, bus, null, null, IpmmuBoard::misuse);
        cache = Ipmmu.cache("ds0", VARIANT, root, 0, IpmmuBoard::misuse);
        bus.attach("mm", ROOT, root.window(), root.registers());
        bus.attach("ds0", CACHE, cache.window(), cache.registers());
        bus.write32(ROOT + IMCTR + 0x10, (int) LEVEL1); // IMTTLBR0
        bus.write32(ROOT + IMCTR + 0x14, 0); // IMTTUBR0
        bus.write32(ROOT + IMCTR + 0x08, 0x8000_0080); // IMTTBCR
        bus.write32(CACHE + IMCTR, ENABLE | FLUSH);
        bus.write32(ROOT + IMCTR, ENABLE | FLUSH);
        bus.write32(CACHE + VARIANT.utlbOffset(UTLB), CONTEXT << 4 | 3); // MMUEN, FLUSH
    }

    private static void misuse(String unit, String what) {
        throw new AssertionError(unit + ": " + what);
    }

    /** Address of the descriptor that maps a place. */
    static long descriptor(int place) {
        return Place.descriptor(LEVEL3, place);
    }

    /** Flushes the context, and waits until it is over, as drivers do. */
    void flush() {
        for (long unit : new long[] {CACHE, ROOT}) {
            bus.write32(unit + IMCTR, ENABLE | FLUSH);
            while ((bus.read32(unit + IMCTR) & FLUSH) != 0) {
                Thread.onSpinWait();
            }
        }
    }

    /** @param cached whether the port has a micro-TLB */
    DmaPort port(boolean cached) {
        TlbGeometry one = TlbGeometry.of(1, 1);
        return new DmaPort(
                bus,
                cache,
                UTLB,
                Translator.NO_SUBSTREAM,
                0,
                cached ? one : one.with(TlbGeometry.Replacement.NEVER_CACHE));
    }
}
