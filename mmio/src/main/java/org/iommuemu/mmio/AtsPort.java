package org.iommuemu.mmio;

import java.util.HashSet;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * The port of a DMA master with ATS: it asks for translations, keeps them in an address translation cache of its own, and
 * accesses memory with translated addresses. With PRI it asks for pages that are not there. One thread at a time, but for
 * invalidations and responses, which come on any.
 *
 * <p>Off after reset, as in a function's configuration space; then its accesses are as those of a {@link DmaPort}.
 */
public final class AtsPort implements TranslationService.Endpoint {
    /** How a transfer ended. */
    public enum Outcome {
        /** All bytes moved. */
        OK,
        /** The unit does not permit it, and no page is asked for. */
        DENIED,
        /** A page is asked for: to be tried again when {@link #isWaiting} says no. */
        PAGE_REQUESTED,
        /** The unit terminated an access. */
        ABORT,
        /** Nothing answers at the physical address. */
        BUS_ERROR
    }

    private static final int ENTRIES = 256;
    private static final int PAGE = 4096;
    private static final int GROUPS = 512;

    private final DmaPort port;
    private final TranslationService service;
    private final int streamId;
    private final int substreamId;
    private final int attributes;

    private boolean enabled;
    private boolean pageRequests;
    private int nextGroup;
    private Latency invalidationLatency = Latency.NONE;

    // The cache: a page of 4 KiB an entry. Guarded by this.
    private final long[] pages = new long[ENTRIES];
    private final TranslationService.Completion[] completions = new TranslationService.Completion[ENTRIES];

    /** Invalidations so far: what was asked for before one must not be cached after it. Guarded by this. */
    private long invalidations;

    /** Groups without a response. Guarded by this. */
    private final Set<Integer> waiting = new HashSet<>();

    /** The last response, until the next transfer has heard of it. Guarded by this. */
    private TranslationService.Response response = TranslationService.Response.SUCCESS;

    /**
     * A port, connected to the service.
     *
     * @param translator the unit, for accesses while ATS is off
     * @param service the same unit's ATS
     * @param substreamId its PASID, or {@link Translator#NO_SUBSTREAM}
     * @param attributes bits of {@link Access} of all accesses: privileged, instruction; they need a PASID
     */
    public AtsPort(
            Bus bus, Translator translator, TranslationService service, int streamId, int substreamId, int attributes) {
        port = new DmaPort(bus, translator, streamId, substreamId, attributes);
        this.service = service;
        this.streamId = streamId;
        this.substreamId = substreamId;
        this.attributes = attributes & ~Access.WRITE;
        service.connect(streamId, this);
    }

    /**
     * Turns ATS on or off, and PRI. Turning it off forgets all translations.
     *
     * @param pri whether to ask for pages; needs ATS
     */
    public void enable(boolean ats, boolean pri) {
        enabled = ats;
        pageRequests = ats && pri;
        if (!ats) {
            synchronized (this) {
                forget(0, 64);
            }
        }
    }

    /**
     * How long invalidations take to be completed: a time, or how often the unit asks; {@link Latency#NEVER} for an endpoint
     * that does not answer.
     */
    public void invalidationLatency(Latency latency) {
        invalidationLatency = latency;
    }

    /** Whether page requests have not been answered yet. */
    public synchronized boolean isWaiting() {
        return !waiting.isEmpty();
    }

    /** Reads; ends at the first page that does not answer. */
    public Outcome read(long address, byte[] target, int offset, int length) {
        return transfer(false, address, target, offset, length);
    }

    /** Writes; ends at the first page that does not answer. */
    public Outcome write(long address, byte[] source, int offset, int length) {
        return transfer(true, address, source, offset, length);
    }

