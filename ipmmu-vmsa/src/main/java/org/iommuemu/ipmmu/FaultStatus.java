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
    /** Bus error during a table walk. Assumed: no ERRCODE. */
    private static final int WALK_ABORT = 0x0004;

    private FaultStatus() {}

    /**
     * IMSTR for a walk that failed. Assumed: ERRLVL is the level of the failing step less one, which fits the two values
     * that were logged in public (0x0101 and 0x1502); an input address out of range counts as level 1.
     *
     * @param fault bits of {@link WalkResult}
     * @param nonSecureFirst whether an invalid descriptor counts as a secure one
     */
    static int of(long fault, boolean nonSecureFirst) {
        int level = WalkResult.level(fault);
        return switch (WalkResult.kind(fault)) {
                    case TRANSLATION -> nonSecureFirst && level > 0 ? SECURITY : FORMAT;
                    case ADDRESS_SIZE -> FORMAT;
                    case ACCESS_FLAG, PERMISSION -> PERMISSION;
                    case EXTERNAL_ABORT -> WALK_ABORT;
                    case SECURITY -> SECURITY;
                }
                | errlvl(level);
    }

    /**
     * IMSTR for an access that what a TLB holds does not permit.
     *
     * @param level of the leaf that was cached
     */
    static int permission(int level) {
        return PERMISSION | errlvl(level);
    }

    private static int errlvl(int level) {
        return Math.max(level - 1, 0) << 12;
    }
}
