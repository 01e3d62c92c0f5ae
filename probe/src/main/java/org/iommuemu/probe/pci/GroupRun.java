package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Runs drivers' probes over a topology and sees which groups come of it. */
public final class GroupRun {
    /**
     * What came of it.
     *
     * @param groups the groups
     * @param bonds what holds them together; none with the algorithms that look at probe order
     * @param log the lines of a boot log, as {@code dmesg} has them
     * @param unprobed functions whose driver still waits at the end
     */
    public record Outcome(Groups groups, List<Bond> bonds, List<String> log, List<PciFunction> unprobed) {}

    private final PciTopology topology;
    private final Algorithm algorithm;
    private final StreamIds streams;
    private final ProbeScenario scenario;
    private final HistoricGroups historic;
    private final Groups known;
    private final List<Bond> bonds;
    private final List<String> log = new ArrayList<>();
    private final Set<PciFunction> probed = new LinkedHashSet<>();
    private final Set<PciFunction> bound = new LinkedHashSet<>();
    private final Map<PciFunction, List<PciFunction>> waiting = new HashMap<>();

    private GroupRun(
            PciTopology topology, Algorithm algorithm, Judgement judgement, StreamIds streams, ProbeScenario scenario) {
        this.topology = topology;
        this.algorithm = algorithm;
        this.streams = streams;
        this.scenario = scenario;
        this.historic = new HistoricGroups(topology, judgement.acsOn());
        if (algorithm == Algorithm.TOPOLOGY) {
            TopologyGroups.Result result = TopologyGroups.of(topology, judgement, streams);
            known = result.groups();
            bonds = result.bonds();
        } else {
            known = null;
            bonds = List.of();
        }
    }

    /** The groups that are right: those of topology, whatever drivers do. */
    public static Groups right(PciTopology topology, Judgement judgement, StreamIds streams) {
        return TopologyGroups.of(topology, judgement, streams).groups();
    }

    /** Probes every function that has a driver. */
    public static Outcome run(
            PciTopology topology, Algorithm algorithm, Judgement judgement, StreamIds streams, ProbeScenario scenario) {
        return new GroupRun(topology, algorithm, judgement, streams, scenario).run();
    }

    private Outcome run() {
        if (algorithm == Algorithm.TOPOLOGY) {
            topology.functions().forEach(f -> known.of(f).ifPresent(group -> say("pci", f, added(group))));
        }
        List<PciFunction> deferred = new ArrayList<>();
        List<PciFunction> late = new ArrayList<>();
        for (PciFunction function : scenario.order()) {
            if (topology.driver(function).isEmpty()) {
                continue;
            }
            if (scenario.late().contains(function)
                    || topology.physical(function).isPresent()) {
                late.add(function);
            } else if (scenario.deferred().contains(function) && streams.translates(function)) {
                say(function, "probe deferral - its IOMMU is not ready");
                deferred.add(function);
            } else {
                probe(function);
            }
        }
        deferred.forEach(this::probe);
        late.forEach(this::probe);
        // A virtual function whose physical one's driver failed is not there, and so does not wait.
        List<PciFunction> unprobed = scenario.order().stream()
                .filter(f -> topology.driver(f).isPresent() && !probed.contains(f))
                .filter(f -> topology.physical(f).filter(probed::contains).isEmpty())
                .toList();
        unprobed.stream()
                .filter(f -> topology.physical(f).isEmpty())
                .forEach(f -> say("pci", f, "deferred probe pending"));
        Groups groups = known != null ? known : historic.groups();
        return new Outcome(groups, bonds, List.copyOf(log), unprobed);
    }

    private void probe(PciFunction function) {
        Optional<PciFunction> maker = topology.physical(function)
                .filter(physical -> topology.driver(physical).isPresent() && !bound.contains(physical));
        if (maker.isPresent()) {
            // It is not there before the driver of its physical function makes it.
            waitFor(maker.get(), function);
            return;
        }
        if (algorithm == Algorithm.DEVICE_LINKS) {
            Optional<PciFunction> supplier = topology.upstream(function).filter(bridge -> !bound.contains(bridge));
            if (supplier.isPresent()) {
                say(function, "probe deferral - supplier %s not ready".formatted(supplier.get()));
                waitFor(supplier.get(), function);
                return;
            }
        }
        probed.add(function);
        // The bus makes DMA ready, and with it the group, before it calls the driver (really_probe, dma_configure).
        if (algorithm != Algorithm.TOPOLOGY && streams.translates(function)) {
            say(function, added(historic.add(function)));
        }
        if (scenario.failing().contains(function)) {
            log.add("%s: probe of %s failed with error -5".formatted(driver(function), function));
        } else if (binds(function)) {
            bound.add(function);
            Optional.ofNullable(waiting.remove(function)).orElse(List.of()).forEach(this::probe);
        }
    }

    private void waitFor(PciFunction other, PciFunction function) {
        waiting.computeIfAbsent(other, o -> new ArrayList<>()).add(function);
    }

    /** Linux' pcieport driver matches every PCI bridge, and then takes ports only. */
    private boolean binds(PciFunction function) {
        return function.buses().isEmpty() || function.type().isPort();
    }

    private String driver(PciFunction function) {
        return topology.driver(function).orElse("pci");
    }

    private static String added(int group) {
        return "Adding to iommu group " + group;
    }

    private void say(PciFunction function, String what) {
        say(driver(function), function, what);
    }

    private void say(String who, PciFunction function, String what) {
        log.add("%s %s: %s".formatted(who, function, what));
    }
}
