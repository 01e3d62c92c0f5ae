package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.OptionalInt;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One domain with devices behind an SMMUv3, an IPMMU and grant-DMA, through drivers, the bus and models. */
class MixedSystemTest {
    private static final long GUEST = 0x40000000L;
    private static final long MIB_2 = 2 << 20;
    private static final long PAGE = 4096;

    /** Product registers: M3-N, whose stage 2 works, and H3 ES1.0, whose does not. */
    private static final int H3_ES1 = 0x4f00;

    private static final long IPMMU_ROOT = 0xe67b0000L;
    private static final long CONTEXT_1 = IPMMU_ROOT + 0x40;
    private static final long SMMU = 0x2b400000L;
    private static final long SMMU_CMDQ_PROD = SMMU + 0x98;

    private static boolean reads(DmaPort port, long address) {
        return port.read(address, new byte[4], 0, 4) == DmaPort.Response.OK;
    }

    private static boolean writes(DmaPort port, long address) {
        return port.write(address, new byte[] {1, 2, 3, 4}, 0, 4) == DmaPort.Response.OK;
    }

    @Test
    void everyIommuThatSharesWalksTheSameTable() {
        MixedBoard mixed = new MixedBoard();
        Domain domain = mixed.iommus.createDomain(1);
        domain.mapRam(GUEST, mixed.ram(0), MIB_2);
        Device smmu = mixed.assigned(domain, MixedBoard.SMMU_MASTER);
        Device ipmmu = mixed.assigned(domain, MixedBoard.IPMMU_MASTER);
        Device other = mixed.assigned(domain, MixedBoard.OTHER_CACHE_MASTER);
        Device grant = mixed.assigned(domain, MixedBoard.GRANT_MASTER);
        assertEquals(3, domain.iommus().size(), "SMMUv3, IPMMU with two caches, grant-DMA");

        long root = domain.ioP2m().root();
        assertEquals((int) root, mixed.board.bus().read32(CONTEXT_1 + 0x10) & 0xfffff000, "IMTTLBR0");
        assertEquals((int) (root >>> 32), mixed.board.bus().read32(CONTEXT_1 + 0x14), "IMTTUBR0");
        long table = mixed.board.bus().read64(SMMU + 0x80) & 0x000f_ffff_ffff_ffc0L;
        long secondLevel = mixed.board.bus().read64(table + (0x2010 >> 8) * 8) & 0x000f_ffff_ffff_ffc0L;
        assertEquals(root, mixed.board.bus().read64(secondLevel + (0x2010 & 0xff) * 64 + 24), "STE.S2TTB");

        for (Device device : List.of(smmu, ipmmu, other)) {
            mixed.board.memory().write32(mixed.ram(0x123000), 0);
            assertTrue(writes(mixed.port(device), GUEST + 0x123000));
            assertEquals(0x04030201, mixed.board.memory().read32(mixed.ram(0x123000)));
        }
        long address = mixed.grants.mapPage(grant, GUEST + 0x123000, 4, true);
        byte[] seen = new byte[4];
        assertEquals(DmaPort.Response.OK, mixed.backend(domain, 1).read(address, seen, 0, 4));
        assertEquals(4, seen[3]);
    }

    @ParameterizedTest
    @CsvSource({"'',", "iommu=no-sharept,", "iommu=no-sharept,true"})
    void aPageThatIsUnmappedUnderUseIsGoneOnEveryPath(String commandLine, Boolean withoutStage2) {
        MixedBoard mixed =
                new MixedBoard(commandLine, withoutStage2 == null ? OptionalInt.empty() : OptionalInt.of(H3_ES1));
        assertTrue(mixed.outcome.enabled());
        Domain domain = mixed.iommus.createDomain(1);
        domain.mapRam(GUEST, mixed.ram(0), MIB_2);
        List<DmaPort> ports = List.of(
                mixed.port(mixed.assigned(domain, MixedBoard.SMMU_MASTER)),
                mixed.port(mixed.assigned(domain, MixedBoard.IPMMU_MASTER)),
                mixed.port(mixed.assigned(domain, MixedBoard.OTHER_CACHE_MASTER)));
        Device grant = mixed.assigned(domain, MixedBoard.GRANT_MASTER);
        long granted = mixed.grants.mapPage(grant, GUEST + 0x5000, 4, false);
        domain.mapRam(GUEST + MIB_2, mixed.ram(MIB_2), PAGE); // After the devices came: copies follow.
        for (DmaPort port : ports) {
            assertTrue(reads(port, GUEST + 0x5000) && writes(port, GUEST + 0x5000));
            assertTrue(writes(port, GUEST + MIB_2));
        }
        assertEquals(DmaPort.Response.OK, mixed.backend(domain, 1).write(granted, new byte[4], 0, 4));
        assertEquals(List.of(), mixed.takeFaults());

        domain.unmap(GUEST + 0x5000, PAGE);
        for (DmaPort port : ports) {
            assertEquals(DmaPort.Response.ABORT, port.read(GUEST + 0x5000, new byte[4], 0, 4));
            assertTrue(mixed.takeFaults().get(0).matches("F_TRANSLATION|TF"));
            assertTrue(reads(port, GUEST + 0x4000) && reads(port, GUEST + 0x6000), "its neighbours stay");
        }
        assertEquals(DmaPort.Response.ABORT, mixed.backend(domain, 1).write(granted, new byte[4], 0, 4));
        assertEquals(List.of("BAD_FRAME"), mixed.takeFaults());
    }

