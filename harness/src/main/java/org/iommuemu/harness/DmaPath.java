package org.iommuemu.harness;

import org.iommuemu.harness.grant.Backend;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.iommu.Device;

/** How a master's DMA gets to the memory of its domain. */
interface DmaPath {
    /** Moves bytes; a fault is an answer, and a report of the unit. */
    DmaPort.Response transfer(boolean write, long guestPhysical, byte[] bytes);

    /** The address that a report of the last transfer names. */
    long inputAddress();

    /** Through the port of a unit: the input address is the guest-physical one. */
    static DmaPath through(DmaPort port) {
        return new DmaPath() {
            private long last;

            @Override
            public DmaPort.Response transfer(boolean write, long guestPhysical, byte[] bytes) {
                last = guestPhysical;
                return write
                        ? port.write(guestPhysical, bytes, 0, bytes.length)
                        : port.read(guestPhysical, bytes, 0, bytes.length);
            }

            @Override
            public long inputAddress() {
                return last;
            }
        };
    }

    /** By a grant to the backend, for one transfer, with the rights that it needs. */
    static DmaPath byGrants(GrantDmaDriver driver, Device device, Backend backend) {
        return new DmaPath() {
            private long last;

            @Override
            public DmaPort.Response transfer(boolean write, long guestPhysical, byte[] bytes) {
                last = driver.mapPage(device, guestPhysical, bytes.length, !write);
                if (last == GrantDmaDriver.MAPPING_ERROR) {
                    return DmaPort.Response.ABORT;
                }
                DmaPort.Response response = write
                        ? backend.write(last, bytes, 0, bytes.length)
                        : backend.read(last, bytes, 0, bytes.length);
                driver.unmapPage(device, last);
                return response;
            }

            @Override
            public long inputAddress() {
                return last;
            }
        };
    }
}
