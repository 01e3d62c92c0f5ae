package org.iommuemu.ipmmu;

import java.util.Arrays;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.Tlb;
import org.iommuemu.pagetables.WalkResult;

/**
 * One unit of Renesas' IPMMU-VMSA: a root (IPMMU-MM), a cache in front of masters, or on Gen2 both in one.
 *
 * <p>A master's access comes in at a micro-TLB of a cache. IMUCTR says whether it is translated, and by which context;
 * contexts, their tables and their faults are the root's. What a cache has found it keeps until software flushes the
 * context in it, whatever has become of tables and registers since; so does the root, for all its caches. No flush in one
 * reaches the other.
 *
 * <p>Sources are named at {@link IpmmuVariant}. Units that are powered off, the security group function and the physical
 * memory buffer are known by name only; the choices are marked "Assumed" where they are made.
 *
 * <p><b>Concurrency.</b> Any thread may translate and access registers. A hit takes no lock and allocates nothing. Writes
 * of registers, and faults, are under the monitor of the unit's registers.
 */
public final class Ipmmu implements Translator {
    /** How many TLB spaces there are: 16 contexts for non-secure masters, and again for secure ones. */
    static final int SPACES = 32;
    /** Bit 62 of a {@link Translation}: belongs to one ASID, which in a cache's TLB is a micro-TLB. */
    static final long NOT_GLOBAL = 1L << 62;

    private final String name;
    private final IpmmuVariant variant;
    private final IpmmuRegisters layout;
    private final RegisterFile registers;
    private final MisuseListener misuse;
    private final MainUnit main;
    private final boolean isMain;
    private final int imsstrBit;

    /** Micro-TLBs and unit TLB together; null until something is translated. Written under the registers' monitor. */
    private volatile Tlb tlb;

    /**
     * By context: {@link MainUnit#flushesBegun} when the context was last flushed here, or -1. Written under the monitor before
     * the TLB's epoch moves, read after the epoch was.
     */
    private final int[] mainFlushes;

    /** By micro-TLB: the misuse listener has heard of its present state. Under the registers' monitor. */
    private long told;

    private Ipmmu(
            String name,
            IpmmuVariant variant,
            IpmmuRegisters.Role role,
            Ipmmu root,
            Bus bus,
            InterruptController.Line line,
            int imsstrBit,
            MisuseListener misuse) {
        this.name = name;
        this.variant = variant;
        this.misuse = misuse;
        this.imsstrBit = imsstrBit;
        layout = IpmmuRegisters.of(variant, role);
        registers = new RegisterFile(layout.map, name, misuse);
        isMain = root == null;
        main = isMain ? new MainUnit(name, variant, layout, registers, bus.memory(), line, misuse) : root.main;
        mainFlushes = new int[variant.contexts()];
        Arrays.fill(mainFlushes, -1);
        for (int n = 0; n < layout.imctr.length; n++) {
            int context = n;
            registers.onWrite(layout.imctr[n], (before, after) -> controlWritten(context, before, after));
        }
        for (int u = 0; u < layout.imuctr.length; u++) {
            int utlb = u;
            registers.onWrite(layout.imuctr[u], (before, after) -> utlbControlWritten(utlb, after));
        }
        if (layout.imsctlr != null) {
            registers.onWrite(layout.imsctlr, (before, after) -> main.ports.all());
        }
    }

    /**
     * A root unit, Gen3 and Gen4.
     *
     * @param name its name in messages
     * @param variant not Gen2
     * @param bus where its tables are, in RAM
     * @param nonSecure its first interrupt, or null if it is not connected
     * @param misuse hears what drivers do wrong
     * @throws IllegalArgumentException if the variant has no such units (Gen2)
     */
    public static Ipmmu root(
            String name, IpmmuVariant variant, Bus bus, InterruptController.Line nonSecure, MisuseListener misuse) {
        if (!variant.hasCaches()) {
            throw new IllegalArgumentException("%s: %s has no root units, all stand alone".formatted(name, variant));
        }
        return new Ipmmu(name, variant, IpmmuRegisters.Role.ROOT, null, bus, nonSecure, MainUnit.NO_BIT, misuse);
    }

