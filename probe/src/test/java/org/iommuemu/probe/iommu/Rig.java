package org.iommuemu.probe.iommu;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;

/** A machine with RAM and a tree, and a log that keeps its lines. */
public final class Rig implements Log {
    /** RAM, half of it the hypervisor's. */
    public static final long RAM = 0x4000_0000L;

    public static final long RAM_SIZE = 16 << 20;

    public final List<String> lines = new ArrayList<>();
    public final PhysicalMemory memory = new PhysicalMemory();
    public final Bus bus = new Bus(memory);
    public final HypervisorHeap heap;
    public final DeviceTree tree;
    public final Platform platform;

    public Rig(DeviceTree tree) {
        this.tree = tree;
        memory.addRam(RAM, RAM_SIZE);
        heap = new HypervisorHeap(memory, RAM + RAM_SIZE / 2, RAM_SIZE / 2);
        platform = new Platform(bus, new InterruptController(), heap, tree, this, 40);
    }

    @Override
    public synchronized void say(Level level, String subsystem, String text) {
        lines.add(level + " " + text);
    }

    @Override
    public synchronized void fault(FaultReport fault) {
        lines.add("FAULT " + fault.fault() + " " + fault.details());
    }

    public synchronized List<String> lines() {
        return List.copyOf(lines);
    }

    /** Two IOMMUs, of phandles 1 and 2, a disabled one, of phandle 3, and devices that name them in all ways. */
    public static TreeBuilder iommus() {
        TreeBuilder tree = TreeBuilder.tree();
        for (int i = 1; i <= 3; i++) {
            tree.begin("iommu@" + i)
                    .strings("compatible", "iommuemu,mock")
                    .strings("status", i == 3 ? "disabled" : "okay")
                    .cells("#iommu-cells", 1)
                    .cells("phandle", i)
                    .end();
        }
        return tree.begin("one")
                .cells("iommus", 1, 0x10, 1, 0x11, 1, 0x10)
                .end()
                .begin("two")
                .cells("iommus", 2, 0x20)
                .end()
                .begin("both")
                .cells("iommus", 1, 0x30, 2, 0x31)
                .end()
                .begin("disabled")
                .cells("iommus", 3, 0x40)
                .end()
                .begin("partly")
                .cells("iommus", 3, 0x50, 1, 0x51)
                .end()
                .begin("none")
                .end();
    }

    public Device device(String path) {
        return new Device(tree.node(path).orElseThrow());
    }
}
