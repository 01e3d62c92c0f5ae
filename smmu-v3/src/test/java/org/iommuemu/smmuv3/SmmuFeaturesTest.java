package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.SmmuFeature.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.iommuemu.pagetables.Granule;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Which SMMUs there are, how they identify themselves, and what is left of registers of features that are off. */
class SmmuFeaturesTest {
    private static final int ALL = -1;

    static Stream<SmmuFeatures> presets() {
        return Stream.of(
                SmmuFeatures.smmuv3_0(),
                SmmuFeatures.smmuv3_1(),
                SmmuFeatures.smmuv3_2(),
                SmmuFeatures.smmuv3_3(),
                SmmuFeatures.mmu600(),
                SmmuFeatures.mmu700(),
                SmmuFeatures.qemuVirt(),
                SmmuFeatures.minimal(),
                SmmuFeatures.aem());
    }

    @ParameterizedTest
    @MethodSource("presets")
    void presetIsWhatItsRegistersSay(SmmuFeatures preset) {
        SmmuFeatures read = SmmuFeatures.identifiedBy(
                preset.idr0(),
                preset.idr1(),
                preset.idr3(),
                preset.idr5(),
                preset.idr6(),
                preset.iidr(),
                preset.aidr());
        for (SmmuFeature feature : SmmuFeature.values()) {
            assertEquals(preset.has(feature), read.has(feature), feature::toString);
        }
        assertEquals(preset.idr0(), read.idr0());
        assertEquals(preset.idr5(), read.idr5());
        TestBoard board = new TestBoard(preset);
        assertEquals((int) preset.idr0(), board.read(0x0));
        assertEquals((int) preset.idr1(), board.read(0x4));
        assertEquals((int) preset.idr3(), board.read(0xc));
        assertEquals((int) preset.idr5(), board.read(0x14));
        assertEquals((int) preset.iidr(), board.read(0x18));
        assertEquals((int) preset.aidr(), board.read(0x1c));
        assertEquals((int) preset.idr6(), board.read(0x190));
    }

    @Test
    void architectureEnvelopeModelIsThatOfPublicTraces() {
        SmmuFeatures aem = SmmuFeatures.aem();
        assertEquals(0x080f_e6bfL, aem.idr0());
        assertEquals(0x1714, aem.idr3());
        assertEquals(0xffff_0475L, aem.idr5());
        assertEquals(20, Registers.SSIDSIZE.get(aem.idr1()));
    }

    @Test
    void qemuVirtIsWhatQemuShows() {
        SmmuFeatures qemu = SmmuFeatures.qemuVirt();
        assertEquals(0x0d40_101aL, qemu.idr0());
        assertEquals(0x0273_0010L, qemu.idr1());
        assertEquals(0x1404, qemu.idr3());
        assertEquals(0x74, qemu.idr5());
        assertEquals(1, qemu.aidr());
    }

    @Test
    void mmu600IsThatOfAnAgilex5() {
        SmmuFeatures mmu600 = SmmuFeatures.mmu600();
        assertEquals(0x080f_3e0fL, mmu600.idr0() & ~0xf0, "but for HTTU, BTM and COHACC, which are tied off there");
        assertEquals(0x0040_0070L, mmu600.idr5() & ~7, "but for OAS");
        assertEquals(24, mmu600.sidSize());
    }

    @Test
    void registersThatNoModelledSmmuHasAreRefused() {
        refused("DPT", () -> identified(0, 0, 1 << 15, 0), "SMMU_IDR3: bits 0x8000");
        refused("TTENDIAN", () -> identified(1 << 21, 0, 0, 0), "TTENDIAN");
        refused("preset tables", () -> identified(0, 1 << 30, 0, 0), "SMMU_IDR1: bits 0x40000000");
        refused("HTTU", () -> identified(0x40, 0, 0, 0), "HTTU");
        refused("56 bits", () -> identified(0, 0, 0, 2), "56-bit");
    }

    /** smmuv3_2's registers with some bits added. */
    private static SmmuFeatures identified(int idr0, int idr1, int idr3, int idr5) {
        SmmuFeatures base = SmmuFeatures.smmuv3_2();
        return SmmuFeatures.identifiedBy(
                base.idr0() | idr0,
                base.idr1() | idr1,
                base.idr3() | idr3,
                base.idr5() | idr5,
                base.idr6(),
                base.iidr(),
                base.aidr());
    }

