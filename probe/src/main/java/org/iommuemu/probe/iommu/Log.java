package org.iommuemu.probe.iommu;

/** Where the software side says what it does, one line at a time. */
public interface Log {
    /** How much a line matters. */
    enum Level {
        /** Said only if the command line asks for it ({@code iommu=verbose}). */
        DEBUG,
        /** A step. */
        INFO,
        /** Something is not as it should be; the system goes on. */
        WARNING,
        /** A step failed. */
        ERROR
    }

    /**
     * Says one line.
     *
     * @param subsystem who speaks: a driver, "iommu" for the framework
     */
    void say(Level level, String subsystem, String text);

    /** A step. */
    default void info(String subsystem, String text) {
        say(Level.INFO, subsystem, text);
    }

    /** A detail. */
    default void debug(String subsystem, String text) {
        say(Level.DEBUG, subsystem, text);
    }

    /** Something is not as it should be. */
    default void warning(String subsystem, String text) {
        say(Level.WARNING, subsystem, text);
    }

    /** A step failed. */
    default void error(String subsystem, String text) {
        say(Level.ERROR, subsystem, text);
    }

    /**
     * A fault of a device's DMA that an IOMMU reported by interrupt.
     *
     * @param fault what the driver read from the unit
     */
    void fault(FaultReport fault);
}
