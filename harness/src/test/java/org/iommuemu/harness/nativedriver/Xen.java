package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.devicetree.DeviceTreeNode;

/**
 * Xen 4.17's own drivers, compiled unmodified: what the profile {@code xen} makes in native. Functions that the tests name are
 * Xen's.
 */
final class Xen {
    private static final Path MADE = Path.of("..", "native", "target", "xen");

    /** The host decides which unit is probed next. */
    static final Path LIBRARY = MADE.resolve("xen.so");

    /** Xen's own iommu_setup decides. */
    static final Path SETUP = MADE.resolve("xen_setup.so");

    private Xen() {}

    /** Skips a test, and says why, where the libraries were not made. */
    static void need() throws IOException {
        Path skipped = MADE.resolve("skipped");
        String why = Files.exists(skipped) ? Files.readString(skipped).strip() : "build with -Pxen";
        assumeTrue(Files.exists(LIBRARY), "Xen's own drivers were not made: " + why);
    }

    static Rig rig(Kind kind) throws IOException {
        return rig(kind, Via.fastest());
    }

    static Rig rig(Kind kind, Via via) throws IOException {
        return Rig.of(kind, (platform, ram) -> NativeDrivers.load(platform, ram, LIBRARY, via, NativeDriver.TIMEOUT));
    }

    /** With this much RAM for the hypervisor. */
    static Rig rig(Kind kind, long heapBytes) throws IOException {
        return Rig.of(
                kind,
                heapBytes,
                (platform, ram) -> NativeDrivers.load(platform, ram, LIBRARY, Via.fastest(), NativeDriver.TIMEOUT));
    }

    static DeviceTreeNode node(Rig rig, String path) {
        return rig.board.tree().node(path).orElseThrow();
    }

    /** The root of the board with IPMMUs. */
    static DeviceTreeNode root(Rig rig) {
        return node(rig, "/soc/iommu@e67b0000");
    }

    /** Bus address of a unit's registers. */
    static long base(DeviceTreeNode unit) {
        return unit.reg().get(0).base();
    }
}