    @Test
    void aChangeIsOneFlushOfTheIpmmuAndOneCommandWithItsSyncForTheSmmu() {
        MixedBoard mixed = new MixedBoard();
        Domain domain = mixed.iommus.createDomain(1);
        domain.mapRam(GUEST, mixed.ram(0), PAGE);
        mixed.assigned(domain, MixedBoard.SMMU_MASTER);
        mixed.assigned(domain, MixedBoard.IPMMU_MASTER);
        mixed.assigned(domain, MixedBoard.OTHER_CACHE_MASTER);
        int[] flushes = new int[3];
        long[] units = {IPMMU_ROOT, 0xe6740000L, 0xfebd0000L};
        int[] commands = {0};
        mixed.board.bus().addListener(new BusListener() {
            @Override
            public void onWrite(long address, int size, long value) {
                for (int i = 0; i < units.length; i++) {
                    flushes[i] += address == units[i] + 0x40 && (value & 2) != 0 ? 1 : 0; // IMCTR of context 1
                }
                commands[0] += address == SMMU_CMDQ_PROD ? 1 : 0;
            }
        });
        domain.unmap(GUEST, PAGE);
        assertEquals(List.of(1, 1, 1), List.of(flushes[0], flushes[1], flushes[2]), "root and both caches");
        assertEquals(2, commands[0], "TLBI and SYNC");
    }

    @Test
    void anIommuThatCannotShareAnswersEnodevAtProbe() {
        MixedBoard mixed = new MixedBoard("", OptionalInt.of(H3_ES1));
        assertTrue(mixed.outcome.enabled(), "the others are there");
        mixed.outcome.answers().forEach((node, answers) -> {
            if (node.name().matches("iommu@(e|f).*")) {
                assertEquals(List.of(Errno.ENODEV), answers, node::path);
            }
        });
        Device device =
                new Device(mixed.board.tree().node(MixedBoard.IPMMU_MASTER).orElseThrow());
        assertEquals(Errno.ENODEV, mixed.iommus.addDevice(device, device.node().iommus()));
        assertEquals(44, mixed.platform.ipaBits(), "nobody is restricted for its sake");
    }

