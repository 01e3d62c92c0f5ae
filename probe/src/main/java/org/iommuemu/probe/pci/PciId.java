package org.iommuemu.probe.pci;

/**
 * Who made it and what it is; 16 bits each, 0 where unknown.
 *
 * @param vendor Vendor ID
 * @param device Device ID
 * @param subsystemVendor Subsystem Vendor ID
 * @param subsystem Subsystem ID
 */
public record PciId(int vendor, int device, int subsystemVendor, int subsystem) {
    static final PciId UNKNOWN = new PciId(0, 0, 0, 0);

    /** As {@code lspci -n} shows it: {@code 15b3:1017}. */
    @Override
    public String toString() {
        return "%04x:%04x".formatted(vendor, device);
    }
}
