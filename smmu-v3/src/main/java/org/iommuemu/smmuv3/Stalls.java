package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;

/**
 * The stall buffer: transactions that faulted and wait for CMD_RESUME, CMD_STALL_TERM or SMMUEN == 0 (IHI 0070, 3.12.2,
 * 4.7.1, 4.7.2 and 7.2.1). A transaction has its place until its master has the answer. While there is no place
 * (SMMU_IDR5.STALL_MAX), one that would stall is held back at the ingress, without an event, and arrives again when its
 * master asks; what does not fault passes.
 *
 * <p>State is guarded by the registers' monitor, which waiting masters are notified on.
 */
final class Stalls {
    /** A token is {@link Translation#STALLED} with the number of the transaction in bits 62:3; 0 has no place. */
    private static final int NUMBER = 3;

    private static final int NO_STAG = -1;
    private static final int STAGS = 1 << 16;

    private enum State {
        /** The Event queue was not writable: no event tells of it yet, and it has no STAG. */
        UNRECORDED,
        /** Software must answer. */
        RECORDED,
        /** Software must answer another one that is like it. */
        SUPPRESSED,
        /** The master has to hear the outcome. */
        ANSWERED
    }

    private static final class Stalled {
        final long number;
        final Transaction arrived;
        State state = State.UNRECORDED;
        int stag = NO_STAG;

        /** Whom software answers in its place, while it is suppressed. */
        Stalled like;

        /** {@link Translation#ABORT} or {@link Translation#RAZ_WI}; {@link Translation#STALLED} to try again. */
        long outcome;

        Stalled(long number, Transaction arrived) {
            this.number = number;
            this.arrived = arrived;
        }

        /** Whether software needs no event of its own to know of the other one (3.12.2.1). */
        boolean isLike(Stalled other) {
            return (arrived.address() ^ other.arrived.address()) >>> 12 == 0
                    && arrived.streamId() == other.arrived.streamId()
                    && arrived.substreamId() == other.arrived.substreamId()
                    && arrived.access() == other.arrived.access();
        }

        long token() {
            return Translation.STALLED | number << NUMBER;
        }
    }

    private final String unit;
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final EventQueue events;
    private final MisuseListener misuse;
    private Translator procedure;

    /** By number, in the order of arrival. */
    private final Map<Long, Stalled> buffer = new LinkedHashMap<>();

    /** What software has not answered yet; with early retry, its transaction may be gone. */
    private final Map<Integer, Stalled> byStag = new TreeMap<>();

    private long arrivals;
    private int lastStag = NO_STAG;

    /** The transaction that the unit itself tries again at the moment. */
    private Stalled retrying;

    Stalls(String unit, SmmuFeatures features, RegisterFile registers, EventQueue events, MisuseListener misuse) {
        this.unit = unit;
        this.features = features;
        this.registers = registers;
        this.events = events;
        this.misuse = misuse;
        registers.onWrite(Registers.EVENTQ_CONS, (before, after) -> record());
        registers.onWrite(Registers.GERRORN, (before, after) -> record());
        registers.onWrite(Registers.CR0, (before, after) -> {
            if (Registers.SMMUEN.isSet(before) && !Registers.SMMUEN.isSet(after)) {
                terminateAll();
            }
            record();
        });
    }

    /** @param translates transactions as though they had just arrived */
    void connect(Translator translates) {
        procedure = translates;
    }

    /**
     * A transaction faults where its configuration says to stall.
     *
     * @param arrived as its master issued it
     * @param event of its fault
     * @return what its master gets
     */
    long stall(Transaction arrived, Event event) {
        synchronized (registers) {
            if (retrying != null) {
                if (retrying.state == State.UNRECORDED) {
                    record(retrying, event);
                }
                return retrying.token();
            }
            if (events.isSilent() || !Registers.SMMUEN.isSet(registers.get(Registers.CR0))) {
                return Translation.ABORT; // Nothing speculative stalls (3.14), nor anything after SMMUEN was cleared.
            }
            if (buffer.size() >= features.stallMax()) {
                return Translation.STALLED;
            }
            Stalled stalled = new Stalled(++arrivals, arrived);
            stalled.like = recordedLike(stalled);
            buffer.put(stalled.number, stalled);
            if (stalled.like == null) {
                record(stalled, event);
            } else {
                stalled.state = State.SUPPRESSED;
            }
            return stalled.token();
        }
    }

    /** A transaction that software has been told of and that this one needs no other event beside; null if none. */
    private Stalled recordedLike(Stalled stalled) {
        if (features.chooses(SmmuOption.SUPPRESSES_DUPLICATE_STALLS)) {
            for (Stalled other : buffer.values()) {
                if (other.state == State.RECORDED && stalled.isLike(other)) {
                    return other;
                }
            }
        }
        return null;
    }

