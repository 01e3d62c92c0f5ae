package org.iommuemu.probe.devicetree;

import static org.iommuemu.probe.devicetree.TreeBuilder.tree;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Devicetree Specification v0.4, chapters 2.2 and 5. */
class BlobTest {
    static void assertFails(String message, Executable action) {
        assertEquals(message, assertThrows(DeviceTreeException.class, action).getMessage());
    }

    private static void assertUnreadable(String message, byte[] blob) {
        assertFails(message, () -> DeviceTree.parse("t", blob));
    }

    @ParameterizedTest
    @ValueSource(ints = {16, 17})
    void nodesAndPropertiesComeInTheOrderOfTheBlob(int version) {
        byte[] blob = tree().strings("model", "board")
                .token(4)
                .begin("b@1")
                .begin("c")
                .end()
                .cells("late", 7) // after a child: no dtc writes it, every reader takes it
                .end()
                .begin("a")
                .bytes("empty")
                .end()
                .end()
                .token(9)
                .unfinished(version);
        DeviceTree tree = DeviceTree.parse("t", blob);

        assertEquals(
                List.of("/", "/b@1", "/b@1/c", "/a"),
                tree.nodes().stream().map(DeviceTreeNode::path).toList());
        DeviceTreeNode b = tree.root().children().get(0);
        assertEquals("b@1", b.name());
        assertSame(tree.root(), b.parent());
        assertNull(tree.root().parent());
        assertEquals("", tree.root().name());
        assertEquals("board", tree.root().property("model").orElseThrow().string());
        assertEquals(7, b.property("late").orElseThrow().u32());
        assertEquals(
                0, tree.node("/a").orElseThrow().property("empty").orElseThrow().length());
    }

    @Test
    void aPropertyIsReadAsTheTypeThatTheCallerNames() {
        DeviceTreeNode root = tree().cells("pair", 1, -2)
                .strings("list", "x", "", "z")
                .bytes("odd", (byte) 'x', (byte) 'y')
                .parse()
                .root();

        Property pair = root.property("pair").orElseThrow();
        assertEquals("pair", pair.name());
        assertEquals(2, pair.cells());
        assertEquals(-2, pair.cell(1));
        assertEquals(0x1_ffff_fffeL, pair.u64());
        assertArrayEquals(new byte[] {0, 0, 0, 1, -1, -1, -1, -2}, pair.bytes());
        assertFails("t: /: pair: has 8 bytes where 4 are expected", pair::u32);
        assertFails("t: /: pair: has no cell 2, only 2", () -> pair.cell(2));
        assertEquals(List.of("x", "", "z"), root.property("list").orElseThrow().strings());
        Property odd = root.property("odd").orElseThrow();
        assertFails("t: /: odd: has a string without its final NUL", odd::strings);
        assertFails("t: /: odd: has 2 bytes, which is not a whole number of cells", odd::cells);
        assertEquals(
                List.of("pair (8 bytes)", "list (5 bytes)", "odd (2 bytes)").toString(),
                root.properties().toString());
    }

    @Test
    void statusAloneDecidesWhetherANodeIsAvailable() {
        DeviceTree tree = tree().begin("none")
                .end()
                .begin("okay")
                .strings("status", "okay")
                .end()
                .begin("ok")
                .strings("status", "ok")
                .end()
                .begin("off")
                .strings("status", "disabled")
                .begin("inside")
                .end()
                .end()
                .begin("empty")
                .bytes("status")
                .end()
                .parse();

        assertTrue(tree.node("/none").orElseThrow().available());
        assertTrue(tree.node("/okay").orElseThrow().available());
        assertTrue(tree.node("/ok").orElseThrow().available());
        assertFalse(tree.node("/off").orElseThrow().available());
        assertTrue(tree.node("/off/inside").orElseThrow().available());
        assertFails(
                "t: /empty: status: is empty where a string is expected",
                tree.node("/empty").orElseThrow()::available);
    }

    @Test
    void aNodeIsFoundByPathAliasPhandleAndCompatible() {
        DeviceTree tree = tree().begin("aliases")
                .strings("uart", "/soc/serial@10")
                .strings("loop", "loop")
                .end()
                .begin("soc")
                .begin("serial@10")
                .strings("compatible", "v,x", "v,y")
                .cells("phandle", 5)
                .begin("child")
                .end()
                .end()
                .begin("timer@20")
                .strings("status", "disabled")
                .strings("compatible", "v,y")
                .cells("linux,phandle", 6)
                .end()
                .begin("timer@30")
                .end()
                .end()
                .parse();
        DeviceTreeNode serial = tree.nodes().get(3);

        assertEquals(Optional.of(serial), tree.node("/soc/serial@10"));
        assertEquals(Optional.of(serial), tree.node("/soc/serial"));
        assertEquals(Optional.of(serial), tree.node("uart"));
        assertEquals(serial.children(), List.of(tree.node("uart/child").orElseThrow()));
        assertEquals(Optional.of(serial), tree.byPhandle(5));
        assertEquals("/soc/timer@20", tree.byPhandle(6).orElseThrow().path());
        assertEquals(Optional.of(serial), tree.compatibleNode("v,y"));
        assertEquals(Optional.of(tree.root()), tree.node("/"));
        assertTrue(serial.isCompatible("v,y"));
        for (String nowhere : List.of("", "loop", "loop/x", "soc", "/soc/timer", "/soc/serial@1", "/soc/none/serial")) {
            assertEquals(Optional.empty(), tree.node(nowhere), nowhere);
        }
        assertEquals(Optional.empty(), tree.byPhandle(0));
        assertEquals(Optional.empty(), tree.compatibleNode("v"));
    }

