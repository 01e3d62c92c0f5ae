package org.iommuemu.mmio;

import java.util.function.BooleanSupplier;

/**
 * PCIe ATS and PRI, as an endpoint meets them: translations asked for ahead of accesses, accesses with what was answered,
 * and requests to make pages present (PCI Express Base 6.0, chapter 10). Called from any thread.
 */
public interface TranslationService {
    /** How a Translation Request ended. */
    enum Status {
        /** The completion tells address and permissions; there may be none. */
        SUCCESS,
        /** ATS is off for the stream. */
        UNSUPPORTED_REQUEST,
        /** The unit's configuration is broken. */
        COMPLETER_ABORT
    }

    /**
     * A Translation Completion with one entry.
     *
     * @param address translated, aligned to the size; 0 if there are no permissions
     * @param log2Size of the translation in bytes, 12 or more
     * @param read R
     * @param write W
     * @param execute Exe: reads that fetch instructions
     */
    record Completion(Status status, long address, int log2Size, boolean read, boolean write, boolean execute) {
        /** A request that was not answered. */
        public static Completion failed(Status status) {
            return new Completion(status, 0, 12, false, false, false);
        }

        /** No permissions; such an answer must not be cached. */
        public static Completion denied(int log2Size) {
            return new Completion(Status.SUCCESS, 0, log2Size, false, false, false);
        }

        /** Whether an access is permitted. */
        public boolean permits(boolean writes, boolean executes) {
            return writes ? write : executes ? execute : read;
        }
    }

    /**
     * A Page Request message. With a PASID, and neither read nor write but last, it is a Stop Marker.
     *
     * @param substreamId its PASID, or {@link Translator#NO_SUBSTREAM}
     * @param address page address, bits 11:0 are 0
     * @param group PRG index, 0 to 511
     * @param last the last one of its group, to which there is a response
     */
    record PageRequest(
            int substreamId,
            long address,
            int group,
            boolean read,
            boolean write,
            boolean execute,
            boolean privileged,
            boolean last) {
        /** Whether this tells that a PASID is not used any more. */
        public boolean isStopMarker() {
            return substreamId != Translator.NO_SUBSTREAM && last && !read && !write;
        }
    }

    /** What a PRG Response says. */
    enum Response {
        /** Ask for the translation again. */
        SUCCESS(0),
        /** A page of the group cannot be had. */
        INVALID_REQUEST(1),
        /** Do not ask for pages any more. */
        RESPONSE_FAILURE(15);

        private final int code;

        Response(int code) {
            this.code = code;
        }

        /** The Response Code of the message. */
        public int code() {
            return code;
        }
    }

    /** A function of a device, as the root sees it. Must not call back into the service. */
    interface Endpoint {
        /**
         * Forgets translations.
         *
         * @param substreamId of which PASID; or {@link Translator#NO_SUBSTREAM} for those without one
         * @param global of all PASIDs
         * @param address the first, aligned to the size
         * @param log2Size of the range in bytes, 12 to 64
         * @return tells whether the endpoint has completed it; asked until it has, or the unit gives up
         */
        BooleanSupplier invalidate(int substreamId, boolean global, long address, int log2Size);

        /** Answers a group of page requests. */
        void respond(int substreamId, int group, Response response);
    }

    /** Tells where invalidations and responses of a stream go. A later endpoint of the stream takes the place. */
    void connect(int streamId, Endpoint endpoint);

    /**
     * A Translation Request.
     *
     * @param address of the first byte that is meant, of any alignment
     * @param access {@link Access#WRITE}: writes are meant, too (NW == 0); {@link Access#INSTRUCTION} and
     *     {@link Access#PRIVILEGED}: Exe and Priv, which mean nothing without a PASID
     */
    Completion request(int streamId, int substreamId, long address, int access);

    /**
     * An access with an address from a completion, which does not cross a 4 KiB boundary.
     *
     * @param access bits of {@link Access}
     * @return bits of {@link Translation}
     */
    long translated(int streamId, int substreamId, long address, int access);

    /** A Page Request message. A response may come before this returns. */
    void request(int streamId, PageRequest request);

    /** What the unit invalidates: bursts of endpoints are waited for like those of ports. */
    Invalidations invalidations();
}
