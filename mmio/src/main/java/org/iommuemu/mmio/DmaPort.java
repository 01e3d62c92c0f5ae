package org.iommuemu.mmio;

/**
 * The port that a DMA master sees: what it reads and writes goes through the unit in front of it, as its stream. One
 * thread at a time.
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

    private static final int PAGE = 4096;

    private final Bus bus;
    private final Translator translator;
    private final int streamId;
    private final int substreamId;
    private final int attributes;

    /**
     * A port.
     *
     * @param translator the unit, or null for a master that is wired straight to the bus
     * @param streamId StreamID (SMMUv3) or micro-TLB number (IPMMU)
     * @param substreamId or {@link Translator#NO_SUBSTREAM}
     * @param attributes bits of {@link Access} that all its accesses have: privileged, instruction, secure
     */
    public DmaPort(Bus bus, Translator translator, int streamId, int substreamId, int attributes) {
        this.bus = bus;
        this.translator = translator;
        this.streamId = streamId;
        this.substreamId = substreamId;
        this.attributes = attributes & ~Access.WRITE;
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
     * Where an access would go. Faults are recorded as for a real access.
     *
     * @param write whether the access is a write
     * @return bits of {@link Translation}
     */
    public long translate(long address, boolean write) {
        if (translator != null) {
            return translator.translate(streamId, substreamId, address, attributes | (write ? Access.WRITE : 0));
        }
        return address >>> PhysicalMemory.ADDRESS_BITS == 0 ? Translation.identity(address) : Translation.ABORT;
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
