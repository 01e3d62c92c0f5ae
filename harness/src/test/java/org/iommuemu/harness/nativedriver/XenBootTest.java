package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;
import org.iommuemu.harness.BootOptions;
import org.iommuemu.harness.BootReport;
import org.iommuemu.harness.BootRun;
import org.iommuemu.harness.DriverInC;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.nativecode.driver.NativeDriver;
import org.iommuemu.nativecode.driver.NativeDriverException;
import org.iommuemu.nativecode.driver.NativeDrivers;
import org.iommuemu.nativecode.driver.Via;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Boots with Xen's own drivers, and the same boots with ours. */
@Tag("xen")
class XenBootTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;
    private static final Path BOARDS = Path.of("..", "boards");

    @BeforeEach
    void needXen() throws IOException {
        Xen.need();
    }

    static Stream<Arguments> ways() {
        return Stream.of(Via.values())
                .filter(via -> via.unavailable().isEmpty())
                .flatMap(via -> Arrays.stream(Kind.values()).map(kind -> Arguments.of(kind, via)));
    }

    @ParameterizedTest
    @MethodSource("ways")
    void everyUnitComesUpOverEveryWayIn(Kind kind, Via via) throws IOException {
        try (Rig rig = Xen.rig(kind, via)) {
            assertTrue(rig.boot().enabled(), rig.log.said::toString);
            long matching = rig.board.tree().nodes().stream()
                    .filter(node -> node.available() && rig.driver.matches(node))
                    .count();
            assertEquals(matching, rig.up().size());
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
        }
    }

    /** ipmmu_probe: EAGAIN before a root is registered, whichever it names. */
    @Test
    void cachesAreDeferredUntilTheirRootIsUp() throws IOException {
        try (Rig rig = Xen.rig(Kind.IPMMU)) {
            IommuSetup.Outcome outcome = rig.boot();
            assertEquals(1, outcome.rounds());
            Map<String, List<Errno>> answers = new LinkedHashMap<>();
            outcome.answers().forEach((node, given) -> {
                if (rig.driver.matches(node)) {
                    answers.put(node.path(), given);
                }
            });
            assertEquals(List.of(Errno.OK), answers.remove(Xen.root(rig).path()));
            assertEquals(6, answers.size());
            answers.values().forEach(given -> assertEquals(List.of(Errno.EAGAIN, Errno.OK), given));
        }
    }

    /** list_add at the head of deferred_probe_list: what was deferred last is asked first. */
    @Test
    void theDeferredListIsRunBackwards() throws IOException {
        try (Rig rig = Xen.rig(Kind.IPMMU).booted()) {
            List<String> registered = rig.log.said.stream()
                    .filter(line -> line.contains("Registered"))
                    .map(line -> line.replaceAll(".*iommu@([0-9a-f]+): Registered (\\w+) .*", "$1 $2"))
                    .toList();
            assertEquals(
                    List.of(
                            "e67b0000 Root",
                            "febd0000 Cache",
                            "fd800000 Cache",
                            "ec670000 Cache",
                            "e7740000 Cache",
                            "e6740000 Cache",
                            "e6570000 Cache"),
                    registered);
        }
    }

    /**
     * xen_setup.so runs the whole of iommu_setup with the first unit that it is asked for: nodes, deferred list and rounds
     * are Xen's own. With xen.so they are those of our IommuSetup. Each node is asked as often, in the same order, and
     * answers the same.
     */
    @ParameterizedTest
    @MethodSource("boards")
    void ourSetupAsksAsXensDoes(Path board) throws IOException {
        DeviceTree tree = DeviceTree.read(board);
        for (OptionalInt product : List.of(OptionalInt.empty(), OptionalInt.of(0x4f10))) {
            BootOptions options = new BootOptions("", List.of(), Set.of(), product);
            Rig.Lines xens = new Rig.Lines();
            Rig.Lines ours = new Rig.Lines();
            String kind = kind(tree);
            BootReport whole = BootRun.run(tree, options.with(xen(kind, Xen.SETUP)), xens);
            BootReport single = BootRun.run(tree, options.with(xen(kind, Xen.LIBRARY)), ours);
            assertEquals(asked(xens), asked(ours), ours.said::toString);
            assertEquals(whole.rc(), single.rc());
            assertEquals(whole.ioVirtualisation(), xens.has("xen: I/O virtualisation enabled"));
            assertEquals(whole.masters(), single.masters());
        }
    }

    private static List<String> asked(Rig.Lines log) {
        return log.said.stream().filter(line -> line.contains("device_init")).toList();
    }

    private static String kind(DeviceTree tree) {
        return tree.nodes().stream().anyMatch(node -> node.available() && node.isCompatible("arm,smmu-v3"))
                ? "smmuv3"
                : "ipmmu";
    }

    /** ipmmu_stage2_supported: a product whose stage 2 does not work has no root, and its caches wait for nothing. */
    @Test
    void anOldCutDoesNotBoot() throws IOException {
        BootOptions old =
                new BootOptions("", List.of(), Set.of(), OptionalInt.of(0x4f10)).with(xen("ipmmu", Xen.LIBRARY));
        BootReport report = BootRun.run(DeviceTree.read(BOARDS.resolve("rcar-gen3.dtb")), old, new Rig.Lines());
        assertEquals("EAGAIN", report.rc());
        assertEquals("Couldn't configure correctly all the IOMMUs.", report.panic());
        report.iommus().forEach(unit -> assertFalse(unit.up(), unit.path()));
    }

    /** A second Xen in one process would be the first one's static memory; and when that is closed, nothing of it is left. */
    @Test
    void xenIsOnePerProcessAndStartsAfreshEachTime() throws IOException {
        try (Rig rig = Xen.rig(Kind.SMMUV3).booted()) {
            assertThrows(NativeDriverException.class, () -> Xen.rig(Kind.IPMMU));
            assertEquals(2, rig.up().size());
        }
        try (Rig rig = Xen.rig(Kind.IPMMU).booted()) {
            assertEquals(7, rig.up().size());
        }
    }

    private static DriverInC xen(String replaces, Path library) {
        return new DriverInC(
                replaces,
                (platform, ram) -> NativeDrivers.load(platform, ram, library, Via.fastest(), NativeDriver.TIMEOUT));
    }

    static Stream<Path> boards() {
        return Stream.of("rcar-gen3", "rcar-gen4-s4", "smmuv3-pcie", "soc-ranges", "no-iommu")
                .map(name -> BOARDS.resolve(name + ".dtb"));
    }

    /** The same units, answers, rounds, domains, DMA and faults as with our drivers of these two, board by board. */
    @ParameterizedTest
    @MethodSource("boards")
    void aBoardBootsAsWithOurDrivers(Path board) throws IOException {
        bootsAlike(DeviceTree.read(board));
    }

    /** -Dxen.trees=FILE or FOLDER, from the root of the project: the trees of whoever runs this, as far as Xen drives an IOMMU of theirs. */
    @Test
    void treesOfTheUsersBootAsWithOurDrivers() throws IOException {
        String given = System.getProperty("xen.trees", "");
        assumeTrue(!given.isEmpty(), "no tree given: -Dxen.trees=FILE or FOLDER with device tree blobs");
        List<Path> trees;
        try (Stream<Path> files = Files.walk(Path.of("..").resolve(given))) {
            trees = files.filter(file -> file.toString().endsWith(".dtb"))
                    .sorted()
                    .toList();
        }
        int known = 0;
        for (Path tree : trees) {
            DeviceTree read = inXensWords(tree);
            // Xen 4.17 has one kind of IOMMU at a time.
            long kinds = read.nodes().stream()
                    .filter(XenBootTest::isKnown)
                    .map(node -> node.isCompatible("arm,smmu-v3"))
                    .distinct()
                    .count();
            if (kinds == 1) {
                bootsAlike(read);
                known++;
            }
        }
        assertTrue(known > 0, "no .dtb with an IOMMU that Xen 4.17 drives in " + given);
    }

    private static boolean isKnown(DeviceTreeNode node) {
        return node.available()
                && Stream.of(
                                "arm,smmu-v3",
                                "renesas,ipmmu-r8a7795",
                                "renesas,ipmmu-r8a77965",
                                "renesas,ipmmu-r8a7796",
                                "renesas,ipmmu-r8a77961",
                                "renesas,ipmmu-r8a779f0")
                        .anyMatch(node::isCompatible);
    }

    /** RZ/G2M, RZ/G2N and RZ/G2H are R-Car M3-W, M3-N and H3 without their safety parts; Xen knows those by name. */
    private static DeviceTree inXensWords(Path tree) throws IOException {
        byte[] blob = Files.readAllBytes(tree);
        String text = new String(blob, StandardCharsets.ISO_8859_1)
                .replace("renesas,ipmmu-r8a774a1\0", "renesas,ipmmu-r8a7796\0\0")
                .replace("renesas,ipmmu-r8a774b1\0", "renesas,ipmmu-r8a77965\0")
                .replace("renesas,ipmmu-r8a774e1\0", "renesas,ipmmu-r8a7795\0\0");
        return DeviceTree.parse(tree.toString(), text.getBytes(StandardCharsets.ISO_8859_1));
    }

    private static void bootsAlike(DeviceTree tree) {
        Rig.Lines log = new Rig.Lines();
        BootReport xens = BootRun.run(tree, BootOptions.DEFAULT.with(xen(kind(tree), Xen.LIBRARY)), log);
        BootReport ours = BootRun.run(tree, BootOptions.DEFAULT, new Rig.Lines());
        if (log.has("no evtq irq")) {
            // Xen knows interrupts of the GIC only, as some trees' are not: it hears of no fault.
            ours = withoutFaults(ours);
            xens = withoutFaults(xens);
        }
        assertEquals(ours, xens, log.said::toString);
        assertEquals(
                List.of(),
                log.said.stream().filter(line -> line.contains("misuse")).toList());
    }

    private static BootReport withoutFaults(BootReport report) {
        return new BootReport(
                report.board(),
                report.cmdline(),
                report.rc(),
                report.panic(),
                report.ioVirtualisation(),
                report.rounds(),
                report.iommus(),
                report.masters().stream()
                        .map(m -> new BootReport.MasterResult(m.path(), m.iommu(), m.ids(), m.domain(), m.dma(), null))
                        .toList(),
                report.dispatch(),
                report.unmap(),
                report.operations());
    }
}
