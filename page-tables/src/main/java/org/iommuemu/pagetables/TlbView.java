package org.iommuemu.pagetables;

/**
 * A {@link Tlb} as one configuration looks into it: at the translations of one space and one ASID. What a look-up needs of
 * these is worked out once, here. Immutable; for any thread.
 */
public class TlbView {
    /** What all views of a TLB have in common. */
    private record Place(Tlb tlb, long[] entries, int setMask) {}

    /** Nothing is ever found here. */
    private static final Tlb NOTHING = new Tlb(1, 1);

    /**
     * Of the TLB that a view was made of last. To its entries a look-up comes from a master over its port, the stream and
     * the view, by loads each of which waits for the one before. Where it comes out at this TLB, a processor has guessed
     * so, and loaded the entry meanwhile. Read and written without order: whoever sees a record sees all of it. It keeps
     * one TLB in memory until another one is used.
     */
    private static Place usual = new Place(NOTHING, NOTHING.allocated(), NOTHING.setMask());

    private final Tlb tlb;
    private final int space;
    private final int asid;

    // The TLB's, which are the same from its making to its end: a look-up gets there by one load less.
    private final long[] entries;
    private final int[] generations;
    private final int setMask;

    private final int salt;
    private final long local;
    private final long global;
    private final int spaceIndex;
    private final int asidIndex;

    /**
     * A view.
     *
     * @param tlb where something was filled or is going to be: it takes its memory now
     * @param space the VMID or context
     * @param asid the ASID; does not matter for global entries
     */
    public TlbView(Tlb tlb, int space, int asid) {
        this.tlb = tlb;
        this.space = space;
        this.asid = asid;
        entries = tlb.allocated();
        generations = tlb.generations;
        setMask = tlb.setMask();
        salt = Tlb.salt(space);
        local = Tlb.owner(space, asid, false) | Tlb.USED;
        global = Tlb.owner(space, asid, true) | Tlb.USED;
        spaceIndex = Tlb.spaceIndex(space);
        asidIndex = Tlb.asidIndex(space, asid);
        if (tlb != usual.tlb && tlb != NOTHING) {
            usual = new Place(tlb, entries, setMask);
        }
    }

    /** A view of nothing, for what does not translate. Nothing is to be filled there. */
    protected TlbView() {
        this(NOTHING, 0, 0);
    }

    /** The TLB. */
    public final Tlb tlb() {
        return tlb;
    }

    /** As {@link Tlb#lookUp}. */
    public final long lookUp(long input) {
        long found = lookUpGuessed(input);
        return found != Tlb.MISS ? found : lookUpRest(input);
    }

    private long lookUpGuessed(long input) {
        Place guess = usual;
        if (tlb != guess.tlb) {
            return lookUpFirst(input);
        }
        return Tlb.lookUpPage(
                guess.entries, generations, guess.setMask, salt, local, global, spaceIndex, asidIndex, input);
    }

    /** Where most hits are. For who does not come here by a chain of loads. */
    final long lookUpFirst(long input) {
        return Tlb.lookUpPage(entries, generations, setMask, salt, local, global, spaceIndex, asidIndex, input);
    }

    /** Everywhere. */
    final long lookUpRest(long input) {
        return tlb.search(entries, space, asid, input);
    }

    /** As {@link Tlb#conflicts}. */
    public final boolean conflicts(long input, long value) {
        return tlb.conflicts(space, asid, input, value);
    }

    /** As {@link Tlb#fill}. */
    public final void fill(long input, long value, long before) {
        tlb.fill(space, asid, input, value, before);
    }
}
