package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
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
import org.iommuemu.mmio.BusListener;
import org.iommuemu.mmio.DmaPort;
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
import org.iommuemu.probe.iommu.FaultReport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Xen 4.17's own drivers, compiled unmodified, on the emulated units: the profile {@code xen} makes them. Names of functions
 * are Xen's, of {@code smmu-v3.c}, {@code ipmmu-vmsa.c} and the framework.
 */
@Tag("xen")
class XenDriversTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;
    private static final Path MADE = Path.of("..", "native", "target", "xen");
    private static final Path LIBRARY = MADE.resolve("xen.so");
    private static final Path BOARDS = Path.of("..", "boards");

    /** Registers of an SMMUv3 (IHI 0070, 6.3). */
    private static final int CR0 = 0x20;

    private static final int CR0ACK = 0x24;
    private static final int STRTAB_BASE = 0x80;
    private static final int CMDQ_BASE = 0x90;
    private static final int CMDQ_PROD = 0x98;
    private static final int CMDQ_CONS = 0x9c;

    /** Where and how large queues and the stream table are: STRTAB_BASE, CMDQ_BASE, CMDQ_PROD, EVENTQ_BASE. */
    private static final Set<Integer> OWN_CHOICE = Set.of(STRTAB_BASE, CMDQ_BASE, CMDQ_PROD, 0xa0);

    private static final long BASE_ADDRESS = 0x000f_ffff_ffff_ffc0L;

    /** Registers of an IPMMU's contexts, 0x40 apart. */
    private static final int IMCTR = 0x00;

    private static final int IMTTBCR = 0x08;
    private static final int IMTTLBR0 = 0x10;
    private static final int IMTTUBR0 = 0x14;

    @BeforeEach
    void needXen() throws IOException {
        Path skipped = MADE.resolve("skipped");
        String why = Files.exists(skipped) ? Files.readString(skipped).strip() : "build with -Pxen";
        assumeTrue(Files.exists(LIBRARY), "Xen's own drivers were not made: " + why);
    }

    private static Rig rig(Kind kind) throws IOException {
        return rig(kind, Via.fastest());
    }

    private static Rig rig(Kind kind, Via via) throws IOException {
        return Rig.of(kind, (platform, ram) -> NativeDrivers.load(platform, ram, LIBRARY, via, NativeDriver.TIMEOUT));
    }

    static Stream<Arguments> ways() {
        return Stream.of(Via.values())
                .filter(via -> via.unavailable().isEmpty())
                .flatMap(via -> Arrays.stream(Kind.values()).map(kind -> Arguments.of(kind, via)));
    }

    private static DeviceTreeNode node(Rig rig, String path) {
        return rig.board.tree().node(path).orElseThrow();
    }

    private static long base(DeviceTreeNode unit) {
        return unit.reg().get(0).base();
    }

    private static DeviceTreeNode root(Rig rig) {
        return node(rig, "/soc/iommu@e67b0000");
    }

    // ---------------------------------------------------------------------------------------------------------- boot

    @ParameterizedTest
    @MethodSource("ways")
    void everyUnitComesUpOverEveryWayIn(Kind kind, Via via) throws IOException {
        try (Rig rig = rig(kind, via)) {
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
        try (Rig rig = rig(Kind.IPMMU)) {
            IommuSetup.Outcome outcome = rig.boot();
            assertEquals(1, outcome.rounds());
            Map<String, List<Errno>> answers = new LinkedHashMap<>();
            outcome.answers().forEach((node, given) -> {
                if (rig.driver.matches(node)) {
                    answers.put(node.path(), given);
                }
            });
            assertEquals(List.of(Errno.OK), answers.remove(root(rig).path()));
            assertEquals(6, answers.size());
            answers.values().forEach(given -> assertEquals(List.of(Errno.EAGAIN, Errno.OK), given));
        }
    }

    /** list_add at the head of deferred_probe_list: what was deferred last is asked first. */
    @Test
    void theDeferredListIsRunBackwards() throws IOException {
        try (Rig rig = rig(Kind.IPMMU).booted()) {
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
            BootReport whole = BootRun.run(tree, options.with(xen(kind, MADE.resolve("xen_setup.so"))), xens);
            BootReport single = BootRun.run(tree, options.with(xen(kind, LIBRARY)), ours);
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
        BootOptions old = new BootOptions("", List.of(), Set.of(), OptionalInt.of(0x4f10)).with(xen("ipmmu", LIBRARY));
        BootReport report = BootRun.run(DeviceTree.read(BOARDS.resolve("rcar-gen3.dtb")), old, new Rig.Lines());
        assertEquals("EAGAIN", report.rc());
        assertEquals("Couldn't configure correctly all the IOMMUs.", report.panic());
        report.iommus().forEach(unit -> assertFalse(unit.up(), unit.path()));
    }

    /** A second Xen in one process would be the first one's static memory; and when that is closed, nothing of it is left. */
    @Test
    void xenIsOnePerProcessAndStartsAfreshEachTime() throws IOException {
        try (Rig rig = rig(Kind.SMMUV3).booted()) {
            assertThrows(NativeDriverException.class, () -> rig(Kind.IPMMU));
            assertEquals(2, rig.up().size());
        }
        try (Rig rig = rig(Kind.IPMMU).booted()) {
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
                    .filter(XenDriversTest::isKnown)
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
        BootReport xens = BootRun.run(tree, BootOptions.DEFAULT.with(xen(kind(tree), LIBRARY)), log);
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

    // ------------------------------------------------------------------------------------------- domains, P2M sharing

    /** arm_smmu_domain_finalise_s2: S2TTB of the stream table entry is the P2M's root. */
    @Test
    void anSmmuWalksTheP2mItself() throws IOException {
        try (Rig rig = rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long unit = base(device.fwspec().iommu());
            int streamId = device.fwspec().ids().get(0);
            // Two levels, split at 8 bits.
            long level1 = (rig.board.bus().read64(unit + STRTAB_BASE) & BASE_ADDRESS) + 8L * (streamId >> 8);
            long entry = (rig.board.memory().read64(level1) & BASE_ADDRESS) + 64L * (streamId & 0xff);
            assertEquals(0b110, rig.board.memory().read64(entry) >> 1 & 7, "Config: stage 2");
            assertEquals(domain.ioP2m().root(), rig.board.memory().read64(entry + 24) & BASE_ADDRESS);
        }
    }

    /** ipmmu_domain_init_context: the same of IMTTLBR0 and IMTTUBR0; context 0 is left alone. */
    @Test
    void anIpmmuWalksTheP2mItself() throws IOException {
        try (Rig rig = rig(Kind.IPMMU).booted()) {
            Device device = rig.device(Kind.IPMMU.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long context = base(root(rig)) + 0x40;
            long root = rig.board.bus().read32(context + IMTTLBR0) & 0xffff_ffffL
                    | (long) rig.board.bus().read32(context + IMTTUBR0) << 32;
            assertEquals(domain.ioP2m().root(), root);
            assertEquals(64 - domain.ioP2m().ipaBits(), rig.board.bus().read32(context + IMTTBCR) & 0x1f);
            assertEquals(1, rig.board.bus().read32(context + IMCTR) & 1);
            assertEquals(0, rig.board.bus().read32(base(root(rig)) + IMCTR));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void anAssignedDeviceReachesWhatItsDomainMaps(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), 4 * PAGE);
            for (int page = 0; page < 4; page++) {
                rig.assertReaches(device, INPUT + page * PAGE + 0x40, rig.ram(page * PAGE + 0x40));
            }
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 4 * PAGE));
        }
    }

    /** The domain has a context of its own in each SMMU; a flush is for all of them. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void whatIsUnmappedIsGoneBehindEveryUnit(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            assertNotEquals(one.fwspec().iommu(), two.fwspec().iommu());
            Domain domain = rig.domain(1);
            rig.attach(domain, one);
            rig.attach(domain, two);
            rig.map(domain, INPUT, rig.ram(0), 2 * PAGE);
            for (Device device : List.of(one, two)) {
                rig.assertReaches(device, INPUT, rig.ram(0));
                rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            }
            rig.unmap(domain, INPUT, PAGE);
            for (Device device : List.of(one, two)) {
                assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT));
                rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            }
            rig.map(domain, INPUT, rig.ram(4 * PAGE), PAGE);
            rig.assertReaches(one, INPUT, rig.ram(4 * PAGE));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void domainsDoNotSeeEachOther(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            Domain a = rig.domain(1);
            Domain b = rig.domain(2);
            rig.attach(a, one);
            rig.attach(b, two);
            rig.map(a, INPUT, rig.ram(0), PAGE);
            rig.map(b, INPUT, rig.ram(PAGE), PAGE);
            rig.assertReaches(one, INPUT, rig.ram(0));
            rig.assertReaches(two, INPUT, rig.ram(PAGE));
            rig.unmap(a, INPUT, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(one, INPUT));
            rig.assertReaches(two, INPUT, rig.ram(PAGE));
        }
    }

    /** iommu_assign_dt_device: a device on a domain's list is nobody else's. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void aDeviceBelongsToOneDomain(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            // Past our own check of the same.
            assertEquals(Errno.EBUSY, rig.nativeDriver().assignDevice(rig.domain(2), device));
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
        }
    }

    /** ipmmu_domain_allocate_context: eight on Gen3, the first of which is not Xen's to give. */
    @Test
    void anIpmmuHasContextsForSevenDomains() throws IOException {
        try (Rig rig = rig(Kind.IPMMU).booted()) {
            List<DeviceTreeNode> masters = rig.board.tree().nodes().stream()
                    .filter(node -> node.available() && node.has("iommus"))
                    .filter(node -> rig.iommus.isRegistered(node.iommus().get(0).node()))
                    .limit(8)
                    .toList();
            List<Domain> domains = new ArrayList<>();
            for (int i = 0; i < 7; i++) {
                domains.add(rig.domain(1 + i));
                rig.attach(domains.get(i), rig.device(masters.get(i).path()));
            }
            Domain eighth = rig.domain(8);
            Device last = rig.device(masters.get(7).path());
            assertEquals(Errno.EBUSY, rig.iommus.assign(eighth, last));
            rig.iommus.destroy(domains.get(3));
            rig.attach(eighth, last);
            rig.map(eighth, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(last, INPUT, rig.ram(0));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void destroyedDomainsLeaveNothingBehind(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            long before = rig.heap.taken();
            // More of them than an IPMMU has contexts.
            for (int round = 1; round <= 20; round++) {
                Domain domain = rig.domain(round);
                rig.attach(domain, one);
                rig.attach(domain, two);
                rig.map(domain, INPUT, rig.ram(0), PAGE);
                rig.assertReaches(one, INPUT, rig.ram(0));
                rig.iommus.destroy(domain);
                assertEquals(before, rig.heap.taken());
                rig.assertDoesNotReach(two, INPUT, rig.ram(0));
            }
        }
    }

    /**
     * arm_smmu_domain_free gives a VMID back without CMD_TLBI_S12_VMALL, which CFGI_STE does not stand for (IHI 0070, 3.17):
     * the next domain has it, and what was cached with it. Either the driver invalidates, or the cached translation is hit.
     */
    @Test
    void aVmidIsNobodyElsesBeforeItIsInvalidated() throws IOException {
        try (Rig rig = rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            long unit = base(device.fwspec().iommu());
            Domain former = rig.domain(1);
            rig.attach(former, device);
            rig.map(former, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
            int before = rig.board.bus().read32(unit + CMDQ_PROD);
            rig.iommus.destroy(former);
            Domain next = rig.domain(2);
            rig.attach(next, device);
            long queue = rig.board.bus().read64(unit + CMDQ_BASE) & BASE_ADDRESS & ~0x1fL;
            boolean invalidated = false;
            for (int at = before; at < rig.board.bus().read32(unit + CMDQ_PROD); at++) {
                invalidated |= (rig.board.memory().read64(queue + 16L * at) & 0xff) == 0x28;
            }
            assertEquals(invalidated ? DmaPort.Response.ABORT : DmaPort.Response.OK, rig.write(device, INPUT));
        }
    }

    // ---------------------------------------------------------------------------------------------- faults and errors

    /** arm_smmu_evtq_tasklet and ipmmu_domain_irq print what they read; that is what is reported. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void theDriversOwnHandlerReportsFaults(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long address = INPUT + 3 * PAGE + 0x80;
            assertEquals(DmaPort.Response.ABORT, rig.write(device, address));
            assertEquals(List.of(), rig.log.faults, "before the interrupt is taken");
            rig.board.interrupts().dispatch();
            assertEquals(1, rig.log.faults.size());
            FaultReport fault = rig.log.faults.get(0);
            assertEquals(kind == Kind.SMMUV3 ? "F_TRANSLATION" : "TF", fault.fault());
            assertEquals(address, fault.address());
            if (kind == Kind.SMMUV3) {
                assertEquals(device.fwspec().ids().get(0).intValue(), fault.streamId());
                assertEquals(device.fwspec().iommu(), fault.iommu());
            }
            assertEquals(0, rig.board.interrupts().dispatch());
            // It is handled: the next one is another one.
            rig.write(device, address + PAGE);
            rig.board.interrupts().dispatch();
            assertEquals(2, rig.log.faults.size());
            assertEquals(address + PAGE, rig.log.faults.get(1).address());
        }
    }

    /** S2AP of a page without write permission; a table at an address where no RAM is. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void permissionFaultsAndAbortedWalksAreTold(Kind kind) throws IOException {
        try (Rig rig = rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);

            long page = descriptor(rig, domain, 3);
            rig.board.memory().write64(page, rig.board.memory().read64(page) & ~(1L << 7));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 0x10));
            assertEquals(DmaPort.Response.OK, rig.port(device).read(INPUT + 0x10, new byte[4], 0, 4));
            rig.board.interrupts().dispatch();

            long table = descriptor(rig, domain, 2);
            rig.board.memory().write64(table, 0xf_0000_0000L | 3);
            rig.nativeDriver().iotlbFlush(domain, INPUT, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 0x20));
            rig.board.interrupts().dispatch();

            assertEquals(
                    kind == Kind.SMMUV3 ? List.of("F_PERMISSION", "F_WALK_EABT") : List.of("PF", "ABORT"),
                    rig.log.faults.stream().map(FaultReport::fault).toList());
            assertEquals(
                    List.of(INPUT + 0x10, INPUT + 0x20),
                    rig.log.faults.stream().map(FaultReport::address).toList());
        }
    }

    /** Physical address of the descriptor of {@code INPUT} at a level of a domain's table. */
    private static long descriptor(Rig rig, Domain domain, int level) {
        long table = domain.ioP2m().root();
        for (int at = domain.ioP2m().startLevel(); ; at++) {
            long descriptor = table + 8 * (INPUT >> 39 - 9 * at & 0x1ff);
            if (at == level) {
                return descriptor;
            }
            table = rig.board.memory().read64(descriptor) & 0x0000_ffff_ffff_f000L;
        }
    }

    /** A queue is read to its end, however many events one interrupt stands for. */
    @Test
    void oneInterruptBringsAllEvents() throws IOException {
        try (Rig rig = rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            rig.attach(rig.domain(1), device);
            for (int i = 0; i < 300; i++) {
                rig.write(device, INPUT + i * PAGE);
            }
            rig.board.interrupts().dispatch();
            assertEquals(300, rig.log.faults.size());
            for (int i = 0; i < 300; i++) {
                assertEquals(INPUT + i * PAGE, rig.log.faults.get(i).address());
            }
        }
    }

    /**
     * arm_smmu_init_one_queue halves what it cannot get, until it can. What does not fit into the Event queue then is lost
     * (IHI 0070, 7.4): the driver reads what is there, sees the overflow flag, and hears of the next event again.
     */
    @Test
    void eventsBeyondTheQueueAreLostAndTheDriverGoesOn() throws IOException {
        long heap = (1 << 20) + (512 << 10) + (256 << 10) + (64 << 10);
        try (Rig rig = Rig.of(
                Kind.SMMUV3,
                heap,
                (platform, ram) -> NativeDrivers.load(platform, ram, LIBRARY, Via.fastest(), NativeDriver.TIMEOUT))) {
            rig.booted();
            Device device = rig.device(Kind.SMMUV3.second);
            String unit = device.fwspec().iommu().path();
            assertTrue(rig.log.has(unit + ": allocated 2048 entries for evtq"), rig.log.said::toString);
            rig.attach(rig.domain(1), device);
            for (int round = 0; round < 2; round++) {
                rig.log.faults.clear();
                rig.log.said.clear();
                for (int i = 0; i < 2100; i++) {
                    rig.write(device, INPUT + i * PAGE);
                }
                rig.board.interrupts().dispatch();
                assertEquals(2048, rig.log.faults.size());
                assertEquals(INPUT + 2047 * PAGE, rig.log.faults.get(2047).address());
                assertTrue(rig.log.has("EVTQ overflow detected"), rig.log.said::toString);
                rig.write(device, INPUT + 5000 * PAGE);
                rig.board.interrupts().dispatch();
                assertEquals(2049, rig.log.faults.size());
                assertEquals(INPUT + 5000 * PAGE, rig.log.faults.get(2048).address());
            }
        }
    }

    /**
     * arm_smmu_gerror_handler and arm_smmu_cmdq_skip_err: the SMMU stops at a command that it does not know, the driver puts
     * a CMD_SYNC in its place, and the queue goes on (IHI 0070, 7.1).
     */
    @Test
    void anIllegalCommandIsSkippedByTheDriver() throws IOException {
        try (Rig rig = rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));

            // Commands wait while the queue is off; the driver does not know that it is.
            long unit = base(device.fwspec().iommu());
            int cr0 = rig.board.bus().read32(unit + CR0);
            rig.board.bus().write32(unit + CR0, cr0 & ~8);
            long queue = rig.board.bus().read64(unit + CMDQ_BASE) & BASE_ADDRESS & ~0x1fL;
            int next = rig.board.bus().read32(unit + CMDQ_CONS) & 0x7ffff;
            rig.unmap(domain, INPUT, PAGE);
            assertTrue(rig.log.has("CMD_SYNC timeout"), rig.log.said::toString);
            assertEquals(0x28, rig.board.memory().read64(queue + 16L * next) & 0xff, "CMD_TLBI_S12_VMALL");
            rig.board.memory().write64(queue + 16L * next, 0xff);
            rig.board.bus().write32(unit + CR0, cr0);
            assertEquals(cr0, rig.board.bus().read32(unit + CR0ACK));

            rig.board.interrupts().dispatch();
            assertTrue(rig.log.has("Illegal command"), rig.log.said::toString);
            assertTrue(rig.log.has("skipping command in error state"), rig.log.said::toString);
            assertEquals(0, rig.board.interrupts().dispatch());

            // The invalidation was lost with the command; the next one is not.
            rig.map(domain, INPUT + PAGE, rig.ram(PAGE), PAGE);
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            rig.unmap(domain, INPUT + PAGE, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + PAGE));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT));
        }
    }

    // ------------------------------------------------------------------------------------------- our drivers and Xen's

    /**
     * Ours are to do what Xen's do: the same writes of the same registers, and the same commands, in the same order; of
     * SMMUs each for itself. (At a domain's end ours alone invalidates its VMID, see {@link
     * #aVmidIsNobodyElsesBeforeItIsInvalidated}.)
     */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void ourDriverProgramsTheUnitsAsXensDoes(Kind kind) throws IOException {
        List<String> xens;
        List<String> ours;
        try (Rig rig = rig(kind)) {
            xens = programmed(rig, kind);
        }
        try (Rig rig = Rig.of(kind, Rig.Source.JAVA)) {
            ours = programmed(rig, kind);
        }
        assertFalse(xens.isEmpty());
        assertEquals(String.join("\n", xens), String.join("\n", ours));
    }

    /** What a driver writes from the boot to the end of two domains. */
    private static List<String> programmed(Rig rig, Kind kind) {
        List<String> writes = new ArrayList<>();
        rig.board.bus().addListener(new BusListener() {
            private final Map<Long, Integer> produced = new HashMap<>();

            @Override
            public void onWrite(long address, int size, long value) {
                for (DeviceTreeNode unit : rig.board.tree().nodes()) {
                    if (rig.driver.matches(unit) && address >= base(unit) && address - base(unit) < 0x2_0000) {
                        long offset = address - base(unit);
                        if (kind == Kind.IPMMU || !OWN_CHOICE.contains((int) offset)) {
                            writes.add("%s+%x/%d=%x".formatted(unit, offset, size, value));
                        } else if (offset == CMDQ_PROD) {
                            commands(rig, unit, (int) value);
                        }
                    }
                }
            }

            /** Queues may differ in size and place; what counts is what is in them. */
            private void commands(Rig rig, DeviceTreeNode unit, int end) {
                long queueBase = rig.board.bus().read64(base(unit) + CMDQ_BASE);
                int mask = (1 << (queueBase & 0x1f)) - 1;
                long queue = queueBase & BASE_ADDRESS & ~0x1fL;
                for (int at = produced.getOrDefault(base(unit), 0); (at & mask) != (end & mask); at++) {
                    long command = queue + 16L * (at & mask);
                    writes.add("%s: command %x %x"
                            .formatted(
                                    unit,
                                    rig.board.memory().read64(command),
                                    rig.board.memory().read64(command + 8)));
                }
                produced.put(base(unit), end);
            }
        });
        rig.booted();
        Device one = rig.device(kind.first);
        Device two = rig.device(kind.second);
        Domain a = rig.domain(1);
        Domain b = rig.domain(2);
        rig.attach(a, one);
        rig.attach(a, two);
        rig.map(a, INPUT, rig.ram(0), PAGE);
        rig.unmap(a, INPUT, PAGE);
        rig.write(one, INPUT);
        rig.board.interrupts().dispatch();
        assertEquals(Errno.OK, rig.iommus.deassign(a, two));
        rig.attach(b, two);
        if (kind == Kind.IPMMU) {
            rig.iommus.destroy(a);
            rig.iommus.destroy(b);
        } else {
            writes.sort(Comparator.comparing(line -> line.split("[:+]")[0]));
        }
        return writes;
    }
}
