package org.iommuemu.ipmmu;

import java.util.Map;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.pagetables.Tlb;
import org.iommuemu.pagetables.WalkResult;

/**
 * What only a root has: contexts and their walks, the main TLB, fault records, the interrupt.
 *
 * <p><b>Concurrency.</b> Faults, the interrupt line and decoding of contexts are under the monitor of the root's register
 * file. Caches call in here without holding theirs, so there is no order of locks to get wrong.
 */
final class MainUnit {
    /** No unit: the index of the bit in IMSSTR is not known. */
    static final int NO_BIT = -1;

    /** A master that tries every address must not fill the heap. */
    private static final int MOST_KEPT_FAULTS = 4096;

    private final IpmmuVariant variant;
    private final IpmmuRegisters layout;
    private final RegisterFile registers;
    private final PhysicalMemory memory;
    private final InterruptController.Line line;
    private final String name;
    private final MisuseListener misuse;

    /** What the ports of all caches hear of. */
    final Invalidations ports;

    /** By space; all entries are global in it. */
    private final Tlb tlb;

    /** By space. Null: to be decoded again. */
    private final AtomicReferenceArray<Context> contexts = new AtomicReferenceArray<>(Ipmmu.SPACES);

    /** Addresses without translation, by {@link #faultKey}; null unless the variant keeps them. */
    private final Map<Long, Long> keptFaults;

    /** By context: how many flushes of the main TLB have begun. They are one after the other. */
    private final AtomicIntegerArray flushesBegun;

    /** By context: how many of them are over. */
    private final AtomicIntegerArray flushesOver;

    /** By context: the unit that its fault came through, or null. Under the monitor. */
    private final Ipmmu[] faultUnits;

    /** By context: faults that left no record, as that of an earlier one was not cleared. Under the monitor. */
    private final long[] unrecordedFaults;

    MainUnit(
            String name,
            IpmmuVariant variant,
            IpmmuRegisters layout,
            RegisterFile registers,
            PhysicalMemory memory,
            InterruptController.Line line,
            MisuseListener misuse,
            Invalidations ports) {
        this.ports = ports;
        this.name = name;
        this.variant = variant;
        this.layout = layout;
        this.registers = registers;
        this.memory = memory;
        this.line = line;
        this.misuse = misuse;
        tlb = new Tlb(variant.mainTlb());
        keptFaults = variant.has(IpmmuOption.KEPT_FAULTS) ? new ConcurrentHashMap<>() : null;
        flushesBegun = new AtomicIntegerArray(variant.contexts());
        flushesOver = new AtomicIntegerArray(variant.contexts());
        faultUnits = new Ipmmu[variant.contexts()];
        unrecordedFaults = new long[variant.contexts()];
        for (int n = 0; n < variant.contexts(); n++) {
            int context = n;
            RegisterFile.WriteEffect changed = (before, after) -> forget(context);
            registers.onWrite(layout.imttbcr[n], changed);
            registers.onWrite(layout.imttlbr0[n], changed);
            registers.onWrite(layout.imttubr0[n], changed);
            registers.onWrite(layout.imttlbr1[n], changed);
            registers.onWrite(layout.imttubr1[n], changed);
            registers.onWrite(layout.immair0[n], changed);
            registers.onWrite(layout.immair1[n], changed);
            registers.onWrite(layout.imstr[n], (before, after) -> statusWritten(context, after));
        }
        if (layout.imsauxctlr != null) {
            registers.onWrite(layout.imsauxctlr, (before, after) -> forgetAll());
        }
        if (layout.imsstr != null) {
            registers.onRead(layout.imsstr, stored -> imsstr());
        }
    }

    /** IMCTR of a context was written. */
    void controlWritten(int n, long before, long imctr) {
        if (((before ^ imctr) & ~IpmmuRegisters.FLUSH.mask()) != 0) {
            forget(n);
        }
        if (IpmmuRegisters.FLUSH.isSet(imctr)) {
            flushesBegun.incrementAndGet(n);
            tlb.invalidateSpace(Ipmmu.space(n, false));
            tlb.invalidateSpace(Ipmmu.space(n, true));
            if (keptFaults != null) {
                keptFaults.keySet().removeIf(key -> Ipmmu.contextOf((int) (key % Ipmmu.SPACES)) == n);
            }
            flushesOver.incrementAndGet(n);
        }
        updateLine();
    }

    /** Nothing is left of what registers said before, nor in TLBs. The caller holds the monitor. */
    void reset() {
        forgetAll();
        for (int n = 0; n < variant.contexts(); n++) {
            flushesBegun.incrementAndGet(n);
        }
        tlb.invalidateAll();
        if (keptFaults != null) {
            keptFaults.clear();
        }
        for (int n = 0; n < variant.contexts(); n++) {
            flushesOver.incrementAndGet(n);
            faultUnits[n] = null;
        }
        updateLine();
    }

    private void forgetAll() {
        for (int n = 0; n < variant.contexts(); n++) {
            forget(n);
        }
    }

    /** The next walk decodes the context's registers again; what TLBs hold stays until it is flushed. */
    private void forget(int n) {
        contexts.set(Ipmmu.space(n, false), null);
        contexts.set(Ipmmu.space(n, true), null);
    }

    boolean isEnabled(int n) {
        return IpmmuRegisters.MMUEN.isSet(registers.get(layout.imctr[n]));
    }

    /** Where the root's status registers are, for caches that show them. */
    IpmmuRegisters layout() {
        return layout;
    }

