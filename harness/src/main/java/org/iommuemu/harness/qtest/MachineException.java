package org.iommuemu.harness.qtest;

/** A machine that cannot be built as it was asked for; the message names the option or device. */
public final class MachineException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** @param message names the option or device */
    public MachineException(String message) {
        super(message);
    }
}
