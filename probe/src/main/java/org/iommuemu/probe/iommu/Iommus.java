package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.iommuemu.mmio.BusError;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.Specifier;

/**
 * The IOMMUs that came up, and what is done with devices behind them (Xen passthrough/device_tree.c). The operations for a
 * device are those of the IOMMU that its firmware spec names.
 *
 * <p>What concerns a device or a domain reaches the IOMMUs in front of it. What concerns neither ({@link #suspend}, {@link
 * #resume}, {@link #crashShutdown}, {@link #reservedMemory}, sharing a new domain's P2M, {@link #freePageTables}) is done
 * for each registered kind of IOMMU, in the order in which they came up.
 */
public final class Iommus {
    private static final String SUBSYSTEM = "iommu";

    /** How the operations for a device are found. */
    public enum Mode {
        /** There is one operations object; calls are bound to it once. A second one is refused (Xen iommu_set_ops). */
        UNIFORM,
        /** Through the device and the domain. */
        MIXED
    }

    /** Which IOMMU is asked whether a device is its own. */
    public enum Probing {
        /** The one that the device's firmware spec names, and no other. */
        FIRMWARE_SPEC,
        /**
         * Every one that is registered, in that order, until one claims the device. It fails as soon as a driver does not
         * look whose device it is; here to show that.
         */
        ASK_EVERY_DRIVER
    }

    private final Platform platform;
    private final Log log;
    private final Mode mode;
    private final Probing probing;
    private final Map<DeviceTreeNode, IommuOps> registered = new IdentityHashMap<>();
    private final Set<IommuOps> kinds = new LinkedHashSet<>();
    private final List<Device> devices = new ArrayList<>();
    private Dispatch dispatch;
    private int groups;

    /** No IOMMUs yet; of any number of kinds, each for the devices that name it. */
    public Iommus(Platform platform) {
        this(platform, Mode.MIXED, Probing.FIRMWARE_SPEC);
    }

    /** No IOMMUs yet. */
    public Iommus(Platform platform, Mode mode, Probing probing) {
        this.platform = platform;
        this.log = platform.log();
        this.mode = mode;
        this.probing = probing;
        if (mode == Mode.MIXED) {
            dispatch = new MixedDispatch();
            PatchedCalls.unbind();
        }
    }

    /** How the operations for a device are found. */
    public Mode mode() {
        return mode;
    }

    /**
     * An IOMMU came up (Xen iommu_set_ops).
     *
     * @return whether it is taken: not so if calls are bound to other operations already
     */
    public boolean register(DeviceTreeNode node, IommuOps ops) {
        if (mode == Mode.UNIFORM && !kinds.isEmpty() && !kinds.contains(ops)) {
            log.warning(
                    SUBSYSTEM,
                    node.path() + ": cannot set IOMMU ops, already set to a different value: devices behind it are not"
                            + " protected");
            return false;
        }
        if (dispatch == null) {
            dispatch = new UniformDispatch(ops);
            PatchedCalls.bind(ops);
        }
        registered.put(node, ops);
        kinds.add(ops);
        return true;
    }

    /**
     * An IOMMU goes away, with the devices that are behind it; all others stay as they are.
     *
     * @return EBUSY if a domain owns one of those devices, and ENODEV if there is no such IOMMU
     */
    public Errno unregister(DeviceTreeNode node) {
        IommuOps ops = registered.get(node);
        if (ops == null) {
            return Errno.ENODEV;
        }
        boolean last =
                registered.values().stream().filter(other -> other == ops).count() == 1;
        List<Device> behind = devices.stream()
                .filter(d ->
                        d.fwspec() == null ? last && d.ops() == ops : d.fwspec().iommu() == node)
                .toList();
        if (behind.stream().anyMatch(device -> device.domain().isPresent())) {
            return Errno.EBUSY;
        }
        behind.forEach(this::removeDevice);
        registered.remove(node);
        if (last && mode == Mode.MIXED) {
            kinds.remove(ops);
        }
        return Errno.OK;
    }

    /** Whether an IOMMU came up. */
    public boolean isRegistered(DeviceTreeNode node) {
        return registered.containsKey(node);
    }

    /** The tables of the driver of an IOMMU that came up; empty if it walks the domain's. */
    public Optional<OwnTables> ownTables(DeviceTreeNode node) {
        return Optional.ofNullable(registered.get(node)).flatMap(IommuOps::ownTables);
    }

