package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Latency;

/**
 * When an SMMU does what software asks of it. The architecture promises a finite time only, and drivers wait in polling
 * loops; silicon takes its time, too. Immutable.
 *
 * @param unitThread whether commands are consumed on a thread of the SMMU's own; otherwise on that of software, before its
 *     register write returns
 * @param handshakes how long SMMU_CR0ACK, SMMU_IRQ_CTRLACK, SMMU_GBPA.Update and ENACK of Enhanced Command queues take
 * @param synchronisation how long CMD_SYNC takes at least, counted in reads of the queue's CONS register, or a time. On
 *     software's thread, time passes when software reads that register
 * @param invalidationTimeout how long an endpoint has to complete an ATS invalidation, counted like {@code synchronisation}
 */
public record Timing(boolean unitThread, Latency handshakes, Latency synchronisation, Latency invalidationTimeout) {
    /** All is done when the register write that asks for it returns: nothing depends on chance. */
    public static final Timing IMMEDIATE = new Timing(false, Latency.NONE, Latency.NONE, Latency.NONE);

    /** The same with a thread of the SMMU's own. */
    public Timing onUnitThread() {
        return new Timing(true, handshakes, synchronisation, invalidationTimeout);
    }

    /** The same with handshakes that take a while. */
    public Timing handshakes(Latency latency) {
        return new Timing(unitThread, latency, synchronisation, invalidationTimeout);
    }

    /** The same with CMD_SYNC that takes a while. */
    public Timing synchronisation(Latency latency) {
        return new Timing(unitThread, handshakes, latency, invalidationTimeout);
    }

    /** The same with endpoints that are waited for. */
    public Timing invalidationTimeout(Latency latency) {
        return new Timing(unitThread, handshakes, synchronisation, latency);
    }
}
