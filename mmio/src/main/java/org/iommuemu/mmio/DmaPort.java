package org.iommuemu.mmio;

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
        BUS_ERROR
    }

    /** Entries of a micro-TLB, where nothing else is asked for. */
    public static final int MICRO_TLB_ENTRIES = 256;

    private static final int PAGE = 4096;
    private static final long PAGE_ADDRESS = -PAGE;

    /** A unit may ignore the top byte of an input address, and then names the address without it. */
    private static final long PAGE_BELOW_TAG = PAGE_ADDRESS & -1L >>> 8;

    // A micro-TLB entry is two longs, direct-mapped by page: tag (page address, bit 0: reads, bit 1: writes went
    // through
    // it) and translation. The owner of the port alone touches them.
    private static final long READ = 1;
    private static final long WRITE = 2;
    private static final long[] NOTHING = new long[2];

    private final Bus bus;
    private final Translator translator;
    private final int streamId;
    private final int substreamId;
    private final int attributes;
    private final Invalidations invalidations;
    private final int microTlbEntries;

    private long[] microTlb = NOTHING;
    private int microTlbMask;

    /** The head of the unit's log up to which the micro-TLB is true. */
    private long seen;

    /** Whether an entry comes from a block larger than a page. */
    private boolean blocks;

    private DmaThread thread;

    private final Invalidations.Listener heed = new Invalidations.Listener() {
        @Override
        public void dropAll() {
            java.util.Arrays.fill(microTlb, 0);
            blocks = false;
        }

        @Override
        public void dropAddress(long address) {
            if (blocks) {
                dropAll(); // Any page may be of the block that covers the address.
            } else {
                int entry = entry(address);
                if (((microTlb[entry] ^ address) & PAGE_BELOW_TAG) == 0) {
                    microTlb[entry] = 0;
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
        this(bus, translator, streamId, substreamId, attributes, MICRO_TLB_ENTRIES);
    }

    /**
     * A port with a micro-TLB of another size.
     *
     * @param translator the unit, or null for a master that is wired straight to the bus
     * @param streamId StreamID (SMMUv3) or micro-TLB number (IPMMU)
     * @param substreamId or {@link Translator#NO_SUBSTREAM}
     * @param attributes bits of {@link Access} that all its accesses have: privileged, instruction, secure
     * @param microTlbEntries a power of two, or 0 for no micro-TLB
     */
    public DmaPort(Bus bus, Translator translator, int streamId, int substreamId, int attributes, int microTlbEntries) {
        if (microTlbEntries < 0 || Integer.bitCount(microTlbEntries) > 1) {
            throw new IllegalArgumentException("a micro-TLB of %d entries".formatted(microTlbEntries));
        }
        this.bus = bus;
        this.translator = translator;
        this.streamId = streamId;
        this.substreamId = substreamId;
        this.attributes = attributes & ~Access.WRITE;
        this.microTlbEntries = microTlbEntries;
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
     * own. A unit that completes an invalidation meanwhile waits for the burst's end, or for its next access. Bursts may
     * be nested.
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
            thread.end();
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
        int entry = entry(address);
        long right = write ? WRITE : READ;
        return (microTlb[entry] & (PAGE_ADDRESS | right)) == (address & PAGE_ADDRESS | right)
                ? microTlb[entry + 1]
                : missAndFill(address, write, entry);
    }

    private int entry(long address) {
        return ((int) (address >>> 12) & microTlbMask) << 1;
    }

    private void catchUp() {
        seen = invalidations.replay(seen, heed);
        if (thread != null && thread.isCurrent()) {
            thread.acknowledge(invalidations, seen);
        }
    }

    private long miss(long address, boolean write) {
        if (translator != null) {
            return translator.translate(streamId, substreamId, address, attributes | (write ? Access.WRITE : 0));
        }
        return address >>> PhysicalMemory.ADDRESS_BITS == 0 ? Translation.identity(address) : Translation.ABORT;
    }

    private long missAndFill(long address, boolean write, int missed) {
        long translation = miss(address, write);
        // What was invalidated since we looked may be what the unit answered from.
        if (!Translation.translated(translation) || microTlbEntries == 0 || invalidations.head() != seen) {
            return translation;
        }
        int entry = missed;
        if (microTlb == NOTHING) {
            microTlb = new long[2 * microTlbEntries];
            microTlbMask = microTlbEntries - 1;
            entry = entry(address);
        }
        long page = address & PAGE_ADDRESS;
        long rights = write ? WRITE : READ;
        if ((microTlb[entry] & PAGE_ADDRESS) == page && microTlb[entry + 1] == translation) {
            rights |= microTlb[entry] & (READ | WRITE);
        }
        microTlb[entry] = page | rights;
        microTlb[entry + 1] = translation;
        blocks |= Translation.log2Size(translation) > 12;
        return translation;
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

    private Response transfer(boolean write, long address, byte[] bytes, int offset, int length) {
        beginBurst();
        try {
            return move(write, address, bytes, offset, length);
        } finally {
            endBurst();
        }
    }

    private Response move(boolean write, long address, byte[] bytes, int offset, int length) {
        Response response = Response.OK;
        for (int done = 0, part; done < length; done += part) {
            long at = address + done;
            part = Math.min(length - done, PAGE - (int) (at & PAGE - 1));
            long translation = translator == null ? Translation.identity(at) : translate(at, write);
            if (translation == Translation.RAZ_WI) {
                response = Response.RAZ_WI;
                if (!write) {
                    java.util.Arrays.fill(bytes, offset + done, offset + done + part, (byte) 0);
                }
            } else if (!Translation.translated(translation)) {
                return Response.ABORT;
            } else {
                long physical = translator == null ? at : Translation.address(translation, at);
                boolean answered = write
                        ? bus.dmaWrite(physical, bytes, offset + done, part)
                        : bus.dmaRead(physical, bytes, offset + done, part);
                if (!answered) {
                    return Response.BUS_ERROR;
                }
            }
        }
        return response;
    }
}
