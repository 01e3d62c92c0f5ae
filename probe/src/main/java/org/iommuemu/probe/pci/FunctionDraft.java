package org.iommuemu.probe.pci;

import java.util.OptionalInt;
import java.util.Set;
import java.util.TreeSet;

/** A function while it is read. Mutable, of one thread. */
final class FunctionDraft {
    final PciAddress address;
    PciId id = PciId.UNKNOWN;
    int classCode;
    PcieType type = PcieType.CONVENTIONAL;
    boolean multifunction;
    BusRange buses;
    Acs acs;
    boolean ari;
    boolean ariForwarding;
    int phantomBits;
    Sriov sriov;
    PciAddress physical;
    final Set<Integer> aliases = new TreeSet<>();
    boolean translated = true;
    String description = "";
    /** The driver that matches; null where the file does not say. */
    String driver;

    OptionalInt kernelGroup = OptionalInt.empty();

    FunctionDraft(PciAddress address) {
        this.address = address;
    }

    PciFunction build() {
        return new PciFunction(this);
    }
}
