package org.iommuemu.harness.conformance;

/** Cases that cannot be replayed as they are; one line that names file and line, and case and step where there is one. */
public final class ConformanceException extends Exception {
    private static final long serialVersionUID = 1;

    ConformanceException(String message) {
        super(message);
    }
}
