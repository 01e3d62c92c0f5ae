package org.iommuemu.nativecode.driver;

/** A driver in C that cannot be attached; one line that names the library or program and says why. */
public final class NativeDriverException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /** What is wrong. */
    public NativeDriverException(String message) {
        super(message);
    }

    NativeDriverException(String message, Throwable cause) {
        super(message, cause);
    }
}