    private void record(Stalled stalled, Event event) {
        int stag = lastStag + 1 & STAGS - 1;
        while (byStag.containsKey(stag)) { // Never full: STALL_MAX is smaller than the number of STAGs.
            stag = stag + 1 & STAGS - 1;
        }
        if (byStag.size() < features.stallMax() && events.recordStall(event.stalled(stag))) {
            lastStag = stag;
            stalled.stag = stag;
            stalled.state = State.RECORDED;
            byStag.put(stag, stalled);
        }
    }

    /** The Event queue may be writable now: transactions without an event are tried again (7.2.1). */
    private void record() {
        if (retrying != null) {
            return;
        }
        for (Stalled stalled : List.copyOf(buffer.values())) {
            if (!events.isWritable()) {
                return;
            }
            if (stalled.state == State.UNRECORDED) {
                long translation = retry(stalled);
                if (!Translation.isStalled(translation)) {
                    answer(stalled, Translation.translated(translation) ? Translation.STALLED : translation);
                }
            }
        }
    }

    private long retry(Stalled stalled) {
        retrying = stalled;
        try {
            Transaction arrived = stalled.arrived;
            return procedure.translate(arrived.streamId(), arrived.substreamId(), arrived.address(), arrived.access());
        } finally {
            retrying = null;
        }
    }

    /** A translation that leaves no event and does not stall, for what software or hardware only expects (3.14). */
    void speculate(int streamId, int substreamId, long address, int access) {
        events.silently(() -> procedure.translate(streamId, substreamId, address, access));
    }

    // The master

    /** See {@link Translator#resume}. */
    long resume(long token, int streamId, int substreamId, long address, int access) {
        synchronized (registers) {
            Stalled stalled = buffer.get(number(token));
            if (stalled != null && stalled.state != State.ANSWERED) {
                return features.chooses(SmmuOption.EARLY_RETRY) ? retryEarly(stalled) : token;
            }
            if (stalled != null) {
                leave(stalled);
                if (stalled.outcome != Translation.STALLED) {
                    return stalled.outcome;
                }
            }
        }
        return procedure.translate(streamId, substreamId, address, access);
    }

    /** Whatever comes of it, no other event tells of it; its STAG stays taken until software answers (3.12.2.2). */
    private long retryEarly(Stalled stalled) {
        long[] translation = new long[1];
        events.silently(() -> translation[0] = retry(stalled));
        if (!Translation.isStalled(translation[0])) {
            leave(stalled);
        }
        return translation[0];
    }

    /** See {@link Translator#awaitResumption}. */
    void await(long token) throws InterruptedException {
        synchronized (registers) {
            Stalled stalled = buffer.get(number(token));
            if (number(token) == 0 || stalled != null && stalled.state != State.ANSWERED) {
                registers.wait(features.chooses(SmmuOption.EARLY_RETRY) ? 1 : 100);
            }
        }
    }

    private static long number(long token) {
        return (token & Long.MAX_VALUE) >>> NUMBER;
    }

    private void leave(Stalled stalled) {
        buffer.remove(stalled.number);
        registers.notifyAll(); // There is a place again.
    }

    // Software

    /** CMD_RESUME: no effect unless StreamID and STAG are those of one transaction (4.7.1). */
    void resume(int streamId, int stag, boolean retries, boolean aborts) {
        Stalled stalled = byStag.get(stag);
        if (stalled == null || stalled.arrived.streamId() != streamId) {
            misuse.misuse(
                    unit,
                    "CMD_RESUME: StreamID 0x%x has no stalled transaction of STAG 0x%x".formatted(streamId, stag));
            return;
        }
        boolean abort = aborts || features.has(SmmuFeature.TERM_MODEL);
        answer(stalled, retries ? Translation.STALLED : abort ? Translation.ABORT : Translation.RAZ_WI);
    }

    /** CMD_STALL_TERM: all of a stream abort, also what was to be tried again (4.7.2, 3.12.2.2). */
    void terminate(int streamId) {
        for (Stalled stalled : all()) {
            if (stalled.arrived.streamId() == streamId) {
                answer(stalled, Translation.ABORT);
            }
        }
    }

    /** SMMUEN was cleared (6.3.9.6). */
    private void terminateAll() {
        for (Stalled stalled : all()) {
            answer(stalled, Translation.ABORT);
        }
    }

    private List<Stalled> all() {
        List<Stalled> all = new ArrayList<>(buffer.values());
        all.addAll(byStag.values());
        return all;
    }

    private void answer(Stalled stalled, long outcome) {
        byStag.remove(stalled.stag, stalled);
        stalled.stag = NO_STAG;
        stalled.state = State.ANSWERED;
        stalled.outcome = outcome;
        for (Stalled other : buffer.values()) {
            if (other.state == State.SUPPRESSED && other.like == stalled) {
                other.state = State.ANSWERED;
                other.outcome = Translation.STALLED;
            }
        }
        registers.notifyAll();
    }
}
