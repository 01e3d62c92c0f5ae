package org.iommuemu.probe.boot;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;

/**
 * Devices that wait for the IOMMU that they name (Linux drivers/base/dd.c, driver_deferred_probe_check_state; of_iommu.c).
 * One that no driver ever takes is waited for until the time-out; then the device goes on without it.
 */
public final class DeferredProbe {
    /** Linux' default where drivers may be modules. */
    public static final Duration TIMEOUT = Duration.ofSeconds(10);

    private static final String SUBSYSTEM = "iommu";

    private final Iommus iommus;
    private final Log log;
    private final InstantSource clock;
    private final Instant deadline;
    private final Map<Device, List<Specifier>> waiting = new LinkedHashMap<>();

    /**
     * Nobody waits. The time-out begins now.
     *
     * @param timeout negative to wait for ever
     */
    public DeferredProbe(Iommus iommus, Log log, InstantSource clock, Duration timeout) {
        this.iommus = iommus;
        this.log = log;
        this.clock = clock;
        deadline = timeout.isNegative() ? Instant.MAX : clock.instant().plus(timeout);
    }

    /**
     * Adds a device to its IOMMU.
     *
     * @return EAGAIN if it waits, and {@link #retry} is to be called; otherwise the answer of {@link Iommus#addDevice}
     */
    public synchronized Errno probe(Device device, List<Specifier> specifiers) {
        boolean missing = specifiers.stream()
                .map(Specifier::node)
                .anyMatch(node -> node.available() && !iommus.isRegistered(node));
        if (missing && clock.instant().isBefore(deadline)) {
            waiting.put(device, List.copyOf(specifiers));
            return Errno.EAGAIN;
        }
        if (missing) {
            log.warning(SUBSYSTEM, device + ": deferred probe timeout, ignoring dependency");
        }
        waiting.remove(device);
        return iommus.addDevice(device, specifiers);
    }

    /**
     * Looks again at the devices that wait: an IOMMU came up, or time has passed.
     *
     * @return those that wait no longer, with the answer of {@link Iommus#addDevice}, in the order in which they came
     */
    public synchronized Map<Device, Errno> retry() {
        Map<Device, Errno> settled = new LinkedHashMap<>();
        for (Map.Entry<Device, List<Specifier>> entry : new ArrayList<>(waiting.entrySet())) {
            Errno rc = probe(entry.getKey(), entry.getValue());
            if (rc != Errno.EAGAIN) {
                settled.put(entry.getKey(), rc);
            }
        }
        return settled;
    }

    /** The devices that wait. */
    public synchronized List<Device> waiting() {
        return List.copyOf(waiting.keySet());
    }
}
