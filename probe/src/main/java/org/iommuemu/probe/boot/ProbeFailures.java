package org.iommuemu.probe.boot;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.ProbeAnswer;

/** Answers that drivers are made to give, for scenarios of failure. */
public final class ProbeFailures {
    /**
     * One of them.
     *
     * @param node whose driver answers so
     * @param errno the answer, not OK
     * @param probe at which of its probes, from 1; 0 for every
     */
    public record Failure(DeviceTreeNode node, Errno errno, int probe) {}

    private final List<Failure> failures = new ArrayList<>();

    /** Adds one; the first that applies counts. */
    public void add(Failure failure) {
        failures.add(failure);
    }

    /**
     * The answer that is forced.
     *
     * @param probe the how-manieth probe of the node it is, from 1
     * @return the answer, or null if the driver is free to give its own
     */
    ProbeAnswer forced(DeviceTreeNode node, int probe) {
        for (Failure failure : failures) {
            if (failure.node == node && (failure.probe == 0 || failure.probe == probe)) {
                return ProbeAnswer.of(failure.errno, "forced");
            }
        }
        return null;
    }
}