    /**
     * A cache unit, Gen3 and Gen4.
     *
     * @param name its name in messages
     * @param variant its {@link IpmmuVariant#coldReset} and {@link IpmmuVariant#strictContexts} count; other options are
     *     the root's
     * @param root of the same generation
     * @param imsstrBit 0 to 31, the number that the device tree gives it in {@code renesas,ipmmu-main}, or -1 if none
     * @param misuse hears what drivers do wrong
     * @throws IllegalArgumentException if the root is none or of another generation, or the bit does not exist
     */
    public static Ipmmu cache(String name, IpmmuVariant variant, Ipmmu root, int imsstrBit, MisuseListener misuse) {
        if (!variant.hasCaches() || variant.generation() != root.variant.generation()) {
            throw new IllegalArgumentException(
                    "%s: %s is no cache of %s, which is %s".formatted(name, variant, root.name, root.variant));
        }
        if (!root.isMain) {
            throw new IllegalArgumentException("%s: %s is no root, but a cache itself".formatted(name, root.name));
        }
        if (imsstrBit < MainUnit.NO_BIT || imsstrBit > 31) {
            throw new IllegalArgumentException("%s: IMSSTR has no bit %d".formatted(name, imsstrBit));
        }
        return new Ipmmu(name, variant, IpmmuRegisters.Role.CACHE, root, null, null, imsstrBit, misuse);
    }

    /**
     * A unit that is root and cache in one, Gen2. Parameters as for {@link #root}.
     *
     * @throws IllegalArgumentException if the variant has no such units (Gen3, Gen4)
     */
    public static Ipmmu standalone(
            String name, IpmmuVariant variant, Bus bus, InterruptController.Line nonSecure, MisuseListener misuse) {
        if (variant.hasCaches()) {
            throw new IllegalArgumentException("%s: units of %s do not stand alone".formatted(name, variant));
        }
        return new Ipmmu(name, variant, IpmmuRegisters.Role.STANDALONE, null, bus, nonSecure, MainUnit.NO_BIT, misuse);
    }

    /**
     * The registers, as the bus sees them. They take 32-bit accesses; others are bus errors. Assumed: no driver makes
     * them.
     */
    public BusDevice registers() {
        return new BusDevice() {
            @Override
            public long read(long offset, int size) {
                return registers.read(offset, size);
            }

            @Override
            public void write(long offset, int size, long value) {
                registers.write(offset, size, value);
            }

            @Override
            public boolean accepts(long offset, int size) {
                return size == 4;
            }
        };
    }

    /** Size of the register window in bytes. */
    public long window() {
        return variant.window();
    }

    /**
     * How long a flush of a context takes: IMCTR.FLUSH reads as one so many times. 0 (the default): it is over at once;
     * negative: it never is. What it invalidates is gone at once in any case.
     */
    public void handshakeReads(int reads) {
        registers.handshakeReads(reads);
    }

    /** The TLB space of a context; secure masters have their own, as they may use what others may not. */
    static int space(int context, boolean secure) {
        return secure ? context + SPACES / 2 : context;
    }

    static int contextOf(int space) {
        return space % (SPACES / 2);
    }

    static boolean isSecure(int space) {
        return space >= SPACES / 2;
    }

    /**
     * {@inheritDoc}
     *
     * <p>A fault is recorded in the root's IMSTR of the context, and the master's access is aborted. Assumed: a read gives
     * an error and no data, a write is dropped.
     *
     * @param utlb number of the micro-TLB that the master is connected to
     * @param substream has no meaning here
     */
    @Override
    public long translate(int utlb, int substream, long address, int access) {
        if (utlb < 0 || utlb >= layout.imuctr.length) {
            misuse.misuse(name, "a master is connected to micro-TLB %d, which is not there".formatted(utlb));
            return Translation.ABORT;
        }
        long imuctr = registers.get(layout.imuctr[utlb]);
        if (!IpmmuRegisters.UTLB_MMUEN.isSet(imuctr)) {
            return bypass(imuctr, address);
        }
        int n = (int) layout.ttsel.get(imuctr);
        if (n >= variant.contexts()) {
            // Assumed: 8 selects the physical memory buffer on Gen2 and Gen3, of which nothing else is known.
            tell(utlb, imuctr, "selects no context");
            return Translation.ABORT;
        }
        if (!IpmmuRegisters.MMUEN.isSet(registers.get(layout.imctr[n])) || !main.isEnabled(n)) {
            tell(utlb, imuctr, "selects a context that is disabled in this unit or in the root");
            return variant.strictContexts() ? Translation.ABORT : bypass(imuctr, address);
        }
        long imsctlr = layout.imsctlr == null ? 0 : registers.get(layout.imsctlr);
        if (IpmmuRegisters.USE_SECGRP.isSet(imsctlr) || main.usesSecurityGroups()) {
            // Assumed: all that is known is that masters cannot do DMA then (Linux BSP, Xen).
            tell(utlb, imuctr, "is enabled while IMSCTLR.USE_SECGRP is set in this unit or in the root");
            return Translation.ABORT;
        }
        int space = space(n, (access & Access.SECURE) != 0);
        // Assumed: with DISCACHE set nothing is kept in the unit, micro-TLBs included.
        boolean keeps = IpmmuRegisters.DISCACHE.get(imsctlr) != 7;
        Tlb cached = tlb;
        if (keeps && cached != null) {
            long hit = cached.lookUp(space, utlb, address);
            if (hit != Tlb.MISS && WalkResult.permits(hit, access)) {
                return hit & ~NOT_GLOBAL;
            }
            if (hit != Tlb.MISS) {
                return notPermitted(n, hit, address);
            }
        }
        return miss(utlb, n, space, keeps, address, access);
    }