    @Test
    void impossibleFeaturesAreRefusedWithAReason() {
        refused("translates nothing", SmmuFeatures.builder().without(S1P, S2P));
        refused("HYP", SmmuFeatures.builder().without(S2P, VMID16, VMW, XNX, FWB));
        refused("without HYP: mandatory", SmmuFeatures.builder().without(HYP));
        refused("SIDSIZE 33", SmmuFeatures.builder().sidSize(33));
        refused("without ST_LEVEL: two-level", SmmuFeatures.builder().without(ST_LEVEL));
        refused("SSIDSIZE 21", SmmuFeatures.builder().ssidSize(21));
        refused("OAS of 43", SmmuFeatures.builder().oas(43));
        refused("OAS of 52", SmmuFeatures.builder().oas(52).without(GRAN64K));
        refused("VAX of 52", SmmuFeatures.smmuv3_0().toBuilder().vax(52));
        refused("VAX of 49", SmmuFeatures.builder().vax(49));
        refused("no granule", SmmuFeatures.builder().granules(Set.of()));
        refused("without GRAN4K", SmmuFeatures.aem().toBuilder().without(GRAN4K));
        refused("without VMSAV8_64", SmmuFeatures.builder().without(VMSAV8_64));
        refused("BBML", SmmuFeatures.builder().bbml(0));
        refused("BBML 3", SmmuFeatures.builder().bbml(3));
        refused("BBML", SmmuFeatures.smmuv3_0().toBuilder().bbml(1));
        refused("HAD", SmmuFeatures.builder().without(HAD));
        refused("XNX", SmmuFeatures.builder().without(XNX));
        refused("XNX", SmmuFeatures.smmuv3_0().toBuilder().with(XNX));
        refused("FWB", SmmuFeatures.builder().without(FWB));
        refused("RIL", SmmuFeatures.builder().without(RIL));
        refused("RIL is not in SMMUv3.0", SmmuFeatures.smmuv3_0().toBuilder().with(RIL));
        refused("DS is not in SMMUv3.2", SmmuFeatures.builder().vax(52).with(DS));
        refused("DS needs VAX", SmmuFeatures.smmuv3_3().toBuilder().vax(48));
        refused("without E0PD", SmmuFeatures.smmuv3_3().toBuilder().without(E0PD));
        refused("without PTWNNC", SmmuFeatures.smmuv3_3().toBuilder().without(PTWNNC));
        refused("SMMUv3.4", SmmuFeatures.builder().architecture(4));
        refused("PRI needs ATS", SmmuFeatures.builder().without(ATS));
        refused("VATOS needs ATOS", SmmuFeatures.builder().with(VATOS).without(ATOS));
        refused("ECMDQ needs COHACC", SmmuFeatures.smmuv3_3().toBuilder().without(COHACC));
        refused("CD2L needs substreams", SmmuFeatures.builder().ssidSize(0));
        refused("PPS needs PRI", SmmuFeatures.builder().with(PPS).without(PRI));
        refused("STALL_MAX 0", SmmuFeatures.builder().stallMax(0));
        refused("LOG2NUMP 3", SmmuFeatures.builder().commandQueuePages(3, 0));
        refused("guarded writes", SmmuFeatures.builder().with(SmmuOption.STORES_GUARDED_WRITES));
        SmmuFeatures.builder().granules(Set.of(Granule.KIB_64)).sidSize(0).build();
    }

    private static void refused(String reason, SmmuFeatures.Builder builder) {
        refused(reason, builder::build, reason);
    }

    private static void refused(String what, Supplier<SmmuFeatures> maker, String reason) {
        String message =
                assertThrows(IllegalArgumentException.class, maker::get, what).getMessage();
        assertTrue(message.contains(reason), message);
    }

    @Test
    void fieldsOfAbsentFeaturesAreReserved() {
        TestBoard board = new TestBoard(SmmuFeatures.minimal());
        writtenReads(board, 0x2c, 0b0110, "CR2: no E2H, REC_CFG_ATS");
        writtenReads(board, 0x20, 0b1101, "CR0: no PRIQEN, ATSCHK, VMW");
        writtenReads(board, 0x50, 0b101, "IRQ_CTRL: no PRIQ_IRQEN");
        writtenReads(board, 0x64, 0b1_0000_0101, "GERRORN: CMDQ_ERR, EVENTQ_ABT_ERR, SFM_ERR");
        writtenReads(board, 0x88, 0, "STRTAB_BASE_CFG is guarded now");
        for (int offset : new int[] {
            0x68, 0x70, 0x74, 0xb0, 0xb8, 0xc0, 0xd0, 0xdc, 0x100, 0x108, 0x110, 0x118, 0x130, 0x138, 0x180, 0x190,
            0x4000, 0x4008, 0x400c, 0x100c8, 0x100cc
        }) {
            writtenReads(board, offset, 0, "absent: 0x" + Integer.toHexString(offset));
        }
    }

