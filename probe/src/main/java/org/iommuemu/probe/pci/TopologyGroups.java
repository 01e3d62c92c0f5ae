package org.iommuemu.probe.pci;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Groups from topology alone. Every rule names pairs that cannot be kept apart, and a group is what pairs hang together: no
 * rule asks who was there first, so that the order in which anything probes has nothing to change.
 */
final class TopologyGroups {
    private final PciTopology topology;
    private final Isolation isolation;
    private final Set<Rule> without;
    private final Map<PciFunction, PciFunction> leaders = new HashMap<>();
    private final List<Bond> bonds = new ArrayList<>();

    private TopologyGroups(PciTopology topology, Judgement judgement, StreamIds streams) {
        this.topology = topology;
        this.isolation = new Isolation(topology, judgement.acsOn());
        this.without = judgement.without();
        for (PciFunction function : topology.functions()) {
            aliases(function);
            path(function);
            multiFunction(function);
            siblings(function);
        }
        sharedRequesterIds();
        streams.shared(topology).forEach(this::bond);
    }

    /**
     * The groups, numbered by their lowest addresses, and the bonds that hold them together, one fewer than a group has
     * functions.
     */
    static Result of(PciTopology topology, Judgement judgement, StreamIds streams) {
        TopologyGroups groups = new TopologyGroups(topology, judgement, streams);
        Map<PciFunction, Integer> numbers = new HashMap<>();
        Map<PciFunction, Integer> numberOfLeader = new HashMap<>();
        for (PciFunction function : topology.functions()) {
            if (streams.translates(function)) {
                numbers.put(
                        function,
                        numberOfLeader.computeIfAbsent(groups.leader(function), leader -> numberOfLeader.size()));
            }
        }
        return new Result(new Groups(numbers), List.copyOf(groups.bonds));
    }

    record Result(Groups groups, List<Bond> bonds) {}

    /** A bridge that takes a function's DMA over as its own is where the IOMMU's sight ends. */
    private void aliases(PciFunction function) {
        for (PciFunction owner : RequesterIds.owners(topology, function)) {
            bond(new Bond(Rule.ALIAS, function, owner, "%s takes over the DMA of %s".formatted(owner, function)));
        }
    }

    private void sharedRequesterIds() {
        Map<Long, PciFunction> users = new TreeMap<>();
        for (PciFunction function : topology.functions()) {
            for (int id : RequesterIds.of(topology, function)) {
                long where = (long) function.address().domain() << Integer.SIZE | id;
                PciFunction user = users.putIfAbsent(where, function);
                if (user != null) {
                    PciAddress address = PciAddress.of(function.address().domain(), id);
                    bond(new Bond(
                            Rule.ALIAS, user, function, "DMA of either may come as that of %s".formatted(address)));
                }
            }
        }
    }

    private void path(PciFunction function) {
        topology.upstream(function)
                .filter(bridge -> !isolation.pathIsolates(bridge))
                .ifPresent(bridge -> {
                    PciFunction culprit = isolation.isolates(bridge)
                            ? topology.path(bridge)
                                    .filter(b -> !isolation.isolates(b))
                                    .findFirst()
                                    .orElseThrow()
                            : bridge;
                    bond(new Bond(Rule.ACS_PATH, bridge, function, isolation.why(culprit)));
                });
    }

    private void multiFunction(PciFunction function) {
        if (!topology.isMultifunction(function) || isolation.isolates(function)) {
            return;
        }
        for (PciFunction other : topology.device(function)) {
            if (other.address().compareTo(function.address()) < 0 && !isolation.isolates(other)) {
                bond(new Bond(Rule.MULTI_FUNCTION, other, function, "one device, and " + isolation.why(other)));
                return;
            }
        }
    }

    /** ACS controls what leaves a port, so that one that lets requests through reaches what is behind all the others. */
    private void siblings(PciFunction upstreamPort) {
        if (upstreamPort.type() != PcieType.UPSTREAM_PORT) {
            return;
        }
        List<PciFunction> ports = topology.behind(upstreamPort);
        ports.stream()
                .filter(port -> port.type() != PcieType.DOWNSTREAM_PORT || !isolation.isolates(port))
                .findFirst()
                .ifPresent(open -> {
                    for (PciFunction reached : subtree(ports)) {
                        if (reached != open) {
                            bond(new Bond(Rule.SIBLINGS, open, reached, isolation.why(open)));
                        }
                    }
                });
    }

    private List<PciFunction> subtree(List<PciFunction> from) {
        List<PciFunction> all = new ArrayList<>();
        Deque<PciFunction> open = new ArrayDeque<>(from);
        while (!open.isEmpty()) {
            PciFunction next = open.remove();
            all.add(next);
            open.addAll(topology.behind(next));
        }
        return all;
    }

    private PciFunction leader(PciFunction function) {
        PciFunction at = function;
        for (PciFunction next = leaders.get(at); next != null; next = leaders.get(at)) {
            PciFunction over = leaders.get(next);
            if (over != null) {
                leaders.put(at, over);
            }
            at = next;
        }
        return at;
    }

    private void bond(Bond bond) {
        PciFunction a = leader(bond.a());
        PciFunction b = leader(bond.b());
        if (a != b && !without.contains(bond.rule())) {
            leaders.put(b, a);
            bonds.add(bond);
        }
    }
}