    @Test
    void theReservationBlockEndsAtAPairOfZeros() {
        DeviceTree tree = tree().reserve(0x8000_0000L, 0x1000).reserve(0, 5).parse();

        assertEquals(
                List.of(new AddressRange(0x8000_0000L, 0x1000), new AddressRange(0, 5)), tree.memoryReservations());
        assertUnreadable(
                "t: memory reservations: 0x11 bytes at 0xfffffffffffffff0 go past 2^64",
                tree().reserve(-16, 17).blob());
        byte[] endless = tree().blob();
        ByteBuffer.wrap(endless).putLong(40, 1);
        assertUnreadable("t: memory reservations: no end between offset 0x28 and the blob's end", endless);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            textBlock =
                    """
            0  | 0xd00dfeee | magic: 0xd00dfeee is not 0xd00dfeed
            4  | 0x00000027 | totalsize: 0x27, but the blob has 0x54 bytes
            4  | 0x00000055 | totalsize: 0x55, but the blob has 0x54 bytes
            4  | 0xffffffff | totalsize: 0xffffffff is more than the supported 0x800000
            8  | 0x00000024 | off_dt_struct: 0x24 is misaligned or outside of the blob
            8  | 0x0000003a | off_dt_struct: 0x3a is misaligned or outside of the blob
            8  | 0xfffffffc | off_dt_struct: 0xfffffffc is misaligned or outside of the blob
            12 | 0x00000055 | off_dt_strings: 0x55 is misaligned or outside of the blob
            16 | 0x0000002c | off_mem_rsvmap: 0x2c is misaligned or outside of the blob
            20 | 0x0000000f | version: 15, compatible with 16, is not 16 or 17
            24 | 0x00000012 | version: 17, compatible with 18, is not 16 or 17
            32 | 0x7fffffff | size_dt_strings: 0x7fffffff bytes at 0x54 go past the blob's end
            36 | 0x80000000 | size_dt_struct: 0x80000000 bytes at 0x38 go past the blob's end
            """)
    void aHeaderThatDoesNotFitTheBlobIsRefused(int offset, long value, String message) {
        byte[] blob = tree().begin("n").end().blob();
        blob = Arrays.copyOf(blob, 0x54);
        ByteBuffer header = ByteBuffer.wrap(blob);
        header.putInt(4, 0x54).putInt(12, 0x54).putInt(36, 0x1c);
        DeviceTree.parse("t", blob);
        header.putInt(offset, (int) value);

        assertUnreadable("t: header: " + message, blob);
    }

    @Test
    void aNewerVersionThatSaysItIsCompatibleIsRead() {
        byte[] blob = tree().blob();
        ByteBuffer.wrap(blob).putInt(20, 18).putInt(24, 17);

        assertEquals(1, DeviceTree.parse("t", blob).nodes().size());
    }

    @Test
    void aStructureBlockThatIsNoTreeIsRefused() {
        assertUnreadable("t: header: 3 bytes are too few for a flattened device tree", new byte[3]);
        assertUnreadable(
                "t: structure block: offset 0x38: END before the end of the root node",
                new TreeBuilder().token(9).unfinished(17));
        assertUnreadable(
                "t: /: offset 0x40: END before the end of the root node",
                tree().token(9).unfinished(17));
        assertUnreadable("t: /: the structure block ends at offset 0x40 without END", tree().unfinished(17));
        assertUnreadable(
                "t: structure block: the structure block ends at offset 0x44 without END",
                tree().end().unfinished(17));
        assertUnreadable(
                "t: structure block: offset 0x44: END_NODE without a node",
                tree().end().end().token(9).unfinished(17));
        assertUnreadable(
                "t: structure block: offset 0x44: a second root node",
                tree().end().begin("").blob());
        assertUnreadable(
                "t: structure block: offset 0x38: a property outside of any node",
                new TreeBuilder().cells("x", 1).blob());
        assertUnreadable("t: /: offset 0x40: unknown token 0x5", tree().token(5).blob());
        assertUnreadable(
                "t: /: offset 0x40: a name does not end in 4 bytes",
                tree().token(1, -1).unfinished(17));
        assertUnreadable(
                "t: /: offset 0x40: a child node has no name",
                tree().begin("").end().blob());
        assertUnreadable(
                "t: /a: offset 0x4c: a second node of this name",
                tree().begin("a").end().begin("a").end().blob());
        assertUnreadable(
                "t: /: x: a second property of this name",
                tree().cells("x", 1).cells("x", 2).blob());
    }

