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

    /**
     * Events that this model records (7.3): all but E_PAGE_REQUEST, a hint from devices, of which there are none that give it.
     */
    enum Type {
        F_UUT(0x01),
        C_BAD_STREAMID(0x02),
        F_STE_FETCH(0x03),
        C_BAD_STE(0x04),
        F_BAD_ATS_TREQ(0x05),
        F_STREAM_DISABLED(0x06),
        F_TRANSL_FORBIDDEN(0x07),
        C_BAD_SUBSTREAMID(0x08),
        F_CD_FETCH(0x09),
        C_BAD_CD(0x0a),
        F_WALK_EABT(0x0b),
        F_TRANSLATION(0x10),
        F_ADDR_SIZE(0x11),
        F_ACCESS(0x12),
        F_PERMISSION(0x13),
        F_TLB_CONFLICT(0x20),
        F_CFG_CONFLICT(0x21),
        F_VMS_FETCH(0x25);

        final int number;

        Type(int number) {
            this.number = number;
        }

        /** Whether there may be no STE yet, whose MEV could forbid merging (7.3.1). */
        boolean mayAlwaysMerge() {
            return this == C_BAD_STREAMID || this == F_STE_FETCH || this == C_BAD_STE;
        }

        /** Whether InputAddr[11:0] makes no difference when events are merged (7.3.8 to 7.3.17). */
        private boolean ignoresOffset() {
            return switch (this) {
                case F_TRANSL_FORBIDDEN,
                        F_WALK_EABT,
                        F_TRANSLATION,
                        F_ADDR_SIZE,
                        F_ACCESS,
                        F_PERMISSION,
                        F_TLB_CONFLICT -> true;
                default -> false;
            };
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
    private static final int STAG = 0xffff;
    private static final long STALL = 1L << 95 - 64;
    private static final long PNU = 1L << 97 - 64;
    private static final long IND = 1L << 98 - 64;
    private static final long RNW = 1L << 99 - 64;
    private static final long S2 = 1L << 103 - 64;
    private static final int CLASS = 104 - 64;
    private static final long TTRNW = 1L << 108 - 64;
    // Word 3: bits [255:192]
    private static final long FETCH_ADDR = 0x000f_ffff_ffff_fff8L;
    private static final long IPA = 0x000f_ffff_ffff_f000L;

    /** The event number, as in ATOS_PAR.FAULTCODE. */
    int number() {
        return type.number;
    }

    /** S2: the fault is at stage 2. */
    boolean isStage2() {
        return (word1 & S2) != 0;
    }

    FaultClass faultClass() {
        return FaultClass.values()[(int) (word1 >>> CLASS) & 3];
    }

    /** Of a stage 2 fault. */
    long ipa() {
        return word3 & IPA;
    }

    /** The same, of a transaction that stalls: STALL and STAG (7.3.13 to 7.3.16). */
    Event stalled(int stag) {
        return new Event(type, word0, word1 & ~STAG | STALL | stag, word2, word3);
    }

    /** Whether one record can tell of both events (7.3.1). */
    boolean isSameAs(Event other) {
        long address = type.ignoresOffset() ? -1L << 12 : -1;
        return type == other.type
                && word0 == other.word0
                && word1 == other.word1
                && (word1 & STALL) == 0
                && ((word2 ^ other.word2) & address) == 0
                && word3 == other.word3;
    }

    /** A configuration error (7.3.3, 7.3.5, 7.3.9, 7.3.11, 7.3.18). */
    static Event configuration(Type type, Transaction transaction) {
        return new Event(type, word0(type, transaction), 0, 0, 0);
    }

    /** F_STREAM_DISABLED, which has a StreamID only (7.3.7). */
    static Event streamDisabled(int streamId) {
        Type type = Type.F_STREAM_DISABLED;
        return new Event(type, type.number | (long) streamId << STREAM_ID, 0, 0, 0);
    }

    /** F_STE_FETCH, F_CD_FETCH or F_VMS_FETCH: nothing answers at a structure's address (7.3.4, 7.3.10, 7.3.20). */
    static Event fetch(Type type, Transaction transaction, long fetchAddress) {
        return new Event(type, word0(type, transaction), 0, 0, fetchAddress & FETCH_ADDR);
    }

    /**
     * F_BAD_ATS_TREQ (7.3.6): permissions that a Translation Request asks for, as it arrived.
     *
     * @param span the number of STUs requested, 0 to 15
     */
    static Event badAtsTranslationRequest(
            Transaction transaction, boolean write, boolean execute, boolean privileged, int span) {
        long word1 = 1L << 95 - 64
                | (write ? 1L << 94 - 64 : 0)
                | (execute ? 1L << 93 - 64 : 0)
                | (privileged ? 1L << 92 - 64 : 0)
                | span;
        Type type = Type.F_BAD_ATS_TREQ;
        return new Event(type, word0(type, transaction), word1, transaction.address() & -1L << 12, 0);
    }

    /** F_TRANSL_FORBIDDEN: an ATS Translated transaction that must not bypass the SMMU (7.3.8). */
    static Event translatedForbidden(Transaction transaction) {
        Type type = Type.F_TRANSL_FORBIDDEN;
        long word1 = (transaction.access() & Access.WRITE) == 0 ? RNW : 0;
        return new Event(type, word0(type, transaction), word1, transaction.address(), 0);
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
        long word1 = (long) faultClass.ordinal() << CLASS | (stage2 ? S2 : 0) | attributes(transaction.access());
        return new Event(type, word0(type, transaction), word1, transaction.address(), lastWord);
    }

    /** F_UUT, with the access as it arrived (7.3.2). Reason is 0. */
    static Event unsupported(Transaction transaction) {
        Type type = Type.F_UUT;
        long word1 = attributes(transaction.access());
        return new Event(type, word0(type, transaction), word1, transaction.address(), 0);
    }

    /**
     * F_TLB_CONFLICT (7.3.17). Reason is 0.
     *
     * @param stage2 whether there is stage 2 only, and the input address is the IPA
     */
    static Event tlbConflict(Transaction transaction, boolean stage2) {
        Type type = Type.F_TLB_CONFLICT;
        long word1 = (stage2 ? S2 : 0) | attributes(transaction.access());
        long address = transaction.address();
        return new Event(type, word0(type, transaction), word1, address, stage2 ? address & IPA : 0);
    }

    private static long attributes(int access) {
        return ((access & Access.WRITE) == 0 ? RNW : 0)
                | ((access & Access.INSTRUCTION) != 0 ? IND : 0)
                | ((access & Access.PRIVILEGED) != 0 ? PNU : 0);
    }

    private static long word0(Type type, Transaction transaction) {
        long word0 = type.number | (long) transaction.streamId() << STREAM_ID;
        if (!transaction.hasSubstream()) {
            return word0;
        }
        // C_BAD_SUBSTREAMID always has a SubstreamID, and so no SSV.
        return word0 | (long) transaction.substreamId() << SUBSTREAM_ID | (type == Type.C_BAD_SUBSTREAMID ? 0 : SSV);
    }
}
