package org.iommuemu.harness.grant;

import java.util.Optional;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.PhysicalMemory;

/**
 * The backend of a device with grant-DMA: a program in another domain, which accesses the DMA addresses that the device's
 * driver gave it. It is the master here, as behind any other IOMMU: what it may not do is a value and a report.
 */
public final class Backend {
    private static final long IS_GRANT = 1L << 63;
    private static final int PAGE_SHIFT = 12;
    private static final int PAGE = 1 << PAGE_SHIFT;

    /** Hears of faults. */
    @FunctionalInterface
    public interface Reports {
        /**
         * An access that was refused.
         *
         * @param backend the domain that asked
         * @param address the DMA address
         * @param details for the log
         */
        void report(GrantFault fault, int backend, long address, String details);
    }

    private final Bus bus;
    private final GrantTables tables;
    private final int frontend;
    private final int domain;
    private final Reports reports;

    /**
     * A backend.
     *
     * @param frontend the domain of the device
     * @param domain the domain that the backend runs in
     */
    public Backend(Bus bus, GrantTables tables, int frontend, int domain, Reports reports) {
        this.bus = bus;
        this.tables = tables;
        this.frontend = frontend;
        this.domain = domain;
        this.reports = reports;
    }

    /** Reads; ends at the first page that it may not. */
    public DmaPort.Response read(long address, byte[] target, int offset, int length) {
        return transfer(false, address, target, offset, length);
    }

    /** Writes; ends at the first page that it may not. */
    public DmaPort.Response write(long address, byte[] source, int offset, int length) {
        return transfer(true, address, source, offset, length);
    }

    private DmaPort.Response transfer(boolean write, long address, byte[] bytes, int offset, int length) {
        for (int done = 0, part; done < length; done += part) {
            long at = address + done;
            part = Math.min(length - done, PAGE - (int) (at & PAGE - 1));
            if (!pin(at, write)) {
                return DmaPort.Response.ABORT;
            }
            try {
                long page = tables.machine(frontend, reference(at));
                if (page == -1) {
                    report(GrantFault.BAD_FRAME, at);
                    return DmaPort.Response.ABORT;
                }
                long machine = page | at & PAGE - 1;
                if (machine >>> PhysicalMemory.ADDRESS_BITS != 0
                        || !(write
                                ? bus.dmaWrite(machine, bytes, offset + done, part)
                                : bus.dmaRead(machine, bytes, offset + done, part))) {
                    return DmaPort.Response.BUS_ERROR;
                }
            } finally {
                tables.unpin(frontend, reference(at), write);
            }
        }
        return DmaPort.Response.OK;
    }

    /** Pages that the backend keeps using: their entries cannot be revoked before it gives them back. */
    public final class Held implements AutoCloseable {
        private final long address;
        private final boolean write;
        private int pages;

        private Held(long address, boolean write) {
            this.address = address;
            this.write = write;
        }

        @Override
        public void close() {
            while (pages > 0) {
                pages--;
                tables.unpin(frontend, reference(address) + pages, write);
            }
        }
    }

    /**
     * Begins to use a buffer and does not end it, as a backend does that keeps it mapped.
     *
     * @return empty if it may not
     */
    public Optional<Held> hold(long address, int length, boolean write) {
        Held held = new Held(address, write);
        int count = (int) ((address & PAGE - 1) + length + PAGE - 1 >>> PAGE_SHIFT);
        for (; held.pages < count; held.pages++) {
            if (!pin(address + (long) held.pages * PAGE, write)) {
                held.close();
                return Optional.empty();
            }
        }
        return Optional.of(held);
    }

    private boolean pin(long address, boolean write) {
        GrantFault fault = (address & IS_GRANT) == 0
                ? GrantFault.NOT_A_GRANT
                : tables.pin(frontend, reference(address), domain, write);
        if (fault != null) {
            report(fault, address);
        }
        return fault == null;
    }

    private void report(GrantFault fault, long address) {
        long entry = (address & IS_GRANT) == 0 ? 0 : tables.entry(frontend, reference(address));
        reports.report(
                fault,
                domain,
                address,
                "d%d's grant %d: %s, flags 0x%x, for d%d, frame 0x%x"
                        .formatted(
                                frontend,
                                reference(address),
                                fault.status(),
                                entry & 0xffff,
                                entry >>> 16 & 0xffff,
                                entry >>> 32));
    }

    private static long reference(long address) {
        return (address & ~IS_GRANT) >>> PAGE_SHIFT;
    }
}
