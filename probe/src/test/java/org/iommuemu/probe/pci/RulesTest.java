package org.iommuemu.probe.pci;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Each rule, on the smallest machine that shows it. */
class RulesTest {
    private static final String PORT = "00:01.0 root-port bus=01 acs=on";

    private static void assertGroups(PciTopology topology, String... groups) {
        assertEquals(List.of(groups), Pci.groups(topology));
    }

    // ACS path

    @Test
    void aPortThatIsolatesIsApartFromWhatIsBehindIt() {
        assertGroups(Pci.text(PORT, "01:00.0 endpoint"), "00:01.0", "01:00.0");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "acs=off", "acs=SV-,RR+,CR+,UF+", "acs=SV+,RR-,CR+,UF+", "acs=SV+,RR+,CR+,UF-"})
    void aPortThatLacksAServiceIsOneGroupWithAllBehindIt(String acs) {
        assertGroups(
                Pci.text("00:01.0 root-port bus=01-02 " + acs, "01:00.0 pcie-pci-bridge bus=02", "02:03.0 pci"),
                "00:01.0 01:00.0 02:03.0");
    }

    @ParameterizedTest
    @ValueSource(strings = {"acs=none", "acs=SV+", "acs=RR+,CR+,TB-,DT-"})
    void aServiceThatTheCapabilityLacksNeedsNoSwitchingOn(String acs) {
        assertGroups(Pci.text("00:01.0 root-port bus=01 " + acs, "01:00.0 endpoint"), "00:01.0", "01:00.0");
    }

    @Test
    void whatIsolatesCountsOnlyIfAllAboveItDoes() {
        String[] below = {"01:00.0 upstream-port bus=02-03", "02:00.0 downstream-port bus=03 acs=on", "03:00.0 endpoint"
        };
        assertGroups(
                Pci.text("00:01.0 root-port bus=01-03", below[0], below[1], below[2]),
                "00:01.0 01:00.0 02:00.0 03:00.0");
        assertGroups(
                Pci.text("00:01.0 root-port bus=01-03 acs=on", below[0], below[1], below[2]),
                "00:01.0",
                "01:00.0",
                "02:00.0",
                "03:00.0");
    }

    @Test
    void acsCanBeSwitchedOnWhereThereIsAcs() {
        PciTopology topology = Pci.text(
                "00:01.0 root-port bus=01 acs=off", "01:00.0 endpoint", "00:02.0 root-port bus=02", "02:00.0 endpoint");
        assertGroups(topology, "00:01.0 01:00.0", "00:02.0 02:00.0");
        assertEquals(
                List.of("00:01.0", "00:02.0 02:00.0", "01:00.0"),
                Pci.show(GroupRun.right(topology, Judgement.ACS_ON, StreamIds.unknown(topology))));
    }

    @Test
    void functionsOnTheRootBusAreApart() {
        assertGroups(Pci.text("00:00.0 pci", "00:1b.0 rciep", "00:1e.0 pci"), "00:00.0", "00:1b.0", "00:1e.0");
    }

    // aliases

    @Test
    void allOnAConventionalBusAreOneGroupWithTheBridgeThatTakesTheirDmaOver() {
        PciTopology topology =
                Pci.text(PORT.replace("01 ", "01-02 "), "01:00.0 pcie-pci-bridge bus=02", "02:01.0 pci", "02:02.0 pci");
        assertGroups(topology, "00:01.0", "01:00.0 02:01.0 02:02.0");
        assertEquals(
                List.of(0x0200, 0x0208), ids(topology, "02:01.0"), "the bridge uses its secondary bus, function 0");
    }

    private static List<Integer> ids(PciTopology topology, String address) {
        SortedSet<Integer> ids = RequesterIds.of(topology, Pci.function(topology, address));
        return List.copyOf(ids);
    }

    @Test
    void aConventionalBridgeUsesItsOwnRequesterId() {
        PciTopology topology = Pci.text("00:1e.0 pci bus=01", "01:05.0 pci");
        assertEquals(List.of(0x00f0, 0x0128), ids(topology, "01:05.0"));
        assertGroups(topology, "00:1e.0 01:05.0");
    }

    @Test
    void aBridgeThatHidesItsExpressSideUsesItsSecondaryBus() {
        String[] lines = {PORT.replace("01 ", "01-02 "), "01:00.0 pci bus=02 id=1b21:1080", "02:01.0 pci"};
        assertEquals(List.of(0x0200, 0x0208), ids(Pci.text(lines), "02:01.0"));
        assertEquals(List.of(0x0100, 0x0208), ids(Pci.text(Quirks.none(), lines), "02:01.0"));
    }

    @Test
    void aRequesterIdGoesNoFurtherThanTheBridgeWhereTheIommuIs() {
        PciTopology topology =
                Pci.text("00:00.0 pci bus=01-03 id=14e4:9000", "01:00.0 pci-pcie-bridge bus=02-03", "02:00.0 endpoint");
        assertEquals(List.of(0x0100, 0x0200), ids(topology, "02:00.0"));
    }

    @Test
    void aControllerWhoseDmaBearsFunctionOneIsOneGroupWithIt() {
        String[] lines = {
            PORT,
            "01:00.0 endpoint acs=on multifunction id=1b4b:9120",
            "01:00.1 endpoint acs=on multifunction",
            "01:00.2 endpoint acs=on multifunction"
        };
        assertGroups(Pci.text(lines), "00:01.0", "01:00.0 01:00.1", "01:00.2");
        assertGroups(Pci.text(Quirks.none(), lines), "00:01.0", "01:00.0", "01:00.1", "01:00.2");
    }

    @Test
    void twoThatShareAGhostCannotBeKeptApartThoughTheGhostIsNotThere() {
        PciTopology topology = Pci.text("00:04.0 rciep alias=05.0", "00:06.0 rciep alias=05.0", "00:07.0 rciep");
        assertGroups(topology, "00:04.0 00:06.0", "00:07.0");
        assertEquals(
                List.of("00:04.0", "00:06.0", "00:07.0"),
                Pci.show(Pci.run(topology, Algorithm.HISTORIC, Pci.usual(topology))
                        .groups()),
                "Linux asks whether one is the other's alias");
    }

    @Test
    void phantomFunctionsAreAliases() {
        PciTopology topology = Pci.text(PORT, "01:00.0 endpoint phantom=2 multifunction", "01:00.1 endpoint phantom=2");
        assertEquals(List.of(0x0101, 0x0103, 0x0105, 0x0107), ids(topology, "01:00.1"));
        assertGroups(
                Pci.text(PORT, "01:00.0 endpoint phantom=3 acs=on multifunction", "01:00.5 endpoint acs=on"),
                "00:01.0",
                "01:00.0 01:00.5");
    }

    // several functions

    @Test
    void functionsOfADeviceWithoutAcsAreOneGroup() {
        assertGroups(
                Pci.text(PORT, "01:00.0 endpoint multifunction", "01:00.1 endpoint", "01:00.2 endpoint acs=on"),
                "00:01.0",
                "01:00.0 01:00.1",
                "01:00.2");
    }

    @Test
    void portsOfOneDeviceWithoutAcsAreOneGroupWithAllBehindThem() {
        assertGroups(
                Pci.text(
                        "00:1c.0 root-port multifunction bus=01",
                        "00:1c.1 root-port bus=02 acs=on",
                        "00:1c.2 root-port bus=03",
                        "01:00.0 endpoint",
                        "02:00.0 endpoint",
                        "03:00.0 endpoint"),
                "00:1c.0 00:1c.2 01:00.0 03:00.0",
                "00:1c.1",
                "02:00.0");
    }

    @Test
    void withAriAllFunctionsOfTheBusAreOneDevice() {
        String[] lines = {
            "00:01.0 root-port bus=01 acs=on ari-forwarding",
            "01:00.0 endpoint multifunction ari",
            "01:01.1 endpoint multifunction ari"
        };
        assertGroups(Pci.text(lines), "00:01.0", "01:00.0 01:01.1");
        lines[0] = lines[0].replace(" ari-forwarding", "");
        assertGroups(Pci.text(lines), "00:01.0", "01:00.0", "01:01.1");
    }

    @Test
    void virtualFunctionsStandAlone() {
        assertGroups(
                Pci.text(
                        PORT.replace("01 ", "01-02 "),
                        "01:00.0 endpoint multifunction",
                        "01:00.1 endpoint",
                        "01:10.0 endpoint pf=01:00.0",
                        "02:10.0 endpoint pf=01:00.1"),
                "00:01.0",
                "01:00.0 01:00.1",
                "01:10.0",
                "02:10.0");
    }

    @Test
    void virtualFunctionsOnABusOfTheirOwnAreBehindThePortOfThePhysicalOne() {
        assertGroups(
                Pci.text("00:01.0 root-port bus=01-02", "01:00.0 endpoint", "02:10.0 endpoint pf=01:00.0"),
                "00:01.0 01:00.0 02:10.0");
    }

    @Test
    void aCardWhoseMakerVouchesForItNeedsNoAcs() {
        String[] lines = {PORT, "01:00.0 endpoint multifunction id=8086:10c9", "01:00.1 endpoint id=8086:10c9"};
        assertGroups(Pci.text(lines), "00:01.0", "01:00.0", "01:00.1");
        assertGroups(Pci.text(Quirks.none(), lines), "00:01.0", "01:00.0 01:00.1");
    }

    @Test
    void aPortThatIsolatesByOtherMeansDoesOnceThatIsSwitchedOn() {
        PciTopology topology = Pci.text("00:1c.0 root-port bus=01 id=8086:1c10", "01:00.0 endpoint");
        assertGroups(topology, "00:1c.0 01:00.0");
        assertEquals(
                List.of("00:1c.0", "01:00.0"),
                Pci.show(GroupRun.right(topology, Judgement.ACS_ON, StreamIds.unknown(topology))));
    }

    @Test
    void portsOfMakersThatVouchForSomeOnly() {
        assertGroups(
                Pci.text(
                        "00:01.0 root-port bus=01 id=1d17:0710",
                        "00:02.0 root-port bus=02 id=1d17:0720 acs=on",
                        "01:00.0 endpoint",
                        "02:00.0 endpoint"),
                "00:01.0",
                "00:02.0 02:00.0",
                "01:00.0");
    }

    // siblings

    private static PciTopology twoPorts(String first, String second) {
        return Pci.text(
                "00:01.0 root-port bus=01-04 acs=on",
                "01:00.0 upstream-port bus=02-04",
                "02:00.0 downstream-port bus=03 " + first,
                "02:01.0 downstream-port bus=04 " + second,
                "03:00.0 endpoint",
                "04:00.0 endpoint");
    }

    @Test
    void portsOfASwitchThatLetRequestsThroughAreOneGroupWithAllBehindThem() {
        assertGroups(twoPorts("", "acs=off"), "00:01.0", "01:00.0", "02:00.0 02:01.0 03:00.0 04:00.0");
    }

    @Test
    void onePortThatLetsRequestsThroughReachesWhatIsBehindTheOthers() {
        assertGroups(twoPorts("acs=on", ""), "00:01.0", "01:00.0", "02:00.0 02:01.0 03:00.0 04:00.0");
    }

    @Test
    void portsOfASwitchThatIsolateAreApart() {
        assertGroups(twoPorts("acs=on", "acs=on"), "00:01.0", "01:00.0", "02:00.0", "02:01.0", "03:00.0", "04:00.0");
    }

    @Test
    void aSwitchThatIsolatesDoesNotHelpBehindOneThatDoesNot() {
        assertGroups(
                Pci.text(
                        "00:01.0 root-port bus=01-07 acs=on",
                        "01:00.0 upstream-port bus=02-07",
                        "02:00.0 downstream-port bus=03-06 acs=on",
                        "02:01.0 downstream-port bus=07",
                        "03:00.0 upstream-port bus=04-06",
                        "04:00.0 downstream-port bus=05 acs=on",
                        "04:01.0 downstream-port bus=06 acs=on",
                        "05:00.0 endpoint"),
                "00:01.0",
                "01:00.0",
                "02:00.0 02:01.0 03:00.0 04:00.0 04:01.0 05:00.0");
    }

    @Test
    void linuxDoesNotKnowTheRuleOfSiblings() {
        PciTopology topology = twoPorts("", "");
        List<String> linux = List.of("00:01.0", "01:00.0", "02:00.0 03:00.0", "02:01.0 04:00.0");
        assertEquals(
                linux,
                Pci.show(GroupRun.right(
                        topology, new Judgement(false, Set.of(Rule.SIBLINGS)), StreamIds.unknown(topology))));
        assertEquals(
                linux,
                Pci.show(Pci.run(topology, Algorithm.HISTORIC, Pci.usual(topology))
                        .groups()));
    }

    // StreamIDs

    private static DeviceTree board(int mask) {
        return TreeBuilder.tree()
                .begin("smmu")
                .cells("phandle", 1)
                .cells("#iommu-cells", 1)
                .end()
                .begin("off")
                .cells("phandle", 2)
                .cells("#iommu-cells", 1)
                .strings("status", "disabled")
                .end()
                .begin("pcie")
                .strings("device_type", "pci")
                .cells("linux,pci-domain", 3)
                .cells("iommu-map-mask", mask)
                .cells("iommu-map", 0, 1, 0x1000, 0x200, 0x200, 2, 0, 0x100)
                .end()
                .parse();
    }

    private static final PciTopology TWO = Pci.text(
            "0003:00:01.0 root-port bus=01 acs=on",
            "0003:01:00.0 endpoint acs=on multifunction",
            "0003:01:00.1 endpoint acs=on",
            "0003:02:00.0 rciep",
            "0003:03:00.0 rciep",
            "0000:00:00.0 pci");

    @Test
    void streamIdsComeFromTheHostBridgesMap() {
        StreamIds streams = StreamIds.of(board(0xffff), TWO);
        StreamIds.Stream stream = streams.of(Pci.function(TWO, "0003:01:00.1")).get(0);
        assertEquals("/smmu", stream.iommu().path());
        assertEquals(0x1101, stream.id());
        assertEquals(
                List.of("0003:00:01.0", "0003:01:00.0", "0003:01:00.1"),
                Pci.show(GroupRun.right(TWO, Judgement.AS_FOUND, streams)),
                "no group without an IOMMU: unmapped, behind one that is disabled, or below no host bridge");
        assertEquals(
                List.of("t: no host bridge has bus 0000:00: what is there counts as behind no IOMMU"),
                streams.warnings());
    }

    @Test
    void functionsThatTheIommuSeesAsOneAreOneGroup() {
        assertEquals(
                List.of("0003:00:01.0", "0003:01:00.0 0003:01:00.1"),
                Pci.show(GroupRun.right(TWO, Judgement.AS_FOUND, StreamIds.of(board(0xfff8), TWO))));
    }
}
