package org.iommuemu.mmio;

import java.util.Arrays;

/**
 * The port that a DMA master sees: what it reads and writes goes through the unit in front of it, as its stream. One
 * thread at a time.
 *
 * <p>It has a micro-TLB of its own, where the unit tells what it invalidates ({@link Translator#invalidations}): a hit
 * takes no lock, allocates nothing and writes nothing that others read. A transfer is a burst, which a unit that
 * completes an invalidation waits for; a master that makes many accesses can open a longer one ({@link #beginBurst}).
 */
public final class DmaPort {
    /** How a transfer ended for the master. */
    public enum Response {
        /** All bytes moved. */
        OK,
        /** The unit in front of the bus terminated an access with an error (slave error). */
        ABORT,
        /** The unit terminated an access without telling: reads gave zeros, writes were dropped. */
        RAZ_WI,
        /** The access was translated, but nothing answers at its physical address (decode error). */
        BUS_ERROR,
        /** The unit keeps an access until software answers: the transfer goes on with {@link DmaPort#resume}. */
        STALLED
    }

    /** A transfer that waits in the unit at its byte {@code done}. */
    private record Stall(
            boolean write, long address, byte[] bytes, int offset, int length, int done, Response soFar, long token) {}

    /** The micro-TLB, where nothing else is asked for: direct-mapped. */
    public static final TlbGeometry MICRO_TLB = TlbGeometry.of(256, 1);

    private static final int PAGE = 4096;
    private static final long PAGE_ADDRESS = -PAGE;

    /** A unit may ignore the top byte of an input address, and then names the address without it. */
    private static final long PAGE_BELOW_TAG = PAGE_ADDRESS & -1L >>> 8;

    // A micro-TLB entry is two longs, in a set that the page number chooses: translation, and before it a tag of page
    // address, bit 0 if reads went through it and bit 1 if writes did. Only the owner of the port touches them.
    private static final long READ = 1;
    private static final long WRITE = 2;
    /** From {@link Translator.Stream#lookUp}. */
    private static final long NONE = 0;

    private static final long[] NOTHING = new long[2 * 64];

    private final Bus bus;
    /** Null for a master that is wired straight to the bus. */
    private final Translator translator;

    private final int streamId;
    private final int substreamId;
    private final int attributes;
    private final Invalidations invalidations;
    private final TlbGeometry geometry;

    /** Longs of a set that are used, and log2 of those from one set to the next. */
    private final int span;

    private final int strideShift;

    /** Bits of an index into {@link #microTlb} that say where in a set. */
    private final int wayMask;

    private final boolean caches;

    /** Made by the first fill: before that, one set that nothing matches. */
    private long[] microTlb = NOTHING;

    private int setMask;
    private TlbReplacement replacement;

    /** The head of the unit's log up to which the micro-TLB is true. */
    private long seen;

    /** Whether an entry comes from a block larger than a page. */
    private boolean blocks;

    /** The unit's configuration of the stream, when it was last asked; null for none. */
    private Translator.Stream stream;

    private DmaThread thread;

    /** Null if no transfer waits. */
    private Stall stall;

    private boolean waitsWhenStalled;

    private final Invalidations.Listener heed = new Invalidations.Listener() {
        @Override
        public void dropAll() {
            Arrays.fill(microTlb, 0);
            blocks = false;
        }

        @Override
        public void dropAddress(long address) {
            if (blocks) {
                dropAll(); // Any page may be of the block that covers the address.
            } else {
                int first = set(address) << strideShift;
                for (int entry = first; entry < first + span; entry += 2) {
                    if (((microTlb[entry] ^ address) & PAGE_BELOW_TAG) == 0) {
                        microTlb[entry] = 0;
                    }
                }
            }
        }

        @Override
        public void dropStream(int invalidated) {
            if (invalidated == streamId) {
                dropAll();
            }
        }
    };

    /**
     * A port.
     *
     * @param translator the unit, or null for a master that is wired straight to the bus
     * @param streamId StreamID (SMMUv3) or micro-TLB number (IPMMU)
     * @param substreamId or {@link Translator#NO_SUBSTREAM}
     * @param attributes bits of {@link Access} that all its accesses have: privileged, instruction, secure
     */
    public DmaPort(Bus bus, Translator translator, int streamId, int substreamId, int attributes) {
        this(bus, translator, streamId, substreamId, attributes, MICRO_TLB);
    }

