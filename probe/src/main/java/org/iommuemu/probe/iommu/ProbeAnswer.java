package org.iommuemu.probe.iommu;

import org.iommuemu.probe.devicetree.DeviceTreeNode;

/** What a driver answers when it is asked to initialise a node (Xen device_init with DEVICE_IOMMU). */
public sealed interface ProbeAnswer {
    /** The answer's number, as Xen's drivers return it. */
    Errno errno();

    /** The IOMMU is up. */
    record Initialised() implements ProbeAnswer {
        @Override
        public Errno errno() {
            return Errno.OK;
        }
    }

    /**
     * The IOMMU needs something that is not there yet; ask again later.
     *
     * @param waitsFor the node whose initialisation can change the answer; null if the driver cannot tell, and is asked
     *     again in every round
     * @param why for the log
     */
    record Deferred(DeviceTreeNode waitsFor, String why) implements ProbeAnswer {
        @Override
        public Errno errno() {
            return Errno.EAGAIN;
        }
    }

    /** No driver knows the node as an IOMMU. */
    record NotAnIommu() implements ProbeAnswer {
        @Override
        public Errno errno() {
            return Errno.EBADF;
        }
    }

    /**
     * The IOMMU is not present or cannot be used; the system goes on without it.
     *
     * @param why for the log
     */
    record Unusable(String why) implements ProbeAnswer {
        @Override
        public Errno errno() {
            return Errno.ENODEV;
        }
    }

    /**
     * Initialisation failed.
     *
     * @param errno any other error
     * @param why for the log
     */
    record Failed(Errno errno, String why) implements ProbeAnswer {}

    /**
     * The answer that has an error number.
     *
     * @param why for the log
     */
    static ProbeAnswer of(Errno errno, String why) {
        return switch (errno) {
            case OK -> new Initialised();
            case EAGAIN -> new Deferred(null, why);
            case EBADF -> new NotAnIommu();
            case ENODEV -> new Unusable(why);
            default -> new Failed(errno, why);
        };
    }
}
