package org.iommuemu.stress;

import java.util.function.IntToLongFunction;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.openjdk.jcstress.infra.results.III_Result;

/**
 * A page that a driver moves from one frame to the other while a master writes to it. The results are sets of writes, a
 * bit for each: those in the old frame when the driver was told that all is done, those in the old frame in the end, those
 * in the new frame in the end. Whatever the first result is, the second must be the same. Bit 3 is a write by somebody else
 * afterwards, which must be in the new frame.
 */
public abstract class Moved extends Meeting {
    private static final byte[] ONE = {1};

    /** Of the state. */
    protected final int place = Place.of(number);

    private final PhysicalMemory memory;
    private final long entry;
    private final int oldFrame;

    /**
     * A page at its present frame.
     *
     * @param entries by place: the address of what decides, with bit 12, on the frame (a descriptor of the table, or an STE)
     */
    protected Moved(PhysicalMemory memory, IntToLongFunction entries) {
        this.memory = memory;
        entry = entries.applyAsLong(place);
        oldFrame = (int) (memory.read64(entry) >>> 12) & 1;
        memory.write64(frame(0), 0);
        memory.write64(frame(1), 0);
    }

    /** @param moved 0 for the old frame, 1 for the new one */
    protected final long frame(int moved) {
        return Place.frame(place, oldFrame ^ moved);
    }

    /** The driver changes the table or the STE, and has not told the unit yet. */
    protected final void move() {
        memory.write64(entry, memory.read64(entry) ^ Place.PAGE);
    }

    /** A write of the master; the bit in the results is {@code n}. */
    protected final DmaPort.Response write(DmaPort port, int n) {
        return port.write(Place.input(place) + n, ONE, 0, 1);
    }

    /** Fills the port's micro-TLB and the unit's TLB with the old translation. */
    protected final void warm(DmaPort port) {
        port.translate(Place.input(place), true);
    }

    private int written(int moved) {
        long bytes = memory.read64(frame(moved));
        return (int) (bytes & 1 | bytes >>> 7 & 2 | bytes >>> 14 & 4 | bytes >>> 21 & 8);
    }

    /** The driver has been told that all is done. */
    protected final void done(III_Result result) {
        result.r1 = written(0);
    }

    /**
     * All threads are done.
     *
     * @param port one that has cached nothing: nothing old may be left in the unit, either
     */
    protected final void end(III_Result result, DmaPort port) {
        write(port, 3);
        result.r2 = written(0);
        result.r3 = written(1);
    }
}
