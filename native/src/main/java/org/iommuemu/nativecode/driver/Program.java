package org.iommuemu.nativecode.driver;

import java.time.Duration;
import org.iommuemu.probe.iommu.Platform;

/** A program that has connected to {@link DriverServer}: a driver in its own process, or one that only uses the host. */
public final class Program implements AutoCloseable {
    private final ProgramCalls calls;

    Program(ProgramCalls calls) {
        this.calls = calls;
    }

    ProgramCalls calls() {
        return calls;
    }

    /** Whether it has a driver's operations. */
    public boolean isDriver() {
        return calls.isDriver();
    }

    /** Its process. */
    public long pid() {
        return calls.pid();
    }

    /**
     * Attaches it as a driver.
     *
     * @param timeout for each operation; zero to wait for ever, as for a driver under a debugger
     * @throws NativeDriverException if it does not work with this emulator; it has been told so
     */
    public NativeDriver attach(Platform platform, SharedRam ram, Duration timeout) {
        calls.accept();
        NativeDriver driver = new NativeDriver(platform, ram, calls, timeout);
        calls.welcome(driver.host(), driver.image(), ram);
        driver.open();
        return driver;
    }

    /**
     * Serves a program that is no driver, until it leaves.
     *
     * @throws NativeDriverException if it does not work with this emulator; it has been told so
     */
    public void serve(Platform platform, SharedRam ram) {
        calls.accept();
        platform.log().info("serve", "process %d has the board".formatted(pid()));
        DriverHost host = new DriverHost(platform, calls.name(), null);
        host.onThread(Thread.currentThread());
        calls.welcome(host, new BoardImage(platform.tree(), ram.banks()), ram);
        calls.serve();
        host.close();
        calls.end();
        platform.log().info("serve", "process %d has left".formatted(pid()));
    }

    /** Closes its connection, and ends its process if that is the emulator's. */
    @Override
    public void close() {
        calls.close();
    }
}
