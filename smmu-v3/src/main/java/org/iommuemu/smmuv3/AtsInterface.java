package org.iommuemu.smmuv3;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Invalidations;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.TranslationService;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.WalkResult;

/**
 * ATS between the SMMU and endpoints: Translation Requests and what answers them, Translated transactions, invalidations
 * of endpoints' caches, page requests and their responses (IHI 0070, 3.9.1, 13.6, 13.7).
 *
 * <p>Translated transactions have the fixed attributes of PCIe: Normal write-back (13.6.2). An address beyond the output
 * size aborts (3.9.1.1).
 */
final class AtsInterface implements TranslationService {
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final TranslationProcedure procedure;
    private final EventQueue events;
    private final PageRequestQueue pageRequests;
    private final Invalidations ports;
    private final Latency timeout;
    private final Monitored monitored;
    private final Map<Integer, Endpoint> endpoints = new ConcurrentHashMap<>();

    /** @param timeout how long an endpoint has to complete an invalidation (3.9.1.4) */
    AtsInterface(
            SmmuFeatures features,
            RegisterFile registers,
            TranslationProcedure procedure,
            EventQueue events,
            PageRequestQueue pageRequests,
            Invalidations ports,
            Latency timeout,
            Monitored monitored) {
        this.features = features;
        this.registers = registers;
        this.procedure = procedure;
        this.events = events;
        this.pageRequests = pageRequests;
        this.ports = ports;
        this.timeout = timeout;
        this.monitored = monitored;
    }

    @Override
    public void connect(int streamId, Endpoint endpoint) {
        endpoints.put(streamId, endpoint);
    }

    @Override
    public Invalidations invalidations() {
        return ports;
    }

    private boolean isOn(Field control) {
        return control.isSet(registers.get(Registers.CR0));
    }

    // Translation Requests (3.9.1.2)

    @Override
    public Completion request(int streamId, int substreamId, long address, int access) {
        monitored.count(MonitorEvent.TRANSACTION, streamId);
        monitored.count(MonitorEvent.ATS_TRANSLATION_REQUEST, streamId);
        boolean pasid = features.ssidSize() > 0 && substreamId != Translator.NO_SUBSTREAM;
        // Without a PASID there is no Priv and no Exe (13.7.1).
        int asked = pasid ? access : access & Access.WRITE;
        Transaction request = new Transaction(streamId, pasid ? substreamId : Translator.NO_SUBSTREAM, address, asked);
        if (!isOn(Registers.SMMUEN)) {
            return unsupported(request);
        }
        StreamTable.Located located = procedure.locate(streamId);
        if (located.fault() != null) {
            return completerAbort(located.fault());
        }
        StreamTableEntry ste = located.ste();
        if (ste.aborts()) {
            return Completion.failed(Status.UNSUPPORTED_REQUEST);
        }
        int eats = ste.eats(isOn(Registers.ATSCHK));
        if (eats == StreamTableEntry.EATS_NONE) {
            return unsupported(request);
        }
        boolean writes = (asked & Access.WRITE) != 0;
        TranslationProcedure.Lookup lookup = lookUp(request, asked & ~Access.INSTRUCTION);
        if (writes
                && lookup.fault() != null
                && isTranslationRelated(lookup.fault().event())) {
            // What may not be written may still be read; nothing is marked dirty for that.
            lookup = lookUp(request, asked & ~(Access.INSTRUCTION | Access.WRITE));
        }
        if (lookup.fault() != null) {
            return isTranslationRelated(lookup.fault().event())
                    ? Completion.denied(smallestTranslationUnit())
                    : completerAbort(lookup.fault());
        }
        return granted(request, asked, ste, eats, lookup.translation());
    }

    private TranslationProcedure.Lookup lookUp(Transaction request, int access) {
        return procedure.lookUp(request.as(access), TranslationProcedure.Stages.ALL, true, true);
    }

