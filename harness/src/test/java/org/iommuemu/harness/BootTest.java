package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Set;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.Log;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Boots of whole boards: models, drivers, domain 0 and DMA. */
class BootTest {
    static final Path BOARDS = Path.of("..", "boards");

    private static final String PANIC = "Couldn't configure correctly all the IOMMUs.";

    /** Keeps what a boot said. */
    static final class Lines implements Log {
        final List<String> lines = new ArrayList<>();
        final List<FaultReport> faults = new ArrayList<>();

        @Override
        public void say(Level level, String subsystem, String text) {
            lines.add(level + " " + subsystem + ": " + text);
        }

        @Override
        public void fault(FaultReport fault) {
            faults.add(fault);
        }
    }

    private final Lines log = new Lines();

    private BootReport boot(DeviceTree tree, BootOptions options) {
        return BootRun.run(tree, options, log);
    }

    private BootReport boot(String board, BootOptions options) throws IOException {
        return boot(DeviceTree.read(BOARDS.resolve(board)), options);
    }

    private static BootOptions line(String commandLine) {
        return new BootOptions(commandLine, List.of(), Set.of(), OptionalInt.empty());
    }

    private static BootOptions fail(String... failures) {
        return new BootOptions("", List.of(failures), Set.of(), OptionalInt.empty());
    }

    private static BootOptions without(String... drivers) {
        return new BootOptions("", List.of(), Set.of(drivers), OptionalInt.empty());
    }

    private static void assertBooted(BootReport report) {
        assertNull(report.panic());
        assertEquals("OK", report.rc());
        assertTrue(report.ioVirtualisation());
        report.iommus().forEach(iommu -> assertTrue(iommu.up(), iommu::toString));
        report.masters().forEach(master -> assertTrue(master.ok(), master::toString));
    }

    private static BootReport.Iommu iommu(BootReport report, String path) {
        return report.iommus().stream()
                .filter(i -> i.path().equals(path))
                .findFirst()
                .orElseThrow();
    }

