package org.iommuemu.harness;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.function.BiFunction;
import org.iommuemu.harness.grant.Backend;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Errno;

/** What a domain grants for its devices' DMA, and what some domain's backend makes of it; see {@link Toolstack#USAGE}. */
final class GrantOperations {
    private static final int PAGE = 4096;
    private static final int LINE = 64;

    private record Use(Device device, int backend, long address) {}

    private final GrantDmaDriver driver;
    private final BiFunction<Device, Integer, Backend> backends;
    private final DmaTrial trial;
    private final Map<Use, Backend.Held> held = new HashMap<>();

    /** @param backends by a device of a domain and the number of the domain in which the backend runs */
    GrantOperations(GrantDmaDriver driver, BiFunction<Device, Integer, Backend> backends, DmaTrial trial) {
        this.driver = driver;
        this.backends = backends;
        this.trial = trial;
    }

    /** Grants what is left of a page to the device's backend; the detail is the DMA address. */
    Toolstack.Answer grant(Device device, long guestPhysical, boolean readOnly) {
        if (!hasGrants(device)) {
            return Toolstack.of(Errno.ENODEV);
        }
        long address = driver.mapPage(device, guestPhysical, PAGE - (guestPhysical & PAGE - 1), readOnly);
        return address == GrantDmaDriver.MAPPING_ERROR
                ? new Toolstack.Answer(Errno.EINVAL, "not granted")
                : new Toolstack.Answer(Errno.OK, "0x%x".formatted(address));
    }

    /** Takes a grant back. */
    Toolstack.Answer revoke(Device device, long address) {
        return Toolstack.of(hasGrants(device) ? driver.unmapPage(device, address) : Errno.ENODEV);
    }

    /**
     * Lets a domain's backend access a line of a device's buffer, or begin or end to use it for writing.
     *
     * @param how one of {@link Toolstack#ACCESSES}
     */
    Toolstack.Answer access(Device device, int domain, long address, String how) {
        if (!hasGrants(device)) {
            return Toolstack.of(Errno.ENODEV);
        }
        Backend backend = backends.apply(device, domain);
        Use use = new Use(device, domain, address);
        byte[] line = new byte[LINE];
        String fault =
                switch (how) {
                    case "read" -> trial.refusal(() -> backend.read(address, line, 0, LINE) == DmaPort.Response.OK);
                    case "write" -> trial.refusal(() -> backend.write(address, line, 0, LINE) == DmaPort.Response.OK);
                    case "hold" -> trial.refusal(() -> hold(use, backend));
                    default -> release(use);
                };
        return fault == null ? new Toolstack.Answer(Errno.OK, DmaTrial.OK) : new Toolstack.Answer(Errno.EFAULT, fault);
    }

    private boolean hold(Use use, Backend backend) {
        if (held.containsKey(use)) {
            return true;
        }
        Optional<Backend.Held> pages = backend.hold(use.address, LINE, true);
        pages.ifPresent(p -> held.put(use, p));
        return pages.isPresent();
    }

    private String release(Use use) {
        Optional.ofNullable(held.remove(use)).ifPresent(Backend.Held::close);
        return null;
    }

    private static boolean hasGrants(Device device) {
        return device.fwspec() != null
                && device.domain().isPresent()
                && IommuKind.of(device.fwspec().iommu()).orElse(null) == IommuKind.GRANT_DMA;
    }
}
