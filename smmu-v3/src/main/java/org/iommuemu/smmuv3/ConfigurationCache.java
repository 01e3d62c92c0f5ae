package org.iommuemu.smmuv3;

import java.util.stream.Stream;
import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Tlb;
import org.iommuemu.pagetables.TlbView;
import org.iommuemu.pagetables.WalkResult;

/**
 * Decoded STEs and CDs (IHI 0070, 3.21.3), two ways by StreamID and SubstreamID. A hit takes no lock and allocates
 * nothing; an invalidation moves generations on, and entries of older ones miss.
 *
 * <p>Whoever fills takes the {@link #generation} before reading the structures, so what an invalidation overtook is
 * stale from the start. Streams share generations by hash: invalidating one may cost another a fetch, never the reverse.
 */
final class ConfigurationCache {
    private static final int LOG2_ENTRIES = 12;
    private static final int STREAMS = 1024;
    private static final int ACCESSES = (Access.WRITE | Access.PRIVILEGED | Access.INSTRUCTION | Access.SECURE) + 1;
    private static final short[] NEEDS = allNeeds(Overrides.NONE);

    /** How often the streams that share it were invalidated. Written under the cache's monitor. */
    private static final class Generation {
        private volatile int value;
    }

    /**
     * A configuration, and next to it what a TLB hit needs of it, so that this touches one line of the processor's cache.
     * All fields are final: a thread that finds an entry, by whatever race, finds it whole.
     */
    static final class Entry extends TlbView implements Translator.Stream {
        private final int streamId;
        private final int substreamId;
        private final Generation of;
        private final int generation;
        private final Configuration configuration;
        /** Null if the configuration does not translate. */
        private final Configuration.Context context;
        /** Whether {@link Configuration.Context#canonical} changes addresses. */
        private final boolean tagged;
        /** Whether {@link Configuration.Context#output} leaves translations as they are. */
        private final boolean plain;
        /** By bits of {@link Access}: what a translation must permit, overrides applied. */
        private final short[] needs;

        /** Of a configuration that translates. */
        private Entry(int streamId, int substreamId, Generation of, int generation, Configuration.Context context) {
            super(context.tlb(), context.space(), context.asid());
            this.streamId = streamId;
            this.substreamId = substreamId;
            this.of = of;
            this.generation = generation;
            configuration = context;
            this.context = context;
            tagged = context.topByteIgnored0() || context.topByteIgnored1() || context.narrow() != null;
            plain = context.plain();
            needs = needs(context.overrides());
        }

        /** Of one that does not: nothing is ever cached. */
        private Entry(int streamId, int substreamId, Generation of, int generation, Configuration configuration) {
            this.streamId = streamId;
            this.substreamId = substreamId;
            this.of = of;
            this.generation = generation;
            this.configuration = configuration;
            context = null;
            tagged = false;
            plain = false;
            needs = NEEDS;
        }

        private boolean isFor(int otherStreamId, int otherSubstreamId) {
            return streamId == otherStreamId && substreamId == otherSubstreamId;
        }

        @Override
        public boolean isCurrent() {
            return of.value == generation;
        }

        Configuration configuration() {
            return configuration;
        }

        /** What the TLB holds for an address, if the access is permitted; else {@link Tlb#MISS}, which is 0. */
        @Override
        public long lookUp(long address, int access) {
            if (!isCurrent()) {
                return Tlb.MISS;
            }
            long found = lookUp(tagged ? context.canonical(address) : address);
            return (found & needs[access]) == 0 ? Tlb.MISS : plain ? found : context.output(found);
        }
    }

    /** Read without order: an entry is immutable, and its generation tells whether it may be used. */
    private final Entry[] entries = new Entry[1 << LOG2_ENTRIES];

    /** By hash of the stream. An invalidation of everything moves them all on, so that a hit has to read but one. */
    private final Generation[] generations =
            Stream.generate(Generation::new).limit(STREAMS).toArray(Generation[]::new);

    /** What is cached, or null. */
    Entry lookUp(int streamId, int substreamId) {
        int index = index(streamId, substreamId);
        Entry entry = entries[index];
        if (entry == null || !entry.isFor(streamId, substreamId)) {
            entry = entries[index ^ 1];
            if (entry == null || !entry.isFor(streamId, substreamId)) {
                return null;
            }
        }
        return entry.isCurrent() ? entry : null;
    }

    /** Taken before the structures of a stream are read. */
    int generation(int streamId) {
        return of(streamId).value;
    }

    /** An entry that is not in the cache. */
    Entry entry(int streamId, int substreamId, int generation, Configuration configuration) {
        return configuration instanceof Configuration.Context context
                ? new Entry(streamId, substreamId, of(streamId), generation, context)
                : new Entry(streamId, substreamId, of(streamId), generation, configuration);
    }

    /** Whether a cached STE should be identical with that of a stream, and is not (5.2, STE.CONT). Looks at all of them. */
    boolean conflicts(int streamId, StreamTableEntry ste) {
        for (Entry entry : entries) {
            StreamTableEntry cached = entry == null || !entry.isCurrent() ? null : ste(entry.configuration);
            if (cached != null && ste.conflicts(streamId, cached, entry.streamId)) {
                return true;
            }
        }
        return false;
    }

    /** Of streams that abort it is not known. */
    static StreamTableEntry ste(Configuration configuration) {
        return configuration instanceof Configuration.Context context
                ? context.ste()
                : configuration instanceof Configuration.Bypass bypass ? bypass.ste() : null;
    }

    /** Caches an entry; what it displaces takes the other way. */
    void fill(Entry entry) {
        int index = index(entry.streamId, entry.substreamId);
        Entry displaced = entries[index];
        entries[index] = entry;
        if (displaced != null && displaced.isCurrent() && !displaced.isFor(entry.streamId, entry.substreamId)) {
            entries[index ^ 1] = displaced;
        }
    }

    synchronized void invalidateAll() {
        for (Generation generation : generations) {
            generation.value++;
        }
    }

    synchronized void invalidateStream(int streamId) {
        of(streamId).value++;
    }

    /** Invalidates 2^log2Count StreamIDs. */
    void invalidateStreams(int first, int log2Count) {
        if (log2Count > 6) {
            invalidateAll();
            return;
        }
        for (int i = 0; i < 1 << log2Count; i++) {
            invalidateStream(first + i);
        }
    }

    private Generation of(int streamId) {
        return generations[streamId & STREAMS - 1];
    }

    private static int index(int streamId, int substreamId) {
        return (streamId * 0x9e3779b1 + substreamId * 0x85ebca6b) >>> 32 - LOG2_ENTRIES;
    }

    /** Most override nothing of this, and share an array. */
    private static short[] needs(Overrides overrides) {
        for (int access = 0; access < ACCESSES; access++) {
            if (NEEDS[access] != WalkResult.needs(overrides.apply(access))) {
                return allNeeds(overrides);
            }
        }
        return NEEDS;
    }

    private static short[] allNeeds(Overrides overrides) {
        short[] needs = new short[ACCESSES];
        for (int access = 0; access < ACCESSES; access++) {
            needs[access] = (short) WalkResult.needs(overrides.apply(access));
        }
        return needs;
    }
}
