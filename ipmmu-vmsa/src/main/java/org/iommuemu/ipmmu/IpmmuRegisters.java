package org.iommuemu.ipmmu;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterMap;

/**
 * The registers of an IPMMU-VMSA unit, declared. All are 32 bits. A unit that lacks a register reads as zero there and
 * ignores writes. One instance serves all units of a generation and role.
 *
 * <p>Names, offsets and bits: Linux ipmmu-vmsa.c (its first version of 2014 has all of Gen2), Xen
 * passthrough/arm/ipmmu-vmsa.c, TF-A's R-Car BL2 (IMSCTLR, IMSAUXCTLR), a public Cortex-R7 loader. Bits that none of them
 * names are RES0. Assumed: registers are 0 after reset, unless declared otherwise.
 */
final class IpmmuRegisters {
    /** What a unit is. */
    enum Role {
        /** IPMMU-MM: contexts, main TLB, faults. */
        ROOT(true, false),
        /** A unit in front of masters: micro-TLBs, and per context enable and flush. */
        CACHE(false, true),
        /** Gen2: both. */
        STANDALONE(true, true);

        final boolean contexts;
        final boolean utlbs;

        Role(boolean contexts, boolean utlbs) {
            this.contexts = contexts;
            this.utlbs = utlbs;
        }
    }

    /** Options that change which registers there are, or what they start with. */
    private static final List<IpmmuOption> DECLARING = List.of(
            IpmmuOption.COLD_RESET,
            IpmmuOption.STATUS_READ_WRITE,
            IpmmuOption.CACHE_STATUS,
            IpmmuOption.GEN4_IMSSTR,
            IpmmuOption.ONE_CONTEXT);

    private record Kind(IpmmuVariant.Generation generation, Role role, List<IpmmuOption> options) {}

    private static final Map<Kind, IpmmuRegisters> KINDS = new ConcurrentHashMap<>();

    // IMCTR, context control.
    static final Field MMUEN = Field.rw("MMUEN", 0);
    /** Invalidates all TLB content of the context in this unit; reads as one while busy. Zero does not cancel it. */
    static final Field FLUSH = Field.busy("FLUSH", 1);

    static final Field INTEN = Field.rw("INTEN", 2);
    static final Field AFE = Field.rw("AFE", 16);
    static final Field VA64 = Field.rw("VA64", 29);

    // IMTTBCR, translation table base control.
    static final Field EAE = Field.rw("EAE", 31);
    static final Field PMB = Field.rw("PMB", 30);

    // IMUCTR, micro-TLB control.
    static final Field UTLB_MMUEN = Field.rw("MMUEN", 0);
    /** Read as zero at once: no driver polls it, and Xen writes back what it reads. */
    static final Field UTLB_FLUSH = new Field("FLUSH", 1, 1, Field.Type.W1S, 0);

    static final Field FIXADD = Field.rw("FIXADD", 16, 8);
    static final Field FIXADDEN = Field.rw("FIXADDEN", 31);

    // IMSCTLR, IMSAUXCTLR.
    static final Field USE_SECGRP = Field.rw("USE_SECGRP", 28);
    /** Three bits that firmware sets together in caches to disable the unit's TLB; the single bits are not known. */
    static final Field DISCACHE = Field.rw("DISCACHE", 29, 3);

    static final Field S2PTE = Field.rw("S2PTE", 3);

    // Fields whose place or width differs between generations.
    final Field sl0;
    final Field tsz0;
    final Field tsz1;
    final Field ttsel;

    // By context; of a cache only IMCTR, and with CACHE_STATUS what shows the root's status.
    final Register[] imctr;
    final Register[] imttbcr;
    final Register[] imttlbr0;
    final Register[] imttubr0;
    final Register[] imttlbr1;
    final Register[] imttubr1;
    final Register[] imstr;
    final Register[] immair0;
    final Register[] immair1;
    /** IMELAR; on Gen2 IMEAR. */
    final Register[] imelar;
    /** None on Gen2. */
    final Register[] imeuar;

    // By micro-TLB; none in a root.
    final Register[] imuctr;

    /** Null on Gen2. */
    final Register imsctlr;
    /** Only in roots, null on Gen2. */
    final Register imsauxctlr;
    /** Only in Gen3 roots, and by option in those of Gen4: bit k tells that the unit with index k has a pending error. */
    final Register imsstr;

    final RegisterMap map;

    private final List<Register> declared = new ArrayList<>();

    static IpmmuRegisters of(IpmmuVariant variant, Role role) {
        List<IpmmuOption> options = DECLARING.stream().filter(variant::has).toList();
        return KINDS.computeIfAbsent(
                new Kind(variant.generation(), role, options), kind -> new IpmmuRegisters(variant, role));
    }

