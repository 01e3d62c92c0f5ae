package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.MemoryAttributes;

/**
 * Attributes that an access comes with, after what an STE or SMMU_GBPA replaces in them, and what becomes of them
 * (IHI 0070, chapter 13). A port conveys privilege and instruction; the rest is as 13.1.3 has it for what is not
 * conveyed: Normal write-back memory, Non-shareable, allocating.
 *
 * @param privilege PRIVCFG
 * @param instruction INSTCFG
 * @param type memory type and hints as a MAIR byte
 * @param shareability 0 non, 2 outer, 3 inner; 2 if {@code type} is uncached
 */
record Overrides(int privilege, int instruction, int type, int shareability) {
    static final Overrides NONE = new Overrides(0, 0, MemoryAttributes.WRITE_BACK, 0);

    private static final int USE_INCOMING = 1;
    private static final int NON_CACHEABLE = 4;

    /**
     * The overrides of an STE or of SMMU_GBPA, as far as SMMU_IDR1 says that there are.
     *
     * @param memAttr MemAttr, used if {@code mtcfg}
     * @param alloccfg 0b1rwt replaces the hints; without MTCFG, too (a choice, 5.2)
     */
    static Overrides of(
            SmmuFeatures features, int privcfg, int instcfg, boolean mtcfg, int memAttr, int alloccfg, int shcfg) {
        boolean permissions = features.has(SmmuFeature.ATTR_PERMS_OVR);
        int type = MemoryAttributes.WRITE_BACK;
        int shareability = 0;
        if (features.has(SmmuFeature.ATTR_TYPES_OVR)) {
            if (mtcfg) {
                type = memoryType(memAttr);
            }
            if ((alloccfg & 8) != 0 && !isDevice(type)) {
                type = withHints(type >>> 4, alloccfg) << 4 | withHints(type & 0xf, alloccfg);
            }
            shareability = MemoryAttributes.isUncached(type) ? 2 : shcfg == USE_INCOMING ? 0 : shcfg;
        }
        return new Overrides(permissions ? privcfg : 0, permissions ? instcfg : 0, type, shareability);
    }

    /** The access as it is translated. */
    int apply(int access) {
        int result = access;
        if ((privilege & 2) != 0) {
            result = privilege == 3 ? result | Access.PRIVILEGED : result & ~Access.PRIVILEGED;
        }
        if ((instruction & 2) != 0) {
            result = instruction == 3 ? result | Access.INSTRUCTION : result & ~Access.INSTRUCTION;
        }
        // Writes are data accesses, whatever they claim (5.2, INSTCFG).
        return (result & Access.WRITE) != 0 ? result & ~Access.INSTRUCTION : result;
    }

    /** Whether translations leave with the attributes that the tables give them. */
    boolean leaveTablesAlone() {
        return type == MemoryAttributes.WRITE_BACK && shareability == 0;
    }

    /** An untranslated address with the attributes that leave the SMMU (13.2, 13.3). */
    long identity(long address) {
        return Translation.of(address, 12, type, shareability);
    }

    /** What stage 2 gave, combined with what came in (13.4.3). */
    long combine(long translation) {
        long combined = MemoryAttributes.combine(Translation.of(0, 63, type, shareability), translation);
        long keeps = Translation.of(-1, 0, 0xff, 3);
        return translation & ~keeps | combined & keeps;
    }

    /** What stage 1 gave: type and shareability replace what came in; hints combine, if cached memory came in (13.4.2). */
    long replace(long translation) {
        if (MemoryAttributes.isUncached(type) || isDevice(Translation.attributes(translation))) {
            return translation;
        }
        int given = Translation.attributes(translation);
        int attributes = combineHints(given >>> 4, type >>> 4) << 4 | combineHints(given & 0xf, type & 0xf);
        return translation & ~(0xffL << 52) | (long) attributes << 52;
    }

    private static boolean isDevice(int attributes) {
        return attributes >>> 4 == 0;
    }

    /**
     * The MemAttr of STE and SMMU_GBPA as a MAIR byte: that of a stage 2 descriptor, but what is Reserved there is
     * Device-nGnRnE (5.2).
     */
    static int memoryType(int memAttr) {
        int outer = memAttr >>> 2 & 3;
        int inner = memAttr & 3;
        if (outer == 0) {
            return inner << 2;
        }
        return inner == 0 ? 0 : cacheability(outer) << 4 | cacheability(inner);
    }

    private static int cacheability(int encoded) {
        return encoded == 1 ? NON_CACHEABLE : encoded == 2 ? 0xb : 0xf;
    }

    // Half a MAIR byte of cacheable memory: bit 3 non-transient, bit 2 write-back, bit 1 read-allocate, bit 0
    // write-allocate. Write-back transient without allocation would be 0b0100, which is Non-cacheable: what does not
    // allocate is not transient (13.1.7).

    private static int withHints(int half, int alloccfg) {
        int allocate = alloccfg >>> 1 & 3;
        boolean transientHint = (alloccfg & 1) != 0 && allocate != 0;
        return half == NON_CACHEABLE ? half : half & 4 | (transientHint ? 0 : 8) | allocate;
    }

    /** No-allocate and transient win (13.1.5). */
    private static int combineHints(int half, int incoming) {
        if (half == NON_CACHEABLE || incoming == NON_CACHEABLE) {
            return half;
        }
        int allocate = half & incoming & 3;
        return half & 4 | (allocate == 0 ? 8 : half & incoming & 8) | allocate;
    }
}
