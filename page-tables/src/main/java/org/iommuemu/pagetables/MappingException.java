package org.iommuemu.pagetables;

/** Why a table could not be changed as asked. It translates as before; blocks may have been split into smaller ones. */
public final class MappingException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What was wrong. */
    public enum Reason {
        /** The range is empty, or an address or size is not a multiple of the page size. */
        MISALIGNED("is not aligned to pages"),
        /** The input range is not within the input size. */
        INPUT_SIZE("lies beyond the input address size"),
        /** The output range is not within the output size. */
        OUTPUT_SIZE("lies beyond the output address size"),
        /** Part of the input range is mapped already. */
        OVERLAP("overlaps an existing mapping"),
        /** Part of the input range is not mapped. */
        NOT_MAPPED("is not mapped throughout"),
        /** No RAM is left for tables. */
        OUT_OF_MEMORY("needs more RAM for tables than there is");

        private final String text;

        Reason(String text) {
            this.text = text;
        }
    }

    private final Reason reason;

    /**
     * What was asked for, and what was wrong with it.
     *
     * @param input first input address
     * @param size in bytes
     */
    public MappingException(Reason reason, long input, long size) {
        super("mapping of 0x%x bytes at 0x%x %s".formatted(size, input, reason.text));
        this.reason = reason;
    }

    /** What was wrong. */
    public Reason reason() {
        return reason;
    }
}