    @Test
    void aPropertyOutsideOfItsBlocksIsRefused() {
        assertUnreadable(
                "t: /: x: offset 0x4c: 0xffffffff bytes go past the structure block",
                tree().bytes("x").token(3, -1, 0).blob());
        assertUnreadable(
                "t: /: offset 0x4c: a property's name at 0x2 is outside of the strings block",
                tree().bytes("x").token(3, 0, 2).blob());
        assertUnreadable(
                "t: /: offset 0x40: a name does not end in 255 bytes",
                tree().bytes("x".repeat(256)).blob());
        byte[] endless = tree().bytes("x").blob();
        endless[endless.length - 1] = 'x';
        assertUnreadable("t: /: offset 0x40: a name does not end in 2 bytes", endless);
    }

    @Test
    void phandlesAreUniqueAndNeitherZeroNorAllOnes() {
        assertUnreadable(
                "t: /b: phandle: 0x1 is the phandle of /a too",
                tree().begin("a")
                        .cells("phandle", 1)
                        .end()
                        .begin("b")
                        .cells("phandle", 1)
                        .end()
                        .blob());
        assertUnreadable(
                "t: /: phandle: 0x0 is not a phandle",
                tree().cells("phandle", 0).blob());
        assertUnreadable(
                "t: /: phandle: 0xffffffff is not a phandle",
                tree().cells("phandle", -1).blob());
    }

    @Test
    void anErrorIsOneShortLineWhateverTheNames() {
        DeviceTreeNode odd = tree().begin("a\n\033[31mb")
                .strings("x\r", "")
                .end()
                .parse()
                .nodes()
                .get(1);

        assertEquals("/a\n\033[31mb", odd.path());
        assertEquals("/a\\u000a\\u001b[31mb", odd.toString());
        assertFails(
                "t: /a\\u000a\\u001b[31mb: x\\u000d: has 1 bytes where 4 are expected",
                odd.property("x\r").orElseThrow()::u32);
        byte[] endless =
                tree().begin("n".repeat(255)).begin("n".repeat(255)).token(7).blob();
        assertTrue(assertThrows(DeviceTreeException.class, () -> DeviceTree.parse("t", endless))
                        .getMessage()
                        .length()
                < 400);
    }

    @Test
    void nodesNestTo64LevelsAndNoDeeper() {
        TreeBuilder deepest = tree();
        for (int depth = 2; depth <= 64; depth++) {
            deepest.begin("n");
        }
        for (int depth = 2; depth <= 64; depth++) {
            deepest.end();
        }
        assertEquals(64, deepest.parse().nodes().size());

        TreeBuilder tooDeep = tree();
        for (int depth = 2; depth <= 100_000; depth++) {
            tooDeep.begin("n");
        }
        String message = assertThrows(DeviceTreeException.class, tooDeep::parse).getMessage();
        assertTrue(message.endsWith("/n: offset 0x238: nodes are nested more than 64 deep"), message);
    }

    @Test
    void timeGrowsWithTheTreeAndNotWithItsSquare() {
        int count = 50_000;
        TreeBuilder wide = tree().cells("interrupt-parent", 1)
                .begin("gic")
                .strings("compatible", "arm,gic-v3")
                .cells("#interrupt-cells", 3)
                .bytes("interrupt-controller")
                .cells("phandle", 1)
                .end()
                .begin("other")
                .cells("#interrupt-cells", 1)
                .bytes("interrupt-controller")
                .cells("phandle", 2)
                .end();
        for (int i = 0; i < count; i++) {
            wide.begin("n@" + i)
                    .cells("phandle", 3 + i)
                    .cells("interrupts-extended", 2, i)
                    .end();
        }
        byte[] blob = wide.blob();

        assertTimeoutPreemptively(Duration.ofSeconds(10), () -> {
            DeviceTree tree = DeviceTree.parse("t", blob);
            for (DeviceTreeNode node : tree.nodes()) {
                assertEquals(Optional.of(node), tree.node(node.path()));
            }
            for (int i = 0; i < count; i++) {
                DeviceTreeNode node = tree.byPhandle(3 + i).orElseThrow();
                assertEquals(8192 + i, tree.interruptNumber(node.interrupts().get(0)));
            }
        });
    }

    @Test
    void aFileIsNamedInErrorsAsItWasGiven(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("board.dtb");
        Files.write(file, tree().blob());
        assertEquals(file.toString(), DeviceTree.read(file).name());

        Files.write(file, new byte[100]);
        assertFails(file + ": header: magic: 0x00000000 is not 0xd00dfeed", () -> DeviceTree.read(file));
        assertThrows(IOException.class, () -> DeviceTree.read(folder.resolve("none")));
    }

    @Test
    void theCallersArrayIsNotTheTree() {
        byte[] blob = tree().cells("x", 1).blob();
        DeviceTree tree = DeviceTree.parse("t", blob);
        Arrays.fill(blob, (byte) -1);
        Arrays.fill(tree.root().property("x").orElseThrow().bytes(), (byte) -1);

        assertEquals(1, tree.root().property("x").orElseThrow().u32());
    }
}