    private static BootReport.MasterResult master(BootReport report, String path) {
        return report.masters().stream()
                .filter(m -> m.path().equals(path))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void rootProbesAfterItsCachesWereDeferred() throws IOException {
        BootReport report = boot("rcar-gen3.dtb", BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(1, report.rounds());
        assertEquals(7, report.iommus().size(), "six caches and the root; the disabled cache is not there");
        for (BootReport.Iommu iommu : report.iommus()) {
            assertEquals(iommu.kind().equals("ipmmu-root") ? List.of("OK") : List.of("EAGAIN", "OK"), iommu.answers());
        }
        assertEquals("0xe67b0000", iommu(report, "/soc/iommu@e67b0000").base());
    }

    @Test
    void everyMicroTlbOfEveryMasterDoesDma() throws IOException {
        BootReport report = boot("rcar-gen3.dtb", BootOptions.DEFAULT);
        assertEquals(11, report.masters().size());
        assertEquals(57, report.masters().stream().mapToInt(m -> m.ids().size()).sum());
        // The micro-TLB registers behind number 31 are elsewhere.
        assertEquals(List.of(32L), master(report, "/soc/mmc@ee100000").ids());
        for (BootReport.MasterResult master : report.masters()) {
            assertEquals("TF", master.fault());
            assertEquals(0, master.domain());
        }
        assertEquals(11, log.faults.size(), "one provoked fault a master, no other");
    }

    @Test
    void gen4UnitsBootWithTheirWindowsAndContexts() throws IOException {
        BootReport report = boot("rcar-gen4.dtb", BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(0, report.rounds());
        assertEquals(
                List.of(4L, 33L), master(report, "/soc/dma-engine@ea000000").ids());
    }

    @Test
    void functionsBehindAPcieHostGoToMicroTlbs() throws IOException {
        BootReport report = boot("rcar-gen4-s4.dtb", BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(1, report.rounds(), "the root stands behind its four caches");
        assertEquals(
                List.of(0L, 1L, 2L, 3L), master(report, "/soc/pcie@e65d0000").ids());
    }

    @Test
    void functionsBehindIommuMapGoToTheStreamsThatItGives() throws IOException {
        BootReport report = boot("smmuv3-pcie.dtb", BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(2, report.iommus().size(), "the disabled SMMU is not there");
        List<BootReport.MasterResult> functions = report.masters().stream()
                .filter(m -> m.path().equals("/pcie@40000000"))
                .toList();
        // The mask takes the function number away: the last requester ID of an entry is ...f8.
        assertEquals("/iommu@2b400000", functions.get(0).iommu());
        assertEquals(List.of(0L, 0xf8L, 0x4100L, 0x41f8L), functions.get(0).ids());
        assertEquals("/iommu@2b600000", functions.get(1).iommu());
        assertEquals(List.of(0x800L, 0xbf8L), functions.get(1).ids());
    }

    @Test
    void theFaultThatArrivesIsTheOneThatWasProvoked() throws IOException {
        BootReport report = boot("smmuv3-pcie.dtb", BootOptions.DEFAULT);
        assertEquals(report.masters().size(), log.faults.size());
        for (int i = 0; i < log.faults.size(); i++) {
            FaultReport fault = log.faults.get(i);
            BootReport.MasterResult master = report.masters().get(i);
            assertEquals("F_TRANSLATION", fault.fault());
            assertEquals(master.iommu(), fault.iommu().path());
            assertEquals(master.ids().get(0), fault.streamId());
        }
    }

    @Test
    void registersBehindNestedBusesAreFoundAndTheirInterruptsArrive() throws IOException {
        BootReport report = boot("soc-ranges.dtb", BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(
                List.of("0x1020040000", "0x1800400000"),
                report.iommus().stream().map(BootReport.Iommu::base).toList());
    }

    @Test
    void aBoardWithoutIommusBoots() throws IOException {
        BootReport report = boot("no-iommu.dtb", BootOptions.DEFAULT);
        assertNull(report.panic());
        assertEquals("ENODEV", report.rc());
        assertFalse(report.ioVirtualisation());
        assertEquals(List.of(), report.iommus());
        assertEquals(List.of(), report.masters());
    }

    @ParameterizedTest
    @ValueSource(strings = {"rcar-gen3.dtb", "rcar-gen4.dtb", "rcar-gen4-s4.dtb", "smmuv3-pcie.dtb", "soc-ranges.dtb"})
    void aTableOfTheirOwnServesTheIommusAsWell(String board) throws IOException {
        assertBooted(boot(board, line("iommu=no-sharept")));
    }

    @Test
    void scenario1NoDriverBuiltInIsNoPanic() throws IOException {
        BootReport report = boot("rcar-gen3.dtb", without("ipmmu"));
        assertNull(report.panic());
        assertFalse(report.ioVirtualisation());
        assertEquals(List.of(), report.masters());
        report.iommus().forEach(iommu -> assertEquals(List.of("EBADF"), iommu.answers()));
    }

    @Test
    void scenario2AnSocWhoseP2mCannotBeSharedIsNoPanic() throws IOException {
        BootReport report = boot("rcar-gen3.dtb", new BootOptions("", List.of(), Set.of(), OptionalInt.of(0x4f10)));
        assertNull(report.panic());
        assertEquals("ENODEV", report.rc());
        report.iommus().forEach(iommu -> assertEquals(List.of("ENODEV"), iommu.answers()));
    }

    @Test
    void scenario3IommuOffIsNoPanicAndTouchesNoRegister() throws IOException {
        BootReport report = boot("rcar-gen3.dtb", line("console=dtuart iommu=0"));
        assertNull(report.panic());
        assertFalse(report.ioVirtualisation());
        report.iommus().forEach(iommu -> assertEquals(List.of(), iommu.answers()));
    }

    @Test
    void scenario5AFailureIsAPanic() throws IOException {
        BootReport first = boot("rcar-gen3.dtb", fail("/soc/iommu@e6570000=ENOMEM"));
        assertEquals(PANIC, first.panic());
        assertEquals("ENOMEM", first.rc());
        assertEquals(
                1, first.iommus().stream().filter(i -> !i.answers().isEmpty()).count());

        BootReport second = boot("smmuv3-pcie.dtb", fail("/iommu@2b600000=EIO"));
        assertEquals(PANIC, second.panic());
        assertEquals(List.of("OK"), iommu(second, "/iommu@2b400000").answers());
        assertFalse(second.ioVirtualisation());
        assertEquals(List.of(), second.masters());
    }

    @Test
    void scenario6DeferralWithoutEndOrAnErrorAfterItIsAPanic() throws IOException {
        BootReport always = boot("rcar-gen3.dtb", fail("/soc/iommu@e6740000=EAGAIN"));
        assertEquals(PANIC, always.panic());
        assertEquals("EAGAIN", always.rc());
        assertEquals(2, always.rounds());

        BootReport later = boot("rcar-gen3.dtb", fail("/soc/iommu@e6740000=ENXIO@2"));
        assertEquals(PANIC, later.panic());
        assertEquals("ENXIO", later.rc());
        assertEquals(
                List.of("EAGAIN", "ENXIO"), iommu(later, "/soc/iommu@e6740000").answers());
    }

    @Test
    void forceIsAPanicWhereNothingCanBeEnabled() throws IOException {
        assertEquals(
                "Couldn't enable IOMMU and iommu=required/force",
                boot("no-iommu.dtb", line("iommu=force")).panic());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "/soc/iommu@e6740000",
                "/soc/iommu@e6740000=EWHATEVER",
                "/soc/iommu@e6740000=OK",
                "/soc/iommu@e6740000=EAGAIN@0",
                "/soc/iommu@e6740000=EAGAIN@x",
                "/nowhere=EAGAIN",
                "/cpus=EAGAIN",
                "/soc/iommu@fe990000=EAGAIN"
            })
    void aFailureThatCannotBeIsOneClearError(String failure) {
        String message = assertThrows(BoardException.class, () -> boot("rcar-gen3.dtb", fail(failure)))
                .getMessage();
        assertTrue(message.contains(failure.replaceFirst("=.*", "")), message);
        assertFalse(message.contains("\n"));
    }

    private static TreeBuilder board() {
        return TreeBuilder.tree().cells("#address-cells", 2).cells("#size-cells", 2);
    }

    private static TreeBuilder memory(TreeBuilder tree) {
        return tree.begin("memory@40000000")
                .strings("device_type", "memory")
                .cells("reg", 0, 0x40000000, 0, 0x40000000)
                .end();
    }

    private static TreeBuilder smmu(TreeBuilder tree, int base, int phandle) {
        return tree.begin("iommu@" + Integer.toHexString(base))
                .strings("compatible", "arm,smmu-v3")
                .cells("reg", 0, base, 0, 0x20000)
                .cells("#iommu-cells", 1)
                .cells("phandle", phandle)
                .end();
    }

    @Test
    void ramIsChosenWhereTheTreeLeavesItToTheBootLoader() {
        BootReport report = boot(smmu(board(), 0x40000000, 1).parse(), BootOptions.DEFAULT);
        assertBooted(report);
        assertTrue(
                log.lines.contains(
                        "WARNING boot: the tree leaves RAM to the boot loader: 1 GiB at 0x80000000 is assumed"),
                log.lines::toString);
    }

    @Test
    void overlappingRegistersAreOneClearError() {
        DeviceTree tree =
                smmu(smmu(memory(board()), 0x2b400000, 1), 0x2b410000, 2).parse();
        String message = assertThrows(BoardException.class, () -> boot(tree, BootOptions.DEFAULT))
                .getMessage();
        assertTrue(message.contains("/iommu@2b410000") && message.contains("/iommu@2b400000"), message);
    }

    @Test
    void aFaultWithoutAnInterruptIsToldAsNotReported() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("dma")
                .cells("iommus", 1, 5)
                .end()
                .parse();
        BootReport report = boot(tree, BootOptions.DEFAULT);
        assertEquals("ok", report.masters().get(0).dma());
        assertEquals("ABORT, not reported", report.masters().get(0).fault());
    }

    @Test
    void streamIdsAreAsWideAsTheBoardNeeds() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("dma")
                .cells("iommus", 1, 0x1ffffff)
                .end()
                .parse();
        BootReport report = boot(tree, BootOptions.DEFAULT);
        assertEquals("ok", report.masters().get(0).dma());
    }

    @Test
    void aStreamBeyondTheDriversTableCannotBeAssigned() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("dma")
                .cells("iommus", 1, 0x80000000)
                .end()
                .parse();
        BootReport report = boot(tree, BootOptions.DEFAULT);
        assertEquals("not assigned: ERANGE", report.masters().get(0).dma());
        assertEquals(List.of(0x80000000L), report.masters().get(0).ids());
        assertNull(report.masters().get(0).domain());
    }

    @Test
    void whoNamesAnIommuThatNoDriverIsForGoesOnWithoutItAfterTheTimeout() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("iommu@2b800000")
                .strings("compatible", "arm,mmu-500")
                .cells("#iommu-cells", 1)
                .cells("phandle", 2)
                .end()
                .begin("dma")
                .cells("iommus", 1, 5)
                .end()
                .begin("gpu")
                .cells("iommus", 2, 5)
                .end()
                .parse();
        BootReport report = boot(tree, BootOptions.DEFAULT.then("create dom1", "assign dom1 /gpu"));
        assertBooted(report);
        assertEquals(1, report.masters().size(), "of those that there is a model in front of");
        assertTrue(
                log.lines.contains("WARNING iommu: /gpu: deferred probe timeout, ignoring dependency"),
                log.lines::toString);
        assertEquals("EINVAL", report.operations().get(1).answer(), "nothing protects it");
    }

    @Test
    void aDeviceThatIsKeptForAGuestIsNotForDomain0() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("dma")
                .cells("iommus", 1, 5)
                .end()
                .begin("nic")
                .cells("iommus", 1, 0x1ffff)
                .cells("xen,passthrough")
                .end()
                .parse();
        BootReport report = boot(
                tree,
                BootOptions.DEFAULT.then(
                        "dma /nic 0x40000000", "create dom1", "assign dom1 /nic", "dma /nic 0x40000000"));
        assertBooted(report);
        assertEquals(
                List.of("/dma"),
                report.masters().stream().map(BootReport.MasterResult::path).toList());
        assertTrue(log.lines.contains("INFO boot: /nic: xen,passthrough: it is not for d0"), log.lines::toString);
        assertEquals(List.of("ENODEV", "OK", "OK", "OK"), answers(report), "it is added when it is assigned");
    }

