package org.iommuemu.harness;

import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.SharedRam;
import org.iommuemu.probe.iommu.Platform;

/**
 * A driver in C for a board that is still to be built.
 *
 * @param replaces the name of the driver in Java that it stands for, "smmuv3" for instance; null if it only comes before
 *     those
 * @param opener attaches it
 */
public record DriverInC(String replaces, Opener opener) {
    /** Attaches a driver. */
    public interface Opener {
        /**
         * Attaches it to a board.
         *
         * @throws org.iommuemu.nativecode.driver.NativeDriverException if that is not possible
         */
        NativeDriver open(Platform platform, SharedRam ram);
    }
}
