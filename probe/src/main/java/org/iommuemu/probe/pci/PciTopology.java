package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;

/** Functions and how they hang together. */
public final class PciTopology {
    /** Base class 06, sub-class 04. */
    static final int CLASS_BRIDGE_PCI = 0x0604;

    private static final int CLASS_BRIDGE_HOST = 0x0600;

    /** One bus of one domain; in lspci's notation {@code 000a:10}. */
    public record Bus(int domain, int number) implements Comparable<Bus> {
        static Bus of(PciAddress address) {
            return new Bus(address.domain(), address.bus());
        }

        @Override
        public int compareTo(Bus other) {
            return domain != other.domain ? Integer.compare(domain, other.domain) : number - other.number;
        }

        @Override
        public String toString() {
            return "%04x:%02x".formatted(domain, number);
        }
    }

    private final String name;
    private final Quirks quirks;
    private final Set<String> warnings;
    private final Map<PciAddress, PciFunction> functions = new TreeMap<>();
    private final Map<Bus, PciFunction> bridges = new HashMap<>();
    private final Map<PciFunction, PciFunction> physicals = new HashMap<>();
    private final Map<PciFunction, PciFunction> upstream = new HashMap<>();
    private final Map<PciFunction, List<PciFunction>> downstream = new HashMap<>();
    private final Map<Bus, List<PciFunction>> onBus = new TreeMap<>();
    private final Set<Bus> roots = new TreeSet<>();

    /** @throws PciException if no machine can be like that */
    PciTopology(String name, Collection<PciFunction> all, Quirks quirks, List<String> warnings) {
        this.name = name;
        this.quirks = quirks;
        this.warnings = new LinkedHashSet<>(warnings);
        all.forEach(f -> functions.put(f.address(), f));
        for (PciFunction function : functions.values()) {
            onBus.computeIfAbsent(Bus.of(function.address()), bus -> new ArrayList<>())
                    .add(function);
            function.buses().ifPresent(buses -> bridge(function, buses));
        }
        functions.values().forEach(this::virtualFunctions);
        functions.values().forEach(this::statedPhysical);
        functions.values().forEach(this::connect);
    }

    private void bridge(PciFunction bridge, BusRange buses) {
        // Firmware and Linux number buses downwards; anything else could be a circle.
        if (buses.secondary() <= bridge.address().bus()) {
            throw new PciException(
                    name, "%s: the bus behind it, %02x, is not above its own bus", bridge, buses.secondary());
        }
        PciFunction other = bridges.put(new Bus(bridge.address().domain(), buses.secondary()), bridge);
        if (other != null) {
            throw new PciException(name, "%s: %s has bus %02x behind it, too", bridge, other, buses.secondary());
        }
    }

    private void virtualFunctions(PciFunction physical) {
        physical.sriov().ifPresent(sriov -> {
            for (int n = 1; n <= sriov.numVfs(); n++) {
                int requesterId = sriov.requesterId(physical.address().requesterId(), n);
                PciFunction virtual =
                        functions.get(PciAddress.of(physical.address().domain(), requesterId));
                if (virtual != null && virtual != physical) {
                    physicals.put(virtual, physical);
                }
            }
        });
    }

    private void statedPhysical(PciFunction virtual) {
        virtual.physical().ifPresent(address -> {
            PciFunction physical = functions.get(address);
            if (physical == null) {
                throw new PciException(name, "%s: its physical function %s is not there", virtual, address);
            }
            if (physical == virtual || physical.physical().isPresent()) {
                throw new PciException(name, "%s: %s is no physical function", virtual, address);
            }
            if (physical.buses().isPresent() || virtual.buses().isPresent()) {
                throw new PciException(name, "%s: neither it nor its physical function can be a bridge", virtual);
            }
            physicals.put(virtual, physical);
        });
    }

    private void connect(PciFunction function) {
        PciFunction bridge = bridgeOf(function);
        if (bridge == null) {
            roots.add(Bus.of(function.address()));
            return;
        }
        upstream.put(function, bridge);
        downstream.computeIfAbsent(bridge, b -> new ArrayList<>()).add(function);
    }

    /** The bridge whose bus it is on; for a virtual function on a bus without one, its physical function's. */
    private PciFunction bridgeOf(PciFunction function) {
        PciFunction bridge = bridges.get(Bus.of(function.address()));
        if (bridge != null) {
            return bridge;
        }
        PciFunction physical = physicals.get(function);
        if (physical != null) {
            return physicals.containsKey(physical) ? null : bridgeOf(physical);
        }
        // A bridge between is missing from the file: as near as is known, and what is on that bus is one.
        Optional<PciFunction> around = bridges.values().stream()
                .filter(b -> b.address().domain() == function.address().domain())
                .filter(b -> b.buses().orElseThrow().contains(function.address().bus()))
                .max((a, b) -> Integer.compare(
                        a.buses().orElseThrow().secondary(),
                        b.buses().orElseThrow().secondary()));
        around.ifPresent(b -> warnings.add("%s: no bridge to bus %s is there: it counts as right behind %s"
                .formatted(name, Bus.of(function.address()), b)));
        return around.orElse(null);
    }