    @Test
    void whatAnIommuCannotTellApartIsNotForTwoDomains() {
        DeviceTree tree = smmu(memory(board()), 0x2b400000, 1)
                .begin("one")
                .cells("iommus", 1, 5, 1, 6)
                .end()
                .begin("two")
                .cells("iommus", 1, 6)
                .end()
                .parse();
        BootReport report = boot(
                tree,
                BootOptions.DEFAULT.then(
                        "create dom1",
                        "deassign dom0 /two",
                        "assign dom1 /two",
                        "deassign dom0 /one",
                        "assign dom1 /two"));
        assertBooted(report);
        assertEquals(List.of("OK", "OK", "EBUSY", "OK", "OK"), answers(report));
    }

    @Test
    void oneDomainMayHaveTheBackendsOfDevicesOfSeveral() {
        TreeBuilder tree = memory(board())
                .begin("iommu")
                .strings("compatible", "xen,grant-dma")
                .cells("#iommu-cells", 1)
                .cells("phandle", 1)
                .end();
        for (String name : List.of("one", "two")) {
            tree.begin(name).cells("iommus", 1, 7).end();
        }
        BootReport report =
                boot(tree.parse(), BootOptions.DEFAULT.then("create dom1", "deassign dom0 /two", "assign dom1 /two"));
        assertEquals(List.of("OK", "OK", "OK"), answers(report));
    }