    private Outcome transfer(boolean write, long address, byte[] bytes, int offset, int length) {
        if (!enabled) {
            DmaPort.Response untranslated =
                    write ? port.write(address, bytes, offset, length) : port.read(address, bytes, offset, length);
            return switch (untranslated) {
                case OK, RAZ_WI -> Outcome.OK;
                case BUS_ERROR -> Outcome.BUS_ERROR;
                default -> Outcome.ABORT;
            };
        }
        // A translation that was looked up in a burst is not used after it, and the unit waits for bursts before it
        // tells software that an invalidation is complete.
        port.beginBurst();
        try {
            for (int done = 0, part; done < length; done += part) {
                long at = address + done;
                part = Math.min(length - done, PAGE - (int) (at & PAGE - 1));
                Outcome outcome = access(write, at, bytes, offset + done, part);
                if (outcome != Outcome.OK) {
                    return outcome;
                }
            }
            return Outcome.OK;
        } finally {
            port.endBurst();
        }
    }

    private Outcome access(boolean write, long address, byte[] bytes, int offset, int length) {
        TranslationService.Completion completion = completion(write, address);
        if (!completion.permits(write, (attributes & Access.INSTRUCTION) != 0)) {
            return completion.status() == TranslationService.Status.SUCCESS ? missing(write, address) : Outcome.ABORT;
        }
        long mask = -1L << completion.log2Size();
        long translated = completion.address() & mask | address & ~mask;
        long physical = service.translated(streamId, substreamId, translated, attributes | (write ? Access.WRITE : 0));
        if (physical == Translation.RAZ_WI || !Translation.translated(physical)) {
            return Outcome.ABORT;
        }
        return port.access(write, Translation.address(physical, translated), bytes, offset, length)
                ? Outcome.OK
                : Outcome.BUS_ERROR;
    }

    private TranslationService.Completion completion(boolean write, long address) {
        int entry = (int) (address >>> 12) & ENTRIES - 1;
        long before;
        synchronized (this) {
            TranslationService.Completion cached = completions[entry];
            if (cached != null
                    && pages[entry] == (address & -PAGE)
                    && cached.permits(write, (attributes & Access.INSTRUCTION) != 0)) {
                return cached;
            }
            before = invalidations;
        }
        TranslationService.Completion completion =
                service.request(streamId, substreamId, address, attributes | (write ? Access.WRITE : 0));
        synchronized (this) {
            if (before == invalidations && (completion.read() || completion.write())) {
                pages[entry] = address & -PAGE;
                completions[entry] = completion;
            }
        }
        return completion;
    }

    /** The page is not there, or not for this. */
    private Outcome missing(boolean write, long address) {
        int group;
        synchronized (this) {
            boolean refused = response != TranslationService.Response.SUCCESS;
            pageRequests &= response != TranslationService.Response.RESPONSE_FAILURE;
            response = TranslationService.Response.SUCCESS;
            if (!pageRequests || refused || waiting.size() == GROUPS) {
                return Outcome.DENIED;
            }
            do {
                group = nextGroup;
                nextGroup = nextGroup + 1 & GROUPS - 1;
            } while (!waiting.add(group));
        }
        boolean execute = (attributes & Access.INSTRUCTION) != 0;
        boolean privileged = (attributes & Access.PRIVILEGED) != 0;
        service.request(
                streamId,
                new TranslationService.PageRequest(
                        substreamId, address & -PAGE, group, !write, write, execute, privileged, true));
        return Outcome.PAGE_REQUESTED;
    }

    @Override
    public BooleanSupplier invalidate(int ofSubstream, boolean global, long address, int log2Size) {
        synchronized (this) {
            if (global || ofSubstream == substreamId) {
                forget(address, log2Size);
            }
        }
        Latency.Wait wait = invalidationLatency.start();
        return () -> {
            wait.looked();
            return wait.isOver();
        };
    }

    private void forget(long address, int log2Size) {
        invalidations++;
        for (int entry = 0; entry < ENTRIES; entry++) {
            TranslationService.Completion cached = completions[entry];
            // Whatever overlaps is invalid as a whole, also the pages of a block of which a part is meant.
            if (cached != null && isSame(pages[entry], address, Math.max(log2Size, cached.log2Size()))) {
                completions[entry] = null;
            }
        }
    }

    private static boolean isSame(long address, long other, int log2Size) {
        return log2Size >= 64 || (address ^ other) >>> log2Size == 0;
    }

    @Override
    public synchronized void respond(int ofSubstream, int group, TranslationService.Response answer) {
        if (waiting.remove(group)) {
            response = answer;
        }
    }
}
