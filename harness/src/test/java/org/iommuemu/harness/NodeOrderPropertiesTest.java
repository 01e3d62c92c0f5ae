package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.TreeBuilder;

/** boards/mixed.dtb with all its nodes in any order. */
class NodeOrderPropertiesTest {
    private final NodeOrderTest.Outcome inOrder = NodeOrderTest.Outcome.of(NodeOrderTest.boot(MixedBoard.tree()));

    /** Copies a tree with the children of every node in an order of our choice. */
    private static DeviceTree reordered(DeviceTree tree, Random random) {
        TreeBuilder copy = TreeBuilder.tree();
        write(copy, tree.root(), random);
        return copy.parse();
    }

    private static void write(TreeBuilder copy, DeviceTreeNode node, Random random) {
        node.properties().forEach(property -> copy.bytes(property.name(), property.bytes()));
        List<DeviceTreeNode> children = new ArrayList<>(node.children());
        Collections.shuffle(children, random);
        for (DeviceTreeNode child : children) {
            copy.begin(child.name());
            write(copy, child, random);
            copy.end();
        }
    }

    @Property(tries = 60)
    void anyOrderOfAllNodesGivesTheSameOutcome(@ForAll long seed) {
        BootReport report = NodeOrderTest.boot(reordered(MixedBoard.tree(), new Random(seed)));
        assertEquals(inOrder, NodeOrderTest.Outcome.of(report));
        assertTrue(report.unmap().ok());
    }
}
