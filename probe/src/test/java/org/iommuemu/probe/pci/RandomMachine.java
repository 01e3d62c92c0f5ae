package org.iommuemu.probe.pci;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/** A machine that could be: ports, switches, conventional buses, several functions, virtual ones. */
final class RandomMachine {
    private static final List<String> ACS =
            List.of("", "", "acs=on", "acs=on", "acs=off", "acs=none", "acs=SV+,RR+,CR-,UF+");
    private static final int DEEPEST = 4;

    private final Random random;
    private final boolean aliases;
    private final List<String> lines = new ArrayList<>();
    private int lastBus;

    /** @param aliases whether devices have aliases and phantom functions */
    RandomMachine(long seed, boolean aliases) {
        this.random = new Random(seed);
        this.aliases = aliases;
    }

    PciTopology build() {
        for (int device = 0; device <= random.nextInt(4); device++) {
            switch (random.nextInt(4)) {
                case 0 -> functions(0, device, "rciep");
                case 1 -> bridge(0, device, 0, "pci", 0);
                default -> {
                    for (int function = 0; function <= random.nextInt(3); function++) {
                        bridge(0, device, function, "root-port", 0);
                    }
                }
            }
        }
        return Pci.text(lines.toArray(String[]::new));
    }

    private String acs() {
        return ACS.get(random.nextInt(ACS.size()));
    }

    private static String at(int bus, int device, int function) {
        return "%02x:%02x.%d".formatted(bus, device, function);
    }

    private void bridge(int bus, int device, int function, String type, int depth) {
        int secondary = ++lastBus;
        int line = lines.size();
        lines.add("");
        switch (type) {
            case "root-port", "downstream-port" -> link(secondary, depth + 1);
            case "upstream-port" -> {
                for (int port = 0; port <= random.nextInt(3); port++) {
                    bridge(secondary, port, 0, "downstream-port", depth + 1);
                }
            }
            default -> {
                for (int slot = 0; slot <= random.nextInt(3); slot++) {
                    if (depth < DEEPEST && random.nextInt(4) == 0) {
                        bridge(secondary, slot, 0, "pci", depth + 1);
                    } else {
                        functions(secondary, slot, "pci");
                    }
                }
            }
        }
        lines.set(line, "%s %s bus=%02x-%02x %s".formatted(at(bus, device, function), type, secondary, lastBus, acs()));
    }

    private void link(int bus, int depth) {
        switch (depth < DEEPEST ? random.nextInt(4) : 3) {
            case 0 -> bridge(bus, 0, 0, "upstream-port", depth);
            case 1 -> bridge(bus, 0, 0, "pcie-pci-bridge", depth);
            default -> {
                functions(bus, 0, "endpoint");
                for (int virtual = 0; virtual < random.nextInt(3); virtual++) {
                    lines.add("%s endpoint pf=%s".formatted(at(bus, 16 + virtual, 0), at(bus, 0, 0)));
                }
            }
        }
    }

    private void functions(int bus, int device, String type) {
        for (int function = 0; function <= random.nextInt(3); function++) {
            String more = "";
            if (aliases && random.nextInt(5) == 0) {
                more = " alias=%02x.%d".formatted(random.nextInt(4), random.nextInt(3));
            } else if (aliases && random.nextInt(8) == 0 && !type.equals("pci")) {
                more = " phantom=1";
            }
            lines.add("%s %s %s%s".formatted(at(bus, device, function), type, acs(), more));
        }
    }
}
