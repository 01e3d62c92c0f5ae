package org.iommuemu.probe.pci;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/** What keeps functions apart (Linux drivers/pci/pci.c). Remembers paths; of one thread. */
final class Isolation {
    private final PciTopology topology;
    private final boolean switchedOn;
    private final Map<PciFunction, Boolean> paths = new HashMap<>();

    /** @param switchedOn whether ACS counts as on wherever there is ACS */
    Isolation(PciTopology topology, boolean switchedOn) {
        this.topology = topology;
        this.switchedOn = switchedOn;
    }

    /**
     * Whether nothing passes through this function from one peer to another, with what ACS it has or without
     * (pci_acs_enabled with REQ_ACS_FLAGS). On a conventional bus everything sees everything. A port says by its ACS
     * (6.12.1.1). Anything else needs ACS only as one of several functions (6.12.1.2, 6.12.1.3).
     */
    boolean isolates(PciFunction function) {
        Optional<Boolean> quirk = topology.quirks().isolates(topology.id(function), function.type(), switchedOn);
        if (quirk.isPresent()) {
            return quirk.get();
        }
        return switch (function.type()) {
            case CONVENTIONAL, RESERVED, PCIE_TO_PCI_BRIDGE, PCI_TO_PCIE_BRIDGE, RC_EVENT_COLLECTOR -> false;
            case ROOT_PORT, DOWNSTREAM_PORT -> acsIsolates(function);
            case ENDPOINT, LEGACY_ENDPOINT, UPSTREAM_PORT, RC_INTEGRATED_ENDPOINT ->
                !topology.isMultifunction(function) || acsIsolates(function);
        };
    }

    private boolean acsIsolates(PciFunction function) {
        return function.acs()
                .map(acs -> switchedOn ? acs.switchedOn() : acs)
                .map(Acs::isolates)
                .orElse(false);
    }

    /** Whether a bridge and every one above it isolate (pci_acs_path_enabled). */
    boolean pathIsolates(PciFunction bridge) {
        Boolean known = paths.get(bridge);
        if (known == null) {
            known = isolates(bridge)
                    && topology.upstream(bridge).map(this::pathIsolates).orElse(true);
            paths.put(bridge, known);
        }
        return known;
    }

    /** Why a function does not isolate, for a person. */
    String why(PciFunction function) {
        return switch (function.type()) {
            case CONVENTIONAL -> function + " is conventional PCI";
            case PCIE_TO_PCI_BRIDGE, PCI_TO_PCIE_BRIDGE, RC_EVENT_COLLECTOR, RESERVED ->
                "a %s (%s) never isolates".formatted(function.type().word(), function);
            case ROOT_PORT, DOWNSTREAM_PORT, ENDPOINT, LEGACY_ENDPOINT, UPSTREAM_PORT, RC_INTEGRATED_ENDPOINT ->
                function + function.acs().map(acs -> " has ACS " + acs).orElse(" has no ACS");
        };
    }
}