    @Test
    void registersThatEndBeforeADriverNeedsThemAreAPanicAndNotAnError() throws IOException {
        ByteBuffer blob = ByteBuffer.wrap(Files.readAllBytes(BOARDS.resolve("rcar-gen4.dtb")));
        for (int i = 0; i + 16 <= blob.capacity(); i += 4) {
            if (blob.getLong(i) == 0xeeec0000L && blob.getLong(i + 8) == 0x20000) {
                blob.putLong(i + 8, 0x1000);
            }
        }
        BootReport report = boot(
                DeviceTree.parse("short", blob.array()),
                new BootOptions("", List.of(), Set.of(), OptionalInt.empty(), true, Set.of()));
        assertTrue(report.panic().startsWith("external abort: "), report::panic);
    }

    private static List<String> answers(BootReport report) {
        return report.operations().stream().map(BootReport.Operation::answer).toList();
    }

    @Test
    void hostBridgesThatStateNoDomainAreCounted() {
        TreeBuilder tree = smmu(memory(board()), 0x2b400000, 1);
        for (int i = 0; i < 2; i++) {
            tree.begin("pcie@" + i)
                    .strings("device_type", "pci")
                    .cells("iommu-map", 0, 1, i << 16, 1)
                    .end();
        }
        BootReport report = boot(
                tree.parse(),
                BootOptions.DEFAULT.then(
                        "create dom1", "assign dom1 00:00.0", "assign dom1 0001:00:00.0", "assign dom1 0002:00:00.0"));
        assertEquals(List.of("OK", "OK", "OK", "ENODEV"), answers(report));
    }