    /**
     * A port with a micro-TLB of another shape.
     *
     * @param translator the unit, or null for a master that is wired straight to the bus
     * @param streamId StreamID (SMMUv3) or micro-TLB number (IPMMU)
     * @param substreamId or {@link Translator#NO_SUBSTREAM}
     * @param attributes bits of {@link Access} that all its accesses have: privileged, instruction, secure
     * @param microTlb its shape; {@link TlbGeometry.Replacement#NEVER_CACHE} for none
     */
    public DmaPort(
            Bus bus, Translator translator, int streamId, int substreamId, int attributes, TlbGeometry microTlb) {
        this.bus = bus;
        this.translator = translator;
        this.streamId = streamId;
        this.substreamId = substreamId;
        this.attributes = attributes & ~Access.WRITE;
        geometry = microTlb;
        span = 2 * microTlb.ways();
        strideShift = 32 - Integer.numberOfLeadingZeros(span - 1);
        wayMask = (1 << strideShift) - 1;
        caches = microTlb.replacement() != TlbGeometry.Replacement.NEVER_CACHE;
        invalidations = translator == null ? null : translator.invalidations();
        seen = invalidations == null ? 0 : invalidations.head();
    }

    /** A port of an unprivileged, non-secure master without substreams. */
    public DmaPort(Bus bus, Translator translator, int streamId) {
        this(bus, translator, streamId, Translator.NO_SUBSTREAM, 0);
    }

    /** The stream that the port's accesses belong to. */
    public int streamId() {
        return streamId;
    }

    /**
     * Opens a burst: until {@link #endBurst} the accesses of this thread through the port need no announcement of their
     * own. A unit that completes an invalidation meanwhile waits for the burst's end, or for its next access: that one
     * says that what was done with translations before it is complete. Bursts may be nested.
     */
    public void beginBurst() {
        if (invalidations != null) {
            if (thread == null || !thread.isCurrent()) {
                thread = DmaThread.current();
            }
            thread.begin(invalidations);
        }
    }

    /** Ends the burst that this thread opened last. */
    public void endBurst() {
        if (invalidations != null) {
            // Another thread may have used the port since.
            (thread.isCurrent() ? thread : DmaThread.current()).end();
        }
    }

    /**
     * Where an access would go. Faults are recorded as for a real access.
     *
     * @param write whether the access is a write
     * @return bits of {@link Translation}
     */
    public long translate(long address, boolean write) {
        if (invalidations == null) {
            return miss(address, write);
        }
        if (invalidations.head() != seen) {
            catchUp();
        }
        if (!caches) {
            return miss(address, write);
        }
        int entry = set(address) << strideShift;
        long right = write ? WRITE : READ;
        long wanted = address & PAGE_ADDRESS | right;
        do {
            if ((microTlb[entry] & (PAGE_ADDRESS | right)) == wanted) {
                if (replacement != null) {
                    replacement.used(entry >>> strideShift, (entry & wayMask) >> 1);
                }
                return microTlb[entry + 1];
            }
            entry += 2;
        } while ((entry & wayMask) != 0);
        return missAndFill(address, write);
    }

    private int set(long address) {
        return (int) (address >>> 12) & setMask;
    }

    private void catchUp() {
        seen = invalidations.replay(seen, heed);
        if (thread != null && thread.isCurrent()) {
            thread.acknowledge(invalidations, seen);
        }
    }

    private long miss(long address, boolean write) {
        int access = accessBits(write);
        long cached = stream == null ? NONE : stream.lookUp(address, access);
        return cached != NONE ? cached : ask(address, access);
    }

    /** Asks the unit, which fetches what is missing, and keeps the configuration that it has then. */
    private long ask(long address, int access) {
        if (translator == null) {
            return address >>> PhysicalMemory.ADDRESS_BITS == 0 ? Translation.identity(address) : Translation.ABORT;
        }
        long translation = translator.translate(streamId, substreamId, address, access);
        if (stream == null || !stream.isCurrent()) {
            stream = translator.stream(streamId, substreamId);
        }
        return translation;
    }

    private int accessBits(boolean write) {
        return attributes | (write ? Access.WRITE : 0);
    }

    private long missAndFill(long address, boolean write) {
        long translation = miss(address, write);
        // What was invalidated since we looked may be what the unit answered from.
        if (!Translation.translated(translation) || invalidations.head() != seen) {
            return translation;
        }
        if (microTlb == NOTHING) {
            microTlb = new long[geometry.sets() << strideShift];
            setMask = geometry.sets() - 1;
            // With one way there is nothing to choose, and nothing to remember of hits.
            replacement = geometry.ways() == 1 && geometry.replacement() != TlbGeometry.Replacement.CACHE_FOR_EVER
                    ? null
                    : new TlbReplacement(geometry);
        }
        int set = set(address);
        int way = choose(set, address);
        if (way >= 0) {
            int entry = (set << strideShift) + 2 * way;
            long rights = write ? WRITE : READ;
            if (((microTlb[entry] ^ address) & PAGE_ADDRESS) == 0 && microTlb[entry + 1] == translation) {
                rights |= microTlb[entry] & (READ | WRITE);
            }
            microTlb[entry] = address & PAGE_ADDRESS | rights;
            microTlb[entry + 1] = translation;
            blocks |= Translation.log2Size(translation) > 12;
            if (replacement != null) {
                replacement.used(set, way);
            }
        }
        return translation;
    }

