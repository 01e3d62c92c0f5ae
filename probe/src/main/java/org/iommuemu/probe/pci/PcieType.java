package org.iommuemu.probe.pci;

import java.util.Arrays;
import java.util.Optional;

/** What a function is on the fabric: the Device/Port Type of its PCI Express Capabilities Register (7.5.3.2, 7:4). */
public enum PcieType {
    /** A PCI Express endpoint. */
    ENDPOINT(0, "endpoint"),
    /** An endpoint that may use I/O space and locks. */
    LEGACY_ENDPOINT(1, "legacy-endpoint"),
    /** A port of the root complex, towards a link. */
    ROOT_PORT(4, "root-port"),
    /** The port of a switch towards the root. */
    UPSTREAM_PORT(5, "upstream-port"),
    /** A port of a switch towards a link. */
    DOWNSTREAM_PORT(6, "downstream-port"),
    /** A bridge from a link to a conventional bus. */
    PCIE_TO_PCI_BRIDGE(7, "pcie-pci-bridge"),
    /** A bridge from a conventional bus to a link. */
    PCI_TO_PCIE_BRIDGE(8, "pci-pcie-bridge"),
    /** An endpoint inside the root complex. */
    RC_INTEGRATED_ENDPOINT(9, "rciep"),
    /** A collector of events inside the root complex. */
    RC_EVENT_COLLECTOR(10, "event-collector"),
    /** A value that no revision of the specification defines. */
    RESERVED(-1, "reserved"),
    /** No PCI Express capability: PCI or PCI-X. */
    CONVENTIONAL(-2, "pci");

    private final int bits;
    private final String word;

    PcieType(int bits, String word) {
        this.bits = bits;
        this.word = word;
    }

    static PcieType of(int bits) {
        return Arrays.stream(values()).filter(t -> t.bits == bits).findFirst().orElse(RESERVED);
    }

    static Optional<PcieType> of(String word) {
        return Arrays.stream(values())
                .filter(t -> t != RESERVED && t.word.equals(word))
                .findFirst();
    }

    /** Its name in the text form and in reports. */
    public String word() {
        return word;
    }

    /** Whether Linux' {@code pcieport} driver binds to it. */
    public boolean isPort() {
        return this == ROOT_PORT || this == UPSTREAM_PORT || this == DOWNSTREAM_PORT;
    }
}
