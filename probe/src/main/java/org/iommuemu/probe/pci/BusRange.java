package org.iommuemu.probe.pci;

/**
 * The buses behind a bridge.
 *
 * @param secondary the bus right behind it, 1 to 255
 * @param subordinate the highest bus behind it, at least {@code secondary}
 */
public record BusRange(int secondary, int subordinate) {
    boolean contains(int bus) {
        return bus >= secondary && bus <= subordinate;
    }

    /** As in {@code lspci -t}: {@code 11-12}, or {@code 11} alone. */
    @Override
    public String toString() {
        return secondary == subordinate ? "%02x".formatted(secondary) : "%02x-%02x".formatted(secondary, subordinate);
    }
}
