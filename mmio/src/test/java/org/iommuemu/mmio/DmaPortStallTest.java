package org.iommuemu.mmio;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.DmaPort.Response;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Transfers that wait in the unit until software has answered. */
@Timeout(60)
class DmaPortStallTest {
    private static final long RAM = 0x4000_0000L;
    private static final long TOKEN = Translation.STALLED | 0x1230;

    /** Page 1 stalls until there is an answer; all others go straight to RAM. */
    private static final class Unit implements Translator {
        final Invalidations invalidations = new Invalidations();
        final List<Long> resumed = new ArrayList<>();
        long answer = TOKEN;

        @Override
        public synchronized long translate(int streamId, int substreamId, long address, int access) {
            return address >>> 12 == 1 ? TOKEN : Translation.of(RAM + address, 12, 0xff, 3);
        }

        @Override
        public synchronized long resume(long stalled, int streamId, int substreamId, long address, int access) {
            resumed.add(address);
            return answer;
        }

        @Override
        public synchronized void awaitResumption(long stalled) throws InterruptedException {
            if (answer == TOKEN) {
                wait();
            }
        }

        synchronized void answers(long with) {
            answer = with;
            notifyAll();
        }

        @Override
        public Invalidations invalidations() {
            return invalidations;
        }
    }

    private final PhysicalMemory memory = new PhysicalMemory();
    private final Bus bus = new Bus(memory);
    private final Unit unit = new Unit();
    private final DmaPort port = new DmaPort(bus, unit, 7);
    private final byte[] three = {1, 2, 3};

    DmaPortStallTest() {
        memory.addRam(RAM, 0x10000);
    }

    @Test
    void theRestOfATransferWaitsUntilSoftwareLetsItGo() {
        assertEquals(Response.STALLED, port.write(0xfff, three, 0, 3));
        assertEquals(1, memory.read8(RAM + 0xfff), "the first page was not in question");
        assertEquals(Response.STALLED, port.resume());
        assertEquals(0, memory.read8(RAM + 0x1000));
        unit.answers(Translation.of(RAM + 0x5000, 12, 0xff, 3));
        assertEquals(Response.OK, port.resume());
        assertEquals(List.of(0x1000L, 0x1000L), unit.resumed);
        assertEquals(2, memory.read8(RAM + 0x5000));
        assertEquals(3, memory.read8(RAM + 0x5001));
        assertThrows(IllegalStateException.class, port::resume);
    }

    @Test
    void theTransferGoesOnBehindTheStalledPage() {
        byte[] bytes = new byte[0x1002];
        memory.write8(RAM + 0x2000, 9);
        assertEquals(Response.STALLED, port.read(0xfff, bytes, 0, 0x1002));
        unit.answers(Translation.of(RAM + 0x5000, 12, 0xff, 3));
        assertEquals(Response.OK, port.resume());
        assertEquals(9, bytes[0x1001]);
    }

    @Test
    void softwareTerminatesATransferEitherWay() {
        byte[] bytes = {-1, -1};
        assertEquals(Response.STALLED, port.read(0x1000, bytes, 0, 2));
        unit.answers(Translation.RAZ_WI);
        assertEquals(Response.RAZ_WI, port.resume());
        assertArrayEquals(new byte[2], bytes);
        assertEquals(Response.STALLED, port.read(0x1000, bytes, 0, 2));
        unit.answers(Translation.ABORT);
        assertEquals(Response.ABORT, port.resume());
    }

    @Test
    void aPortHasOneTransferAtATime() {
        assertEquals(Response.STALLED, port.write(0x1000, three, 0, 3));
        assertThrows(IllegalStateException.class, () -> port.write(0x2000, three, 0, 3));
        assertEquals(Response.OK, new DmaPort(bus, unit, 7).write(0x2000, three, 0, 3), "another one overtakes");
    }

    @Test
    void aMasterThatWaitsHoldsNoInvalidationUp() throws InterruptedException {
        Response[] response = new Response[1];
        port.waitsWhenStalled(true);
        Thread master = new Thread(() -> response[0] = port.write(0xfff, three, 0, 3));
        master.start();
        while (master.getState() != Thread.State.WAITING) {
            Thread.onSpinWait();
        }
        unit.invalidations.all();
        unit.invalidations.synchronise(new Object());
        unit.answers(Translation.of(RAM + 0x5000, 12, 0xff, 3));
        master.join();
        assertEquals(Response.OK, response[0]);
        assertEquals(2, memory.read8(RAM + 0x5000));
    }

    @Test
    void anInterruptedMasterKeepsItsTransfer() {
        port.waitsWhenStalled(true);
        Thread.currentThread().interrupt();
        assertEquals(Response.STALLED, port.write(0x1000, three, 0, 3));
        assertTrue(Thread.interrupted());
        unit.answers(Translation.ABORT);
        assertEquals(Response.ABORT, port.resume());
        assertFalse(Thread.interrupted());
    }
}
