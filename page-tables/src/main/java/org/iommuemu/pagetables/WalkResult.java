package org.iommuemu.pagetables;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;

/**
 * What a walk came to, as one {@code long}. A success has the layout of {@link Translation}, with the permissions in bits
 * 11:6. A fault:
 *
 * <table>
 * <caption>Layout of a fault</caption>
 * <tr><td>63</td><td>1</td></tr>
 * <tr><td>62:60</td><td>{@link Kind}</td></tr>
 * <tr><td>59:57</td><td>level of the failing step, signed: -1 to 3</td></tr>
 * <tr><td>56</td><td>the fault is at stage 2</td></tr>
 * <tr><td>55</td><td>stage 2 fault of a stage 1 table walk (class TT); otherwise of the input address (IN)</td></tr>
 * <tr><td>54</td><td>of these: of a hardware update of the descriptor, which is a write; otherwise of its read</td></tr>
 * <tr><td>51:3</td><td>external abort: physical address of the descriptor; stage 2 fault: the IPA</td></tr>
 * </table>
 */
public final class WalkResult {
    /** Why a walk ended in a fault. */
    public enum Kind {
        /** An invalid descriptor, or an input address out of range. */
        TRANSLATION,
        /** An output or table address beyond the output size. */
        ADDRESS_SIZE,
        /** The Access flag is 0 and faults. */
        ACCESS_FLAG,
        /** The access is not permitted. */
        PERMISSION,
        /** Nothing answers where a descriptor should be. */
        EXTERNAL_ABORT,
        /** A Secure descriptor on the way of a Non-secure access (IPMMU-VMSA). */
        SECURITY
    }

    private static final Kind[] KINDS = Kind.values();

    static final long FAULT = 1L << 63;
    static final long STAGE2 = 1L << 56;
    static final long TABLE_WALK = 1L << 55;
    static final long TABLE_WRITE = 1L << 54;
    static final long ADDRESS = 0x000f_ffff_ffff_fff8L;

    // Permissions, bits 11:6 of a success: unprivileged and privileged read, write, execute.
    static final long UR = 1L << 6;
    static final long UW = 1L << 7;
    static final long UX = 1L << 8;
    static final long PR = 1L << 9;
    static final long PW = 1L << 10;
    static final long PX = 1L << 11;
    static final long WRITES = UW | PW;
    static final long PERMISSIONS = UR | UW | UX | PR | PW | PX;

    private static final int KINDS_OF_ACCESS = Access.WRITE | Access.PRIVILEGED | Access.INSTRUCTION;

    /** By {@link #KINDS_OF_ACCESS}, four bits each: which bit permits it. A look-up without branches or memory. */
    private static final long NEEDS = allNeeds();

    /** Bit 62 of a success: not global. */
    static final long NG = 1L << 62;

    private WalkResult() {}

    private static long allNeeds() {
        long needs = 0;
        for (int access = 0; access <= KINDS_OF_ACCESS; access++) {
            long need = (access & Access.WRITE) != 0 ? UW : (access & Access.INSTRUCTION) != 0 ? UX : UR;
            long bit = Long.numberOfTrailingZeros((access & Access.PRIVILEGED) != 0 ? need << 3 : need);
            needs |= bit << 4 * access;
        }
        return needs;
    }

    static long fault(Kind kind, int level, long address) {
        return FAULT | (long) kind.ordinal() << 60 | (level & 7L) << 57 | address & ADDRESS;
    }

    /** Whether the walk ended in a fault. */
    public static boolean isFault(long result) {
        return result < 0;
    }

    /** Why, of a fault. */
    public static Kind kind(long fault) {
        return KINDS[(int) (fault >>> 60) & 7];
    }

    /** The level of the failing step of a fault, -1 to 3. */
    public static int level(long fault) {
        return (int) (fault << 4 >> 61);
    }

    /** Whether a fault is at stage 2. */
    public static boolean isStage2(long fault) {
        return (fault & STAGE2) != 0;
    }

    /** Whether a stage 2 fault comes from the address of a stage 1 table. */
    public static boolean isTableWalk(long fault) {
        return (fault & TABLE_WALK) != 0;
    }

    /** Whether a fault of {@link #isTableWalk} comes from the hardware update of a descriptor, which is a write (TTRnW 0). */
    public static boolean isTableWrite(long fault) {
        return (fault & TABLE_WRITE) != 0;
    }

    /** Of an external abort the descriptor's physical address, of a stage 2 fault the IPA; bits 2:0 are 0. */
    public static long address(long fault) {
        return fault & ADDRESS;
    }

    /**
     * Whether a success permits an access. A write is one of data, also from a master that fetches instructions.
     *
     * @param access bits of {@link Access}
     */
    public static boolean permits(long result, int access) {
        return (result & needs(access)) != 0;
    }

    /**
     * The bit of a success that permits an access, one of bits 11:6.
     *
     * @param access bits of {@link Access}
     */
    public static long needs(int access) {
        return 1L << (NEEDS >>> 4 * (access & KINDS_OF_ACCESS) & 0xf);
    }

    /** A translation that no table made, with all permissions. */
    public static long unrestricted(long translation) {
        return translation | PERMISSIONS;
    }

    /** Whether a success belongs to one ASID only. */
    public static boolean isNotGlobal(long result) {
        return (result & NG) != 0;
    }

    /**
     * The level of the leaf of a success. A group of contiguous entries is smaller than an entry of the level above.
     *
     * @param granule the table's
     */
    public static int level(long result, Granule granule) {
        return 3 - (Translation.log2Size(result) - granule.shift()) / granule.levelBits();
    }
}
