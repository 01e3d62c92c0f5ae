package org.iommuemu.harness;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeException;

/** Whatever is in a tree: it boots, it panics, or it is refused in one line. */
class BootFuzzTest {
    private static final List<byte[]> TREES =
            List.of("rcar-gen3.dtb", "smmuv3-pcie.dtb", "soc-ranges.dtb", "mixed.dtb", "rcar-gen4.dtb").stream()
                    .map(BootFuzzTest::bytes)
                    .toList();

    private static final String[] OPERATIONS = {
        "grant /virtio@2000000 0x48000000",
        "backend dom1 /virtio@2000000 0x8000000000008000 write",
        "create dom1",
        "reassign dom0 dom1 /virtio@2000000",
        "assign dom1 0000:00:00.0",
        "dma 0000:00:00.0 0x40000000",
        "destroy dom1",
        "suspend",
        "resume"
    };

    private static BootOptions options(boolean linuxIpmmu) {
        return new BootOptions("", List.of(), Set.of(), OptionalInt.empty(), linuxIpmmu, Set.of()).then(OPERATIONS);
    }

    private static byte[] bytes(String board) {
        try {
            return Files.readAllBytes(BootTest.BOARDS.resolve(board));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** One change: a cell of the structure block gets another value, often one that means something elsewhere. */
    private static void damage(ByteBuffer blob, int change) {
        int structure = blob.getInt(8);
        int strings = blob.getInt(12);
        int at = structure + Integer.remainderUnsigned(change * 0x9e3779b1, (strings - structure) / 4) * 4;
        int value = blob.getInt(at);
        int[] candidates = {0, 1, 2, 3, 4, 9, -1, 1 << 31, value + 1, value - 1, value << 4, value ^ 0x100, 0x40000000};
        blob.putInt(at, candidates[Integer.remainderUnsigned(change, candidates.length)]);
    }

    @Property(tries = 4000)
    void aDamagedTreeBootsPanicsOrIsRefusedInOneLine(
            @ForAll @IntRange(max = 4) int tree,
            @ForAll boolean linuxIpmmu,
            @ForAll @Size(min = 1, max = 6) List<Integer> changes) {
        byte[] blob = TREES.get(tree).clone();
        changes.forEach(change -> damage(ByteBuffer.wrap(blob), change));
        String message;
        try {
            BootRun.run(DeviceTree.parse("fuzzed", blob), options(linuxIpmmu), new BootTest.Lines());
            return;
        } catch (DeviceTreeException | BoardException e) {
            message = e.getMessage();
        }
        if (!message.startsWith("fuzzed: ") || message.contains("\n")) {
            throw new AssertionError(message);
        }
    }
}