    @Test
    void registersOfPresentFeaturesAreThere() {
        TestBoard board = new TestBoard(
                SmmuFeatures.smmuv3_3().toBuilder().with(MPAM, BTM).build());
        writtenReads(board, 0x108, ALL & 0xffff, "GATOS_SID: 16-bit StreamIDs");
        writtenReads(board, 0x10c, 0x0010_ffff, "GATOS_SID: 16-bit SubstreamIDs, SSID_VALID");
        writtenReads(board, 0x180, 0xffff, "VATOS_SEL");
        writtenReads(board, 0xc0, ALL, "PRIQ_BASE");
        writtenReads(board, 0xdc, 0x8000_003f, "PRIQ_IRQ_CFG2");
        writtenReads(board, 0x100cc, 0x800f_ffff, "PRIQ_CONS");
        writtenReads(board, 0x2c, 0b1111, "CR2");
        board.write(0x138, ALL);
        for (int i = 0; i < 100 && board.read(0x138) < 0; i++) {} // Update
        assertEquals(0x0001_003f, board.read(0x138), "GMPAM: Update is done");
        assertEquals(0x0001_003f, board.read(0x130), "MPAMIDR");
        assertEquals(4 << 16, board.read(0x190), "IDR6: one page of 16 queues");
        assertEquals(1, board.read(0x4008));
        assertEquals(1, board.read(0x400c));
        assertEquals(0, board.read(0x4028), "no second page");
    }

    private static void writtenReads(TestBoard board, int offset, int expected, String what) {
        board.write(offset, ALL);
        assertEquals(expected, board.read(offset), what);
    }

    @Test
    void page0AliasesPage1WhereChosen() {
        TestBoard plain = new TestBoard();
        plain.write(0xac, 5);
        assertEquals(0, plain.read(0xac));
        TestBoard aliased = new TestBoard(
                SmmuFeatures.builder().with(SmmuOption.PAGE_0_ALIASES_PAGE_1).build());
        aliased.write(0xac, 5);
        assertEquals(5, aliased.read(TestBoard.EVENTQ_CONS));
    }

    @Test
    void abortsAfterResetWhereChosen() {
        TestBoard denying = new TestBoard(
                SmmuFeatures.builder().with(SmmuOption.ABORTS_AFTER_RESET).build());
        assertEquals(1 << 20 | 1 << 12, denying.read(TestBoard.GBPA));
    }

    @Test
    void falseAcknowledgementActivatesUnlessIgnored() {
        TestBoard activating = new TestBoard();
        activating.write(TestBoard.GERRORN, 1);
        assertEquals(1, activating.read(TestBoard.GERRORN));
        TestBoard ignoring = new TestBoard(SmmuFeatures.builder()
                .with(SmmuOption.IGNORES_FALSE_ACKNOWLEDGEMENT)
                .build());
        ignoring.write(TestBoard.GERRORN, 1);
        assertEquals(0, ignoring.read(TestBoard.GERRORN));
    }

    @Test
    void peripheralIdentificationIsThatOfTheImplementation() {
        TestBoard mmu600 = new TestBoard(SmmuFeatures.mmu600());
        assertEquals(0x83, mmu600.read(0xfe0));
        assertEquals(0xb4, mmu600.read(0xfe4));
        assertEquals(0x0b, mmu600.read(0xfe8), "JEDEC, DES_1");
        assertEquals(0x04, mmu600.read(0xfd0), "DES_2: Arm");
        assertEquals(0, new TestBoard().read(0xfe8), "nobody made this one");
    }

    @Test
    void oldSmmuMayStoreGuardedWrites() {
        TestBoard storing = new TestBoard(SmmuFeatures.smmuv3_1().toBuilder()
                .with(SmmuOption.STORES_GUARDED_WRITES)
                .build());
        storing.write(TestBoard.CR0, 1 << 2);
        storing.write64(TestBoard.EVENTQ_BASE, 0x1234_5000);
        assertEquals(0x1234_5000, storing.read(TestBoard.EVENTQ_BASE));
    }

    @Test
    void queueAndTableAttributesAreGuardedEachForItself() {
        TestBoard board = new TestBoard();
        board.write(0x28, 0xfff);
        board.handshake(TestBoard.CR0, 1 << 3); // CMDQEN
        board.write(0x28, 0x03f);
        assertEquals(0x03f, board.read(0x28), "TABLE_* may still be changed");
        board.misuses.clear();
        board.write(0x28, 0);
        assertEquals(0x03f, board.read(0x28), "QUEUE_* may not");
        assertEquals(1, board.misuses.size());
        board.handshake(TestBoard.CR0, 1); // SMMUEN
        board.write(0x28, 0xfc0);
        assertEquals(0, board.read(0x28), "the other way round");
    }
}
