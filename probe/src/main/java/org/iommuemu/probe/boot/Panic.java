package org.iommuemu.probe.boot;

/** The hypervisor stops: its last words. */
public final class Panic extends RuntimeException {
    private static final long serialVersionUID = 1;

    Panic(String message) {
        super(message);
    }
}
