package org.iommuemu.probe.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What two kernels made of one machine of QEMU's: boards/pci/dump-linux. */
class LinuxDumpsTest {
    /** Linux' SMMUv3 driver refuses a second device on one StreamID, and both conventional cards come as 07:00.0, too. */
    private static final String REFUSED = "07:02.0";

    private static PciTopology dump(String name) throws IOException {
        return PciFile.read(Pci.BOARDS.resolve(name));
    }

    private static Groups kernels(PciTopology topology) {
        Map<PciFunction, Integer> groups = new HashMap<>();
        topology.functions().forEach(f -> f.kernelGroup().ifPresent(group -> groups.put(f, group)));
        return new Groups(groups);
    }

    @Test
    void linux61FindsEachGroupAsADriverProbes() throws IOException {
        PciTopology topology = dump("virt-linux-6.1.lspci");
        Groups ours = Pci.run(topology, Algorithm.HISTORIC, Pci.usual(topology)).groups();
        int compared = 0;
        for (PciFunction function : topology.functions()) {
            if (function.kernelGroup().isPresent()) {
                assertEquals(function.kernelGroup(), ours.of(function), function::toString);
                compared++;
            }
        }
        assertEquals(19, compared);
        assertEquals(OptionalInt.empty(), ours.of(Pci.function(topology, "00:00.0")), "no driver, no group");
        assertEquals(REFUSED, Pci.show(kernels(topology).missingOf(ours)));
        assertEquals(List.of(), ours.splitOf(Pci.right(topology)));
    }

    @Test
    void linux61sLogHasTheSameGroups() throws IOException {
        PciTopology topology = dump("virt-linux-6.1.lspci");
        List<String> log = Files.readAllLines(Pci.BOARDS.resolve("virt-linux-6.1.lspci.dmesg"));
        assertEquals(19, log.size());
        Groups ours = Pci.run(topology, Algorithm.HISTORIC, Pci.usual(topology)).groups();
        for (String line : log) {
            String[] words = line.substring(line.indexOf(']') + 2).split("[ :]+");
            String address = line.replaceFirst(".* (\\S+): Adding to iommu group \\d+", "$1");
            assertEquals(
                    OptionalInt.of(Integer.parseInt(words[words.length - 1])),
                    ours.of(Pci.function(topology, address)),
                    line);
        }
    }

    @Test
    void linux72GroupsByTopologyToo() throws IOException {
        PciTopology topology = dump("virt-linux-7.2.lspci");
        Groups withoutSiblings =
                GroupRun.right(topology, new Judgement(false, Set.of(Rule.SIBLINGS)), StreamIds.unknown(topology));
        assertEquals(REFUSED, Pci.show(kernels(topology).missingOf(withoutSiblings)));
        assertEquals(List.of(), kernels(topology).splitOf(withoutSiblings));
        assertEquals(List.of(), withoutSiblings.splitOf(kernels(topology)));
        List<List<PciFunction>> differ = kernels(topology).splitOf(Pci.right(topology));
        assertEquals(
                List.of("02:00.0 02:01.0 03:00.0 04:00.0"),
                differ.stream().map(Pci::show).toList());
    }

    @Test
    void linux61LeftAcsOffAnd72SwitchedItOn() throws IOException {
        PciTopology off = dump("virt-linux-6.1.lspci");
        PciTopology on = dump("virt-linux-7.2.lspci");
        Acs before = Pci.function(off, "00:01.0").acs().orElseThrow();
        Acs after = Pci.function(on, "00:01.0").acs().orElseThrow();
        assertEquals("SV- TB- RR- CR- UF- DT-", before.toString());
        assertEquals("SV+ TB- RR+ CR+ UF+ DT-", after.toString());
        assertEquals(after, before.switchedOn());
        assertEquals(Pci.right(on), GroupRun.right(off, Judgement.ACS_ON, StreamIds.unknown(off)));
    }

    @Test
    void virtualFunctionsAreKnownByTheCapabilityOfTheirPhysicalOne() throws IOException {
        PciTopology topology = dump("virt-linux-7.2.lspci");
        PciFunction virtual = Pci.function(topology, "05:00.2");
        assertEquals("05:00.0", Pci.show(List.of(topology.physical(virtual).orElseThrow())));
        assertEquals("1b36:0010", topology.id(virtual).toString());
        assertEquals("1b36:0010, virtual function of 0000:05:00.0", topology.describe(virtual));
    }

    @Test
    void withoutExtendedSpaceAcsIsUnknownAndTheReaderSaysSo() throws IOException {
        String whole = Files.readString(Pci.BOARDS.resolve("virt-linux-7.2.lspci"));
        PciTopology cut = Pci.parse(whole.replaceAll("(?m)^[0-9a-f]{3}: .*\\n", ""), Quirks.known());
        assertEquals(1, cut.warnings().size());
        assertTrue(
                cut.warnings()
                        .get(0)
                        .startsWith("t: no extended configuration space of 17 PCI Express functions is there"),
                cut.warnings()::toString);
        assertTrue(Pci.function(cut, "00:01.0").acs().isEmpty());
        PciTopology header = Pci.parse(whole.replaceAll("(?m)^([0-9a-f]{3}|[4-9a-f].): .*\\n", ""), Quirks.known());
        assertEquals(
                "t: only the first 64 bytes of 21 functions are there: they count as conventional PCI; lspci -xxxx, as "
                        + "root, shows all",
                header.warnings().get(0));
    }
}
