package org.iommuemu.pagetables;

/**
 * A {@link Tlb} as one configuration looks into it: at the translations of one space and one ASID. What a look-up needs of
 * these is worked out once, here. Immutable; for any thread.
 */
public class TlbView {
    /** Nothing is ever found here. */
    private static final Tlb NOTHING = new Tlb(1, 1);

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
        long found = lookUpFirst(input);
        return found != Tlb.MISS ? found : lookUpRest(input);
    }

    /** Where most hits are. */
    final long lookUpFirst(long input) {
        return Tlb.lookUpPage(entries, generations, setMask, salt, local, global, spaceIndex, asidIndex, input);
    }

    /** Everywhere. */
    final long lookUpRest(long input) {
        return tlb.search(entries, space, asid, input);
    }

    /** As {@link Tlb#fill}. */
    public final void fill(long input, long value, long before) {
        tlb.fill(space, asid, input, value, before);
    }
}
