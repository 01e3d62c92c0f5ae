package org.iommuemu.probe.devicetree;

import static org.iommuemu.probe.devicetree.BlobTest.assertFails;
import static org.iommuemu.probe.devicetree.TreeBuilder.tree;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Devicetree Specification v0.4, 2.3.5 to 2.3.8, 3.4 and 3.5. */
class AddressTest {
    private static List<AddressRange> reg(TreeBuilder tree, String path) {
        return tree.parse().node(path).orElseThrow().reg();
    }

    @Test
    void regIsTranslatedByEveryBusUpToTheRoot() {
        TreeBuilder board = tree().cells("#address-cells", 2)
                .cells("#size-cells", 2)
                .begin("bus")
                .cells("#address-cells", 2)
                .cells("#size-cells", 1)
                .cells("ranges", 0, 0, 0, 0x8000000, 0x4000000, 3, 0, 0, 0x1c000000, 0x4000000)
                .begin("io")
                .cells("#address-cells", 1)
                .cells("#size-cells", 1)
                .cells("ranges", 0, 3, 0, 0x210000)
                .begin("same")
                .cells("#address-cells", 1)
                .bytes("ranges")
                .begin("serial@90000")
                .cells("reg", 0x90000, 0x1000, 0xa0000, 0)
                .end()
                .end()
                .end()
                .end();

        assertEquals(
                List.of(new AddressRange(0x1c090000, 0x1000), new AddressRange(0x1c0a0000, 0)),
                reg(board, "/bus/io/same/serial"));
    }

    @Test
    void addressesHave64BitsAndMayReachTheTop() {
        assertEquals(
                List.of(new AddressRange(0x400_d004_0000L, 0x2_0000_0000L), new AddressRange(-4096, 4096)),
                reg(
                        tree().cells("#size-cells", 2)
                                .begin("n")
                                .cells("reg", 0x400, 0xd0040000, 2, 0, -1, -4096, 0, 4096)
                                .end(),
                        "/n"));
    }

    @Test
    void aNodeBelowABusWithoutRangesOrOfPciHasNoCpuAddress() {
        TreeBuilder board = tree().begin("i2c")
                .cells("#address-cells", 1)
                .cells("#size-cells", 0)
                .begin("eeprom@50")
                .cells("reg", 0x50)
                .end()
                .end()
                .begin("pcie")
                .cells("#address-cells", 3)
                .cells("#size-cells", 2)
                .cells("ranges", 0x2000000, 0, 0x40000000, 0, 0x40000000, 0x10000000)
                .begin("dev@0")
                .cells("reg", 0, 0, 0, 0, 0)
                .end()
                .end()
                .begin("no-reg")
                .end();
        DeviceTree tree = board.parse();

        assertEquals(List.of(), tree.node("/i2c/eeprom").orElseThrow().reg());
        assertEquals(List.of(), tree.node("/pcie/dev").orElseThrow().reg());
        assertEquals(List.of(), tree.node("/no-reg").orElseThrow().reg());
        assertEquals(List.of(), tree.root().reg());
    }

    @Test
    void malformedAddressesAreErrorsOfTheNodeThatUsesThem() {
        assertFails(
                "t: /n: reg: has 8 bytes, which is not a multiple of 3 cells",
                () -> reg(tree().begin("n").cells("reg", 1, 2).end(), "/n"));
        assertFails(
                "t: /n: reg: 0x2000 bytes at 0xfffffffffffff000 go past 2^64",
                () -> reg(tree().begin("n").cells("reg", -1, -4096, 0x2000).end(), "/n"));
        assertFails(
                "t: /: #address-cells: 2147483648 is more than 4",
                () -> reg(
                        tree().cells("#address-cells", 1 << 31)
                                .begin("n")
                                .cells("reg", 1)
                                .end(),
                        "/n"));
        assertFails(
                "t: /: #size-cells: has 0 bytes where 4 are expected",
                () -> reg(tree().bytes("#size-cells").begin("n").cells("reg", 1).end(), "/n"));
        assertFails(
                "t: /n: reg: has 4 bytes, which is not a multiple of 0 cells",
                () -> reg(
                        tree().cells("#address-cells", 0)
                                .cells("#size-cells", 0)
                                .begin("n")
                                .cells("reg", 1)
                                .end(),
                        "/n"));
        assertFails(
                "t: /n: reg: has a number of more than 64 bits in cell 0",
                () -> reg(
                        tree().cells("#address-cells", 3)
                                .begin("n")
                                .cells("reg", 1, 0, 0, 0)
                                .end(),
                        "/n"));
    }

