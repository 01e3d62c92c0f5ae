package org.iommuemu.probe.devicetree;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

/** Whatever happens to a blob, it ends in a tree or in a {@link DeviceTreeException} of one line. */
class DeviceTreeFuzzTest {
    private static final byte[] BOARD = TreeBuilder.tree()
            .reserve(0x80000000L, 0x10000)
            .cells("#address-cells", 2)
            .cells("#size-cells", 2)
            .cells("interrupt-parent", 1)
            .begin("aliases")
            .strings("serial0", "/soc/serial@1000")
            .end()
            .begin("memory@80000000")
            .strings("device_type", "memory")
            .cells("reg", 0, 0x80000000, 0, 0x7f000000)
            .end()
            .begin("reserved-memory")
            .cells("#address-cells", 2)
            .cells("#size-cells", 2)
            .bytes("ranges")
            .begin("pool@90000000")
            .cells("reg", 0, 0x90000000, 0, 0x1000)
            .end()
            .end()
            .begin("gic@2f000000")
            .strings("compatible", "arm,gic-v3")
            .bytes("interrupt-controller")
            .cells("#interrupt-cells", 3)
            .cells("#address-cells", 2)
            .cells("phandle", 1)
            .end()
            .begin("soc")
            .strings("compatible", "simple-bus")
            .cells("#address-cells", 1)
            .cells("#size-cells", 1)
            .cells("ranges", 0, 0, 0x1c000000, 0x4000000)
            .begin("serial@1000")
            .strings("status", "okay")
            .cells("reg", 0x1000, 0x1000)
            .cells("interrupts", 0, 5, 4)
            .cells("iommus", 3, 7, 0, 3, 8)
            .end()
            .begin("mbigen")
            .cells("#interrupt-cells", 2)
            .bytes("interrupt-controller")
            .cells("phandle", 2)
            .end()
            .begin("iommu@2000")
            .strings("compatible", "arm,smmu-v3")
            .cells("reg", 0x2000, 0x20000)
            .cells("interrupts-extended", 1, 0, 74, 1, 2, 640, 1)
            .strings("interrupt-names", "eventq", "gerror")
            .cells("#iommu-cells", 1)
            .cells("phandle", 3)
            .end()
            .begin("pcie@40000")
            .cells("#address-cells", 3)
            .cells("#size-cells", 2)
            .cells("#interrupt-cells", 1)
            .cells("interrupt-map-mask", 0, 0, 0, 7)
            .cells("interrupt-map", 0, 0, 0, 1, 1, 0, 0, 0, 168, 4, 0, 0, 0, 2, 1, 0, 0, 0, 169, 4)
            .cells("iommu-map", 0, 3, 0, 0x10000)
            .cells("iommu-map-mask", 0xffff)
            .begin("dev@0")
            .cells("reg", 0, 0, 0, 0, 0)
            .cells("interrupts", 2)
            .end()
            .end()
            .end()
            .blob();

    @Example
    void theUndamagedBoardHasNoError() {
        DeviceTree tree = DeviceTree.parse("t", BOARD);
        accessors(tree).forEach(Runnable::run);
        tree.nodes().forEach(node -> accessors(tree, node).forEach(Runnable::run));
    }

    @Property(tries = 10_000)
    void damageEndsInOneDeviceTreeException(@ForAll long seed, @ForAll @IntRange(min = 1, max = 12) int damages) {
        Random random = new Random(seed);
        byte[] blob = BOARD.clone();
        for (int i = 0; i < damages; i++) {
            blob = damaged(blob, random);
        }
        byte[] damaged = blob;
        allow(() -> {
            DeviceTree tree = DeviceTree.parse("t", damaged);
            accessors(tree).forEach(DeviceTreeFuzzTest::allow);
            tree.nodes().forEach(node -> accessors(tree, node).forEach(DeviceTreeFuzzTest::allow));
        });
    }

    private static byte[] damaged(byte[] blob, Random random) {
        int at = random.nextInt(blob.length);
        ByteBuffer words = ByteBuffer.wrap(blob);
        switch (random.nextInt(24)) {
            case 0 -> {
                byte[] shorter = new byte[Math.max(1, at)];
                System.arraycopy(blob, 0, shorter, 0, shorter.length);
                return shorter;
            }
            case 1 -> {
                int from = random.nextInt(blob.length);
                int count = random.nextInt(Math.min(64, blob.length - Math.max(at, from)) + 1);
                System.arraycopy(blob.clone(), from & ~3, blob, at & ~3, count);
            }
            case 2 -> blob[at] = (byte) random.nextInt();
            case 3 -> {
                if (blob.length >= 40) {
                    words.putInt(4 * random.nextInt(10), number(random, blob.length));
                }
            }
            case 4, 5, 6, 7, 8, 9, 10, 11 -> blob[at] ^= (byte) (1 << random.nextInt(8));
            default -> {
                if (blob.length >= 40 + 4) {
                    words.putInt((40 + random.nextInt(blob.length - 43)) & ~3, number(random, blob.length));
                }
            }
        }
        return blob;
    }

    /** Numbers that mean something somewhere: tokens, phandles, counts, offsets, and the ends of the scale. */
    private static int number(Random random, int length) {
        return switch (random.nextInt(4)) {
            case 0 -> random.nextInt(10);
            case 1 -> random.nextInt(length);
            case 2 -> random.nextInt();
            default -> new int[] {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, -4}[random.nextInt(4)];
        };
    }

    private static void allow(Runnable action) {
        try {
            action.run();
        } catch (DeviceTreeException e) {
            assertFalse(e.getMessage().chars().anyMatch(Character::isISOControl), e.getMessage());
        }
    }

    private static List<Runnable> accessors(DeviceTree tree) {
        return List.of(
                tree::memory,
                tree::reservedMemory,
                tree::memoryReservations,
                () -> tree.node("serial0"),
                () -> tree.compatibleNode("arm,smmu-v3"));
    }

    private static List<Runnable> accessors(DeviceTree tree, DeviceTreeNode node) {
        return List.of(
                () -> assertTrue(tree.node(node.path()).isPresent() || hasSlash(node)),
                node::available,
                node::compatible,
                node::addressCells,
                node::sizeCells,
                node::reg,
                () -> node.interrupts().forEach(tree::interruptNumber),
                () -> node.interrupt("gerror"),
                node::iommus,
                node::iommuMap,
                () -> node.mapRequesterId(0x1234),
                () -> node.properties().forEach(DeviceTreeFuzzTest::readAll));
    }

    private static void readAll(org.iommuemu.probe.devicetree.Property property) {
        allow(property::bytes);
        allow(property::u32);
        allow(property::u64);
        allow(property::string);
        allow(property::cells);
        allow(() -> property.cell(1));
    }

    /** No path leads to a name with a slash. */
    private static boolean hasSlash(DeviceTreeNode node) {
        return node.parent() != null && (node.name().contains("/") || hasSlash(node.parent()));
    }
}
