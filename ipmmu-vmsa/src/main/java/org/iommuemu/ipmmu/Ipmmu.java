package org.iommuemu.ipmmu;

import java.util.Arrays;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.Register;
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
 * <p>Sources are named at {@link IpmmuVariant}. What they leave open is an {@link IpmmuOption}, or marked "Assumed" where
 * it is decided.
 *
 * <p><b>Concurrency.</b> Any thread may translate and access registers. A hit takes no lock and allocates nothing. Writes
 * of registers, and faults, are under the monitor of the unit's registers.
 */
public final class Ipmmu implements Translator {
    /** The value of IMUCTR.TTSEL that selects the physical memory buffer on Gen2 and Gen3. */
    private static final int PMB = 8;

    /** How many TLB spaces there are: 16 contexts for non-secure masters, and again for secure ones. */
    static final int SPACES = 32;
    /** Offset of the non-secure bank as secure software sees it, Gen2 and Gen3. */
    private static final int NON_SECURE_ALIAS = 0x800;

    /** Bit 62 of a {@link Translation}: belongs to one ASID, which in a cache's TLB is a micro-TLB. */
    static final long NOT_GLOBAL = 1L << 62;

    private final String name;
    private final IpmmuVariant variant;
    private final IpmmuRegisters layout;
    private final RegisterFile registers;
    private final MisuseListener misuse;
    private final MainUnit main;
    /** The root; this, if it is one. */
    private final Ipmmu root;
    /** The secure bank; null without {@link IpmmuOption#SECURE_BANK}, and in the bank itself. */
    private final Ipmmu secureBank;

    private final int imsstrBit;

    // Options that translations ask for.
    private final boolean strictContexts;
    private final boolean fixaddAlways;
    private final long faulted;

