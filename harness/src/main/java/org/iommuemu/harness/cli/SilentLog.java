package org.iommuemu.harness.cli;

import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;

/** Says nothing: the JSON object says it all. */
final class SilentLog implements Log {
    @Override
    public void say(Level level, String subsystem, String text) {}

    @Override
    public void fault(FaultReport fault) {}
}
