package org.iommuemu.harness;

/** A device tree that is well formed, but describes a board that cannot be built; one line that names tree and node. */
public final class BoardException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What is wrong. */
    public BoardException(String message) {
        super(message);
    }
}
