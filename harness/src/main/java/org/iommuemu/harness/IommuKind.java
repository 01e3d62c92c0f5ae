package org.iommuemu.harness;

import java.util.Optional;
import org.iommuemu.ipmmu.IpmmuVariant;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;

/** The kinds of IOMMU that there are models of. */
enum IommuKind {
    /** Arm's SMMUv3. */
    SMMUV3("smmuv3"),
    /** Renesas' IPMMU-VMSA: a root, or a Gen2 unit, which is a root of its own. */
    IPMMU_ROOT("ipmmu-root"),
    /** Renesas' IPMMU-VMSA: a cache. */
    IPMMU_CACHE("ipmmu-cache"),
    /** Xen's grant table: no registers, and DMA addresses that are grant references. */
    GRANT_DMA("grant-dma");

    private final String text;

    IommuKind(String text) {
        this.text = text;
    }

    /** The kind of a node, available or not; empty if it is no IOMMU that there is a model of. */
    static Optional<IommuKind> of(DeviceTreeNode node) {
        if (node.isCompatible("arm,smmu-v3")) {
            return Optional.of(SMMUV3);
        }
        if (GrantDmaDriver.isGrantDma(node)) {
            return Optional.of(GRANT_DMA);
        }
        return variant(node).map(v -> v.hasCaches() && node.has("renesas,ipmmu-main") ? IPMMU_CACHE : IPMMU_ROOT);
    }

    static Optional<IpmmuVariant> variant(DeviceTreeNode node) {
        return node.compatible().stream()
                .map(IpmmuVariant::of)
                .flatMap(Optional::stream)
                .findFirst();
    }

    @Override
    public String toString() {
        return text;
    }
}
