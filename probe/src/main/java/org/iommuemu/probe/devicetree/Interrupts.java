package org.iommuemu.probe.devicetree;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The interrupt tree (Devicetree Specification v0.4, 2.4), and numbers for what hangs on it. */
final class Interrupts {
    /** No tree comes near; a walk that takes more steps goes in circles. */
    private static final int MAX_HOPS = 128;

    private Interrupts() {}

    /** Where an entry of an interrupt-map leads. */
    record Route(DeviceTreeNode parent, List<Integer> address, List<Integer> cells) {}

    /** The interrupts of a device, {@code null} for an empty entry. */
    static List<InterruptSpecifier> of(DeviceTreeNode device) {
        Property extended = device.property("interrupts-extended").orElse(null);
        Property interrupts = device.property("interrupts").orElse(null);
        List<InterruptSpecifier> result = new ArrayList<>();
        if (extended != null) {
            for (Specifier specifier : extended.specifiers("#interrupt-cells")) {
                result.add(specifier == null ? null : resolve(device, extended, specifier.node(), specifier.args()));
            }
        } else if (interrupts != null) {
            DeviceTreeNode parent = parent(device);
            if (parent == null) {
                throw interrupts.error("the node has no interrupt parent");
            }
            int cells = interruptCells(parent);
            if (cells == 0 || interrupts.cells() % cells != 0) {
                throw interrupts.error(
                        "%d cells are not a multiple of the %d of %s", interrupts.cells(), cells, parent);
            }
            for (int i = 0; i < interrupts.cells(); i += cells) {
                result.add(resolve(device, interrupts, parent, interrupts.cellRange(i, i + cells)));
            }
        }
        return result;
    }

    /**
     * The node that the interrupts of {@code device} go to; {@code null} if there is none. As Linux has it, a node
     * that is passed on the way passes its interrupt-parent on, and a tree parent with #interrupt-cells is an
     * interrupt parent.
     */
    static DeviceTreeNode parent(DeviceTreeNode device) {
        DeviceTreeNode node = device;
        for (int hops = 0; hops < MAX_HOPS; hops++) {
            node = node.has("interrupt-parent")
                    ? node.property("interrupt-parent").orElseThrow().phandle(0)
                    : node.parent();
            if (node == null || node.has("#interrupt-cells")) {
                return node;
            }
        }
        throw device.error("interrupt-parent", "goes in circles, through %s", node);
    }

    /**
     * Refuses a tree in which an interrupt-parent leads back to where it came from over other nodes (2.4.1: the interrupt
     * tree has a root). A controller that names itself is the usual root.
     */
    static void refuseCircles(DeviceTree tree) {
        Set<DeviceTreeNode> passed = new HashSet<>();
        for (DeviceTreeNode start : tree.nodes()) {
            Set<DeviceTreeNode> path = new HashSet<>();
            DeviceTreeNode node = start;
            while (node != null && !passed.contains(node)) {
                if (!path.add(node)) {
                    throw node.error("interrupt-parent", "goes in circles");
                }
                DeviceTreeNode parent = node.property("interrupt-parent")
                        .filter(property -> property.length() == 4)
                        .flatMap(property -> tree.byPhandle(property.u32()))
                        .orElse(null);
                node = parent == node ? null : parent;
            }
            passed.addAll(path);
        }
    }

    private static InterruptSpecifier resolve(
            DeviceTreeNode device, Property used, DeviceTreeNode first, List<Integer> specifier) {
        DeviceTreeNode controller = first;
        List<Integer> cells = specifier;
        // The unit address that a map matches is the device's, as it stands in the tree.
        List<Integer> address = device.property("reg")
                .map(reg -> reg.cellRange(0, DeviceTreeNode.MAX_ADDRESS_CELLS))
                .orElse(List.of());
        for (int hops = 0; hops < MAX_HOPS; hops++) {
            if (!controller.has("interrupt-map")) {
                return new InterruptSpecifier(controller, cells);
            }
            Route route = controller.interruptRoutes().get(masked(controller, address, cells));
            if (route == null) {
                if (controller.has("interrupt-controller")) {
                    return new InterruptSpecifier(controller, cells);
                }
                throw used.error("%s is in no entry of interrupt-map of %s", hex(cells), controller);
            }
            controller = route.parent();
            address = route.address();
            cells = route.cells();
        }
        throw used.error("interrupt-map goes in circles, through %s", controller);
    }

    /** The entries of an interrupt-map (2.4.3.1) by their masked left side. The first of several equal ones counts. */
    static Map<List<Integer>, Route> routes(DeviceTreeNode nexus, Property map) {
        Map<List<Integer>, Route> routes = new HashMap<>();
        int addressCells = nexus.addressCells();
        int unitCells = addressCells + interruptCells(nexus);
        for (int at = 0; at < map.cells(); ) {
            if (unitCells >= map.cells() - at) {
                throw map.error("ends inside of the entry at cell %d", at);
            }
            DeviceTreeNode parent = map.phandle(at + unitCells);
            int parentAddress = at + unitCells + 1;
            // A controller has an address only for maps, and most leave out its size: none, and not 2.
            int parentCells = parentAddress + (parent.has("#address-cells") ? parent.addressCells() : 0);
            int end = parentCells + interruptCells(parent);
            if (end > map.cells()) {
                throw map.error("ends inside of the entry at cell %d, for %s", at, parent);
            }
            List<Integer> key = masked(
                    nexus, map.cellRange(at, at + addressCells), map.cellRange(at + addressCells, at + unitCells));
            if (parent.available()) {
                routes.putIfAbsent(
                        key,
                        new Route(parent, map.cellRange(parentAddress, parentCells), map.cellRange(parentCells, end)));
            }
            at = end;
        }
        return Map.copyOf(routes);
    }