    /** Assumed: FIXADD gives bits 39:32 of what is not translated, and has no other effect. */
    private static long bypass(long imuctr, long address) {
        if (IpmmuRegisters.FIXADDEN.isSet(imuctr)) {
            return Translation.identity(address & ~(0xffL << 32) | IpmmuRegisters.FIXADD.get(imuctr) << 32);
        }
        return Translation.identity(address);
    }

    private long miss(int utlb, int n, int space, boolean keeps, long address, int access) {
        Tlb cache = tlb();
        // Order matters: the epoch, then how often the context was flushed here and in the root, then what the root
        // holds.
        // A driver flushes caches before the root. What the main TLB still holds between the two must not come back
        // into a
        // cache that was flushed: it would stay there.
        long before = cache.epoch();
        boolean keep = keeps && main.flushedSince(n, mainFlushes[n]);
        long result = main.lookUp(space, address);
        if (result == Tlb.MISS) {
            keep = keeps;
            result = main.walk(space, address, access);
            if (WalkResult.isFault(result)) {
                main.fault(n, main.status(space, result), address, imsstrBit);
                return Translation.ABORT;
            }
        }
        if (keep) {
            cache.fill(space, utlb, address, result | NOT_GLOBAL, before);
        }
        return WalkResult.permits(result, access) ? result & ~NOT_GLOBAL : notPermitted(n, result, address);
    }

    private long notPermitted(int n, long cached, long address) {
        int level = WalkResult.level(cached, Granule.KIB_4);
        main.fault(n, FaultStatus.permission(level), address, imsstrBit);
        return Translation.ABORT;
    }

    private Tlb tlb() {
        Tlb present = tlb;
        if (present != null) {
            return present;
        }
        synchronized (registers) {
            if (tlb == null) {
                // Assumed: 256 entries. Nothing is known of sizes.
                tlb = new Tlb(64, 4);
            }
            return tlb;
        }
    }

    private void controlWritten(int n, long before, long imctr) {
        Tlb cache = tlb;
        if (IpmmuRegisters.FLUSH.isSet(imctr)) {
            mainFlushes[n] = main.flushesBegun(n);
            if (cache != null) {
                cache.invalidateSpace(space(n, false));
                cache.invalidateSpace(space(n, true));
            }
        }
        if (isMain) {
            main.controlWritten(n, before, imctr);
        }
        // Ports hear of it after our own TLBs, or they could fetch the old answer again.
        main.ports.all();
        if (IpmmuRegisters.FLUSH.isSet(imctr)) {
            main.ports.synchronise(registers);
        }
        told = 0;
    }

    private void utlbControlWritten(int utlb, long imuctr) {
        Tlb cache = tlb;
        boolean flush = IpmmuRegisters.UTLB_FLUSH.isSet(imuctr);
        for (int n = 0; flush && cache != null && n < variant.contexts(); n++) {
            cache.invalidateAsid(space(n, false), utlb);
            cache.invalidateAsid(space(n, true), utlb);
        }
        main.ports.stream(utlb);
        told &= ~(1L << utlb);
        if (flush) {
            main.ports.synchronise(registers);
            // Meanwhile software may have written the register again.
            registers.set(layout.imuctr[utlb], IpmmuRegisters.UTLB_FLUSH.set(registers.get(layout.imuctr[utlb]), 0));
        }
    }

    @Override
    public Invalidations invalidations() {
        return main.ports;
    }

    /** Tells the misuse listener of a micro-TLB's state, once until software changes it. */
    private void tell(int utlb, long imuctr, String what) {
        synchronized (registers) {
            if ((told & 1L << utlb) == 0) {
                told |= 1L << utlb;
                misuse.misuse(name, "IMUCTR%d 0x%x %s".formatted(utlb, imuctr, what));
            }
        }
    }
}
