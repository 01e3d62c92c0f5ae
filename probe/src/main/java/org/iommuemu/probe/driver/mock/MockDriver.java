package org.iommuemu.probe.driver.mock;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.ProbeAnswer;

/**
 * The driver of an IOMMU that translates nothing and keeps a record of what it was asked, as Linux has one for its own
 * tests (iommufd/selftest.c). A careless one claims every device that it is offered, as a driver does that relies on being
 * offered its own ones only.
 */
public final class MockDriver implements IommuDriver, IommuOps {
    /** Its {@code compatible}. */
    public static final String COMPATIBLE = "iommuemu,mock";

    private final String name;
    private final boolean careless;
    private final Set<DeviceTreeNode> nodes = new HashSet<>();
    private final List<Device> claimed = new ArrayList<>();
    private final List<Device> offered = new ArrayList<>();
    private final List<String> asked = new ArrayList<>();
    private Errno suspendAnswer = Errno.OK;

    /**
     * A driver without nodes.
     *
     * @param careless whether it claims whatever it is offered
     */
    public MockDriver(String name, boolean careless) {
        this.name = name;
        this.careless = careless;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return node.isCompatible(COMPATIBLE);
    }

    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        nodes.add(node);
        return new ProbeAnswer.Initialised();
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        args.forEach(device.fwspec()::addId);
        return Errno.OK;
    }

    @Override
    public Errno addDevice(Device device) {
        offered.add(device);
        boolean own = device.fwspec() != null && nodes.contains(device.fwspec().iommu());
        if (!own && !careless) {
            return Errno.ENODEV;
        }
        device.setProtected(true);
        claimed.add(device);
        return Errno.OK;
    }

    @Override
    public Errno removeDevice(Device device) {
        claimed.remove(device);
        return IommuOps.super.removeDevice(device);
    }

    @Override
    public Errno assignDevice(Domain domain, Device device) {
        asked.add("assign " + domain + " " + device);
        return Errno.OK;
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        asked.add("deassign " + domain + " " + device);
        return Errno.OK;
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        asked.add("flush %s 0x%x 0x%x".formatted(domain, address, size));
    }

    @Override
    public void teardown(Domain domain) {
        asked.add("teardown " + domain);
    }

    @Override
    public Errno suspend() {
        asked.add("suspend");
        return suspendAnswer;
    }

    @Override
    public void resume() {
        asked.add("resume");
    }

    @Override
    public void crashShutdown() {
        asked.add("crash shutdown");
    }

    /** What it answers to {@link #suspend} from now on. */
    public void answerSuspend(Errno answer) {
        suspendAnswer = answer;
    }

    /** The devices that are its own, in the order in which they came. */
    public List<Device> claimed() {
        return List.copyOf(claimed);
    }

    /** The devices that it was offered. */
    public List<Device> offered() {
        return List.copyOf(offered);
    }

    /** What it was asked to do with domains and the system, one line each, since the last look. */
    public List<String> takeAsked() {
        List<String> taken = List.copyOf(asked);
        asked.clear();
        return taken;
    }
}