    /** The file's name. */
    public String name() {
        return name;
    }

    /** What the file leaves open, a sentence each. */
    public List<String> warnings() {
        return List.copyOf(warnings);
    }

    /** All functions, by address. */
    public List<PciFunction> functions() {
        return List.copyOf(functions.values());
    }

    /** The function there. */
    public Optional<PciFunction> function(PciAddress address) {
        return Optional.ofNullable(functions.get(address));
    }

    /** The buses that no bridge leads to: the host bridges', in order. */
    public List<Bus> rootBuses() {
        return List.copyOf(roots);
    }

    /** What is on a root bus, by address. */
    public List<PciFunction> onRootBus(Bus bus) {
        return on(bus).stream().filter(f -> !upstream.containsKey(f)).toList();
    }

    /** What is on a bus by its number, by address. */
    List<PciFunction> on(Bus bus) {
        return onBus.getOrDefault(bus, List.of());
    }

    /** What is right behind a bridge, by address; virtual functions are, wherever their numbers put them. */
    public List<PciFunction> behind(PciFunction bridge) {
        return downstream.getOrDefault(bridge, List.of());
    }

    /** The bridge that a function is right behind; empty on a root bus. */
    public Optional<PciFunction> upstream(PciFunction function) {
        return Optional.ofNullable(upstream.get(function));
    }

    /** All bridges from a function to its root bus, the nearest first. */
    Stream<PciFunction> path(PciFunction function) {
        return Stream.iterate(upstream.get(function), Objects::nonNull, upstream::get);
    }

    /** The physical function of a virtual one; empty if it is none. */
    public Optional<PciFunction> physical(PciFunction function) {
        return Optional.ofNullable(physicals.get(function));
    }

    /** Vendor and device; a virtual function's come from its physical one, as its own read as ffff (9.3.4.1.1). */
    public PciId id(PciFunction function) {
        PciFunction physical = physicals.get(function);
        if (physical == null || function.id().vendor() != 0xffff) {
            return function.id();
        }
        int device = physical.sriov().map(Sriov::vfDevice).orElse(0xffff);
        return new PciId(physical.id().vendor(), device, 0, 0);
    }

    /** What a person knows a function by: the file's description, or whose virtual function it is; may be empty. */
    public String describe(PciFunction function) {
        PciFunction physical = physicals.get(function);
        return physical == null || function.id().vendor() != 0xffff
                ? function.description()
                : "%s, virtual function of %s".formatted(id(function), physical);
    }

    Quirks quirks() {
        return quirks;
    }

    /**
     * The functions of one device: those of its slot, or, where ARI makes device numbers part of the function number,
     * those of its bus (6.13). Virtual functions are devices of their own (Linux pci_iov_add_virtfn).
     */
    List<PciFunction> device(PciFunction function) {
        if (physicals.containsKey(function)) {
            return List.of(function);
        }
        boolean ari = upstream(function).map(PciFunction::ariForwarding).orElse(false)
                && on(Bus.of(function.address())).stream().anyMatch(PciFunction::ari);
        return on(Bus.of(function.address())).stream()
                .filter(f -> !physicals.containsKey(f))
                .filter(f -> ari || f.address().device() == function.address().device())
                .toList();
    }

    /** Whether a function is one of several of its device, by its header or as others are there. */
    boolean isMultifunction(PciFunction function) {
        return !physicals.containsKey(function)
                && (function.multifunctionBit() || device(function).size() > 1);
    }

    /**
     * The driver that matches a function: the one that the file names; else {@code pcieport} for bridges, none for host
     * bridges, and for anything else an unknown one, which Linux' log calls by its bus, {@code pci}.
     */
    public Optional<String> driver(PciFunction function) {
        if (function.driver().isPresent()) {
            return function.driver().filter(driver -> !driver.equals(PciFunction.NO_DRIVER));
        }
        return switch (function.classCode()) {
            case CLASS_BRIDGE_HOST -> Optional.empty();
            case CLASS_BRIDGE_PCI -> Optional.of("pcieport");
            default -> Optional.of("pci");
        };
    }

    /** The functions that an address or a driver's name stands for; empty if there is none. */
    public Set<PciFunction> named(String word) {
        Optional<PciFunction> one = PciAddress.parse(word).map(functions::get);
        Set<PciFunction> named = new HashSet<>();
        if (one.isPresent()) {
            named.add(one.get());
        } else {
            functions.values().stream()
                    .filter(f -> driver(f).filter(word::equals).isPresent())
                    .forEach(named::add);
        }
        return named;
    }
}
