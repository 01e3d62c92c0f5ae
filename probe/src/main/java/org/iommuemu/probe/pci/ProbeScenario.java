package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * In which order drivers probe, and what comes in between. A driver that defers finds its IOMMU not up; it is asked again
 * once, after all that are built in, as Linux does at late_initcall. Late drivers are modules, loaded after that; virtual
 * functions come last with them, as someone writes {@code sriov_numvfs} when the system is up.
 *
 * @param order all functions
 * @param deferred those that are asked before their IOMMU is up
 * @param late those whose driver is loaded after the deferred ones were asked again
 * @param failing those whose driver's probe fails
 */
public record ProbeScenario(
        List<PciFunction> order, Set<PciFunction> deferred, Set<PciFunction> late, Set<PciFunction> failing) {
    /** Copies all four. */
    public ProbeScenario {
        order = List.copyOf(order);
        deferred = Set.copyOf(deferred);
        late = Set.copyOf(late);
        failing = Set.copyOf(failing);
    }

    /**
     * Nothing defers and nothing fails.
     *
     * @param order all functions
     */
    public static ProbeScenario of(List<PciFunction> order) {
        return new ProbeScenario(order, Set.of(), Set.of(), Set.of());
    }

    /**
     * The order of a usual boot: bridges, whose driver registers early, then all else by address.
     *
     * @param first those that probe before all others, in this order
     */
    public static List<PciFunction> usualOrder(PciTopology topology, List<PciFunction> first) {
        Set<PciFunction> order = new LinkedHashSet<>(first);
        topology.functions().stream().filter(f -> f.buses().isPresent()).forEach(order::add);
        order.addAll(topology.functions());
        return new ArrayList<>(order);
    }
}