    /**
     * The system's operations object (Xen iommu_get_ops), which there is in uniform mode only.
     *
     * @throws IllegalStateException otherwise: what has no device or domain is done for each IOMMU
     */
    public IommuOps ops() {
        if (mode == Mode.MIXED) {
            throw new IllegalStateException(
                    "there is no one operations object in a mixed system (%d kinds of IOMMU):".formatted(kinds.size())
                            + " name a device or a domain, or do it for each IOMMU");
        }
        return kinds.stream().findFirst().orElseThrow(() -> new IllegalStateException("no IOMMU has come up"));
    }

    /**
     * Makes a device's firmware spec from its specifiers and adds it to the IOMMU that they name (Xen
     * iommu_add_dt_device).
     *
     * @param specifiers where its DMA goes; those of an IOMMU that is not available are as if they were not there
     * @return OK if it is protected now; ENODEV if no IOMMU stands in front of it; an error otherwise
     */
    public Errno addDevice(Device device, Iterable<Specifier> specifiers) {
        if (device.isProtected()) {
            return Errno.OK; // Registered already; no harm in asking again.
        }
        for (Specifier specifier : specifiers) {
            DeviceTreeNode node = specifier.node();
            IommuOps ops = registered.get(node);
            if (!node.available() || ops == null) {
                log.info(
                        SUBSYSTEM,
                        "%s: %s is %s, not protected by it"
                                .formatted(device, node.path(), node.available() ? "not up" : "disabled"));
                continue;
            }
            Errno rc = device.initFwspec(node);
            if (rc == Errno.OK) {
                device.setOps(ops);
                rc = dispatch.dtXlate(device, specifier.args());
            }
            if (rc != Errno.OK) {
                log.error(SUBSYSTEM, "%s: specifier %s %s: %s".formatted(device, node.path(), specifier.args(), rc));
                forget(device);
                return rc;
            }
        }
        Errno rc = probing == Probing.ASK_EVERY_DRIVER
                ? askEvery(device)
                : device.fwspec() == null ? Errno.ENODEV : dispatch.addDevice(device);
        if (rc == Errno.OK) {
            device.setGroup(groups++);
            devices.add(device);
        } else {
            if (device.fwspec() != null) {
                log.error(SUBSYSTEM, "%s: cannot be added: %s".formatted(device, rc));
            }
            forget(device);
        }
        return rc;
    }

    private Errno askEvery(Device device) {
        for (IommuOps ops : kinds) {
            device.setOps(ops);
            Errno rc = dispatch.addDevice(device);
            if (rc != Errno.ENODEV) {
                return rc;
            }
        }
        return Errno.ENODEV;
    }

    private static void forget(Device device) {
        device.freeFwspec();
        device.setOps(null);
    }

    /**
     * Forgets a device (Xen iommu_remove_dt_device).
     *
     * @return EINVAL if no IOMMU protects it, EBUSY if a domain owns it, or the driver's answer
     */
    public Errno removeDevice(Device device) {
        if (!device.isProtected()) {
            return Errno.EINVAL;
        }
        if (device.domain().isPresent()) {
            return Errno.EBUSY;
        }
        Errno rc = dispatch.removeDevice(device);
        if (rc == Errno.OK) {
            forget(device);
            device.leaveGroup();
            devices.remove(device);
        }
        return rc;
    }

    /**
     * Makes a domain, as wide as every IOMMU can take. Where tables are shared, every IOMMU is shown its P2M.
     *
     * @throws org.iommuemu.pagetables.MappingException if there is no RAM for its tables
     */
    public Domain createDomain(int id) {
        Domain domain =
                new Domain(id, platform.bus().memory(), platform.tables(), platform.ipaBits(), platform.sharePt());
        if (platform.sharePt()) {
            for (IommuOps ops : kinds) {
                Errno rc = ops.shareP2m(domain);
                if (rc != Errno.OK) {
                    log.warning(SUBSYSTEM, "%s: a kind of IOMMU cannot share its P2M: %s".formatted(domain, rc));
                    domain.refuse(ops);
                }
            }
        }
        return domain;
    }

