package org.iommuemu.smmuv3;

import org.iommuemu.pagetables.Granule;

/**
 * A command: 16 bytes as two words, and where its fields are (IHI 0070, chapter 4).
 *
 * @param word0 bits 63:0
 * @param word1 bits 127:64
 */
record Command(long word0, long word1) {
    static final int LOG2_BYTES = 4;

    /** Commands of the Non-secure programming interface (4.1.1). */
    enum Opcode {
        CMD_PREFETCH_CONFIG(0x01),
        CMD_PREFETCH_ADDR(0x02),
        CMD_CFGI_STE(0x03),
        /** With a range of 31: CMD_CFGI_ALL. */
        CMD_CFGI_STE_RANGE(0x04),
        CMD_CFGI_CD(0x05),
        CMD_CFGI_CD_ALL(0x06),
        CMD_TLBI_NH_ALL(0x10),
        CMD_TLBI_NH_ASID(0x11),
        CMD_TLBI_NH_VA(0x12),
        CMD_TLBI_NH_VAA(0x13),
        CMD_TLBI_EL2_ALL(0x20),
        CMD_TLBI_EL2_ASID(0x21),
        CMD_TLBI_EL2_VA(0x22),
        CMD_TLBI_EL2_VAA(0x23),
        CMD_TLBI_S12_VMALL(0x28),
        CMD_TLBI_S2_IPA(0x2a),
        CMD_TLBI_NSNH_ALL(0x30),
        CMD_SYNC(0x46);

        private static final Opcode[] BY_NUMBER = new Opcode[0x100];

        static {
            for (Opcode opcode : values()) {
                BY_NUMBER[opcode.number] = opcode;
            }
        }

        private final int number;

        Opcode(int number) {
            this.number = number;
        }
    }

    private int bits(int high, int low) {
        long word = low < 64 ? word0 : word1;
        return (int) (word >>> (low & 63) & -1L >>> 63 - (high - low));
    }

    /** The command; null if Reserved, or of a feature that no SMMU of this model has. */
    Opcode opcode() {
        return Opcode.BY_NUMBER[bits(7, 0)];
    }

    boolean ssec() {
        return bits(10, 10) != 0;
    }

    int streamId() {
        return bits(63, 32);
    }

    /** CMD_CFGI_STE_RANGE: 2^(Range + 1) StreamIDs (4.3.2). */
    int range() {
        return bits(68, 64);
    }

    // TLBI (4.4)

    int num() {
        return bits(16, 12);
    }

    int scale() {
        return bits(24, 20);
    }

    int vmid() {
        return bits(47, 32);
    }

    int asid() {
        return bits(63, 48);
    }

    /** TTL; 0b01 with the 16 KiB granule is Reserved and behaves as 0b00: no hint (4.4.1.1). */
    int ttl() {
        int ttl = bits(73, 72);
        return ttl == 1 && tg() == Granule.KIB_16 ? 0 : ttl;
    }

    /** TG; null if the command is not a range and has no level hint. */
    Granule tg() {
        return switch (bits(75, 74)) {
            case 1 -> Granule.KIB_4;
            case 2 -> Granule.KIB_16;
            case 3 -> Granule.KIB_64;
            default -> null;
        };
    }

    /** Address[63:12], or IPA[51:12]. */
    long address() {
        return word1 & -1L << 12;
    }

    // CMD_SYNC (4.7.3)

    static final int SIG_NONE = 0;
    static final int SIG_IRQ = 1;
    static final int SIG_SEV = 2;

    /** CS: how completion is signalled. */
    int completionSignal() {
        return bits(13, 12);
    }

    int msiData() {
        return bits(63, 32);
    }

    long msiAddress() {
        return Bits.address(word1, 51, 2);
    }

    /** Why a command is ILLEGAL: the rule it breaks; null if it is legal (4.2 to 4.7). */
    String illegal(SmmuFeatures features) {
        Opcode opcode = opcode();
        if (opcode == null) {
            return "opcode 0x%02x is Reserved or of a feature that is not implemented".formatted(bits(7, 0));
        }
        return switch (opcode) {
            case CMD_PREFETCH_CONFIG, CMD_PREFETCH_ADDR, CMD_CFGI_STE, CMD_CFGI_STE_RANGE -> illegalSsec();
            case CMD_CFGI_CD, CMD_CFGI_CD_ALL -> features.has(SmmuFeature.S1P) ? illegalSsec() : "SMMU_IDR0.S1P == 0";
            case CMD_TLBI_NH_ALL, CMD_TLBI_NH_ASID -> features.has(SmmuFeature.S1P) ? null : "SMMU_IDR0.S1P == 0";
            case CMD_TLBI_NH_VA, CMD_TLBI_NH_VAA ->
                features.has(SmmuFeature.S1P) ? illegalRange(features) : "SMMU_IDR0.S1P == 0";
            case CMD_TLBI_EL2_ALL, CMD_TLBI_EL2_ASID -> features.has(SmmuFeature.HYP) ? null : "SMMU_IDR0.HYP == 0";
            case CMD_TLBI_EL2_VA, CMD_TLBI_EL2_VAA ->
                features.has(SmmuFeature.HYP) ? illegalRange(features) : "SMMU_IDR0.HYP == 0";
            case CMD_TLBI_S12_VMALL -> features.has(SmmuFeature.S2P) ? null : "SMMU_IDR0.S2P == 0";
            case CMD_TLBI_S2_IPA -> features.has(SmmuFeature.S2P) ? illegalRange(features) : "SMMU_IDR0.S2P == 0";
            case CMD_TLBI_NSNH_ALL -> null;
            case CMD_SYNC -> completionSignal() > SIG_SEV ? "CS is Reserved" : null;
        };
    }

    private String illegalSsec() {
        return ssec() ? "SSec == 1 in the Non-secure Command queue" : null;
    }

    private String illegalRange(SmmuFeatures features) {
        return features.has(SmmuFeature.RIL) && tg() != null && num() == 0 && scale() == 0 && ttl() == 0
                ? "TG != 0 with NUM, SCALE and TTL of 0 is Reserved"
                : null;
    }
}
