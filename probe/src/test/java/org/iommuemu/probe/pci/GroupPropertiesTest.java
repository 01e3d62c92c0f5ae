package org.iommuemu.probe.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

/** What holds for every machine and every order in which its drivers probe. */
class GroupPropertiesTest {
    @Property(tries = 300)
    void noOrderOfProbesChangesTheGroupsOfTopology(@ForAll long machine, @ForAll long order) {
        PciTopology topology = new RandomMachine(machine, true).build();
        GroupRun.Outcome usual = Pci.run(topology, Algorithm.TOPOLOGY, Pci.usual(topology));
        List<PciFunction> shuffled = new ArrayList<>(topology.functions());
        Random random = new Random(order);
        Collections.shuffle(shuffled, random);
        Set<PciFunction> some = new HashSet<>(shuffled.subList(0, random.nextInt(shuffled.size())));
        ProbeScenario other = new ProbeScenario(shuffled, some, Set.of(), some);
        assertEquals(
                usual.groups(), Pci.run(topology, Algorithm.TOPOLOGY, other).groups());
    }

    @Property(tries = 300)
    void groupsAreAPartitionThatIsClosedUnderAlias(@ForAll long machine) {
        PciTopology topology = new RandomMachine(machine, true).build();
        Groups groups = Pci.right(topology);
        assertEquals(
                topology.functions().size(),
                groups.members().values().stream().mapToInt(List::size).sum());
        Map<String, Integer> groupOfId = new HashMap<>();
        for (PciFunction function : topology.functions()) {
            int group = groups.of(function).orElseThrow();
            for (int id : RequesterIds.of(topology, function)) {
                Integer other = groupOfId.putIfAbsent(function.address().domain() + ":" + id, group);
                assertTrue(
                        other == null || other == group, () -> function + " shares a requester ID with another group");
            }
        }
    }

    /** Bonds are reasons: without any one of them a group would fall apart. */
    @Property(tries = 100)
    void aGroupHasOneBondFewerThanFunctions(@ForAll long machine) {
        PciTopology topology = new RandomMachine(machine, true).build();
        GroupRun.Outcome outcome = Pci.run(topology, Algorithm.TOPOLOGY, Pci.usual(topology));
        for (List<PciFunction> group : outcome.groups().members().values()) {
            assertEquals(
                    group.size() - 1,
                    outcome.bonds().stream().filter(b -> group.contains(b.a())).count());
        }
    }

    /** The historic algorithm puts nothing together that topology keeps apart, in whatever order. */
    @Property(tries = 300)
    void historicGroupsArePartsOfThoseOfTopology(@ForAll long machine, @ForAll long order) {
        PciTopology topology = new RandomMachine(machine, true).build();
        List<PciFunction> shuffled = new ArrayList<>(topology.functions());
        Collections.shuffle(shuffled, new Random(order));
        Groups right = Pci.right(topology);
        HistoricGroups historic = new HistoricGroups(topology, false);
        shuffled.forEach(historic::add);
        for (List<PciFunction> group : historic.groups().members().values()) {
            assertEquals(1, group.stream().map(right::of).distinct().count(), () -> Pci.show(group));
        }
    }

    /** From the root downwards, and where Linux knows the rules, it finds the same. */
    @Property(tries = 300)
    void historicGroupsAreRightFromTheRootDownwards(@ForAll long machine) {
        PciTopology topology = new RandomMachine(machine, false).build();
        HistoricGroups historic = new HistoricGroups(topology, false);
        topology.functions().forEach(historic::add);
        Groups linux =
                GroupRun.right(topology, new Judgement(false, Set.of(Rule.SIBLINGS)), StreamIds.unknown(topology));
        assertEquals(partition(linux), partition(historic.groups()));
    }

    @Test
    void ofAllOrdersTheHistoricAlgorithmIsRightWithThoseThatBeginWithThePort() {
        PciTopology topology = Pci.text(
                "00:01.0 root-port bus=01", "01:00.0 endpoint multifunction", "01:00.1 endpoint", "01:00.2 endpoint");
        Groups right = Pci.right(topology);
        int rightOnes = 0;
        for (List<PciFunction> order : permutations(topology.functions())) {
            HistoricGroups historic = new HistoricGroups(topology, false);
            order.forEach(historic::add);
            boolean isRight = partition(historic.groups()).equals(partition(right));
            assertEquals(order.get(0).buses().isPresent(), isRight, order::toString);
            rightOnes += isRight ? 1 : 0;
            assertEquals(
                    right,
                    Pci.run(topology, Algorithm.TOPOLOGY, ProbeScenario.of(order))
                            .groups());
        }
        assertEquals(6, rightOnes, "of 24");
    }

    /** The groups without their numbers. */
    private static Set<List<PciFunction>> partition(Groups groups) {
        return new HashSet<>(groups.members().values());
    }

    private static List<List<PciFunction>> permutations(List<PciFunction> of) {
        if (of.isEmpty()) {
            return List.of(List.of());
        }
        List<List<PciFunction>> all = new ArrayList<>();
        for (PciFunction first : of) {
            List<PciFunction> rest = new ArrayList<>(of);
            rest.remove(first);
            for (List<PciFunction> tail : permutations(rest)) {
                List<PciFunction> whole = new ArrayList<>(List.of(first));
                whole.addAll(tail);
                all.add(whole);
            }
        }
        return all;
    }
}
