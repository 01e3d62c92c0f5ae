package org.iommuemu.probe.driver.ipmmu;

import java.util.List;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * Offsets and bits as the driver knows them, by generation (Xen ipmmu-vmsa.c, struct ipmmu_features; Linux likewise).
 *
 * @param contexts of a root, as many as the drivers use
 * @param utlbs of a unit, at most
 * @param bank added to all offsets
 * @param contextBase offset of context 0
 * @param contextStride from one context to the next
 * @param utlbBase added to the offsets of micro-TLB registers
 * @param controlBase added to the offsets of control registers
 * @param ttselMask the context number in IMUCTR
 */
record IpmmuLayout(
        int contexts,
        int utlbs,
        int bank,
        int contextBase,
        int contextStride,
        int utlbBase,
        int controlBase,
        int ttselMask) {
    /** Units of their own, in the non-secure bank; Linux uses one context. Xen does not know them. */
    static final IpmmuLayout GEN2 = new IpmmuLayout(1, 32, 0x800, 0, 0x40, 0, 0, 0xf0);

    static final IpmmuLayout GEN3 = new IpmmuLayout(8, 48, 0, 0, 0x40, 0, 0, 0xf0);
    static final IpmmuLayout GEN4 = new IpmmuLayout(16, 64, 0, 0x10000, 0x1040, 0x3000, 0x1000, 0x1f0);

    /** The most micro-TLBs that a unit of any generation has. */
    static final int UTLBS = 64;

    static final int IMCTR = 0x00;
    static final int IMCTR_MMUEN = 1;
    static final int IMCTR_FLUSH = 1 << 1;
    static final int IMCTR_INTEN = 1 << 2;
    static final int IMCTR_VA64 = 1 << 29;
    /** The bits that a cache has. */
    static final int IMCTR_COMMON = 7;

    static final int IMTTBCR = 0x08;
    static final int IMTTBCR_EAE = 1 << 31;
    static final int IMTTBCR_PMB = 1 << 30;
    static final int IMTTBCR_SL0_LEVEL_1 = 1 << 6;

    static final int IMTTBCR_SL0_LEVEL_1_GEN2 = 1 << 4;
    /** Inner shareable, write-back, allocating table walks. */
    static final int IMTTBCR_CACHED_WALKS = 3 << 12 | 1 << 10 | 1 << 8;
    /** With stage 1 tables. */
    static final int IMTTBCR_STAGE1_LEVEL_1 = 2 << 6;

    static final int IMBUSCR = 0x0c;
    static final int IMBUSCR_DVM_BUSSEL = 7;

    static final int IMTTLBR0 = 0x10;
    static final int IMTTUBR0 = 0x14;

    static final int IMSTR = 0x20;
    static final int IMSTR_MHIT = 1 << 4;
    static final int IMSTR_ABORT = 1 << 2;
    static final int IMSTR_PF = 1 << 1;
    static final int IMSTR_TF = 1;
    static final int IMMAIR0 = 0x28;
    /** What {@link LinuxPageTable#leaf} chooses from. */
    static final int IMMAIR0_VALUE = 0xf404ff44;

    static final int IMELAR = 0x30;
    static final int IMEUAR = 0x34;

    static final int IMUCTR_MMUEN = 1;
    static final int IMUCTR_FLUSH = 1 << 1;
    static final int IMUCTR_TTSEL_SHIFT = 4;

    static final int IMSCTLR = 0x500;
    static final int IMSCTLR_USE_SECGRP = 1 << 28;
    static final int IMSAUXCTLR = 0x504;
    static final int IMSAUXCTLR_S2PTE = 1 << 3;

    private static final List<String> GEN3_SOCS = List.of(
            "r8a774a1",
            "r8a774b1",
            "r8a774c0",
            "r8a774e1",
            "r8a7795",
            "r8a7796",
            "r8a77961",
            "r8a77965",
            "r8a77970",
            "r8a77980",
            "r8a77990",
            "r8a77995");
    private static final List<String> GEN4_SOCS = List.of("r8a779a0", "r8a779f0", "r8a779g0", "r8a779h0");

    /**
     * The layout of a node's unit, or null if it is not one of the driver's. Xen's list has the SoCs whose stage 2 it was
     * tried on; here all units of the same layout match, and the product register decides whether stage 2 works.
     */
    static IpmmuLayout of(DeviceTreeNode node) {
        if (GEN3_SOCS.stream().anyMatch(soc -> node.isCompatible("renesas,ipmmu-" + soc))) {
            return GEN3;
        }
        if (node.isCompatible("renesas,rcar-gen4-ipmmu-vmsa")
                || GEN4_SOCS.stream().anyMatch(soc -> node.isCompatible("renesas,ipmmu-" + soc))) {
            return GEN4;
        }
        return null;
    }

    /** The layout of a node's unit for Linux, which drives all generations; or null. */
    static IpmmuLayout ofAnyGeneration(DeviceTreeNode node) {
        IpmmuLayout layout = of(node);
        return layout == null && node.isCompatible("renesas,ipmmu-vmsa") ? GEN2 : layout;
    }

    /** Whether root and caches are units of their own. */
    boolean hasCaches() {
        return this != GEN2;
    }

    /** Contexts 8 to 15 of a Gen4 unit are in the second half of their pages (Linux and Xen, ipmmu_ctx_reg). */
    int context(int number, int register) {
        return bank + contextBase + number * contextStride + (contexts > 8 && number >= 8 ? 0x600 : 0) + register;
    }

    int imuctr(int utlb) {
        return bank + utlbBase + (utlb < 32 ? 0x300 + 0x10 * utlb : 0x600 + 0x10 * (utlb - 32));
    }

    int imuasid(int utlb) {
        return imuctr(utlb) + 8;
    }

    int control(int register) {
        return bank + controlBase + register;
    }
}
