package org.iommuemu.harness;

import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import org.iommuemu.ipmmu.Ipmmu;
import org.iommuemu.ipmmu.IpmmuOption;
import org.iommuemu.ipmmu.IpmmuVariant;
import org.iommuemu.ipmmu.ProductRegister;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translator;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.InterruptSpecifier;
import org.iommuemu.probe.devicetree.Property;
import org.iommuemu.probe.devicetree.Specifier;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.pci.StreamIds;
import org.iommuemu.smmuv3.Smmu;
import org.iommuemu.smmuv3.SmmuFeatures;

/** The hardware of a board, as its device tree describes it: RAM, the available IOMMUs on the bus, their interrupts. */
public final class Board {
    /**
     * The cut in the product register, where nothing else is asked for: ES3.0, the first that has stage 2 on the SoCs that
     * have it at all.
     */
    public static final int CUT = 0x20;

    private static final int LEAST_SID_BITS = 16;

    private final DeviceTree tree;
    private final List<DeviceTreeNode> iommus;
    private final RamPlan plan;
    private final Bus bus;
    private final InterruptController interrupts = new InterruptController();
    private final List<Master> masters;
    private final MisuseListener misuse;
    private final IpmmuOption[] ipmmuOptions;
    /** Value of Renesas' product register; empty where there is none, or the SoC is not known. */
    private OptionalInt productRegister = OptionalInt.empty();

    private final Map<DeviceTreeNode, Translator> units = new IdentityHashMap<>();

    private Board(
            DeviceTree tree,
            List<DeviceTreeNode> iommus,
            List<Master> masters,
            Set<IpmmuOption> ipmmuOptions,
            MisuseListener misuse) {
        this.ipmmuOptions = ipmmuOptions.toArray(IpmmuOption[]::new);
        this.tree = tree;
        this.iommus = iommus;
        this.misuse = misuse;
        this.masters = masters;
        plan = RamPlan.of(
                tree,
                iommus.stream().flatMap(node -> node.reg().stream().limit(1)).toList());
        bus = new Bus(plan.memory());
    }

    /**
     * Builds the board.
     *
     * @param product value of Renesas' product register (PRR), bits 14:8 product and 7:0 cut; empty to take the tree's
     *     SoC and {@link #CUT}
     * @param misuse hears what drivers do wrong
     * @throws BoardException if the tree describes what cannot be built
     * @throws org.iommuemu.probe.devicetree.DeviceTreeException if a property that says how nodes are wired is malformed
     */
    public static Board of(DeviceTree tree, OptionalInt product, MisuseListener misuse) {
        return of(tree, product, Set.of(), misuse);
    }

    /**
     * Builds the board, with IPMMUs that differ from what is assumed of them. Otherwise as {@link #of(DeviceTree,
     * OptionalInt, MisuseListener)}.
     */
    public static Board of(DeviceTree tree, OptionalInt product, Set<IpmmuOption> ipmmuOptions, MisuseListener misuse) {
        return of(tree, product, ipmmuOptions, Optional.empty(), misuse);
    }

    /** @param pci the functions behind the host bridges; empty for the first and the last that each map entry is for */
    static Board of(
            DeviceTree tree,
            OptionalInt product,
            Set<IpmmuOption> ipmmuOptions,
            Optional<StreamIds> pci,
            MisuseListener misuse) {
        tree.nodes().stream().filter(DeviceTreeNode::available).forEach(Board::check);
        List<DeviceTreeNode> iommus = tree.nodes().stream()
                .filter(node -> node.available() && IommuKind.of(node).isPresent())
                .toList();
        Board board = new Board(tree, iommus, Master.of(tree, pci), ipmmuOptions, misuse);
        try {
            board.addProductRegister(product);
            board.addIommus();
        } catch (IllegalArgumentException e) {
            throw new BoardException(tree.name() + ": " + e.getMessage());
        }
        return board;
    }

    /** The device tree. */
    public DeviceTree tree() {
        return tree;
    }

    /** The bus. */
    public Bus bus() {
        return bus;
    }

    /** RAM. */
    public PhysicalMemory memory() {
        return bus.memory();
    }

    /** Interrupts, by the numbers of {@link DeviceTree#interruptNumber}. */
    public InterruptController interrupts() {
        return interrupts;
    }

    /**
     * The port of a master.
     *
     * @param iommu the node of the unit in front of it
     * @param streamId StreamID or micro-TLB number
     */
    public DmaPort port(DeviceTreeNode iommu, int streamId) {
        Translator unit = units.get(iommu);
        if (unit == null) {
            throw new IllegalArgumentException(iommu + " is no unit of this board");
        }
        return new DmaPort(bus, unit, streamId);
    }

    /**
     * A unit of an IPMMU, to switch its power or to look at what software cannot see.
     *
     * @throws IllegalArgumentException if the node has none on this board
     */
    public Ipmmu ipmmu(DeviceTreeNode node) {
        if (units.get(node) instanceof Ipmmu unit) {
            return unit;
        }
        throw new IllegalArgumentException(node + " is no IPMMU of this board");
    }

    /** The available nodes of IOMMUs that there are models of, in tree order. */
    List<DeviceTreeNode> iommus() {
        return iommus;
    }

    /** A heap in the RAM that is the hypervisor's; each call makes another one of the same RAM. */
    public HypervisorHeap heap() {
        return new HypervisorHeap(memory(), plan.heap().base(), plan.heap().size());
    }

    RamPlan plan() {
        return plan;
    }

    /** The masters behind available IOMMUs, with a model or without. */
    List<Master> masters() {
        return masters;
    }

