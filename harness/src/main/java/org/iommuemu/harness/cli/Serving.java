package org.iommuemu.harness.cli;

import org.iommuemu.harness.qtest.Launch;
import org.iommuemu.harness.qtest.QtestServer;

/** A server until it is over, or until a signal ends the process. */
final class Serving {
    private Serving() {}

    static void serve(Launch launch) throws InterruptedException {
        QtestServer server = new QtestServer(launch, System.err);
        // qtest programs end QEMU with SIGTERM and take any status but 0 for a crash.
        Thread atSignal = new Thread(() -> {
            server.close();
            Runtime.getRuntime().halt(0);
        });
        Runtime.getRuntime().addShutdownHook(atSignal);
        server.await();
        try {
            Runtime.getRuntime().removeShutdownHook(atSignal);
            server.close();
        } catch (IllegalStateException e) {
            Thread.currentThread().join(); // A signal came at the same time: the hook ends the process.
        }
    }
}