    /** What an interrupt-map matches, after interrupt-map-mask (2.4.3.2). An address that is too short ends in zeros. */
    private static List<Integer> masked(DeviceTreeNode nexus, List<Integer> address, List<Integer> cells) {
        int addressCells = nexus.addressCells();
        Property mask = nexus.property("interrupt-map-mask").orElse(null);
        List<Integer> key = new ArrayList<>();
        for (int i = 0; i < addressCells; i++) {
            key.add(i < address.size() ? address.get(i) : 0);
        }
        key.addAll(cells);
        for (int i = 0; mask != null && i < key.size(); i++) {
            key.set(i, key.get(i) & mask.cell(i));
        }
        return key;
    }

    private static int interruptCells(DeviceTreeNode node) {
        return node.count("#interrupt-cells", Property.MAX_ARGS);
    }

    private static String hex(List<Integer> cells) {
        return "<"
                + String.join(
                        " ", cells.stream().map(c -> String.format("0x%x", c)).toList()) + ">";
    }

    /** The flat number space of {@link DeviceTree#interruptNumber}. */
    static final class Numbers {
        /** First INTID and count (IHI 0069, 2.2.1) by the first cell (arm,gic-v3 binding): SPI, PPI, ESPI, EPPI. */
        private static final int[][] GIC_INTIDS = {{32, 988}, {16, 16}, {4096, 1024}, {1056, 64}};

        private static final int FIRST_OTHER = 8192;

        /** Controllers whose last cell is no trigger: each of these has a bank or group and a line in it. */
        private static final Set<String> WITHOUT_TRIGGER =
                Set.of("samsung,exynos4210-combiner", "brcm,bcm2835-armctrl-ic", "brcm,bcm2836-armctrl-ic");

        private final DeviceTreeNode gic;
        private final Map<InterruptSpecifier, Integer> others = new HashMap<>();

        Numbers(DeviceTree tree) {
            gic = firstGic(tree);
            for (DeviceTreeNode node : tree.nodes()) {
                for (InterruptSpecifier spec : wellFormed(node)) {
                    if (spec.controller() != gic) {
                        others.putIfAbsent(line(spec), FIRST_OTHER + others.size());
                    }
                }
            }
        }

        int of(InterruptSpecifier spec) {
            if (spec.controller() == gic) {
                return gicNumber(spec);
            }
            Integer number = others.get(line(spec));
            if (number == null) {
                throw spec.controller().error("interrupt", "%s is used by no node", hex(spec.cells()));
            }
            return number;
        }

        private static int gicNumber(InterruptSpecifier spec) {
            List<Integer> cells = spec.cells();
            if (cells.size() < 3
                    || Integer.compareUnsigned(cells.get(0), GIC_INTIDS.length) >= 0
                    || Integer.compareUnsigned(cells.get(1), GIC_INTIDS[cells.get(0)][1]) >= 0) {
                throw spec.controller().error("interrupt", "%s is no interrupt of a GIC", hex(cells));
            }
            return GIC_INTIDS[cells.get(0)][0] + cells.get(1);
        }

        /** The interrupt without its trigger. */
        private static InterruptSpecifier line(InterruptSpecifier spec) {
            int size = spec.cells().size();
            int keep = isGic(spec.controller())
                    ? 2
                    : spec.controller().compatible().stream().anyMatch(WITHOUT_TRIGGER::contains) ? size : size - 1;
            return new InterruptSpecifier(
                    spec.controller(), spec.cells().subList(0, Math.min(size, Math.max(1, keep))));
        }

        private static DeviceTreeNode firstGic(DeviceTree tree) {
            DeviceTreeNode first = null;
            for (DeviceTreeNode node : tree.nodes()) {
                if (isGic(node) && node.available()) {
                    DeviceTreeNode parent = parent(node);
                    if (parent == null || parent == node) {
                        return node;
                    }
                    first = first == null ? node : first;
                }
            }
            return first;
        }

        private static boolean isGic(DeviceTreeNode node) {
            if (!node.has("#interrupt-cells") || interruptCells(node) < 3 || interruptCells(node) > 4) {
                return false;
            }
            return node.compatible().stream().anyMatch(c -> c.contains("gic"));
        }

        /** A node with broken interrupts has no part in the numbering; who asks for its interrupts learns why. */
        private static List<InterruptSpecifier> wellFormed(DeviceTreeNode node) {
            try {
                return node.interrupts();
            } catch (DeviceTreeException e) {
                return List.of();
            }
        }
    }
}