    /**
     * Looks at what a node says about wiring, wherever it stands: a tree that is damaged where no IOMMU is concerned is
     * still no tree to boot. (Not at {@code reg} and {@code interrupts}: some real trees have ones that lead nowhere.)
     */
    private static void check(DeviceTreeNode node) {
        node.addressCells();
        node.sizeCells();
        node.iommus();
        node.iommuMap();
        node.iommuAddresses((device, range) -> device);
    }

    private void addIommus() {
        Map<DeviceTreeNode, Integer> sidBits = sidBits();
        Map<DeviceTreeNode, Ipmmu> roots = new LinkedHashMap<>();
        for (DeviceTreeNode node : iommus) {
            switch (IommuKind.of(node).orElseThrow()) {
                case SMMUV3 -> addSmmu(node, sidBits.getOrDefault(node, LEAST_SID_BITS));
                case IPMMU_ROOT -> roots.put(node, addIpmmuRoot(node));
                case IPMMU_CACHE -> {} // Needs its root, which may stand behind it.
                case GRANT_DMA -> {} // Nothing on the bus: a table in RAM, and backends.
            }
        }
        for (DeviceTreeNode node : iommus) {
            if (IommuKind.of(node).orElseThrow() == IommuKind.IPMMU_CACHE) {
                addIpmmuCache(node, roots);
            }
        }
    }

    /** By SMMU: StreamIDs as wide as what the board connects to it, as its integrator would have chosen. */
    private Map<DeviceTreeNode, Integer> sidBits() {
        Map<DeviceTreeNode, Integer> bits = new IdentityHashMap<>();
        for (Master master : masters) {
            for (Specifier specifier : master.specifiers()) {
                for (int streamId : specifier.args()) {
                    bits.merge(
                            specifier.node(),
                            Math.max(LEAST_SID_BITS, 32 - Integer.numberOfLeadingZeros(streamId)),
                            Math::max);
                }
            }
        }
        return bits;
    }

    private void addSmmu(DeviceTreeNode node, int sidBits) {
        SmmuFeatures features = SmmuFeatures.builder().sidSize(sidBits).build();
        Smmu.Wires wires =
                new Smmu.Wires(wire(node, "eventq"), wire(node, "gerror"), wire(node, "cmdq-sync"), wire(node, "priq"));
        Smmu smmu = new Smmu(node.path(), features, bus, wires, misuse);
        attach(node, smmu.window(), smmu.registers());
        units.put(node, smmu);
    }

    /** An SMMU's interrupt by its name; a unit with one for all has it as {@code combined}. */
    private InterruptController.Line wire(DeviceTreeNode node, String name) {
        return node.interrupt(name)
                .or(() -> node.interrupt("combined"))
                .map(this::line)
                .orElse(null);
    }

    private InterruptController.Line line(InterruptSpecifier interrupt) {
        return interrupts.line(tree.interruptNumber(interrupt));
    }

    private Ipmmu addIpmmuRoot(DeviceTreeNode node) {
        IpmmuVariant variant = variant(node);
        List<InterruptSpecifier> interrupts = node.interrupts();
        InterruptController.Line line = interrupts.isEmpty() ? null : line(interrupts.get(0));
        InterruptController.Line secure = interrupts.size() < 2 ? null : line(interrupts.get(1));
        Ipmmu root = variant.hasCaches()
                ? Ipmmu.root(node.path(), variant, bus, line, secure, misuse)
                : Ipmmu.standalone(node.path(), variant, bus, line, secure, misuse);
        attach(node, root.window(), root.registers());
        units.put(node, root);
        return root;
    }

    private void addIpmmuCache(DeviceTreeNode node, Map<DeviceTreeNode, Ipmmu> roots) {
        // renesas,ipmmu-main: the root, and on Gen3 the bit of IMSSTR that is this cache's.
        Property main = node.property("renesas,ipmmu-main").orElseThrow();
        Ipmmu named = main.cells() == 0
                ? null
                : tree.byPhandle(main.cell(0)).map(roots::get).orElse(null);
        // Both public drivers take the root there is and do not look at the phandle.
        Optional<Ipmmu> root =
                named != null ? Optional.of(named) : roots.values().stream().findFirst();
        if (root.isEmpty()) {
            return; // No cache works without a root; its driver never gets as far as to touch it.
        }
        int bit = main.cells() > 1 ? main.cell(1) : -1;
        Ipmmu cache = Ipmmu.cache(node.path(), variant(node), root.get(), bit >= 0 && bit < 32 ? bit : -1, misuse);
        attach(node, cache.window(), cache.registers());
        units.put(node, cache);
    }

    private void addProductRegister(OptionalInt product) {
        DeviceTreeNode node = tree.compatibleNode("renesas,prr").orElse(null);
        if (node == null || node.reg().isEmpty()) {
            return;
        }
        int value = product.orElseGet(() -> tree.root().compatible().stream()
                        .map(ProductRegister::productOf)
                        .filter(OptionalInt::isPresent)
                        .findFirst()
                        .map(OptionalInt::getAsInt)
                        .orElse(0)
                | CUT);
        productRegister = OptionalInt.of(value);
        attach(node, 4, new ProductRegister(value));
    }

    /** What a node's unit is: by its {@code compatible}, the product register and what the board was asked for. */
    private IpmmuVariant variant(DeviceTreeNode node) {
        IpmmuVariant variant = IommuKind.variant(node).orElseThrow().with(ipmmuOptions);
        return productRegister.isPresent() ? variant.withProduct(productRegister.getAsInt()) : variant;
    }

    private void attach(DeviceTreeNode node, long window, BusDevice device) {
        List<AddressRange> reg = node.reg();
        if (reg.isEmpty()) {
            return; // Not on this bus; its driver will say so.
        }
        bus.attach(node.path(), reg.get(0).base(), Math.min(window, reg.get(0).size()), device);
    }
}
