package org.iommuemu.nativecode.driver;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import org.iommuemu.probe.iommu.Platform;

/**
 * A driver without {@link NativeDriver}'s thread and time-outs, called on the caller's thread: what a way in costs by itself.
 * For benchmarks.
 */
public final class BareDriver implements AutoCloseable {
    private final DriverCalls calls;

    /** What C has pointers to. */
    private final DriverHost host;

    private BareDriver(DriverCalls calls, DriverHost host) {
        this.calls = calls;
        this.host = host;
    }

    /**
     * Opens a driver library.
     *
     * @throws NativeDriverException if that is not possible
     */
    public static BareDriver open(Platform platform, SharedRam ram, Path library, Via via) {
        NativeDrivers.check(library, via);
        BoardImage image = new BoardImage(platform.tree(), ram.banks());
        DriverHost host = new DriverHost(platform, "bench", null);
        DriverCalls calls;
        if (via == Via.PROCESS) {
            Program program = NativeDrivers.start(NativeDrivers.inProcessOfItsOwn(library), platform.log());
            program.calls().welcome(host, image, ram);
            calls = program.calls();
        } else {
            InProcessDriver loaded = new InProcessDriver(library, via.binding());
            loaded.connect(host, image, ram);
            calls = loaded;
        }
        BareDriver driver = new BareDriver(calls, host);
        if (driver.call(Operation.OPEN) != 0) {
            driver.close();
            throw new NativeDriverException(library + ": open fails");
        }
        return driver;
    }

    /** Calls {@code probe}. */
    public int probe(int unit) {
        return call(Operation.PROBE, unit);
    }

    /** Calls {@code irq}. */
    public int irq(int number) {
        return call(Operation.IRQ, number);
    }

    /** Calls {@code remove}. */
    public int remove(int unit) {
        return call(Operation.REMOVE, unit);
    }

    private int call(Operation operation, long... arguments) {
        try {
            return calls.call(operation, arguments);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public void close() {
        call(Operation.CLOSE);
        calls.end();
        host.close();
    }
}
