package org.iommuemu.nativecode.driver;

import java.io.IOException;
import java.util.List;

/** A driver's operations, whichever way it came in. One call at a time; irq runs inside of another. */
interface DriverCalls {
    /** Its short name. */
    String name();

    /** What it drives. */
    List<String> compatible();

    /** Whether its units walk the host's tables. */
    boolean sharesTables();

    /**
     * Calls an operation.
     *
     * @param arguments without the driver; numbers where C has a domain or master: ADD_DEVICE (master, device, iommu,
     *     StreamIDs…), ATTACH (domain, master, id, input bits, start level, table), DETACH (domain, master), others as in C
     * @return what it returned; 0 if the driver does not have it
     * @throws IOException if the driver is gone
     */
    int call(Operation operation, long... arguments) throws IOException;

    /** What IOVA_TO_PHYS found. */
    long found();

    /**
     * Nobody waits for it any more. Ends what can be ended.
     *
     * @return for the log: whether anything of it is left
     */
    String abandon();

    /** The driver was closed. */
    void end();
}
