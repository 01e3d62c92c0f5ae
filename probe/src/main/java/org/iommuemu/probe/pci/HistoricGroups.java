package org.iommuemu.probe.pci;

import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;

/**
 * Groups as Linux makes them: each function, when it comes, looks for one that is there already, upwards and at its side,
 * and founds one otherwise (iommu.c, pci_device_group and what it calls). It never looks downwards, so that a bridge that
 * comes after what is behind it does not find them. Mutable, of one thread.
 */
final class HistoricGroups {
    private final PciTopology topology;
    private final Isolation isolation;
    private final Map<PciFunction, Integer> groups = new HashMap<>();
    private int next;

    HistoricGroups(PciTopology topology, boolean switchedOn) {
        this.topology = topology;
        this.isolation = new Isolation(topology, switchedOn);
    }

    Groups groups() {
        return new Groups(groups);
    }

    /** The number of the group that a function gets; the one that it has, if it has one. */
    int add(PciFunction function) {
        Integer has = groups.get(function);
        if (has == null) {
            has = find(function).orElseGet(() -> next++);
            groups.put(function, has);
        }
        return has;
    }

    private Optional<Integer> find(PciFunction function) {
        PciFunction at = function;
        for (PciFunction owner : RequesterIds.owners(topology, function)) {
            at = owner;
            if (groups.containsKey(owner)) {
                return Optional.of(groups.get(owner));
            }
        }
        for (Optional<PciFunction> bridge = topology.upstream(at);
                bridge.isPresent() && !isolation.pathIsolates(bridge.get());
                bridge = topology.upstream(at)) {
            at = bridge.get();
            if (groups.containsKey(at)) {
                return Optional.of(groups.get(at));
            }
        }
        BitSet seen = new BitSet();
        Optional<Integer> ofAlias = ofAlias(at, seen);
        return ofAlias.isPresent() ? ofAlias : ofOtherFunction(at, seen);
    }

    /** get_pci_alias_group. */
    private Optional<Integer> ofAlias(PciFunction function, BitSet seen) {
        if (seen.get(function.address().devfn())) {
            return Optional.empty();
        }
        seen.set(function.address().devfn());
        if (groups.containsKey(function)) {
            return Optional.of(groups.get(function));
        }
        for (PciFunction other : topology.on(PciTopology.Bus.of(function.address()))) {
            if (other != function && areAliases(function, other)) {
                Optional<Integer> found = ofAlias(other, seen);
                found = found.isPresent() ? found : ofOtherFunction(other, seen);
                if (found.isPresent()) {
                    return found;
                }
            }
        }
        return Optional.empty();
    }

    /** get_pci_function_alias_group: by slot, also where ARI is on. */
    private Optional<Integer> ofOtherFunction(PciFunction function, BitSet seen) {
        if (!topology.isMultifunction(function) || isolation.isolates(function)) {
            return Optional.empty();
        }
        for (PciFunction other : topology.on(PciTopology.Bus.of(function.address()))) {
            if (other != function
                    && other.address().device() == function.address().device()
                    && !isolation.isolates(other)) {
                Optional<Integer> found = ofAlias(other, seen);
                if (found.isPresent()) {
                    return found;
                }
            }
        }
        return Optional.empty();
    }

    /** pci_devs_are_dma_aliases. */
    private boolean areAliases(PciFunction a, PciFunction b) {
        return RequesterIds.devfns(topology, a).contains(b.address().devfn())
                || RequesterIds.devfns(topology, b).contains(a.address().devfn());
    }
}
