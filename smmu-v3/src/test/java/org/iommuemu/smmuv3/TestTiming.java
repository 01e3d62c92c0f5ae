package org.iommuemu.smmuv3;

import java.util.concurrent.atomic.AtomicLong;
import org.iommuemu.mmio.Latency;

/** Kinds of hardware that all behave the same to software that waits where it has to. */
enum TestTiming {
    /** All is done when the write that asks for it returns. */
    AT_ONCE,
    /** Handshakes and CMD_SYNC are done after some reads. */
    LATE,
    /** Commands are consumed on the SMMU's own thread. */
    UNIT_THREAD,
    /** The same, and all takes a time. */
    UNIT_THREAD_LATE;

    /** What tests run on that do not go through all kinds: system property {@code iommuemu.timing}. */
    static TestTiming chosen() {
        return valueOf(System.getProperty("iommuemu.timing", "AT_ONCE"));
    }

    Timing timing() {
        AtomicLong clock = new AtomicLong();
        return switch (this) {
            case AT_ONCE -> Timing.IMMEDIATE;
            case LATE -> Timing.IMMEDIATE.handshakes(Latency.reads(3)).synchronisation(Latency.reads(2));
            case UNIT_THREAD -> Timing.IMMEDIATE.onUnitThread();
            // A clock that goes on when somebody looks at it: nothing depends on how fast the host is.
            case UNIT_THREAD_LATE ->
                Timing.IMMEDIATE
                        .onUnitThread()
                        .handshakes(Latency.nanoseconds(5, clock::incrementAndGet))
                        .synchronisation(Latency.nanoseconds(7, clock::incrementAndGet));
        };
    }
}
