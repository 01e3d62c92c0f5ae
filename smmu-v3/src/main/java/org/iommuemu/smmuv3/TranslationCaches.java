package org.iommuemu.smmuv3;

import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.Tlb;

/** The TLBs (IHI 0070, 3.17), one for each kind of tag. */
final class TranslationCaches {
    /** More steps of a range than this, and everything of its VMID goes: invalidating more is permitted (4.4). */
    private static final long MAX_STEPS = 1024;

    private final Tlb el1;
    private final Tlb el2;
    private final Tlb stage2;

    TranslationCaches(TlbGeometry geometry) {
        el1 = new Tlb(geometry);
        el2 = new Tlb(geometry);
        stage2 = new Tlb(geometry);
    }

    /** Stage 1, alone or nested, of StreamWorld NS-EL1: by VMID and ASID. */
    Tlb el1() {
        return el1;
    }

    /** Stage 1 of StreamWorlds NS-EL2 and NS-EL2-E2H: by ASID; the space is 0. */
    Tlb el2() {
        return el2;
    }

    /** Stage 2 alone: by VMID. */
    Tlb stage2() {
        return stage2;
    }

    /**
     * Invalidates the addresses that a command names (4.4.1.1).
     *
     * @param asid or -1 for all
     */
    void invalidateRange(Tlb tlb, int space, int asid, Command command, SmmuFeatures features) {
        Granule granule = features.has(SmmuFeature.RIL) ? command.tg() : null;
        if (granule == null) {
            tlb.invalidateAddress(space, asid, command.address());
            if (tlb == el1) {
                invalidateParts(space, asid, command.address(), 1);
            }
            return;
        }
        int log2Unit = command.scale() + granule.shift();
        if (log2Unit >= 58) { // More than 2^58 bytes, and the product below would overflow: all of the address space.
            tlb.invalidateSpace(space);
            return;
        }
        long start = command.address() & -granule.bytes();
        long bytes = command.num() + 1L << log2Unit;
        // TTL is a promise about the level of the leaves, so one look per block of that level will do.
        int ttl = command.effectiveTtl(features);
        invalidateSteps(tlb, space, asid, start, bytes, ttl == 0 ? granule.shift() : granule.entryShift(ttl));
        if (tlb == el1) {
            invalidateParts(space, asid, start, bytes);
        }
    }

    private static void invalidateSteps(Tlb tlb, int space, int asid, long start, long bytes, int shift) {
        long steps = Math.max(1, bytes >>> shift);
        if (steps > MAX_STEPS) {
            tlb.invalidateSpace(space);
            return;
        }
        for (long step = 0; step < steps; step++) {
            tlb.invalidateAddress(space, asid, start + (step << shift));
        }
        tlb.invalidateAddress(space, asid, start + bytes - 1);
    }

    /**
     * A stage 1 block is cached in parts where stage 2 has smaller ones, and an address in it means all of them. Which
     * blocks were cut nobody knows, only whether any was, and how large.
     */
    private void invalidateParts(int space, int asid, long start, long bytes) {
        int log2Block = stage2.largestBlockCut();
        if (log2Block != 0) {
            long first = start & -1L << log2Block;
            long end = (start + bytes - 1 | (1L << log2Block) - 1) + 1;
            invalidateSteps(el1, space, asid, first, end - first, 12);
        }
    }

    /** Whether ports may have parts of a block, which one address does not tell. */
    boolean hasParts() {
        return stage2.largestBlockCut() != 0;
    }
}
