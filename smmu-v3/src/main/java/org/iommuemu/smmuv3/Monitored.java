package org.iommuemu.smmuv3;

import java.util.function.IntConsumer;

/** Where an SMMU's events go: to the counter group that watches it, if there is one (IHI 0070, chapter 10). */
final class Monitored {
    /** Set before the masters start, so that looking at it costs a hit nothing but a load. */
    private PerformanceMonitors group;

    void by(PerformanceMonitors monitors) {
        group = monitors;
    }

    boolean byNobody() {
        return group == null;
    }

    /** An event of a stream happened. */
    void count(MonitorEvent event, int streamId) {
        if (group != null) {
            group.count(event, streamId, 1);
        }
    }

    /** Who hears of descriptors that a stream's walks read; null if nobody does. */
    IntConsumer tableAccesses(int streamId) {
        PerformanceMonitors to = group;
        return to == null ? null : n -> to.count(MonitorEvent.TRANSLATION_TABLE_ACCESS, streamId, n);
    }
}