    /**
     * Gives a device to a domain (Xen iommu_assign_dt_device).
     *
     * @return EINVAL if no IOMMU protects it or the domain is being destroyed, EBUSY if a domain owns it, or another domain
     *     one that the IOMMU cannot tell from it (which Xen does not look at), ENODEV if its IOMMU cannot share the
     *     domain's P2M, or the driver's answer
     */
    public Errno assign(Domain domain, Device device) {
        if (!device.isProtected() || domain.isDying()) {
            return Errno.EINVAL;
        }
        if (device.domain().isPresent()) {
            return Errno.EBUSY;
        }
        Device same = elsewhere(domain, device).orElse(null);
        if (same != null) {
            log.error(
                    SUBSYSTEM,
                    "%s: cannot be assigned to %s: %s has an ID of it and is %s's"
                            .formatted(device, domain, same, same.domain().orElseThrow()));
            return Errno.EBUSY;
        }
        Errno rc = domain.refused(device.ops()) ? Errno.ENODEV : domain.attach(device, dispatch);
        if (rc != Errno.OK) {
            log.error(SUBSYSTEM, "%s: cannot be assigned to %s: %s".formatted(device, domain, rc));
        }
        return rc;
    }

    /** A device of another domain that the IOMMU cannot tell from this one: its DMA would be that of both domains. */
    private Optional<Device> elsewhere(Domain domain, Device device) {
        Fwspec spec = device.fwspec();
        if (spec == null || !device.ops().idsTellMasters()) {
            return Optional.empty();
        }
        return devices.stream()
                .filter(other -> other.fwspec() != null && other.fwspec().iommu() == spec.iommu())
                .filter(other -> other.domain().filter(owner -> owner != domain).isPresent())
                .filter(other -> !Collections.disjoint(other.fwspec().ids(), spec.ids()))
                .findFirst();
    }

    /**
     * Takes a device from a domain (Xen iommu_deassign_dt_device).
     *
     * @return EINVAL if no IOMMU protects it, ESRCH if the domain does not own it, or the driver's answer
     */
    public Errno deassign(Domain domain, Device device) {
        if (!device.isProtected()) {
            return Errno.EINVAL;
        }
        if (device.domain().orElse(null) != domain) {
            return Errno.ESRCH;
        }
        return domain.detach(device, dispatch);
    }

    /**
     * Moves a device from one domain to another (Xen reassign_device). If the other one cannot have it, it stays.
     *
     * @return as {@link #deassign} and {@link #assign}
     */
    public Errno reassign(Domain from, Domain to, Device device) {
        Errno rc = deassign(from, device);
        if (rc == Errno.OK) {
            rc = assign(to, device);
            if (rc != Errno.OK && assign(from, device) != Errno.OK) {
                log.error(SUBSYSTEM, "%s: belongs to nobody now".formatted(device));
            }
        }
        return rc;
    }

    /**
     * Takes all devices from a domain and frees what it has (Xen iommu_release_dt_devices, iommu_domain_destroy). Its page
     * tables are freed by {@link #freePageTables} if {@link #createDomain} made it.
     *
     * @return the driver's answer if a device cannot be taken; the domain keeps its tables then, as the device uses them
     */
    public Errno destroy(Domain domain) {
        domain.die();
        for (Device device : domain.devices()) {
            Errno rc = deassign(domain, device);
            if (rc != Errno.OK) {
                log.error(SUBSYSTEM, "%s: failed to deassign %s: %s".formatted(domain, device, rc));
                return rc;
            }
        }
        domain.destroy();
        return Errno.OK;
    }

    /**
     * Frees page tables that are not used any more, of whichever IOMMU and domain.
     *
     * @param most how many at most
     * @return how many are left
     */
    public int freePageTables(int most) {
        return platform.freeTables(most);
    }

    /**
     * Stops every IOMMU before the system sleeps.
     *
     * @return the answer of the first that cannot; those before it are resumed then
     */
    public Errno suspend() {
        List<IommuOps> stopped = new ArrayList<>();
        for (IommuOps ops : kinds) {
            Errno rc = ops.suspend();
            if (rc != Errno.OK) {
                log.error(SUBSYSTEM, "suspend: " + rc);
                stopped.forEach(IommuOps::resume);
                return rc;
            }
            stopped.add(ops);
        }
        return Errno.OK;
    }

    /** Brings every IOMMU back. */
    public void resume() {
        kinds.forEach(IommuOps::resume);
    }

    /** Stops every IOMMU for a crash kernel; one that does not answer keeps no other from it. */
    public void crashShutdown() {
        for (IommuOps ops : kinds) {
            try {
                ops.crashShutdown();
            } catch (BusError abort) {
                log.error(SUBSYSTEM, "crash shutdown: " + abort.getMessage());
            }
        }
    }

    /** The memory that devices use before a driver of theirs runs, of every IOMMU (Xen get_reserved_device_memory). */
    public List<ReservedRegion> reservedMemory() {
        return kinds.stream().flatMap(ops -> ops.reservedMemory().stream()).toList();
    }
}