    /** Permissions that the tables have for the privilege of the request, after the STE's overrides (13.7.1). */
    private Completion granted(Transaction request, int asked, StreamTableEntry ste, int eats, long translation) {
        Overrides overrides = ste.overrides(features);
        int privilege = asked & Access.PRIVILEGED;
        boolean read = WalkResult.permits(translation, overrides.apply(privilege));
        boolean write = WalkResult.permits(translation, overrides.apply(privilege | Access.WRITE));
        boolean execute = (asked & Access.INSTRUCTION) != 0
                && read
                && WalkResult.permits(translation, overrides.apply(privilege | Access.INSTRUCTION));
        if (!read && !write) {
            return Completion.denied(smallestTranslationUnit());
        }
        int log2Size = Translation.log2Size(translation);
        long output = Translation.address(translation, request.address());
        if (eats
                == StreamTableEntry
                        .EATS_SPLIT_STAGE) { // The endpoint gets the IPA, with the permissions of both stages (13.6.3).
            TranslationProcedure.Lookup first = procedure.lookUp(
                    request.as(asked & ~(Access.INSTRUCTION | Access.WRITE)),
                    TranslationProcedure.Stages.FIRST,
                    true,
                    false);
            if (first.fault() != null) { // Software has changed the tables meanwhile.
                return Completion.denied(smallestTranslationUnit());
            }
            output = Translation.address(first.translation(), request.address());
        }
        return new Completion(Status.SUCCESS, Bits.alignDown(output, log2Size), log2Size, read, write, execute);
    }

    /** F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION: the endpoint is told that it has no access. */
    private static boolean isTranslationRelated(Event event) {
        return event != null
                && switch (event.type()) {
                    case F_TRANSLATION, F_ADDR_SIZE, F_ACCESS, F_PERMISSION -> true;
                    default -> false;
                };
    }

    /** STU: the smallest granule (3.9.1). */
    private int smallestTranslationUnit() {
        for (Granule granule : Granule.values()) {
            if (features.supports(granule)) {
                return granule.shift();
            }
        }
        throw new AssertionError("an SMMU without granules");
    }

    private Completion unsupported(Transaction request) {
        int access = request.access();
        events.record(
                Event.badAtsTranslationRequest(
                        request,
                        (access & Access.WRITE) != 0,
                        (access & Access.INSTRUCTION) != 0,
                        (access & Access.PRIVILEGED) != 0,
                        1),
                false);
        return Completion.failed(Status.UNSUPPORTED_REQUEST);
    }

    private Completion completerAbort(Fault fault) {
        if (fault.event() == null) {
            return Completion.failed(Status.UNSUPPORTED_REQUEST);
        }
        if (fault.recorded() && Registers.REC_CFG_ATS.isSet(registers.get(Registers.CR2))) {
            events.record(fault.event(), fault.mergeable());
        }
        return Completion.failed(Status.COMPLETER_ABORT);
    }

    // Translated transactions (3.9.1.3)

    @Override
    public long translated(int streamId, int substreamId, long address, int access) {
        monitored.count(MonitorEvent.ATS_TRANSLATED_TRANSACTION, streamId);
        boolean pasid = features.has(SmmuFeature.PASIDTT) && substreamId != Translator.NO_SUBSTREAM;
        Transaction transaction = new Transaction(
                streamId,
                pasid ? substreamId : Translator.NO_SUBSTREAM,
                address,
                pasid ? access : access & Access.WRITE);
        if (!isOn(Registers.SMMUEN)) {
            return forbidden(transaction, false);
        }
        boolean beyond = address >>> features.oas() != 0;
        if (!isOn(Registers.ATSCHK)) {
            return beyond ? Translation.ABORT : Translation.identity(address);
        }
        StreamTable.Located located = procedure.locate(streamId);
        if (located.fault() != null) {
            // Also C_BAD_STREAMID, whatever SMMU_CR2.RECINVSID says.
            if (Registers.REC_CFG_ATS.isSet(registers.get(Registers.CR2))) {
                events.record(located.fault().event(), located.fault().mergeable());
            }
            return Translation.ABORT;
        }
        StreamTableEntry ste = located.ste();
        if (ste.aborts()) {
            return Translation.ABORT;
        }
        int eats = ste.eats(true);
        if (eats == StreamTableEntry.EATS_NONE) {
            return forbidden(transaction, ste.mev());
        }
        if (features.has(SmmuFeature.PASIDTT) && !hasContext(transaction)) {
            return Translation.ABORT;
        }
        if (eats != StreamTableEntry.EATS_SPLIT_STAGE) {
            return beyond ? Translation.ABORT : Translation.identity(address);
        }
        TranslationProcedure.Lookup lookup =
                procedure.lookUp(transaction, TranslationProcedure.Stages.SECOND, true, true);
        if (lookup.fault() == null) {
            return lookup.translation();
        }
        if (lookup.fault().recorded()) {
            events.record(lookup.fault().event(), lookup.fault().mergeable());
        }
        return Translation.ABORT;
    }

