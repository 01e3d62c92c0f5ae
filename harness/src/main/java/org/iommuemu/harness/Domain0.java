package org.iommuemu.harness;

import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.ReservedRegion;

/**
 * The hardware domain with its memory.
 *
 * @param window guest-physical address of a page for the masters' DMA
 */
record Domain0(Domain domain, long window) {
    private static final String SUBSYSTEM = "boot";
    private static final int PAGE = 4096;

    /** Makes it, with all RAM that is left. */
    static Domain0 make(Board board, Iommus iommus, boolean shared, Log log) {
        Domain domain = iommus.createDomain(0);
        giveRam(domain, board, shared, log);
        keepReserved(domain, iommus, log);
        return new Domain0(domain, openWindow(domain, board));
    }

    private static void giveRam(Domain domain0, Board board, boolean shared, Log log) {
        long limit = 1L << domain0.ioP2m().ipaBits();
        long mapped = 0;
        for (AddressRange range : board.plan().domain0()) {
            long size = Math.min(range.size(), limit - range.base());
            if (size < range.size()) {
                log.warning(
                        SUBSYSTEM,
                        "RAM beyond 0x%x is not for domain 0: guest-physical addresses have %d bits"
                                .formatted(limit, domain0.ioP2m().ipaBits()));
            }
            if (size > 0) {
                domain0.mapRam(range.base(), range.base(), size);
                mapped += size;
            }
        }
        log.info(
                SUBSYSTEM,
                "d0: %d MiB, P2M of %d bits at 0x%x, %s"
                        .formatted(
                                mapped >> 20,
                                domain0.ioP2m().ipaBits(),
                                domain0.ioP2m().root(),
                                shared ? "shared with the IOMMUs" : "copied for the IOMMUs"));
    }

    /** What devices use before their drivers run must not fault when they are assigned: it is mapped one to one. */
    private static void keepReserved(Domain domain0, Iommus iommus, Log log) {
        for (ReservedRegion region : iommus.reservedMemory()) {
            if (!region.direct()) {
                continue;
            }
            long base = region.range().base() & -PAGE;
            long size = (region.range().end() + PAGE - 1 & -PAGE) - base;
            try {
                domain0.mapRam(base, base, size);
                log.info(
                        SUBSYSTEM,
                        "d0: 0x%x to 0x%x is reserved for %s"
                                .formatted(
                                        base, base + size - 1, region.device().path()));
            } catch (MappingException e) {
                log.warning(
                        SUBSYSTEM,
                        "%s: what is reserved for it: %s"
                                .formatted(region.device().path(), e.getMessage()));
            }
        }
    }

    /**
     * Maps a page near the end of the guest-physical space to RAM elsewhere, so that DMA which arrives was translated: the
     * rest of domain 0 is mapped one to one.
     */
    private static long openWindow(Domain domain, Board board) {
        long physical = board.plan().domain0().get(0).base();
        long window = (1L << domain.ioP2m().ipaBits()) - PAGE;
        while (window >= 0 && domain.resolve(window) != -1) {
            window -= 1 << 30;
        }
        if (window < 0) {
            return physical; // RAM everywhere.
        }
        domain.mapRam(window, physical, PAGE);
        return window;
    }
}