    @Test
    void aMasterBehindTwoIommusCannotBeAssigned() {
        DeviceTree tree = smmu(smmu(memory(board()), 0x2b400000, 1), 0x2b600000, 2)
                .begin("dma")
                .cells("iommus", 1, 5, 2, 5)
                .end()
                .parse();
        assertEquals(
                "not assigned: EINVAL",
                boot(tree, BootOptions.DEFAULT).masters().get(0).dma());
    }

    @Test
    void anSmmuWithoutRegistersIsAnErrorOfItsProbe() {
        DeviceTree tree = memory(board())
                .begin("iommu")
                .strings("compatible", "arm,smmu-v3")
                .cells("#iommu-cells", 1)
                .end()
                .parse();
        BootReport report = boot(tree, BootOptions.DEFAULT);
        assertEquals(PANIC, report.panic());
        assertEquals("EINVAL", report.rc());
        assertNull(report.iommus().get(0).base());
    }

    @Test
    void noRamBesideWhatIsReservedIsOneClearError() {
        DeviceTree tree = smmu(memory(board().reserve(0x40000000, 0x40000000)), 0x2b400000, 1)
                .parse();
        String message = assertThrows(BoardException.class, () -> boot(tree, BootOptions.DEFAULT))
                .getMessage();
        assertTrue(message.contains("/memory"), message);
    }

    @Test
    void driversDoNothingThatTheArchitectureDoesNotForesee() throws IOException {
        for (String board : new String[] {"rcar-gen3.dtb", "rcar-gen4.dtb", "smmuv3-pcie.dtb", "soc-ranges.dtb"}) {
            boot(board, BootOptions.DEFAULT);
        }
        assertEquals(
                List.of(), log.lines.stream().filter(l -> l.contains("misuse")).toList());
    }

    @Test
    void manyCachesBeforeTheirRootTakeOneRound() {
        TreeBuilder tree = memory(board()).strings("compatible", "renesas,r8a77965");
        int caches = 10_000;
        tree.begin("prr@fff00044")
                .strings("compatible", "renesas,prr")
                .cells("reg", 0, 0xfff00044, 0, 4)
                .end();
        for (int i = 0; i < caches; i++) {
            tree.begin("iommu@10" + i)
                    .strings("compatible", "renesas,ipmmu-r8a77965")
                    .cells("reg", 0x10, i << 12, 0, 0x1000)
                    .cells("renesas,ipmmu-main", 7, i)
                    .end();
        }
        tree.begin("interrupt-controller")
                .strings("compatible", "arm,gic-400")
                .cells("#interrupt-cells", 3)
                .cells("phandle", 8)
                .cells("interrupt-controller")
                .end();
        tree.begin("iommu@e67b0000")
                .strings("compatible", "renesas,ipmmu-r8a77965")
                .cells("reg", 0, 0xe67b0000, 0, 0x1000)
                .cells("interrupt-parent", 8)
                .cells("interrupts", 0, 196, 4)
                .cells("phandle", 7)
                .end();
        BootReport report = boot(tree.parse(), BootOptions.DEFAULT);
        assertBooted(report);
        assertEquals(1, report.rounds());
        assertEquals(
                2 * caches + 1,
                report.iommus().stream().mapToInt(i -> i.answers().size()).sum());
    }
}