    /** The way that an address goes to: where its page is already, else a free one, else whichever gives way; or -1. */
    private int choose(int set, long address) {
        int free = -1;
        for (int way = geometry.ways() - 1; way >= 0; way--) {
            long tag = microTlb[(set << strideShift) + 2 * way];
            if ((tag & (READ | WRITE)) == 0) {
                free = way;
            } else if (((tag ^ address) & PAGE_ADDRESS) == 0) {
                return way;
            }
        }
        return free >= 0 ? free : replacement == null ? 0 : replacement.victim(set);
    }

    /**
     * Reads through the unit; ends at the first page that does not answer.
     *
     * @param address input address, of any alignment
     */
    public Response read(long address, byte[] target, int offset, int length) {
        return transfer(false, address, target, offset, length);
    }

    /**
     * Writes through the unit; ends at the first page that does not answer.
     *
     * @param address input address, of any alignment
     */
    public Response write(long address, byte[] source, int offset, int length) {
        return transfer(true, address, source, offset, length);
    }

    /**
     * Whether transfers that stall wait, on the thread of the master, until software has answered; otherwise, as at first,
     * they return {@link Response#STALLED}. An invalidation does not wait for a transfer that is stalled.
     */
    public void waitsWhenStalled(boolean waits) {
        waitsWhenStalled = waits;
    }

    /**
     * Goes on with the transfer that stalled: what {@link Response} it has come to now, which may be STALLED again. A port
     * has one transfer under way; a master that has several at a time has several ports.
     *
     * @throws IllegalStateException if no transfer is stalled
     */
    public Response resume() {
        Stall waiting = stall;
        if (waiting == null) {
            throw new IllegalStateException("no transfer of this port is stalled");
        }
        stall = null;
        beginBurst();
        try {
            long at = waiting.address + waiting.done;
            long translation = translator.resume(waiting.token, streamId, substreamId, at, accessBits(waiting.write));
            return move(
                    waiting.write,
                    waiting.address,
                    waiting.bytes,
                    waiting.offset,
                    waiting.length,
                    waiting.done,
                    waiting.soFar,
                    translation);
        } finally {
            endBurst();
        }
    }

    private Response transfer(boolean write, long address, byte[] bytes, int offset, int length) {
        if (stall != null) {
            throw new IllegalStateException("a transfer of this port is stalled at 0x%x".formatted(stall.address));
        }
        if (length == 0) {
            return Response.OK;
        }
        beginBurst();
        try {
            return move(write, address, bytes, offset, length, 0, Response.OK, translatePage(address, write));
        } finally {
            endBurst();
        }
    }

    private long translatePage(long address, boolean write) {
        return translator == null ? Translation.identity(address) : translate(address, write);
    }

    /** @param translation of the page of byte {@code from}, where the transfer begins or goes on */
    private Response move(
            boolean write,
            long address,
            byte[] bytes,
            int offset,
            int length,
            int from,
            Response soFar,
            long translation) {
        Response response = soFar;
        for (int done = from; ; ) {
            long at = address + done;
            int part = Math.min(length - done, PAGE - (int) (at & PAGE - 1));
            if (Translation.translated(translation)) {
                long physical = translator == null ? at : Translation.address(translation, at);
                if (!access(write, physical, bytes, offset + done, part)) {
                    return Response.BUS_ERROR;
                }
            } else if (Translation.isStalled(translation)) {
                translation = waitsWhenStalled ? await(translation, at, write) : translation;
                if (Translation.isStalled(translation)) {
                    stall = new Stall(write, address, bytes, offset, length, done, response, translation);
                    return Response.STALLED;
                }
                continue;
            } else if (translation == Translation.RAZ_WI) {
                response = Response.RAZ_WI;
                if (!write) {
                    Arrays.fill(bytes, offset + done, offset + done + part, (byte) 0);
                }
            } else {
                return Response.ABORT;
            }
            done += part;
            if (done == length) {
                return response;
            }
            translation = translatePage(address + done, write);
        }
    }

    /** Waits for software's answer; still stalled if the thread was interrupted. */
    private long await(long stalled, long address, boolean write) {
        DmaThread waiter = invalidations == null ? null : thread;
        long translation = stalled;
        while (Translation.isStalled(translation)) {
            if (waiter != null) {
                waiter.park(); // The access has gone nowhere yet, so there is nothing that an invalidation could wait
                // for.
            }
            try {
                translator.awaitResumption(translation);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return translation;
            } finally {
                if (waiter != null) {
                    waiter.unpark();
                }
            }
            translation = translator.resume(translation, streamId, substreamId, address, accessBits(write));
        }
        return translation;
    }

    boolean access(boolean write, long physical, byte[] bytes, int offset, int length) {
        DmaThread mover = invalidations == null ? null : thread;
        if (mover != null) {
            mover.startMoving();
        }
        boolean answered =
                write ? bus.dmaWrite(physical, bytes, offset, length) : bus.dmaRead(physical, bytes, offset, length);
        if (mover != null) {
            mover.stopMoving();
        }
        return answered;
    }
}
