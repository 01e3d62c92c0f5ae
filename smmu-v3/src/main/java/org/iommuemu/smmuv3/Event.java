package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.pagetables.WalkResult;

/**
 * An event record: 32 bytes as four words (IHI 0070, 7.3). Fields that a type does not have are 0.
 *
 * @param type the number of the event is in bits 7:0 of {@code word0}
 */
record Event(Type type, long word0, long word1, long word2, long word3) {
    static final int BYTES = 32;

    /** Events that this model records (7.3). */
    enum Type {
        C_BAD_STREAMID(0x02),
        F_STE_FETCH(0x03),
        C_BAD_STE(0x04),
        F_STREAM_DISABLED(0x06),
        C_BAD_SUBSTREAMID(0x08),
        F_CD_FETCH(0x09),
        C_BAD_CD(0x0a),
        F_WALK_EABT(0x0b),
        F_TRANSLATION(0x10),
        F_ADDR_SIZE(0x11),
        F_ACCESS(0x12),
        F_PERMISSION(0x13);

        private final int number;

        Type(int number) {
            this.number = number;
        }

        /** The event for a fault of a walk. */
        static Type of(WalkResult.Kind kind) {
            return switch (kind) {
                case TRANSLATION -> F_TRANSLATION;
                case ADDRESS_SIZE -> F_ADDR_SIZE;
                case ACCESS_FLAG -> F_ACCESS;
                case PERMISSION -> F_PERMISSION;
                case EXTERNAL_ABORT -> F_WALK_EABT;
                case SECURITY -> throw new AssertionError("no such fault in VMSAv8-64");
            };
        }
    }

    /** What was being translated when a fault arose: CLASS, bits [105:104]. */
    enum FaultClass {
        /** The address of a CD, by stage 2. */
        CD,
        /** The address of a stage 1 descriptor, or its fetch. */
        TT,
        /** The input address. */
        IN
    }

    // Word 0
    private static final long SSV = 1L << 11;
    private static final int SUBSTREAM_ID = 12;
    private static final int STREAM_ID = 32;
    // Word 1: bits [127:64]
    private static final long PNU = 1L << 97 - 64;
    private static final long IND = 1L << 98 - 64;
    private static final long RNW = 1L << 99 - 64;
    private static final long S2 = 1L << 103 - 64;
    private static final int CLASS = 104 - 64;
    private static final long TTRNW = 1L << 108 - 64;
    // Word 3: bits [255:192]
    private static final long FETCH_ADDR = 0x000f_ffff_ffff_fff8L;
    private static final long IPA = 0x000f_ffff_ffff_f000L;

    /** A configuration error (7.3.3, 7.3.5, 7.3.9, 7.3.11). */
    static Event configuration(Type type, Transaction transaction) {
        // C_BAD_SUBSTREAMID always has a SubstreamID, and so no SSV.
        long ssv = transaction.hasSubstream() && type != Type.C_BAD_SUBSTREAMID ? SSV : 0;
        return new Event(type, word0(type, transaction) | ssv, 0, 0, 0);
    }

    /** F_STREAM_DISABLED, which has a StreamID only (7.3.7). */
    static Event streamDisabled(int streamId) {
        Type type = Type.F_STREAM_DISABLED;
        return new Event(type, type.number | (long) streamId << STREAM_ID, 0, 0, 0);
    }

    /** F_STE_FETCH or F_CD_FETCH: nothing answers at a structure's address (7.3.4, 7.3.10). */
    static Event fetch(Type type, Transaction transaction, long fetchAddress) {
        long ssv = transaction.hasSubstream() ? SSV : 0;
        return new Event(type, word0(type, transaction) | ssv, 0, 0, fetchAddress & FETCH_ADDR);
    }

    /** A fault of a walk (7.3.12 to 7.3.16). */
    static Event walk(Transaction transaction, FaultClass faultClass, long fault) {
        WalkResult.Kind kind = WalkResult.kind(fault);
        boolean stage2 = WalkResult.isStage2(fault);
        long address = kind == WalkResult.Kind.EXTERNAL_ABORT
                ? WalkResult.address(fault) & FETCH_ADDR
                : stage2 ? WalkResult.address(fault) & IPA : 0;
        Event event = translation(Type.of(kind), transaction, stage2, faultClass, address);
        boolean tableRead = stage2
                && faultClass == FaultClass.TT
                && kind == WalkResult.Kind.PERMISSION
                && !WalkResult.isTableWrite(fault);
        return tableRead ? new Event(event.type, event.word0, event.word1 | TTRNW, event.word2, address) : event;
    }

    /** A translation-related fault (7.3.12 to 7.3.16). */
    static Event translation(Type type, Transaction transaction, boolean stage2, FaultClass faultClass, long lastWord) {
        int access = transaction.access();
        long word1 = (long) faultClass.ordinal() << CLASS
                | (stage2 ? S2 : 0)
                | ((access & Access.WRITE) == 0 ? RNW : 0)
                | ((access & Access.INSTRUCTION) != 0 ? IND : 0)
                | ((access & Access.PRIVILEGED) != 0 ? PNU : 0);
        long ssv = transaction.hasSubstream() ? SSV : 0;
        return new Event(type, word0(type, transaction) | ssv, word1, transaction.address(), lastWord);
    }

    private static long word0(Type type, Transaction transaction) {
        long substream = transaction.hasSubstream() ? (long) transaction.substreamId() << SUBSTREAM_ID : 0;
        return type.number | substream | (long) transaction.streamId() << STREAM_ID;
    }
}
