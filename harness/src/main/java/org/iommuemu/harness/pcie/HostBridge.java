package org.iommuemu.harness.pcie;

/** The host bridge as function 00.0: identification only. */
final class HostBridge extends PciFunction {
    HostBridge() {
        super("gpex-root", new Identity(0x1b36, 0x0008, 0x0600, 0), 0);
    }

    @Override
    public long read(long offset, int size) {
        return 0;
    }

    @Override
    public void write(long offset, int size, long value) {}
}