    @Test
    void malformedRangesAreErrorsOfTheNodeThatUsesThem() {
        assertFails("t: /bus/n: reg: 0x1000 is in no range of /bus", () -> reg(bus(0, 0, 0, 0, 0x1000), "/bus/n"));
        assertFails(
                "t: /bus: ranges: 0x2000 bytes at 0xfffffffffffff000 go past 2^64",
                () -> reg(bus(0, 0, -1, -4096, 0x2000), "/bus/n"));
        assertFails(
                "t: /bus/n: reg: 0x2000 bytes at 0xfffffffffffff000 go past 2^64",
                () -> reg(bus(0, 0, -1, -0x2000, 0x2000), "/bus/n"));
        assertFails(
                "t: /bus: ranges: has 16 bytes, which is not a multiple of 5 cells",
                () -> reg(bus(0, 0, 0, 0), "/bus/n"));
    }

    private static TreeBuilder bus(int... ranges) {
        return tree().begin("bus")
                .cells("ranges", ranges)
                .begin("n")
                .cells("reg", 0, 0x1000, 0x2000)
                .end()
                .end();
    }

    @Test
    void memoryIsWhatAvailableMemoryNodesHold() {
        DeviceTree tree = tree().begin("memory@80000000")
                .strings("device_type", "memory")
                .cells("reg", 0, 0x80000000, 0x1000, 1, 0, 0, 2, 0, 0x2000)
                .end()
                .begin("memory@0")
                .strings("device_type", "memory")
                .strings("status", "disabled")
                .cells("reg", 0, 0, 0x1000)
                .end()
                .begin("cpu")
                .strings("device_type", "cpu")
                .cells("reg", 0, 0, 0x1000)
                .end()
                .parse();

        assertEquals(
                List.of(new AddressRange(0x8000_0000L, 0x1000), new AddressRange(0x2_0000_0000L, 0x2000)),
                tree.memory());
    }

    @Test
    void reservedMemoryIsWhatHasAPlaceAlready() {
        DeviceTree tree = tree().begin("reserved-memory")
                .bytes("ranges")
                .begin("fixed@1000")
                .cells("reg", 0, 0x1000, 0x100)
                .end()
                .begin("anywhere")
                .cells("size", 0x100)
                .end()
                .begin("off@2000")
                .strings("status", "disabled")
                .cells("reg", 0, 0x2000, 0x100)
                .end()
                .end()
                .parse();

        assertEquals(List.of(new AddressRange(0x1000, 0x100)), tree.reservedMemory());
        assertEquals(List.of(), tree().parse().reservedMemory());
    }

    @Test
    void aRangeIsUnsignedAndEndsAtTheTopAtMost() {
        AddressRange top = new AddressRange(-4096, 4096);
        AddressRange low = new AddressRange(0x1000, 0x1000);

        assertEquals(0, top.end());
        assertEquals(0x2000, low.end());
        assertTrue(top.contains(-1));
        assertFalse(top.contains(0));
        assertTrue(low.contains(0x1fff));
        assertFalse(low.contains(0x2000));
        assertFalse(low.contains(0xfff));
        assertTrue(low.overlaps(new AddressRange(0, -1)));
        assertTrue(new AddressRange(0, -1).overlaps(top));
        assertFalse(low.overlaps(new AddressRange(0x2000, 1)));
        assertFalse(low.overlaps(new AddressRange(0x1800, 0)));
        assertEquals("0x1000+0x1000", low.toString());
        assertThrows(IllegalArgumentException.class, () -> new AddressRange(-4096, 4097));
    }
}