    /** Whether there is a context for a PASID that a transaction has, or for one without, where PASIDs are told apart. */
    private boolean hasContext(Transaction transaction) {
        Fault fault = procedure.configurationFault(transaction);
        // Without a PASID no CD is asked for.
        if (fault == null || !transaction.hasSubstream() && fault.event().type() != Event.Type.F_STREAM_DISABLED) {
            return true;
        }
        boolean recorded = isTranslationRelated(fault.event())
                ? fault.recorded()
                : Registers.REC_CFG_ATS.isSet(registers.get(Registers.CR2));
        if (recorded) {
            events.record(fault.event(), fault.mergeable());
        }
        return false;
    }

    private long forbidden(Transaction transaction, boolean mergeable) {
        events.record(Event.translatedForbidden(transaction), mergeable);
        return Translation.ABORT;
    }

    // Page requests

    @Override
    public void request(int streamId, PageRequest request) {
        PageRequestQueue.Automatic automatic = pageRequests.receive(streamId, request);
        if (automatic != null) {
            answer(streamId, automatic.substreamId(), request.group(), automatic.response());
        }
    }

    private void answer(int streamId, int substreamId, int group, Response response) {
        Endpoint endpoint = endpoints.get(streamId);
        if (endpoint != null) {
            endpoint.respond(substreamId, group, response);
        }
    }

    // What commands ask for (4.5). Under the registers' monitor, while SMMUEN == 1

    /** An Invalidate Request that was sent. */
    static final class Invalidation {
        /** How far it has come. */
        enum State {
            /** The endpoint has not answered yet. */
            PENDING,
            /** The endpoint has completed it, or refused it (3.9.1.5). */
            COMPLETE,
            /** The endpoint did not answer in time (3.9.1.4). */
            TIMED_OUT
        }

        private final BooleanSupplier completed;
        private final Latency.Wait timeout;
        private State state = State.PENDING;

        private Invalidation(BooleanSupplier completed, Latency.Wait timeout) {
            this.completed = completed;
            this.timeout = timeout;
        }

        State state() {
            if (state == State.PENDING) {
                if (completed.getAsBoolean()) {
                    state = State.COMPLETE;
                } else if (timeout.isOver()) {
                    state = State.TIMED_OUT;
                }
            }
            return state;
        }

        /** Software has looked whether the CMD_SYNC behind it is complete. */
        void looked() {
            timeout.looked();
        }
    }

    /**
     * CMD_ATC_INV. No endpoint at a stream is a request that nobody supports, which is no error.
     *
     * @param substreamId or {@link Translator#NO_SUBSTREAM}
     * @param global whether entries of all SubstreamIDs are meant
     * @param address the first one, aligned
     * @param log2Size of the range in bytes, 12 to 64
     */
    Invalidation invalidate(int streamId, int substreamId, boolean global, long address, int log2Size) {
        Endpoint endpoint = endpoints.get(streamId);
        BooleanSupplier completed =
                endpoint == null ? () -> true : endpoint.invalidate(substreamId, global, address, log2Size);
        ports.stream(streamId); // CMD_SYNC waits for accesses that are under way with the old translation.
        return new Invalidation(completed, timeout.start());
    }

    /**
     * CMD_PRI_RESP.
     *
     * @param response 0 ResponseFailure, 1 InvalidRequest, 2 Success
     */
    void respond(int streamId, int substreamId, int group, int response) {
        Response code =
                response == 2 ? Response.SUCCESS : response == 1 ? Response.INVALID_REQUEST : Response.RESPONSE_FAILURE;
        answer(streamId, substreamId, group, code);
    }
}
