package org.iommuemu.probe.pci;

import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * One function as its configuration space, or the text form, describes it. Two are equal only if they are the same one.
 */
public final class PciFunction {
    /** In place of a driver's name: there is none. */
    static final String NO_DRIVER = "none";

    private final PciAddress address;
    private final PciId id;
    private final int classCode;
    private final PcieType type;
    private final boolean multifunctionBit;
    private final BusRange buses;
    private final Acs acs;
    private final boolean ari;
    private final boolean ariForwarding;
    private final int phantomBits;
    private final Sriov sriov;
    private final PciAddress physical;
    private final Set<Integer> aliases;
    private final boolean translated;
    private final String description;
    private final String driver;
    private final OptionalInt kernelGroup;

    PciFunction(FunctionDraft draft) {
        address = draft.address;
        id = draft.id;
        classCode = draft.classCode;
        type = draft.type;
        multifunctionBit = draft.multifunction;
        buses = draft.buses;
        acs = draft.acs;
        ari = draft.ari;
        ariForwarding = draft.ariForwarding;
        phantomBits = draft.phantomBits;
        sriov = draft.sriov;
        physical = draft.physical;
        aliases = Set.copyOf(draft.aliases);
        translated = draft.translated;
        description = draft.description;
        driver = draft.driver;
        kernelGroup = draft.kernelGroup;
    }

    /** Where it is. */
    public PciAddress address() {
        return address;
    }

    /** Vendor and device. */
    public PciId id() {
        return id;
    }

    /** Base class 15:8 and sub-class 7:0. */
    public int classCode() {
        return classCode;
    }

    /** What it is on the fabric. */
    public PcieType type() {
        return type;
    }

    /** The buses behind it; empty if it is no bridge, or one that firmware left unconfigured. */
    public Optional<BusRange> buses() {
        return Optional.ofNullable(buses);
    }

    /** Its ACS; empty without the capability, and where extended configuration space is not known. */
    public Optional<Acs> acs() {
        return Optional.ofNullable(acs);
    }

    /** What the file says of it, without its class; empty where it says nothing. */
    public String description() {
        return description;
    }

    /** The driver that matches it, or {@link #NO_DRIVER}; empty where the file does not say. */
    public Optional<String> driver() {
        return Optional.ofNullable(driver);
    }

    /** The group that the kernel of the dumped machine gave it, if the file says so. */
    public OptionalInt kernelGroup() {
        return kernelGroup;
    }

    /** Whether an IOMMU stands before it: true unless the text form says {@code no-iommu}. */
    boolean translated() {
        return translated;
    }

    /** Bit 7 of Header Type. */
    boolean multifunctionBit() {
        return multifunctionBit;
    }

    /** Whether it has the ARI capability (7.8.8). */
    boolean ari() {
        return ari;
    }

    /** Whether this port passes requests by 8-bit function numbers (Device Control 2, bit 5). */
    boolean ariForwarding() {
        return ariForwarding;
    }

    /** How many of the upper bits of the function number its phantom functions take; 0 unless they are enabled. */
    int phantomBits() {
        return phantomBits;
    }

    Optional<Sriov> sriov() {
        return Optional.ofNullable(sriov);
    }

    /** The physical function that the text form names; lspci's dumps leave it to the SR-IOV capability. */
    Optional<PciAddress> physical() {
        return Optional.ofNullable(physical);
    }

    /** Devfns that the text form gives as further sources of its DMA. */
    Set<Integer> aliases() {
        return aliases;
    }

    @Override
    public String toString() {
        return address.toString();
    }
}