    private volatile boolean powered = true;

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
            Ipmmu secureBank,
            int imsstrBit,
            MisuseListener misuse) {
        this.name = name;
        this.variant = variant;
        this.misuse = misuse;
        this.imsstrBit = imsstrBit;
        this.secureBank = secureBank;
        this.root = root == null ? this : root;
        strictContexts = variant.has(IpmmuOption.STRICT_CONTEXTS);
        fixaddAlways = variant.has(IpmmuOption.FIXADD_ALWAYS);
        // Assumed: a read gives an error and no data, a write is dropped with one.
        faulted = variant.has(IpmmuOption.SILENT_FAULTS) ? Translation.RAZ_WI : Translation.ABORT;
        layout = IpmmuRegisters.of(variant, role);
        registers = new RegisterFile(layout.map, name, misuse);
        // A port may be a secure master's or not, and hears of both banks.
        Invalidations ports = secureBank == null ? new Invalidations() : secureBank.main.ports;
        main = isMain() ? new MainUnit(name, variant, layout, registers, bus.memory(), line, misuse, ports) : root.main;
        mainFlushes = new int[variant.contexts()];
        Arrays.fill(mainFlushes, -1);
        for (int n = 0; n < layout.imctr.length; n++) {
            int context = n;
            registers.onWrite(layout.imctr[n], (before, after) -> controlWritten(context, before, after));
            if (variant.has(IpmmuOption.LOCKED_WHILE_FLUSHING)) {
                registers.guard(
                        layout.imctr[n],
                        () -> !IpmmuRegisters.FLUSH.isSet(registers.get(layout.imctr[context])),
                        "a flush is under way");
            }
        }
        for (int n = 0; !isMain() && n < layout.imstr.length; n++) {
            IpmmuRegisters roots = main.layout();
            Register[] shown = {layout.imstr[n], layout.imelar[n], layout.imeuar[n]};
            Register[] there = {roots.imstr[n], roots.imelar[n], roots.imeuar[n]};
            for (int i = 0; i < shown.length; i++) {
                Register source = there[i];
                registers.onRead(shown[i], stored -> main.status(source));
            }
        }
        for (int u = 0; u < layout.imuctr.length; u++) {
            int utlb = u;
            registers.onWrite(layout.imuctr[u], (before, after) -> utlbControlWritten(utlb, after));
        }
        if (layout.imsctlr != null) {
            registers.onWrite(layout.imsctlr, (before, after) -> main.ports.all());
        }
        firmware();
    }

    private boolean isMain() {
        return root == this;
    }

    /** What boot firmware leaves in a cache whose TLB has a defect. */
    private void firmware() {
        if (!isMain() && !variant.has(IpmmuOption.COLD_RESET) && variant.firmwareDisablesTlb(imsstrBit)) {
            registers.set(layout.imsctlr, IpmmuRegisters.DISCACHE.mask());
        }
    }

    /** A unit that has contexts, with its secure bank if the variant has one. */
    private static Ipmmu main(
            String name,
            IpmmuVariant variant,
            IpmmuRegisters.Role role,
            Bus bus,
            InterruptController.Line nonSecure,
            InterruptController.Line secure,
            MisuseListener misuse) {
        Ipmmu bank = variant.has(IpmmuOption.SECURE_BANK)
                ? new Ipmmu(name + " (secure)", variant, role, null, bus, secure, null, MainUnit.NO_BIT, misuse)
                : null;
        return new Ipmmu(name, variant, role, null, bus, nonSecure, bank, MainUnit.NO_BIT, misuse);
    }

    /**
     * A root unit, Gen3 and Gen4.
     *
     * @param name its name in messages
     * @param variant not Gen2
     * @param bus where its tables are, in RAM
     * @param nonSecure its first interrupt, or null if it is not connected
     * @param secure its second interrupt, or null; raised only with {@link IpmmuOption#SECURE_BANK}
     * @param misuse hears what drivers do wrong
     * @throws IllegalArgumentException if the variant has no such units (Gen2)
     */
    public static Ipmmu root(
            String name,
            IpmmuVariant variant,
            Bus bus,
            InterruptController.Line nonSecure,
            InterruptController.Line secure,
            MisuseListener misuse) {
        if (!variant.hasCaches()) {
            throw new IllegalArgumentException("%s: %s has no root units, all stand alone".formatted(name, variant));
        }
        return main(name, variant, IpmmuRegisters.Role.ROOT, bus, nonSecure, secure, misuse);
    }

    /**
     * A cache unit, Gen3 and Gen4.
     *
     * @param name its name in messages
     * @param variant with the options of the root's
     * @param root of the same generation
     * @param imsstrBit 0 to 31, the number that the device tree gives it in {@code renesas,ipmmu-main}, or -1 if none
     * @param misuse hears what drivers do wrong
     * @throws IllegalArgumentException if the root is none, of another generation or with other options, or the bit does
     *     not exist
     */
    public static Ipmmu cache(String name, IpmmuVariant variant, Ipmmu root, int imsstrBit, MisuseListener misuse) {
        if (!variant.hasCaches() || variant.generation() != root.variant.generation()) {
            throw new IllegalArgumentException(
                    "%s: %s is no cache of %s, which is %s".formatted(name, variant, root.name, root.variant));
        }
        if (!variant.hasOptionsOf(root.variant)) {
            throw new IllegalArgumentException(
                    "%s: its options are not those of its root, %s".formatted(name, root.name));
        }
        if (!root.isMain()) {
            throw new IllegalArgumentException("%s: %s is no root, but a cache itself".formatted(name, root.name));
        }
        if (imsstrBit < MainUnit.NO_BIT || imsstrBit > 31) {
            throw new IllegalArgumentException("%s: IMSSTR has no bit %d".formatted(name, imsstrBit));
        }
        IpmmuRegisters.Role role = IpmmuRegisters.Role.CACHE;
        Ipmmu bank = root.secureBank == null
                ? null
                : new Ipmmu(name + " (secure)", variant, role, root.secureBank, null, null, null, imsstrBit, misuse);
        return new Ipmmu(name, variant, role, root, null, null, bank, imsstrBit, misuse);
    }

    /**
     * A unit that is root and cache in one, Gen2. Parameters as for {@link #root}.
     *
     * @throws IllegalArgumentException if the variant has no such units (Gen3, Gen4)
     */
    public static Ipmmu standalone(
            String name,
            IpmmuVariant variant,
            Bus bus,
            InterruptController.Line nonSecure,
            InterruptController.Line secure,
            MisuseListener misuse) {
        if (variant.hasCaches()) {
            throw new IllegalArgumentException("%s: units of %s do not stand alone".formatted(name, variant));
        }
        return main(name, variant, IpmmuRegisters.Role.STANDALONE, bus, nonSecure, secure, misuse);
    }

    /**
     * The registers, as non-secure software sees them on the bus. They take 32-bit accesses; Assumed: others are bus
     * errors, as no driver makes them.
     */
    public BusDevice registers() {
        return new View() {
            @Override
            Ipmmu bank(long offset) {
                return Ipmmu.this;
            }

            @Override
            long inBank(long offset) {
                return offset;
            }
        };
    }

    /**
     * The registers as secure software sees them: on Gen2 and Gen3 the secure bank, and at + 0x800 the non-secure one (a
     * remark in Linux, and a Cortex-R7 loader); on Gen4 the secure bank. The bus has no secure accesses, so it needs
     * another address there.
     *
     * @throws IllegalStateException without {@link IpmmuOption#SECURE_BANK}
     */
    public BusDevice secureRegisters() {
        if (secureBank == null) {
            throw new IllegalStateException(name + " has no secure bank");
        }
        boolean alias = variant.generation() != IpmmuVariant.Generation.GEN4;
        return new View() {
            @Override
            Ipmmu bank(long offset) {
                return alias && offset >= NON_SECURE_ALIAS ? Ipmmu.this : secureBank;
            }

            @Override
            long inBank(long offset) {
                return alias ? offset % NON_SECURE_ALIAS + variant.bank() : offset;
            }
        };
    }

    /** Registers of one bank or the other, by offset; without power they are not there. */
    private abstract class View implements BusDevice {
        abstract Ipmmu bank(long offset);

        abstract long inBank(long offset);

        @Override
        public boolean takesMessages() {
            return false;
        }

        @Override
        public long read(long offset, int size) {
            if (refuses("read", offset, size)) {
                return 0;
            }
            return bank(offset).registers.read(inBank(offset), size);
        }

        @Override
        public void write(long offset, int size, long value) {
            if (!refuses("write", offset, size)) {
                bank(offset).registers.write(inBank(offset), size, value);
            }
        }

        @Override
        public boolean accepts(long offset, int size) {
            return (size == 4 || variant.has(IpmmuOption.ODD_ACCESSES_IGNORED))
                    && (powered || !variant.has(IpmmuOption.OFF_IS_BUS_ERROR));
        }

        private boolean refuses(String what, long offset, int size) {
            if (powered && size == 4) {
                return false;
            }
            misuse.misuse(
                    name,
                    powered
                            ? "%s of %d bytes at offset 0x%x".formatted(what, size, offset)
                            : "%s at offset 0x%x while the unit has no power".formatted(what, offset));
            return true;
        }
    }

    /**
     * Switches the power domain that the unit is in. Without power, registers read as zero and ignore writes, accesses of
     * masters abort, and what registers and TLBs held is lost; Assumed: with power they are again as after reset.
     */
    public void power(boolean on) {
        synchronized (registers) {
            boolean lost = powered && !on && !variant.has(IpmmuOption.RETENTION);
            powered = on; // First, or an access under way could pass a micro-TLB that has just been reset.
            if (lost) {
                registers.reset();
                firmware();
                for (int n = 0; n < variant.contexts(); n++) {
                    mainFlushes[n] = main.flushesBegun(n);
                }
                if (tlb != null) {
                    tlb.invalidateAll();
                }
                told = 0;
                if (isMain()) {
                    main.reset();
                } else if (variant.has(IpmmuOption.CACHE_INTEN_GATES)) {
                    main.updateLine();
                }
            }
            main.ports.all();
        }
        if (secureBank != null) {
            secureBank.power(on);
        }
    }

    /**
     * Makes a context report that more than one TLB entry matched an address, which the model itself never does.
     *
     * @param context 0 to {@link IpmmuVariant#contexts} - 1
     * @throws IllegalStateException if the unit is a cache
     */
    public void injectMultipleHit(int context, long address) {
        if (!isMain()) {
            throw new IllegalStateException(name + " is a cache, its root has the contexts");
        }
        main.fault(context, FaultStatus.MULTIPLE_HIT, address, null);
    }

    /** How many faults of a context came while the record of an earlier one had not been cleared. Software has no such count. */
    public long unrecordedFaults(int context) {
        return main.unrecordedFaults(context);
    }

    int imsstrBit() {
        return imsstrBit;
    }

    /** Whether INTEN of a context is set in this unit. */
    boolean lets(int n) {
        return IpmmuRegisters.INTEN.isSet(registers.get(layout.imctr[n]));
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
     * <p>A fault is recorded in the root's IMSTR of the context, and the master's access is aborted.
     *
     * @param utlb number of the micro-TLB that the master is connected to
     * @param substream has no meaning here
     */
    @Override
    public long translate(int utlb, int substream, long address, int access) {
        if (secureBank != null && (access & Access.SECURE) != 0) {
            return secureBank.translate(utlb, substream, address, access);
        }
        if (utlb < 0 || utlb >= layout.imuctr.length) {
            misuse.misuse(name, "a master is connected to micro-TLB %d, which is not there".formatted(utlb));
            return Translation.ABORT;
        }
        if (!powered) {
            tell(utlb, 0, "is used while the unit has no power");
            return Translation.ABORT;
        }
        long imuctr = registers.get(layout.imuctr[utlb]);
        if (!IpmmuRegisters.UTLB_MMUEN.isSet(imuctr)) {
            return bypass(imuctr, address);
        }
        int n = (int) layout.ttsel.get(imuctr);
        if (n >= variant.contexts()) {
            boolean pmb = n == PMB && variant.generation() != IpmmuVariant.Generation.GEN4;
            // Assumed: nothing but its name is known of the buffer.
            tell(utlb, imuctr, pmb ? "selects the physical memory buffer" : "selects no context");
            return pmb && variant.has(IpmmuOption.PMB_PASSES) ? bypass(imuctr, address) : Translation.ABORT;
        }
        if (!root.powered) {
            tell(utlb, imuctr, "is enabled while the root has no power");
            return Translation.ABORT;
        }
        if (!IpmmuRegisters.MMUEN.isSet(registers.get(layout.imctr[n])) || !main.isEnabled(n)) {
            tell(utlb, imuctr, "selects a context that is disabled in this unit or in the root");
            return strictContexts ? Translation.ABORT : bypass(imuctr, address);
        }
        long imsctlr = layout.imsctlr == null ? 0 : registers.get(layout.imsctlr);
        if (IpmmuRegisters.USE_SECGRP.isSet(imsctlr) || main.usesSecurityGroups()) {
            // Assumed: all that is known is that masters cannot do DMA then (Linux BSP, Xen).
            tell(utlb, imuctr, "is enabled while IMSCTLR.USE_SECGRP is set in this unit or in the root");
            return variant.has(IpmmuOption.SECURITY_GROUPS_PASS) ? bypass(imuctr, address) : Translation.ABORT;
        }
        int space = space(n, (access & Access.SECURE) != 0);
        // Assumed: with DISCACHE set nothing is kept in the unit, micro-TLBs included.
        boolean keeps = IpmmuRegisters.DISCACHE.get(imsctlr) != 7;
        Tlb cached = tlb;
        if (keeps && cached != null) {
            long hit = cached.lookUp(space, utlb, address);
            if (hit != Tlb.MISS) {
                return answer(n, imuctr, hit, address, access);
            }
        }
        return miss(utlb, n, imuctr, space, keeps, address, access);
    }

    private static long bypass(long imuctr, long address) {
        return fixed(imuctr, Translation.identity(address));
    }

    /** Assumed: FIXADD gives bits 39:32 of what is not translated, and by option of all, and has no other effect. */
    private static long fixed(long imuctr, long translation) {
        if (IpmmuRegisters.FIXADDEN.isSet(imuctr)) {
            return translation & ~(0xffL << 32) | IpmmuRegisters.FIXADD.get(imuctr) << 32;
        }
        return translation;
    }

    private long miss(int utlb, int n, long imuctr, int space, boolean keeps, long address, int access) {
        Tlb cache = tlb();
        // Order matters: the epoch, then how often the context was flushed here and in the root, then what the root
        // holds. A driver flushes caches before the root. What the main TLB still holds between the two must not come
        // back into a cache that was flushed: it would stay there.
        long before = cache.epoch();
        boolean keep = keeps && main.flushedSince(n, mainFlushes[n]);
        long result = main.lookUp(space, address);
        if (result == Tlb.MISS) {
            keep = keeps;
            result = main.walk(space, address, access);
            if (WalkResult.isFault(result)) {
                main.fault(n, main.status(space, result), address, this);
                return faulted;
            }
        }
        if (keep) {
            cache.fill(space, utlb, address, result | NOT_GLOBAL, before);
        }
        return answer(n, imuctr, result, address, access);
    }

    /** What a master gets of what a TLB or a walk found. */
    private long answer(int n, long imuctr, long found, long address, int access) {
        if (!WalkResult.permits(found, access)) {
            int level = WalkResult.level(found, Granule.KIB_4);
            main.fault(n, FaultStatus.permission(variant, level), address, this);
            return faulted;
        }
        return fixaddAlways ? fixed(imuctr, found & ~NOT_GLOBAL) : found & ~NOT_GLOBAL;
    }

    private Tlb tlb() {
        Tlb present = tlb;
        if (present != null) {
            return present;
        }
        synchronized (registers) {
            if (tlb == null) {
                tlb = new Tlb(variant.unitTlb());
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
        if (isMain()) {
            main.controlWritten(n, before, imctr);
        } else if (variant.has(IpmmuOption.CACHE_INTEN_GATES)) {
            main.updateLine();
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
