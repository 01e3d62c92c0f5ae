package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;

/** Lets masters do DMA and looks at what came of it: in RAM, and at the faults that drivers report. */
final class DmaTrial {
    /** What a transfer came to if all is well. */
    static final String OK = "ok";

    private static final String SUBSYSTEM = "boot";

    private final Board board;
    private final Log log;
    private final List<FaultReport> faults = new ArrayList<>();

    DmaTrial(Board board, Log log) {
        this.board = board;
        this.log = log;
    }

    /** Passes everything on, and keeps the faults for whoever provoked them. */
    Log collector() {
        return new Log() {
            @Override
            public void say(Level level, String subsystem, String text) {
                log.say(level, subsystem, text);
            }

            @Override
            public void fault(FaultReport fault) {
                faults.add(fault);
                log.fault(fault);
            }
        };
    }

    /**
     * Writes and reads a line of RAM as the master does, and looks at it where it should be.
     *
     * @param page that the master uses
     * @param physical where that page is
     * @param id makes the line another than those of other masters
     */
    String transfer(DmaPath path, long page, long physical, int id) {
        long offset = (id & 0xfL) * 64;
        byte[] line = new byte[64];
        for (int i = 0; i < line.length; i++) {
            line[i] = (byte) (id * 31 + i);
        }
        PhysicalMemory memory = board.memory();
        faults.clear();
        DmaPort.Response response = path.transfer(true, page + offset, line);
        byte[] seen = new byte[line.length];
        if (response == DmaPort.Response.OK) {
            memory.read(physical + offset, seen, 0, seen.length);
            if (!Arrays.equals(line, seen)) {
                return "the write did not arrive";
            }
            memory.write64(physical + offset, ~id);
            response = path.transfer(false, page + offset, seen);
            if (response == DmaPort.Response.OK) {
                return seen[0] == (byte) ~id && seen[8] == line[8] ? OK : "the read gave something else";
            }
        }
        return takeFault(response.name());
    }

    /**
     * Reads where the master may not.
     *
     * @param who for the log
     * @return the fault that was reported; null if it was not refused, or another address is reported
     */
    String provoke(DmaPath path, String who, long address) {
        String fault = read(path, address);
        if (fault == null) {
            log.error(SUBSYSTEM, "%s reached 0x%x".formatted(who, address));
        } else if (!faults.isEmpty() && faults.get(faults.size() - 1).address() != path.inputAddress()) {
            log.error(SUBSYSTEM, "%s: another address than 0x%x is reported".formatted(who, path.inputAddress()));
            return null;
        }
        return fault;
    }

    /** Reads a line; the answer is the fault that was reported, null if there was something to read. */
    String read(DmaPath path, long address) {
        byte[] line = new byte[64];
        faults.clear();
        DmaPort.Response response = path.transfer(false, address, line);
        return response == DmaPort.Response.OK ? null : takeFault(response + ", not reported");
    }

    /** The fault that is reported of an access; null if it is let through. */
    String refusal(BooleanSupplier access) {
        faults.clear();
        return access.getAsBoolean() ? null : takeFault("refused, not reported");
    }

    /** The fault that a driver reports once its interrupt is let in. */
    private String takeFault(String otherwise) {
        board.interrupts().dispatch();
        return faults.isEmpty() ? otherwise : faults.get(faults.size() - 1).fault();
    }
}
