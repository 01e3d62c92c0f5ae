package org.iommuemu.probe.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * HiSilicon's D05 board in September 2019: its SMMUs came up after the driver of PCI ports and before that of its network
 * card, https://lore.kernel.org/r/9625faf4-48ef-2dd3-d82f-931d9cf26976@huawei.com.
 */
class D05Test {
    private static final List<String> BEFORE_THE_SMMU = List.of("pcieport", "serial");
    private static final String PORT_WITH_ALL = "000a:10:00.0 000a:11:00.0 000a:11:00.1 000a:11:00.2 000a:11:00.3";

    private PciTopology d05;

    @BeforeEach
    void read() throws IOException {
        d05 = PciFile.read(Pci.BOARDS.resolve("d05.pci"));
    }

    @Test
    void physicalFunctionsStandAloneAndThePortComesLaterWithTheVirtualOnes() {
        GroupRun.Outcome outcome =
                Pci.run(d05, Algorithm.HISTORIC, Pci.scenario(d05, BEFORE_THE_SMMU, List.of(), List.of()));
        assertEquals(
                List.of(
                        "mlx5_core 000a:11:00.0: Adding to iommu group 0",
                        "mlx5_core 000a:11:00.1: Adding to iommu group 1",
                        "pcieport 0002:f8:00.0: Adding to iommu group 2",
                        "pcieport 0004:88:00.0: Adding to iommu group 3",
                        "pcieport 0005:78:00.0: Adding to iommu group 4",
                        "pcieport 000a:10:00.0: Adding to iommu group 5",
                        "pcieport 000c:20:00.0: Adding to iommu group 6",
                        "pcieport 000d:30:00.0: Adding to iommu group 7",
                        "serial 0002:f9:00.0: Adding to iommu group 2",
                        "serial 0002:f9:00.1: Adding to iommu group 2",
                        "mlx5_core 000a:11:00.2: Adding to iommu group 5",
                        "mlx5_core 000a:11:00.3: Adding to iommu group 5"),
                outcome.log().stream()
                        .filter(line -> line.contains("iommu group"))
                        .toList(),
                "PCI functions in the order and with the groups of the mail's log, less the platform devices between");
        assertEquals(
                List.of(PORT_WITH_ALL),
                outcome.groups().splitOf(Pci.right(d05)).stream().map(Pci::show).toList());
    }

    @Test
    void theCardsDriverLoadedLateFindsThePortsGroup() {
        GroupRun.Outcome outcome =
                Pci.run(d05, Algorithm.HISTORIC, Pci.scenario(d05, BEFORE_THE_SMMU, List.of("mlx5_core"), List.of()));
        assertEquals(
                List.of(
                        "0002:f8:00.0 0002:f9:00.0 0002:f9:00.1",
                        "0004:88:00.0",
                        "0005:78:00.0",
                        PORT_WITH_ALL,
                        "000c:20:00.0",
                        "000d:30:00.0"),
                Pci.show(outcome.groups()));
        assertEquals(List.of(), outcome.groups().splitOf(Pci.right(d05)));
    }

    @Test
    void aFunctionWithoutDriverHasNoGroupInTheHistoricAlgorithm() {
        GroupRun.Outcome outcome = Pci.run(d05, Algorithm.HISTORIC, Pci.usual(d05));
        assertEquals("0002:f9:00.2 000c:21:00.0", Pci.show(outcome.groups().missingOf(Pci.right(d05))));
    }

    @Test
    void deviceLinksGiveTheRightGroups() {
        GroupRun.Outcome outcome =
                Pci.run(d05, Algorithm.DEVICE_LINKS, Pci.scenario(d05, BEFORE_THE_SMMU, List.of(), List.of()));
        assertTrue(outcome.log().contains("mlx5_core 000a:11:00.0: probe deferral - supplier 000a:10:00.0 not ready"));
        assertEquals(List.of(), outcome.groups().splitOf(Pci.right(d05)));
        assertEquals(List.of(), outcome.unprobed());
    }

    @Test
    void deviceLinksLeaveEveryChildUnprobedIfTheBridgesDriverFails() {
        GroupRun.Outcome outcome = Pci.run(
                d05, Algorithm.DEVICE_LINKS, Pci.scenario(d05, BEFORE_THE_SMMU, List.of(), List.of("000a:10:00.0")));
        assertTrue(outcome.log().contains("pcieport: probe of 000a:10:00.0 failed with error -5"));
        assertEquals("000a:11:00.0 000a:11:00.1 000a:11:00.2 000a:11:00.3", Pci.show(outcome.unprobed()));
        assertEquals(4 + 2, outcome.groups().missingOf(Pci.right(d05)).size(), "and the two without driver");
    }

    @Test
    void virtualFunctionsOfADriverThatFailedAreNotThereAndWaitForNothing() {
        GroupRun.Outcome outcome =
                Pci.run(d05, Algorithm.HISTORIC, Pci.scenario(d05, List.of(), List.of(), List.of("mlx5_core")));
        assertEquals(List.of(), outcome.unprobed());
        assertTrue(outcome.groups().of(Pci.function(d05, "000a:11:00.0")).isPresent(), "it got one before it failed");
        assertTrue(outcome.groups().of(Pci.function(d05, "000a:11:00.2")).isEmpty());
    }

    @Test
    void aFailingBridgeChangesNothingForTheOthers() {
        ProbeScenario fails = Pci.scenario(d05, BEFORE_THE_SMMU, List.of("mlx5_core"), List.of("000a:10:00.0"));
        assertEquals(List.of(), Pci.run(d05, Algorithm.HISTORIC, fails).unprobed());
        GroupRun.Outcome ours = Pci.run(d05, Algorithm.TOPOLOGY, fails);
        assertEquals(Pci.right(d05), ours.groups());
        assertEquals(List.of(), ours.unprobed());
    }

    @Test
    void groupsOfTopologyAreRightWhateverTheOrder() {
        List<String> right = List.of(
                "0002:f8:00.0 0002:f9:00.0 0002:f9:00.1 0002:f9:00.2",
                "0004:88:00.0",
                "0005:78:00.0",
                PORT_WITH_ALL,
                "000c:20:00.0 000c:21:00.0",
                "000d:30:00.0");
        List<PciFunction> order = new ArrayList<>(d05.functions());
        for (int i = 0; i < 100; i++) {
            Collections.shuffle(order, new Random(i));
            assertEquals(
                    right,
                    Pci.show(Pci.run(d05, Algorithm.TOPOLOGY, ProbeScenario.of(order))
                            .groups()));
        }
    }

    @Test
    void whatStandsBehindNoIommuHasNoGroup() {
        assertTrue(Pci.right(d05).of(Pci.function(d05, "0007:91:00.0")).isEmpty());
    }
}