    @Test
    void withNoSharePtItGetsATableOfItsOwnInItsOwnFormat() {
        MixedBoard mixed = new MixedBoard("iommu=no-sharept", OptionalInt.of(H3_ES1));
        assertEquals(32, mixed.platform.ipaBits());
        Domain domain = mixed.iommus.createDomain(1);
        domain.mapRam(GUEST, mixed.ram(0), MIB_2);
        Device ipmmu = mixed.assigned(domain, MixedBoard.IPMMU_MASTER);
        int own = mixed.board.bus().read32(CONTEXT_1 + 0x10);
        assertNotEquals((int) domain.ioP2m().root(), own);
        assertTrue(writes(mixed.port(ipmmu), GUEST));
        // 32 bits of input address: what is beyond is no guest-physical address of this board.
        assertEquals(
                MappingException.Reason.INPUT_SIZE,
                assertThrows(MappingException.class, () -> domain.mapRam(1L << 32, mixed.ram(0), PAGE))
                        .reason());
        mixed.iommus.destroy(domain);
        assertEquals(0, mixed.iommus.freePageTables(Integer.MAX_VALUE));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "iommu=no-sharept"})
    void destroyingADomainWithDevicesGivesPagesAndContextsBack(String commandLine) {
        for (OptionalInt product : List.of(OptionalInt.empty(), OptionalInt.of(H3_ES1))) {
            if (product.isPresent() && commandLine.isEmpty()) {
                continue;
            }
            MixedBoard mixed = new MixedBoard(commandLine, product);
            List<Device> devices = List.of(
                    mixed.device(MixedBoard.SMMU_MASTER),
                    mixed.device(MixedBoard.IPMMU_MASTER),
                    mixed.device(MixedBoard.OTHER_CACHE_MASTER),
                    mixed.device(MixedBoard.GRANT_MASTER));
            long before = mixed.heap.taken();
            for (int round = 1; round <= 40; round++) { // An IPMMU has eight contexts.
                Domain domain = mixed.iommus.createDomain(round);
                domain.mapRam(GUEST, mixed.ram(0), MIB_2 + PAGE);
                for (Device device : devices) {
                    assertEquals(Errno.OK, mixed.iommus.assign(domain, device));
                }
                assertTrue(mixed.grants.mapPage(devices.get(3), GUEST, 3 * PAGE, false) < 0);
                assertTrue(writes(mixed.port(devices.get(0)), GUEST) && writes(mixed.port(devices.get(1)), GUEST));
                assertEquals(Errno.OK, mixed.iommus.destroy(domain));
                assertEquals(List.of(), domain.iommus());
                assertTrue(mixed.heap.taken() > before, "tables wait to be freed");
                assertEquals(0, mixed.iommus.freePageTables(Integer.MAX_VALUE));
                assertEquals(before, mixed.heap.taken());
                assertEquals(0, mixed.board.bus().read32(CONTEXT_1) & 1, "IMCTR.MMUEN");
            }
        }
    }

    @Test
    void devicesOfTwoDomainsSeeTheirOwnMemoryOnEveryPath() {
        MixedBoard mixed = new MixedBoard();
        Domain one = mixed.iommus.createDomain(1);
        Domain two = mixed.iommus.createDomain(2);
        one.mapRam(GUEST, mixed.ram(0), PAGE);
        two.mapRam(GUEST, mixed.ram(PAGE), PAGE);
        Device smmu = mixed.assigned(one, MixedBoard.SMMU_MASTER);
        Device ipmmu = mixed.assigned(two, MixedBoard.IPMMU_MASTER);
        assertEquals(Errno.EBUSY, mixed.iommus.assign(two, smmu));
        assertEquals(Errno.EBUSY, mixed.iommus.assign(one, ipmmu));
        assertTrue(writes(mixed.port(ipmmu), GUEST));
        assertEquals(0x04030201, mixed.board.memory().read32(mixed.ram(PAGE)));
        mixed.board.memory().write32(mixed.ram(PAGE), 0);
        assertTrue(writes(mixed.port(smmu), GUEST));
        assertEquals(0x04030201, mixed.board.memory().read32(mixed.ram(0)));
        assertEquals(Errno.OK, mixed.iommus.reassign(one, two, smmu));
        assertTrue(writes(mixed.port(smmu), GUEST));
        assertEquals(0x04030201, mixed.board.memory().read32(mixed.ram(PAGE)));
        assertEquals(List.of(), one.iommus());
        assertEquals(2, two.iommus().size());
    }

    /** Power goes at suspend: what the registers held is lost. */
    @Test
    void afterResumeEveryPathIsAsItWas() {
        for (int product : new int[] {0x5520, H3_ES1}) {
            MixedBoard mixed = new MixedBoard("iommu=no-sharept", OptionalInt.of(product));
            Domain domain = mixed.iommus.createDomain(1);
            domain.mapRam(GUEST, mixed.ram(0), PAGE);
            Device smmu = mixed.assigned(domain, MixedBoard.SMMU_MASTER);
            Device ipmmu = mixed.assigned(domain, MixedBoard.IPMMU_MASTER);
            List<DeviceTreeNode> ipmmus =
                    List.of("/soc/iommu@e67b0000", "/soc/iommu@e6740000", "/soc/iommu@febd0000").stream()
                            .map(path -> mixed.board.tree().node(path).orElseThrow())
                            .toList();
            assertEquals(Errno.OK, mixed.iommus.suspend());
            ipmmus.forEach(node -> mixed.board.ipmmu(node).power(false));
            assertTrue(!writes(mixed.port(smmu), GUEST) && !writes(mixed.port(ipmmu), GUEST));
            ipmmus.forEach(node -> mixed.board.ipmmu(node).power(true));
            mixed.iommus.resume();
            for (Device device : List.of(smmu, ipmmu)) {
                mixed.board.memory().write32(mixed.ram(0), 0);
                assertTrue(writes(mixed.port(device), GUEST));
                assertEquals(0x04030201, mixed.board.memory().read32(mixed.ram(0)));
                mixed.takeFaults();
                assertTrue(!writes(mixed.port(device), GUEST + PAGE));
                assertEquals(1, mixed.takeFaults().size(), "interrupts are back too");
            }
        }
    }

    @Test
    void afterACrashShutdownNoDmaReachesMoreThanBefore() {
        MixedBoard mixed = new MixedBoard();
        Domain domain = mixed.iommus.createDomain(1);
        domain.mapRam(GUEST, mixed.ram(0), PAGE);
        DmaPort smmu = mixed.port(mixed.assigned(domain, MixedBoard.SMMU_MASTER));
        DmaPort ipmmu = mixed.port(mixed.assigned(domain, MixedBoard.IPMMU_MASTER));
        assertTrue(writes(smmu, GUEST) && writes(ipmmu, GUEST));
        mixed.iommus.crashShutdown();
        for (DmaPort port : List.of(smmu, ipmmu)) {
            assertTrue(!writes(port, GUEST + PAGE));
            assertTrue(!writes(port, mixed.ram(0)), "not untranslated");
        }
        assertEquals(List.of(), mixed.takeFaults(), "no interrupt disturbs the crash kernel");
    }

    @Test
    void whatTheDisplayUsesBeforeItsDriverRunsIsToldByItsIommu() {
        MixedBoard mixed = new MixedBoard();
        assertEquals(
                List.of("/soc/fcp@fea27000 0x7f000000+0x800000 true"),
                mixed.iommus.reservedMemory().stream()
                        .map(region -> region.device().path() + " " + region.range() + " " + region.direct())
                        .toList());
    }
}
