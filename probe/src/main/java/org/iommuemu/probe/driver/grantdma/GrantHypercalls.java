package org.iommuemu.probe.driver.grantdma;

import java.util.List;
import org.iommuemu.probe.iommu.Domain;

/**
 * What a domain asks its hypervisor for: the one way to the other side that is no access to the bus, as the instruction
 * {@code hvc} is none either (Xen public/grant_table.h, GNTTABOP_setup_table).
 */
public interface GrantHypercalls {
    /**
     * Makes the caller's grant table, of version 1 entries, at least so many frames large. What was granted stays.
     *
     * @param frames of 4 KiB
     * @return where the frames are; fewer if there is no RAM or the table must not be that large
     */
    List<Long> setupTable(Domain caller, int frames);

    /** The caller is gone: nobody may access what it granted. */
    void dropTable(Domain caller);
}
