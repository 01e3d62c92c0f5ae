package org.iommuemu.smmuv3;

import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.TableWalk;

/**
 * A Context Descriptor: 64 bytes, its bits and which of them are ILLEGAL (IHI 0070, 5.4).
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

    private int tSz(int n) {
        return n == 0 ? bits(5, 0) : bits(21, 16);
    }

    boolean epd(int n) {
        return bit(n == 0 ? 14 : 30);
    }

    boolean tbi(int n) {
        return bit(38 + n);
    }

    private boolean had(int n) {
        return bit(65 + 64 * n);
    }

    private long ttb(int n) {
        return Bits.address(words[1 + n], 51, 4);
    }

    /** TG0, TG1, which are encoded differently; null if Reserved. */
    private Granule tg(int n) {
        int encoded = n == 0 ? bits(7, 6) : bits(23, 22);
        return switch (n << 2 | encoded) {
            case 0b000, 0b110 -> Granule.KIB_4;
            case 0b001, 0b111 -> Granule.KIB_64;
            case 0b010, 0b101 -> Granule.KIB_16;
            default -> null;
        };
    }

    private boolean endi() {
        return bit(15);
    }

    private int ips() {
        return bits(34, 32);
    }

    private boolean affd() {
        return bit(35);
    }

    private boolean wxn() {
        return bit(36);
    }

    private boolean pan() {
        return bit(40);
    }

    private boolean aa64() {
        return bit(41);
    }

    private boolean hdOrHa() {
        return bits(43, 42) != 0;
    }

    boolean s() {
        return bit(44);
    }

    /** Stage 1 faults are recorded (5.5). */
    boolean r() {
        return bit(45);
    }

    /** Terminated stage 1 faults abort; otherwise they are RAZ/WI (5.5). */
    boolean a() {
        return bit(46);
    }

    int asid() {
        return bits(63, 48);
    }

    /** The walk of a legal CD through TTB0 or TTB1; null if EPDn disables it. */
    TableWalk walk(int n, StreamWorld world, TableWalk stage2, PhysicalMemory memory, SmmuFeatures features) {
        if (isDisabled(n, world)) {
            return null;
        }
        return TableWalk.stage1(memory, tg(n), ttb(n), 64 - tSz(n), features.effectiveAddressSize(ips()))
                .upper(n == 1)
                .bigEndian(endi())
                .accessFlagFaults(!affd())
                .hierarchical(!(features.has(SmmuFeature.HAD) && had(n)))
                .onePrivilegeLevel(world == StreamWorld.NS_EL2)
                .wxn(wxn())
                .pan(pan() && world != StreamWorld.NS_EL2)
                .mair(words[3])
                .over(stage2)
                .build();
    }

    /** EPD0 and EPD1; EL2 without E2H has no TTB1, and EPD0 means nothing there (5.4). */
    private boolean isDisabled(int n, StreamWorld world) {
        return world == StreamWorld.NS_EL2 ? n == 1 : epd(n);
    }

    /** Why a valid CD is ILLEGAL: the rule it breaks; null if it is legal (5.4.2, CdIllegal()). */
    String illegal(StreamWorld world, SmmuFeatures features) {
        if (!aa64()) {
            return "AA64 == 0, SMMU_IDR0.TTF has no VMSAv8-32";
        }
        if (features.has(SmmuFeature.TERM_MODEL) && !a()) {
            return "A == 0, SMMU_IDR0.TERM_MODEL == 1";
        }
        if (s() && features.stallModel() == SmmuFeatures.StallModel.TERMINATE) {
            return "S == 1, SMMU_IDR0.STALL_MODEL == 0b01";
        }
        if (hdOrHa()) {
            return "HA or HD, SMMU_IDR0.HTTU == 0";
        }
        if (world != StreamWorld.NS_EL2 && !features.has(SmmuFeature.ASID16) && asid() >>> 8 != 0) {
            return "ASID[15:8] != 0, SMMU_IDR0.ASID16 == 0";
        }
        boolean anyTable = !isDisabled(0, world) || !isDisabled(1, world);
        if (anyTable && !features.supportsEndianness(endi())) {
            return "ENDI does not go with SMMU_IDR0.TTENDIAN";
        }
        for (int n = 0; n < 2; n++) {
            if (isDisabled(n, world)) {
                continue;
            }
            if (tg(n) == null || !features.supports(tg(n))) {
                return "TG" + n + " is Reserved or not supported";
            }
            if (tSz(n) < 16 || tSz(n) > 39) {
                return "T" + n + "SZ is out of range";
            }
            if (ttb(n) >>> features.effectiveAddressSize(ips()) != 0) {
                return "TTB" + n + " is beyond the effective IPS";
            }
        }
        return null;
    }
}