    boolean usesSecurityGroups() {
        return layout.imsctlr != null && IpmmuRegisters.USE_SECGRP.isSet(registers.get(layout.imsctlr));
    }

    int flushesBegun(int n) {
        return flushesBegun.get(n);
    }

    /**
     * Whether a whole flush of a context lies behind us.
     *
     * @param begun what {@link #flushesBegun} was; the flush began later
     */
    boolean flushedSince(int n, int begun) {
        return flushesOver.get(n) - begun > 0;
    }

    /** What the main TLB holds, or {@link Tlb#MISS}. */
    long lookUp(int space, long address) {
        return tlb.lookUp(space, 0, address);
    }

    /**
     * Walks a context's tables and caches what it finds. Faults are not cached, see {@link IpmmuOption#KEPT_FAULTS}.
     *
     * @return bits of {@link WalkResult}
     */
    long walk(int space, long address, int access) {
        long before = tlb.epoch();
        Long kept = keptFaults == null ? null : keptFaults.get(faultKey(space, address));
        if (kept != null) {
            return kept;
        }
        long result = context(space).walk(address, access);
        if (!WalkResult.isFault(result)) {
            tlb.fill(space, 0, address, result & ~Ipmmu.NOT_GLOBAL, before);
        } else if (keptFaults != null && WalkResult.kind(result) == WalkResult.Kind.TRANSLATION) {
            keepFault(faultKey(space, address), result, before);
        }
        return result;
    }

    private void keepFault(long key, long fault, long before) {
        if (keptFaults.size() < MOST_KEPT_FAULTS) {
            keptFaults.put(key, fault);
            if (tlb.epoch() != before) {
                keptFaults.remove(key); // A flush overtook the walk.
            }
        }
    }

    private static long faultKey(int space, long address) {
        return (address >>> 12) * Ipmmu.SPACES + space;
    }

    /** IMSTR for a walk in a space that failed. */
    int status(int space, long fault) {
        return FaultStatus.of(variant, fault, context(space).nonSecureOnly());
    }

    private Context context(int space) {
        Context context = contexts.get(space);
        if (context != null) {
            return context;
        }
        synchronized (registers) {
            context = contexts.get(space);
            if (context == null) {
                context = Context.decode(
                        variant,
                        layout,
                        registers,
                        memory,
                        Ipmmu.contextOf(space),
                        Ipmmu.isSecure(space),
                        what -> misuse.misuse(name, what));
                contexts.set(space, context);
            }
            return context;
        }
    }

    /**
     * Records a fault. Nothing tells which micro-TLB or master it came from. The first fault stays until software has
     * cleared its flags (unless by option the last does), and later ones are only counted.
     *
     * @param unit the unit that it came through, or null
     */
    void fault(int n, int status, long address, Ipmmu unit) {
        synchronized (registers) {
            if ((registers.get(layout.imstr[n]) & FaultStatus.FLAGS) != 0) {
                unrecordedFaults[n]++;
                if (!variant.has(IpmmuOption.LAST_FAULT_KEPT)) {
                    return;
                }
            }
            // The address is exact to the byte, unless by option; those that were logged are page-aligned.
            long seen = variant.has(IpmmuOption.PAGE_OF_FAULT) ? address & -4096 : address;
            registers.set(layout.imelar[n], seen & 0xffff_ffffL);
            if (layout.imeuar.length > 0) {
                registers.set(layout.imeuar[n], seen >>> 32 & 0xff);
            }
            registers.set(layout.imstr[n], status);
            faultUnits[n] = unit;
            updateLine();
        }
    }

    long unrecordedFaults(int n) {
        synchronized (registers) {
            return unrecordedFaults[n];
        }
    }

    /** What a cache shows of the root's status, by option. */
    long status(Register register) {
        return registers.get(register);
    }

    private void statusWritten(int n, long imstr) {
        if ((imstr & FaultStatus.FLAGS) == 0) {
            registers.set(layout.imelar[n], 0);
            if (layout.imeuar.length > 0) {
                registers.set(layout.imeuar[n], 0);
            }
        }
        updateLine();
    }

    /**
     * The interrupt is level, high while any context with INTEN has a flag set. Assumed: a context without INTEN still
     * records.
     */
    void updateLine() {
        if (line == null) {
            return;
        }
        synchronized (registers) {
            boolean high = false;
            for (int n = 0; n < variant.contexts(); n++) {
                high |= IpmmuRegisters.INTEN.isSet(registers.get(layout.imctr[n]))
                        && isPending(n)
                        && (faultUnits[n] == null
                                || !variant.has(IpmmuOption.CACHE_INTEN_GATES)
                                || faultUnits[n].lets(n));
            }
            line.set(high);
        }
    }

    private boolean isPending(int n) {
        return (registers.get(layout.imstr[n]) & FaultStatus.FLAGS) != 0;
    }

    private long imsstr() {
        misuse.misuse(name, "read of IMSSTR, which Renesas says can cause a hardware problem");
        long units = 0;
        boolean any = false;
        for (int n = 0; n < variant.contexts(); n++) {
            int bit = faultUnits[n] == null ? NO_BIT : faultUnits[n].imsstrBit();
            any |= isPending(n);
            units |= isPending(n) && bit != NO_BIT ? 1L << bit : 0;
        }
        OptionalInt own = variant.soc().map(Soc::imsstrRootBit).orElse(OptionalInt.empty());
        if (any && own.isPresent() && variant.has(IpmmuOption.IMSSTR_ROOT_BIT)) {
            units |= 1L << own.getAsInt();
        }
        return units;
    }
}
