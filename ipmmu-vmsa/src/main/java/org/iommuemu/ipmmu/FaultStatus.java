package org.iommuemu.ipmmu;

import org.iommuemu.pagetables.WalkResult;

/** What a fault leaves in IMSTR. */
final class FaultStatus {
    /** IMSTR.MHIT, ABORT, PF and TF: the flags that all drivers look at, and that hold the interrupt line. */
    static final int FLAGS = 0x17;

    /** ERRCODE 1, table or TLB format. */
    private static final int FORMAT = 0x0101;
    /** ERRCODE 4, access permission. */
    private static final int PERMISSION = 0x0402;
    /** ERRCODE 5, secure access. */
    private static final int SECURITY = 0x0502;
    /** More than one TLB entry for an address. Assumed: no ERRCODE; nothing but injection makes it. */
    static final int MULTIPLE_HIT = 0x0010;
    /** Bus error during a table walk. Assumed: no ERRCODE. */
    private static final int WALK_ABORT = 0x0004;

    private FaultStatus() {}

    /**
     * IMSTR for a walk that failed. An input address out of range counts as level 1.
     *
     * @param fault bits of {@link WalkResult}
     * @param nonSecureOnly whether the context's descriptors must be Non-secure
     */
    static int of(IpmmuVariant variant, long fault, boolean nonSecureOnly) {
        int level = WalkResult.level(fault);
        boolean security = nonSecureOnly && level > 0 && variant.has(IpmmuOption.NON_SECURE_FIRST);
        return switch (WalkResult.kind(fault)) {
                    case TRANSLATION -> security ? SECURITY : FORMAT;
                    case ADDRESS_SIZE -> FORMAT;
                    case ACCESS_FLAG, PERMISSION -> PERMISSION;
                    case EXTERNAL_ABORT -> WALK_ABORT;
                    case SECURITY -> SECURITY;
                }
                | errlvl(variant, level);
    }

    /**
     * IMSTR for an access that what a TLB holds does not permit.
     *
     * @param level of the leaf that was cached
     */
    static int permission(IpmmuVariant variant, int level) {
        return PERMISSION | errlvl(variant, level);
    }

    /** Level less one fits the two values that were logged in public, 0x0101 and 0x1502. */
    private static int errlvl(IpmmuVariant variant, int level) {
        return Math.max(level, 1) - (variant.has(IpmmuOption.ERRLVL_IS_LEVEL) ? 0 : 1) << 12;
    }
}
