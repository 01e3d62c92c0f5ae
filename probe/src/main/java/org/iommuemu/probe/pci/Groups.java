package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/** A group for each function that has one. Immutable. */
public final class Groups {
    private final Map<PciAddress, Integer> numbers;
    private final SortedMap<Integer, List<PciFunction>> members = new TreeMap<>();

    /** @param numbers the group of each function that has one */
    Groups(Map<PciFunction, Integer> numbers) {
        Map<PciAddress, Integer> byAddress = new TreeMap<>();
        Map<PciAddress, PciFunction> functions = new TreeMap<>();
        numbers.forEach((function, number) -> {
            byAddress.put(function.address(), number);
            functions.put(function.address(), function);
        });
        functions.forEach((address, function) -> members.computeIfAbsent(byAddress.get(address), n -> new ArrayList<>())
                .add(function));
        members.replaceAll((number, list) -> List.copyOf(list));
        this.numbers = Collections.unmodifiableMap(byAddress);
    }

    /** The group of a function; empty if it has none. */
    public OptionalInt of(PciFunction function) {
        Integer number = numbers.get(function.address());
        return number == null ? OptionalInt.empty() : OptionalInt.of(number);
    }

    /** Functions by group, each list by address. */
    public SortedMap<Integer, List<PciFunction>> members() {
        return Collections.unmodifiableSortedMap(members);
    }

    /**
     * Groups of {@code right} whose functions are not one group here, among those that have a group here at all. Whoever is
     * given one part of such a group can reach the others.
     */
    public List<List<PciFunction>> splitOf(Groups right) {
        List<List<PciFunction>> split = new ArrayList<>();
        for (List<PciFunction> group : right.members.values()) {
            Set<Integer> parts = new LinkedHashSet<>();
            group.forEach(f -> of(f).ifPresent(parts::add));
            if (parts.size() > 1) {
                split.add(group);
            }
        }
        return split;
    }

    /** Functions that have a group in {@code right} and none here. */
    public List<PciFunction> missingOf(Groups right) {
        return right.members.values().stream()
                .flatMap(List::stream)
                .filter(f -> of(f).isEmpty())
                .sorted(Comparator.comparing(PciFunction::address))
                .toList();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Groups groups && groups.numbers.equals(numbers);
    }

    @Override
    public int hashCode() {
        return numbers.hashCode();
    }

    @Override
    public String toString() {
        return numbers.toString();
    }
}
