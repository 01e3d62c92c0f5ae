package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.DmaPort.Response;
import org.junit.jupiter.api.Test;

class DmaPortTest {
    private static final long RAM = 0x4000_0000L;

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Bus bus = new Bus(memory);
    private final List<String> asked = new ArrayList<>();

    DmaPortTest() {
        memory.addRam(RAM, 0x10000);
    }

    /** Pages of the input in the order of their numbers: RAM backwards, then what {@code special} says. */
    private long unit(int streamId, int substreamId, long address, int access) {
        asked.add("%d/%d %x %d".formatted(streamId, substreamId, address, access));
        return switch ((int) (address >>> 12)) {
            case 0 -> Translation.of(RAM + 0x3000, 12, 0xff, 3);
            case 1 -> Translation.of(RAM + 0x1000, 12, 0xff, 3);
            case 2 -> Translation.RAZ_WI;
            case 3 -> Translation.ABORT;
            case 4 -> Translation.of(0x9000, 12, 0xff, 3);
            case 5 -> Translation.of(RAM + 0x5000, 12, 0xff, 3);
            default -> 1L << 63 | 0x70;
        };
    }

    private final DmaPort port = new DmaPort(bus, this::unit, 7);

    @Test
    void aTransferIsTranslatedPageByPage() {
        byte[] bytes = new byte[0x1000 + 2];
        bytes[0] = 1;
        bytes[1] = 2;
        bytes[0x1001] = 3;
        assertEquals(Response.OK, port.write(0xfff, bytes, 0, 0x1001 - 0));
        assertEquals(List.of("7/-1 fff 1", "7/-1 1000 1"), asked);
        assertEquals(1, memory.read8(RAM + 0x3fff));
        assertEquals(2, memory.read8(RAM + 0x1000));
        assertEquals(0, memory.read8(RAM + 0x4000), "nothing is written behind the page");
        assertEquals(0, memory.read8(RAM + 0x2000));
    }

    @Test
    void aReadCollectsThePiecesAtTheRightPlaces() {
        memory.write8(RAM + 0x3ffe, 10);
        memory.write8(RAM + 0x3fff, 11);
        memory.write8(RAM + 0x1000, 12);
        byte[] bytes = {-1, -1, -1, -1, -1};
        assertEquals(Response.OK, port.read(0xffe, bytes, 1, 3));
        assertArrayEquals(new byte[] {-1, 10, 11, 12, -1}, bytes);
        assertEquals(List.of("7/-1 ffe 0", "7/-1 1000 0"), asked);
    }

    @Test
    void aTransferOfNothingAsksNothing() {
        assertEquals(Response.OK, port.read(0x3000, new byte[0], 0, 0));
        assertEquals(List.of(), asked);
    }

    @Test
    void razWiReadsZerosAndDropsWritesAndTheTransferGoesOn() {
        memory.write8(RAM + 0x1fff, 5);
        byte[] bytes = new byte[0x1002];
        java.util.Arrays.fill(bytes, (byte) -1);
        assertEquals(Response.RAZ_WI, port.read(0x1fff, bytes, 0, 0x1001));
        assertEquals(5, bytes[0]);
        assertArrayEquals(new byte[0x1000], java.util.Arrays.copyOfRange(bytes, 1, 0x1001));
        assertEquals(-1, bytes[0x1001]);
        assertEquals(Response.RAZ_WI, port.write(0x2000, new byte[] {1}, 0, 1));
        assertEquals(0, memory.read8(0x2000));
    }

    @Test
    void anAbortInTheMiddleKeepsWhatMovedBeforeAndEndsTheTransfer() {
        byte[] bytes = new byte[0x3002];
        java.util.Arrays.fill(bytes, (byte) 9);
        assertEquals(Response.ABORT, port.write(0x1fff, bytes, 0, 0x3002));
        assertEquals(9, memory.read8(RAM + 0x1fff));
        assertEquals(3, asked.size(), "page 4 is not asked for");
    }

    @Test
    void everyOtherUntranslatedValueIsAnAbort() {
        assertEquals(Response.ABORT, port.read(0x6000, new byte[1], 0, 1));
    }

    @Test
    void aTranslatedAccessThatNothingAnswersIsABusError() {
        assertEquals(Response.BUS_ERROR, port.write(0x4000, new byte[0x1001], 0, 0x1001));
        assertEquals(1, asked.size(), "the transfer ends there");
    }

    @Test
    void thePortsAttributesGoWithEveryAccessButTheDirectionIsTheTransfers() {
        DmaPort privileged = new DmaPort(bus, this::unit, 3, 12, Access.PRIVILEGED | Access.SECURE | Access.WRITE);
        privileged.read(0, new byte[1], 0, 1);
        privileged.write(0, new byte[1], 0, 1);
        assertEquals(List.of("3/12 0 10", "3/12 0 11"), asked);
        assertEquals(3, privileged.streamId());
        assertEquals(RAM + 0x5abc, Translation.address(privileged.translate(0x5abc, false), 0x5abc));
        assertFalse(Translation.translated(privileged.translate(0x3000, true)));
    }

    @Test
    void aMasterWithoutAUnitIsWiredToTheBus() {
        DmaPort wired = new DmaPort(bus, null, 0);
        assertEquals(Response.OK, wired.write(RAM + 0xffe, new byte[] {1, 2, 3, 4}, 0, 4));
        assertEquals(0x0403_0201, memory.read16(RAM + 0xffe) | memory.read16(RAM + 0x1000) << 16);
        assertEquals(RAM + 5, Translation.address(wired.translate(RAM + 5, true), RAM + 5));
        assertEquals(Response.BUS_ERROR, wired.read(0x9000, new byte[1], 0, 1));
    }

    @Test
    void anAddressBeyond2To52DoesNotWrapAround() {
        DmaPort wired = new DmaPort(bus, null, 0);
        assertEquals(Response.BUS_ERROR, wired.write(1L << 52 | RAM, new byte[] {1}, 0, 1));
        assertEquals(Response.BUS_ERROR, wired.read(1L << 63 | RAM, new byte[1], 0, 1));
        assertEquals(0, memory.read8(RAM));
        assertFalse(Translation.translated(wired.translate(1L << 52 | RAM, true)));
    }
}
