package org.iommuemu.smmuv3;

import java.util.function.IntConsumer;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;
import org.iommuemu.pagetables.Tlb;

/**
 * A Context Descriptor: 64 bytes, and what its bits mean (IHI 0070, 5.4). Which of them are ILLEGAL is in
 * {@link CdIllegal}. Not read, because nothing of a model depends on them: attributes of table walks (IR, OR, and SH but
 * for DS), AMAIR, NSCFG of a Non-secure stream, PMG.
 *
 * @param words little-endian
 */
record ContextDescriptor(long[] words) {
    static final int WORDS = 8;
    static final int LOG2_BYTES = 6;

    private int bits(int high, int low) {
        return (int) Bits.get(words, high, low);
    }

    private boolean bit(int bit) {
        return bits(bit, bit) != 0;
    }

    boolean valid() {
        return bit(31);
    }

    // Fields that exist for TTB0 and TTB1: n is 0 or 1.

    /** TnSZ; VMSAv8-32 has 3 bits of it. */
    int tSz(int n) {
        return aa64() ? bits(16 * n + 5, 16 * n) : bits(16 * n + 2, 16 * n);
    }

    /** EPD0 and EPD1; EL2 without E2H has no TTB1, and EPD0 means nothing there (5.4). */
    boolean isDisabled(int n, StreamWorld world) {
        return world == StreamWorld.NS_EL2 ? n == 1 : bit(n == 0 ? 14 : 30);
    }

    private int sh(int n) {
        return Bits.shareability(bits(16 * n + 13, 16 * n + 12));
    }

    boolean tbi(int n) {
        return bit(38 + n);
    }

    private boolean had(int n) {
        return bit(65 + 64 * n);
    }

    private boolean e0pd(int n) {
        return bit(66 + 64 * n);
    }

    long ttb(int n, SmmuFeatures features) {
        return Bits.address(words[1 + n], features.architecture() == 0 ? 47 : 51, 4);
    }

    /** TG0, TG1, which are encoded differently; null if Reserved. VMSAv8-32 has 4 KiB only. */
    Granule tg(int n) {
        if (!aa64()) {
            return Granule.KIB_4;
        }
        int encoded = n == 0 ? bits(7, 6) : bits(23, 22);
        return switch (n << 2 | encoded) {
            case 0b000, 0b110 -> Granule.KIB_4;
            case 0b001, 0b111 -> Granule.KIB_64;
            case 0b010, 0b101 -> Granule.KIB_16;
            default -> null;
        };
    }

    /** DS where it means something: 52-bit addresses with 4 and 16 KiB granules. */
    boolean ds(int n, SmmuFeatures features) {
        return features.has(SmmuFeature.DS) && aa64() && tg(n) != Granule.KIB_64 && bit(186);
    }

    // Fields for both

    boolean endi() {
        return bit(15);
    }

    /** The effective IPS: 40 bits with VMSAv8-32. */
    int outputBits(SmmuFeatures features) {
        return aa64() ? features.effectiveAddressSize(bits(34, 32)) : 40;
    }

    private boolean affd() {
        return bit(35);
    }

    private boolean wxn() {
        return bit(36);
    }

    private boolean uwxn() {
        return bit(37);
    }

    private boolean pan() {
        return bit(40);
    }

    boolean aa64() {
        return bit(41);
    }

    boolean hd() {
        return bit(42);
    }

    boolean ha() {
        return bit(43);
    }

    /** Translation-related faults of stage 1 stall (5.5). */
    boolean s() {
        return bit(44);
    }

    /** Translation-related faults of stage 1 are recorded (5.5). */
    boolean r() {
        return bit(45);
    }

    /** Terminated accesses with a stage 1 fault abort; otherwise they are RAZ/WI (5.5). */
    boolean a() {
        return bit(46);
    }

    int asid() {
        return bits(63, 48);
    }

    /** ASID and ASET as TLBs have them: global translations of one set do not answer in the other (3.17.1). */
    int taggedAsid() {
        return asid() | (bit(47) ? Tlb.ASID_SET : 0);
    }

    /** PARTID as an index into the VMS, of 5 bits. */
    int virtualPartId() {
        return bits(356, 352);
    }

    /** MAIR1 and MAIR0, with what is Reserved in them as it behaves (5.4). */
    private long mair() {
        long mair = 0;
        for (int i = 0; i < 64; i += 8) {
            int attributes = (int) (words[3] >>> i) & 0xff;
            if (attributes >>> 4 == 0) {
                attributes &= ~3;
            } else if ((attributes & 0xf) == 0) {
                attributes |= 3; // Inner write-through, transient, allocating.
            }
            mair |= (long) attributes << i;
        }
        return mair;
    }

    /** Bit n: unprivileged accesses to the range of TTBn are Translation faults (E0PDn). */
    int privilegedOnly(StreamWorld world, SmmuFeatures features) {
        boolean means = features.has(SmmuFeature.E0PD) && aa64() && world != StreamWorld.NS_EL2;
        return means ? (e0pd(0) ? 1 : 0) | (e0pd(1) ? 2 : 0) : 0;
    }

    /** How 32-bit addresses select a table of a legal CD; null if they are 64-bit, or there is one table only. */
    Configuration.NarrowRanges narrowRanges(StreamWorld world) {
        return aa64() || world == StreamWorld.NS_EL2 ? null : new Configuration.NarrowRanges(tSz(0), tSz(1));
    }

    /** The width of an address in the range of TTBn. */
    private int inputBits(int n, SmmuFeatures features) {
        return aa64() ? 64 - SteIllegal.clamp(features, tSz(n), 16, 39) : 32 - tSz(n);
    }

    /** The walk of a legal CD through TTB0 or TTB1; null if EPDn disables it. */
    TableWalk walk(
            int n,
            StreamWorld world,
            TableWalk stage2,
            PhysicalMemory memory,
            SmmuFeatures features,
            IntConsumer accesses) {
        if (isDisabled(n, world)) {
            return null;
        }
        TableWalk.Builder walk = TableWalk.stage1(
                        memory, tg(n), ttb(n, features), inputBits(n, features), outputBits(features))
                .upper(n == 1)
                .bigEndian(endi())
                .accessFlagFaults(!affd())
                .accessFlagUpdate(aa64() && ha())
                .dirtyState(aa64() && hd())
                .hierarchical(!(features.has(SmmuFeature.HAD) && had(n)))
                .onePrivilegeLevel(world == StreamWorld.NS_EL2)
                .unprivileged((privilegedOnly(world, features) >>> n & 1) == 0)
                .aarch32(!aa64())
                .busBits(stage2 == null ? features.oas() : outputBits(features))
                .uwxn(!aa64() && uwxn())
                .wxn(wxn())
                .pan(pan())
                .lpa(features.oas() > 48)
                .mair(mair())
                .over(stage2)
                .counting(accesses);
        return (ds(n, features) ? walk.ds(sh(n)) : walk).build();
    }
}
