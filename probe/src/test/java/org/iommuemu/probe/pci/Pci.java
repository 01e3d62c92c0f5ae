package org.iommuemu.probe.pci;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Topologies for tests, and groups in a form that a test can read. */
final class Pci {
    static final Path BOARDS = Path.of("..", "boards", "pci");

    private Pci() {}

    /** A topology of the text form; the lines without their first. */
    static PciTopology text(String... lines) {
        return text(Quirks.known(), lines);
    }

    static PciTopology text(Quirks quirks, String... lines) {
        return parse("pci-topology\n" + String.join("\n", lines), quirks);
    }

    static PciTopology parse(String content, Quirks quirks) {
        return PciFile.parse("t", content.getBytes(StandardCharsets.UTF_8), quirks);
    }

    static PciFunction function(PciTopology topology, String address) {
        return topology.function(PciAddress.parse(address).orElseThrow()).orElseThrow();
    }

    /** Groups of topology as lines, by number: the addresses, without a domain of 0. */
    static List<String> groups(PciTopology topology) {
        return show(right(topology));
    }

    static Groups right(PciTopology topology) {
        return GroupRun.right(topology, Judgement.AS_FOUND, StreamIds.unknown(topology));
    }

    static List<String> show(Groups groups) {
        return groups.members().values().stream().map(Pci::show).toList();
    }

    static String show(List<PciFunction> functions) {
        return functions.stream()
                .map(f -> f.toString().replaceFirst("^0000:", ""))
                .collect(Collectors.joining(" "));
    }

    static GroupRun.Outcome run(PciTopology topology, Algorithm algorithm, ProbeScenario scenario) {
        return GroupRun.run(topology, algorithm, Judgement.AS_FOUND, StreamIds.unknown(topology), scenario);
    }

    static ProbeScenario usual(PciTopology topology) {
        return ProbeScenario.of(ProbeScenario.usualOrder(topology, List.of()));
    }

    /** The usual boot, with drivers or addresses that defer, come late or fail. */
    static ProbeScenario scenario(
            PciTopology topology, List<String> deferred, List<String> late, List<String> failing) {
        return new ProbeScenario(
                ProbeScenario.usualOrder(topology, List.of()),
                named(topology, deferred),
                named(topology, late),
                named(topology, failing));
    }

    private static Set<PciFunction> named(PciTopology topology, List<String> words) {
        return words.stream().flatMap(word -> topology.named(word).stream()).collect(Collectors.toSet());
    }

    /** The bonds' rules, in order and without repetition. */
    static List<Rule> rules(PciTopology topology) {
        return GroupRun.run(
                        topology, Algorithm.TOPOLOGY, Judgement.AS_FOUND, StreamIds.unknown(topology), usual(topology))
                .bonds()
                .stream()
                .map(Bond::rule)
                .distinct()
                .toList();
    }
}
