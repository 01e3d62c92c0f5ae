package org.iommuemu.probe.boot;

import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.mock.MockDriver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Rig;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Devices whose IOMMU comes late, or never. Time passes when a test says so. */
class DeferredProbeTest {
    /** A clock that is set, and seen by other threads. */
    private static final class SetClock implements InstantSource {
        private volatile Instant now = Instant.EPOCH;

        @Override
        public Instant instant() {
            return now;
        }

        void pass(Duration time) {
            now = now.plus(time);
        }
    }

    private final Rig rig = new Rig(Rig.iommus().parse());
    private final SetClock clock = new SetClock();
    private final Iommus iommus = new Iommus(rig.platform);
    private final MockDriver driver = new MockDriver("mock", false);
    private final Map<Device, Errno> settled = new ConcurrentHashMap<>();
    private DeferredProbe probing = new DeferredProbe(iommus, rig, clock, Duration.ofSeconds(10));
    private Thread worker;

    /** As a kernel's deferred probe work does, on a thread of its own. */
    private void startWorker() {
        worker = new Thread(() -> {
            while (!Thread.interrupted()) {
                settled.putAll(probing.retry());
                Thread.onSpinWait();
            }
        });
        worker.start();
    }

    @AfterEach
    void stopWorker() throws InterruptedException {
        if (worker != null) {
            worker.interrupt();
            worker.join();
        }
    }

    private void comesUp(String path) {
        DeviceTreeNode node = rig.tree.node(path).orElseThrow();
        driver.probe(node);
        iommus.register(node, driver);
    }

    private Errno probe(Device device) {
        return probing.probe(device, device.node().iommus());
    }

    @Test
    void aDeviceWhoseIommuNeverComesGoesOnWithoutItAfterTheTimeout() {
        Device device = rig.device("/one");
        assertEquals(Errno.EAGAIN, probe(device));
        startWorker();
        clock.pass(Duration.ofMillis(9_999));
        assertEquals(List.of(device), probing.waiting());
        assertEquals(List.of(), rig.lines());
        clock.pass(Duration.ofMillis(1));
        await().until(() -> settled.containsKey(device));
        assertEquals(Errno.ENODEV, settled.get(device));
        assertEquals(
                "WARNING /one: deferred probe timeout, ignoring dependency",
                rig.lines().get(0));
        assertEquals(List.of(), probing.waiting());
    }

    @Test
    void aDeviceIsAddedAsSoonAsItsIommuComesUp() {
        Device device = rig.device("/one");
        assertEquals(Errno.EAGAIN, probe(device));
        startWorker();
        comesUp("/iommu@1");
        await().until(() -> settled.containsKey(device));
        assertEquals(Errno.OK, settled.get(device));
        assertTrue(device.isProtected());
        assertEquals(List.of(), rig.lines());
    }

    @Test
    void whoeverNamesWhatIsUpOrDisabledDoesNotWait() {
        comesUp("/iommu@1");
        assertEquals(Errno.OK, probe(rig.device("/one")));
        assertEquals(Errno.ENODEV, probe(rig.device("/disabled")));
        assertEquals(Errno.OK, probe(rig.device("/partly")));
        assertEquals(Errno.ENODEV, probe(rig.device("/none")));
        assertEquals(Errno.EAGAIN, probe(rig.device("/two")));
    }

    @Test
    void afterTheTimeoutNobodyWaitsAnyMore() {
        clock.pass(Duration.ofSeconds(10));
        assertEquals(Errno.ENODEV, probe(rig.device("/two")));
        assertEquals(
                "WARNING /two: deferred probe timeout, ignoring dependency",
                rig.lines().get(0));
    }

    @Test
    void aDeviceOfTwoIommusOfWhichOneComesFailsOnlyByItself() {
        comesUp("/iommu@1");
        Device device = rig.device("/both");
        assertEquals(Errno.EAGAIN, probe(device));
        comesUp("/iommu@2");
        assertEquals(Map.of(device, Errno.EINVAL), probing.retry());
    }

    @Test
    void aNegativeTimeoutIsForEver() {
        probing = new DeferredProbe(iommus, rig, clock, Duration.ofSeconds(-1));
        Device device = rig.device("/one");
        probe(device);
        clock.pass(Duration.ofDays(365));
        assertEquals(Map.of(), probing.retry());
        comesUp("/iommu@1");
        assertEquals(Map.of(device, Errno.OK), probing.retry());
    }
}
