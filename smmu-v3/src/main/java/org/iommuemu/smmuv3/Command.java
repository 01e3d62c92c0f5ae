package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Granule;

/**
 * A command: 16 bytes as two words, where its fields are, and when it is ILLEGAL (IHI 0070, chapter 4). Reserved fields
 * are ignored (4.1.5).
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
        CMD_CFGI_VMS_PIDM(0x07),
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
        CMD_ATC_INV(0x40),
        CMD_PRI_RESP(0x41),
        CMD_RESUME(0x44),
        CMD_STALL_TERM(0x45),
        CMD_SYNC(0x46);

        private static final Opcode[] BY_NUMBER = new Opcode[0x100];

        static {
            for (Opcode opcode : values()) {
                BY_NUMBER[opcode.number] = opcode;
            }
        }

        final int number;

        Opcode(int number) {
            this.number = number;
        }
    }

    private int bits(int high, int low) {
        long word = low < 64 ? word0 : word1;
        return (int) (word >>> (low & 63) & -1L >>> 63 - (high - low));
    }

    private boolean bit(int bit) {
        return bits(bit, bit) != 0;
    }

    /** The command; null if Reserved, or of another programming interface or of DPT, which are never there. */
    Opcode opcode() {
        return Opcode.BY_NUMBER[bits(7, 0)];
    }

    private boolean ssec() {
        return bit(10);
    }

    int streamId() {
        return bits(63, 32);
    }

    /** SubstreamID, if SSV says that there is one; else {@link Translator#NO_SUBSTREAM}. */
    int substreamId() {
        return bit(11) ? bits(31, 12) : Translator.NO_SUBSTREAM;
    }

    /** CMD_CFGI_STE_RANGE: 2^(Range + 1) StreamIDs (4.3.2). */
    int range() {
        return bits(68, 64);
    }

    // CMD_PREFETCH_ADDR (4.2.2): 2^Size addresses, 2^(12 + Stride) bytes apart.

    int size() {
        return bits(68, 64);
    }

    int stride() {
        return bits(73, 69);
    }

    // TLBI (4.4)

    int num() {
        return bits(16, 12);
    }

    int scale() {
        return bits(25, 20);
    }

    int vmid() {
        return bits(47, 32);
    }

    int asid() {
        return bits(63, 48);
    }

    /** TTL, 0 for no hint. */
    int ttl() {
        return bits(73, 72);
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

    /** Address[63:12], or IPA[55:12]. */
    long address() {
        return word1 & -1L << 12;
    }

    // CMD_ATC_INV (4.5.1)

    boolean global() {
        return bit(9);
    }

    /** The range is 4096 * 2^Size bytes; 52 is all. */
    int atcSize() {
        return bits(69, 64);
    }

    // CMD_PRI_RESP (4.5.2)

    int prgIndex() {
        return bits(72, 64);
    }

    int response() {
        return bits(77, 76);
    }

    // CMD_RESUME (4.7.1)

    int stag() {
        return bits(79, 64);
    }

    /** Ac: retry, otherwise terminate. */
    boolean retries() {
        return bit(12);
    }

    /** Ab: terminate with an abort, otherwise as RAZ/WI. */
    boolean aborts() {
        return bit(13);
    }

    // CMD_SYNC (4.7.3). MSIAttr and MSH are attributes of a write that leave no trace on the model's bus.

    static final int SIG_IRQ = 1;
    static final int SIG_SEV = 2;

    /** CS: how completion is signalled; 0 is SIG_NONE. */
    int completionSignal() {
        return bits(13, 12);
    }

    int msiData() {
        return bits(63, 32);
    }

    /** MSIAddress[55:2]. */
    long msiAddress() {
        return Bits.address(word1, 55, 2);
    }

    /** Why a command is ILLEGAL: the rule it breaks; null if it is legal (4.1.3, 4.2 to 4.7). */
    String illegal(SmmuFeatures features) {
        Opcode opcode = opcode();
        if (opcode == null) {
            return "opcode 0x%02x is Reserved, or of a feature or Security state that is not implemented"
                    .formatted(bits(7, 0));
        }
        return switch (opcode) {
            case CMD_PREFETCH_CONFIG, CMD_PREFETCH_ADDR, CMD_CFGI_STE, CMD_CFGI_STE_RANGE -> illegalSsec();
            case CMD_CFGI_CD, CMD_CFGI_CD_ALL -> features.has(SmmuFeature.S1P) ? illegalSsec() : "SMMU_IDR0.S1P == 0";
            case CMD_CFGI_VMS_PIDM -> hasVms(features) ? illegalSsec() : "there is no VMS (5.6.1)";
            case CMD_TLBI_NH_ALL, CMD_TLBI_NH_ASID -> unless(features, SmmuFeature.S1P);
            case CMD_TLBI_NH_VA, CMD_TLBI_NH_VAA ->
                features.has(SmmuFeature.S1P) ? illegalRange(features) : "SMMU_IDR0.S1P == 0";
            case CMD_TLBI_EL2_ALL, CMD_TLBI_EL2_ASID -> unless(features, SmmuFeature.HYP);
            case CMD_TLBI_EL2_VA, CMD_TLBI_EL2_VAA ->
                features.has(SmmuFeature.HYP) ? illegalRange(features) : "SMMU_IDR0.HYP == 0";
            case CMD_TLBI_S12_VMALL -> unless(features, SmmuFeature.S2P);
            case CMD_TLBI_S2_IPA -> features.has(SmmuFeature.S2P) ? illegalRange(features) : "SMMU_IDR0.S2P == 0";
            case CMD_TLBI_NSNH_ALL -> null;
            case CMD_ATC_INV ->
                features.has(SmmuFeature.ATS)
                        // Permitted, not required, to be an error.
                        ? atcSize() > 52 ? "Size is larger than 52" : null
                        : "SMMU_IDR0.ATS == 0";
            case CMD_PRI_RESP ->
                features.has(SmmuFeature.PRI) ? response() == 3 ? "Resp is Reserved" : null : "SMMU_IDR0.PRI == 0";
            case CMD_RESUME, CMD_STALL_TERM ->
                features.stallModel() != SmmuFeatures.StallModel.TERMINATE
                        ? illegalSsec()
                        : "SMMU_IDR0.STALL_MODEL == 0b01";
            case CMD_SYNC -> completionSignal() > SIG_SEV ? "CS is Reserved" : null;
        };
    }

    private static boolean hasVms(SmmuFeatures features) {
        return features.has(SmmuFeature.MPAM) && features.has(SmmuFeature.S1P) && features.has(SmmuFeature.S2P);
    }

    private static String unless(SmmuFeatures features, SmmuFeature needed) {
        return features.has(needed) ? null : "SMMU_IDR0." + needed + " == 0";
    }

    private String illegalSsec() {
        return ssec() ? "SSec == 1 in the Non-secure Command queue" : null;
    }

    private String illegalRange(SmmuFeatures features) {
        return features.has(SmmuFeature.RIL)
                        && tg() != null
                        && num() == 0
                        && scale() == 0
                        && effectiveTtl(features) == 0
                ? "TG != 0 with NUM, SCALE and TTL of 0 is Reserved"
                : null;
    }

    /** TTL; level 1 of 16 KiB granules is Reserved without DS, and behaves as no hint (4.4.1.1). */
    int effectiveTtl(SmmuFeatures features) {
        return ttl() == 1 && tg() == Granule.KIB_16 && !features.has(SmmuFeature.DS) ? 0 : ttl();
    }
}
