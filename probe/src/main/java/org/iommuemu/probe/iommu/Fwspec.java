package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** A device's firmware spec: which IOMMU it is behind and its IDs there (Xen struct iommu_fwspec). */
public final class Fwspec {
    private final DeviceTreeNode iommu;
    private final List<Integer> ids = new ArrayList<>();

    Fwspec(DeviceTreeNode iommu) {
        this.iommu = iommu;
    }

    /** The node of the IOMMU. */
    public DeviceTreeNode iommu() {
        return iommu;
    }

    /** StreamIDs or micro-TLB numbers, unsigned, in the order in which they were added. */
    public List<Integer> ids() {
        return List.copyOf(ids);
    }

    /** Adds an ID; one that is there already is kept once (Xen iommu_fwspec_add_ids keeps both, to no effect). */
    public void addId(int id) {
        if (!ids.contains(id)) {
            ids.add(id);
        }
    }
}