    private IpmmuRegisters(IpmmuVariant variant, Role role) {
        boolean gen2 = variant.generation() == IpmmuVariant.Generation.GEN2;
        boolean gen3 = variant.generation() == IpmmuVariant.Generation.GEN3;
        boolean gen4 = variant.generation() == IpmmuVariant.Generation.GEN4;
        boolean cold = variant.has(IpmmuOption.COLD_RESET);
        // IMSTR: writing zero clears; Linux and Xen write 0, and have seen that writing ones does not clear.
        Field.Type status = variant.has(IpmmuOption.STATUS_READ_WRITE) ? Field.Type.RW : Field.Type.W0C;
        sl0 = gen2 ? Field.rw("SL0", 4) : Field.rw("SL0", 6, 2);
        tsz0 = Field.rw("TSZ0", 0, gen2 ? 3 : 6);
        tsz1 = Field.rw("TSZ1", 16, gen2 ? 3 : 6);
        ttsel = Field.rw("TTSEL", 4, variant.ttselWidth());

        int contexts = role.contexts ? variant.contexts() : 0;
        int statuses = role.contexts || variant.has(IpmmuOption.CACHE_STATUS) ? variant.contexts() : 0;
        imctr = new Register[variant.contexts()];
        imttbcr = new Register[contexts];
        imttlbr0 = new Register[contexts];
        imttubr0 = new Register[contexts];
        imttlbr1 = new Register[contexts];
        imttubr1 = new Register[contexts];
        imstr = new Register[statuses];
        immair0 = new Register[contexts];
        immair1 = new Register[contexts];
        imelar = new Register[statuses];
        imeuar = new Register[gen2 ? 0 : statuses];

        for (int n = 0; n < imctr.length; n++) {
            int at = variant.contextOffset(n);
            if (!role.contexts) {
                imctr[n] = word("IMCTR" + n, at, MMUEN, FLUSH, INTEN);
                if (statuses > 0) {
                    imstr[n] = word("IMSTR" + n, at + 0x20, Field.ro("ROOT", 0, 32, 0));
                    imelar[n] = word("IMELAR" + n, at + 0x30, Field.ro("ROOT", 0, 32, 0));
                    imeuar[n] = word("IMEUAR" + n, at + 0x34, Field.ro("ROOT", 0, 32, 0));
                }
                continue;
            }
            Field tren = Field.rw("TREN", 3);
            Field rtsel = Field.rw("RTSEL", 4, gen2 ? 2 : 3);
            Field tre = Field.rw("TRE", 17);
            imctr[n] = gen2
                    ? word("IMCTR" + n, at, MMUEN, FLUSH, INTEN, tren, rtsel, AFE, tre)
                    : word("IMCTR" + n, at, MMUEN, FLUSH, INTEN, tren, rtsel, AFE, tre, VA64);
            if (gen2) {
                word("IMCAAR" + n, at + 0x04, storage());
                word("IMBUSCR" + n, at + 0x0c, Field.rw("BUSSEL", 0, 2), Field.rw("DVM", 2));
            } else if (gen3) {
                word("IMBUSCR" + n, at + 0x0c, Field.rw("CCEN", 0)); // Of a Cortex-R7 loader, which writes 0.
            }
            imttbcr[n] = word(
                    "IMTTBCR" + n,
                    at + 0x08,
                    tsz0,
                    sl0,
                    // Attributes of table walks: stored, without effect. Gen3 cannot snoop (Linux, cache_snoop).
                    Field.rw("IRGN0", 8, 2),
                    Field.rw("ORGN0", 10, 2),
                    Field.rw("SH0", 12, 2),
                    tsz1,
                    new Field("SCSZ", 22, 1, gen2 ? Field.Type.RAZ_WI : Field.Type.RW, 0),
                    new Field("PGSZ", 23, 1, gen2 ? Field.Type.RAZ_WI : Field.Type.RW, 0),
                    Field.rw("IRGN1", 24, 2),
                    Field.rw("ORGN1", 26, 2),
                    Field.rw("SH1", 28, 2),
                    PMB,
                    EAE);
            imttlbr0[n] = word("IMTTLBR0_" + n, at + 0x10, tableBase(gen2));
            imttubr0[n] = word("IMTTUBR0_" + n, at + 0x14, Field.rw("TTBR", 0, 8));
            imttlbr1[n] = word("IMTTLBR1_" + n, at + 0x18, tableBase(gen2));
            imttubr1[n] = word("IMTTUBR1_" + n, at + 0x1c, Field.rw("TTBR", 0, 8));
            imstr[n] = word(
                    "IMSTR" + n,
                    at + 0x20,
                    new Field("TF", 0, 1, status, 0),
                    new Field("PF", 1, 1, status, 0),
                    new Field("ABORT", 2, 1, status, 0),
                    new Field("MHIT", 4, 1, status, 0),
                    new Field("ERRCODE", 8, 3, status, 0),
                    new Field("ERRLVL", 12, 2, status, 0));
            immair0[n] = word("IMMAIR0_" + n, at + 0x28, storage());
            immair1[n] = word("IMMAIR1_" + n, at + 0x2c, storage());
            imelar[n] = word((gen2 ? "IMEAR" : "IMELAR") + n, at + 0x30, Field.ro("EAR", 0, 32, 0));
            if (!gen2) {
                imeuar[n] = word("IMEUAR" + n, at + 0x34, Field.ro("EAR", 0, 8, 0));
            }
        }

        imuctr = new Register[role.utlbs ? variant.utlbs() : 0];
        for (int u = 0; u < imuctr.length; u++) {
            int at = variant.utlbOffset(u);
            imuctr[u] = word("IMUCTR" + u, at, UTLB_MMUEN, UTLB_FLUSH, ttsel, FIXADD, FIXADDEN);
            word("IMUASID" + u, at + 8, Field.rw("ASID0", 0, 8), Field.rw("ASID8", 8, 8));
        }

        int control = variant.controlOffset();
        long enable = role.contexts && !cold ? 6 : 0; // 0xc0000000
        imsctlr = gen2
                ? null
                : word("IMSCTLR", control + 0x500, USE_SECGRP.resetTo(cold ? 1 : 0), DISCACHE.resetTo(enable));
        Field nmerge40 = Field.rw("NMERGE40", 24).resetTo(gen3 && !cold ? 1 : 0);
        imsauxctlr = gen2 || !role.contexts ? null : word("IMSAUXCTLR", control + 0x504, S2PTE, nmerge40);
        // Assumed: Gen4 reads as zero, as an experiment on one chip did; its offset there is not known.
        imsstr = role.contexts && (gen3 || gen4 && variant.has(IpmmuOption.GEN4_IMSSTR))
                ? word("IMSSTR", control + 0x540, Field.ro("UNITS", 0, 32, 0))
                : null;

        if (!variant.hasCaches() || gen3 && role.utlbs) {
            // Physical memory buffer: no driver uses it, and its bits are not public.
            word("IMPCTR", variant.bank() + 0x200, storage());
            word("IMPSTR", variant.bank() + 0x208, storage());
            word("IMPEAR", variant.bank() + 0x20c, storage());
            for (int i = 0; i < 16; i++) {
                word("IMPMBA" + i, variant.bank() + 0x280 + 4 * i, storage());
                word("IMPMBD" + i, variant.bank() + 0x2c0 + 4 * i, storage());
            }
        }
        if (gen3) {
            // RAM errors and performance counters: named in a public list of registers, used by nobody.
            word("IMPFMCTR", 0x580, storage());
            word("IMPFMTOTAL", 0x590, storage());
            word("IMPFMHIT", 0x594, storage());
            word(role.contexts ? "IMPFML3MISS" : "IMPFMMISS", 0x598, storage());
            if (role.contexts) {
                word("IMPFML2MISS", 0x59c, storage());
                word("IMRAM0ERRCTR", 0x560, storage());
                word("IMRAM0ERRSTR", 0x564, storage());
                word("IMRAM1ERRCTR", 0x568, storage());
                word("IMRAM1ERRSTR", 0x56c, storage());
                word("IMRAM2ERRSTR", 0x570, storage());
                word("IMRAM3ERRSTR", 0x574, storage());
                word("IMRAMECCCMPCTR", 0x578, storage());
                word("IMRAMECCCMPSTR", 0x57c, storage());
            }
        }
        map = new RegisterMap(variant.window(), declared);
        declared.clear();
    }

    private Register word(String name, int offset, Field... fields) {
        Register register = Register.word(name, offset, fields);
        declared.add(register);
        return register;
    }

    /** Bits 31:12; on Gen2 31:5, as the first Linux driver's root of four entries was only so aligned. */
    private static Field tableBase(boolean gen2) {
        return gen2 ? Field.rw("TTBR", 5, 27) : Field.rw("TTBR", 12, 20);
    }

    /** All bits: read as written, no effect. */
    private static Field storage() {
        return Field.rw("VALUE", 0, 32);
    }
}
