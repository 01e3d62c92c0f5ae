package org.iommuemu.probe.driver.smmuv3;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;
import org.iommuemu.probe.iommu.ReservedRegion;

/** The driver: matches {@code arm,smmu-v3} and keeps the units that came up. */
public final class Smmuv3Driver implements IommuDriver, IommuOps {
    /** Its short name. */
    public static final String NAME = "smmuv3";

    private static final long REGISTERS = 0x20000;

    private final Platform platform;
    private final Map<DeviceTreeNode, Smmuv3Unit> units = new LinkedHashMap<>();

    /** A driver without units. */
    public Smmuv3Driver(Platform platform) {
        this.platform = platform;
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return node.isCompatible("arm,smmu-v3");
    }

    /** As arm_smmu_device_probe does: device tree, identification, structures in RAM, reset. */
    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        if (node.property("#iommu-cells").map(p -> p.u32()).orElse(0) != 1) {
            return new ProbeAnswer.Failed(Errno.EINVAL, "#iommu-cells is not 1");
        }
        List<AddressRange> reg = node.reg();
        if (reg.isEmpty() || reg.get(0).size() < REGISTERS) {
            return new ProbeAnswer.Failed(Errno.EINVAL, "the MMIO region is too small, or there is none");
        }
        Smmuv3Unit unit = new Smmuv3Unit(platform, node, reg.get(0).base());
        String unusable = unit.identify();
        if (unusable != null) {
            return new ProbeAnswer.Unusable(unusable);
        }
        Errno rc = unit.allocate();
        if (rc == Errno.OK) {
            rc = unit.reset();
        }
        if (rc != Errno.OK) {
            return new ProbeAnswer.Failed(rc, "reset failed");
        }
        units.put(node, unit);
        return new ProbeAnswer.Initialised();
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        if (args.size() != 1) {
            return Errno.EINVAL;
        }
        device.fwspec().addId(args.get(0));
        return Errno.OK;
    }

    @Override
    public Errno addDevice(Device device) {
        Smmuv3Unit unit =
                device.fwspec() == null ? null : units.get(device.fwspec().iommu());
        if (unit == null) {
            return Errno.ENODEV;
        }
        for (int streamId : device.fwspec().ids()) {
            Errno rc = unit.prepareStream(streamId);
            if (rc != Errno.OK) {
                return rc;
            }
        }
        if (device.isProtected()) {
            return Errno.EEXIST;
        }
        device.setProtected(true);
        platform.log()
                .debug(
                        NAME,
                        "%s: added master device (SMMUv3 %s, %d StreamIDs)"
                                .formatted(device, unit, device.fwspec().ids().size()));
        return Errno.OK;
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        Smmuv3Unit unit = units.get(device.fwspec().iommu());
        return unit.attach(domain, device.fwspec().ids());
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        return units.get(device.fwspec().iommu()).detach(device.fwspec().ids());
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        units.values().forEach(unit -> unit.invalidate(domain));
    }

    @Override
    public void teardown(Domain domain) {
        units.values().forEach(unit -> unit.forget(domain));
    }

    /** All units, or none: those before one that fails are brought back. */
    @Override
    public Errno suspend() {
        List<Smmuv3Unit> stopped = new ArrayList<>();
        for (Smmuv3Unit unit : units.values()) {
            Errno rc = unit.disable();
            if (rc != Errno.OK) {
                stopped.forEach(Smmuv3Unit::reset);
                return rc;
            }
            stopped.add(unit);
        }
        return Errno.OK;
    }

    @Override
    public void resume() {
        for (Smmuv3Unit unit : units.values()) {
            Errno rc = unit.reset();
            if (rc != Errno.OK) {
                platform.log().error(NAME, "%s: does not come back: %s".formatted(unit, rc));
            }
        }
    }

    @Override
    public void crashShutdown() {
        units.values().forEach(Smmuv3Unit::disable);
    }

    @Override
    public List<ReservedRegion> reservedMemory() {
        return platform.reservedMemory(units.keySet());
    }

    @Override
    public Errno shareP2m(Domain domain) {
        return units.values().stream().allMatch(unit -> unit.canWalk(domain.ioP2m())) ? Errno.OK : Errno.EINVAL;
    }
}
