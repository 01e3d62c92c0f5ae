package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.iommuemu.mmio.Latency;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;

/** Chapter 9: SMMU_GATOS_* and SMMU_VATOS_*. */
class AddressTranslationOperationsTest {
    private static final int DEVICE = 7;
    private static final long IOVA = 0x12_3000;
    private static final int GATOS = 0x100;
    private static final int SEL = 0x180;
    private static final int VATOS = 0x20a00;

    private static final int SID = 0x8;
    private static final int ADDR = 0x10;
    private static final int PAR = 0x18;

    private static final int HTTUI = 1 << 6;
    private static final int IND = 1 << 7;
    private static final int READ = 1 << 8;
    private static final int PRIVILEGED = 1 << 9;
    private static final int STAGE_1 = 1 << 10;
    private static final int STAGE_2 = 2 << 10;
    private static final int BOTH = 3 << 10;

    private static final long S2_RW = 0xf << 2 | 3 << 6 | 3 << 8 | 1 << 10;
    private static final int S2_UNMAPPED = 0x10;

    private TestBoard board = new TestBoard(SmmuFeatures.smmuv3_3()).enabled();
    private long frame = board.allocate(0x4000);

    private long run(int group, long sid, long address) {
        board.write64(group + SID, sid);
        board.write64(group + ADDR, address);
        board.write(group, 1);
        for (int i = 0; i < 100 && board.read(group) != 0; i++) {} // RUN
        assertEquals(0, board.read(group), "RUN");
        return board.bus.read64(TestBoard.SMMU + group + PAR);
    }

    private static long fault(int code, int reason, long ipa) {
        return 1 | (long) reason << 1 | (long) code << 4 | ipa;
    }

    private TableWriter stage1() {
        TableWriter table = board.stage1Table();
        board.stream(DEVICE, TestBoard.stage1(3, board.newCd(5, table.root())));
        return table;
    }

    private TableWriter[] nested() {
        TableWriter stage2 = board.stage2Table();
        TableWriter table = board.stage1Table();
        stage2.map(TestBoard.RAM, TestBoard.RAM, 0x20_0000, S2_RW);
        board.stream(DEVICE, TestBoard.nested(3, board.newCd(5, table.root()), stage2));
        return new TableWriter[] {table, stage2};
    }

    @Test
    void stage1GivesAddressAttributesAndShareability() {
        stage1().map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        assertEquals(frame | 3 << 8 | 0xffL << 56, run(GATOS, DEVICE, IOVA | STAGE_1 | READ));
        assertTrue(board.events().isEmpty());
    }

    @Test
    void identifiersThatTheSmmuDoesNotHaveAreReserved() {
        for (int group : new int[] {GATOS, VATOS}) {
            board.write64(group + SID, -1);
            assertEquals(0x0010_ffff_0000_ffffL, board.bus.read64(TestBoard.SMMU + group + SID));
        }
    }

    @Test
    void disablingTheSmmuEndsWhatRuns() {
        board = new TestBoard(SmmuFeatures.smmuv3_3(), Timing.IMMEDIATE.handshakes(Latency.reads(3))).enabled();
        stage1().map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        board.write64(GATOS + SID, DEVICE);
        board.write64(GATOS + ADDR, IOVA | STAGE_1 | READ);
        board.write(GATOS, 1);
        assertEquals(1, board.read(GATOS), "RUN");
        board.handshake(TestBoard.CR0, 0xc);
        assertEquals(0, board.read(GATOS), "RUN, when SMMUEN == 0 is acknowledged");
        assertEquals(frame | 3 << 8 | 0xffL << 56, board.bus.read64(TestBoard.SMMU + GATOS + PAR));
    }

    @Test
    void sizeIsTheLowestBit() {
        long block = board.allocate(0x20_0000);
        stage1().map(0x20_0000, block, 0x20_0000, TestBoard.STAGE1_RW);
        long par = run(GATOS, DEVICE, 0x20_5000 | STAGE_1 | READ);
        assertEquals(block | 1 << 20 | 1 << 11, par & 0x00ff_ffff_ffff_fc00L);
    }

    @Test
    void faultOfStage1TellsItsEventAndRecordsNothing() {
        TableWriter table = stage1();
        assertEquals(fault(0x10, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1 | READ), "F_TRANSLATION");
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW | Descriptor.AP_READ_ONLY);
        assertEquals(fault(0x13, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1), "F_PERMISSION of a write");
        assertTrue(board.events().isEmpty());
    }

    @Test
    void propertiesOfTheAccessAreThoseOfTheRequest() {
        TableWriter table = stage1();
        table.map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW & ~Descriptor.AP_UNPRIVILEGED | Descriptor.PXN);
        assertEquals(fault(0x13, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1 | READ));
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1 | READ | PRIVILEGED) & 1);
        assertEquals(fault(0x13, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1 | READ | PRIVILEGED | IND));
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1 | PRIVILEGED | IND) & 1, "InD means nothing to a write");
    }

    @Test
    void requestsThatCannotBeAreInvalid() {
        stage1();
        assertEquals(fault(0xff, 0, 0), run(GATOS, DEVICE, IOVA | READ), "Reserved type");
        assertEquals(fault(0xff, 0, 0), run(GATOS, DEVICE | 1L << 52, IOVA | READ | STAGE_2), "a substream of stage 2");
        assertEquals(fault(0xfe, 0, 0), run(GATOS, DEVICE, IOVA | READ | STAGE_2), "INV_STAGE");
        assertEquals(fault(0xfe, 0, 0), run(GATOS, DEVICE, IOVA | READ | BOTH), "INV_STAGE");
        board.stream(DEVICE, 1 | 4 << 1, 0, 0, 0);
        assertEquals(fault(0xfe, 0, 0), run(GATOS, DEVICE, IOVA | READ | STAGE_1), "bypass");
    }

    @Test
    void configurationErrorsAreTold() {
        assertEquals(fault(0x02, 0, 0), run(GATOS, 0xffff, IOVA | READ | STAGE_1), "C_BAD_STREAMID");
        board.stream(DEVICE, 0, 0, 0, 0);
        assertEquals(fault(0x04, 0, 0), run(GATOS, DEVICE, IOVA | READ | STAGE_1), "C_BAD_STE");
        board.stream(DEVICE, TestBoard.stage1(0, 0x1000));
        assertEquals(fault(0x09, 0, 0), run(GATOS, DEVICE, IOVA | READ | STAGE_1), "F_CD_FETCH");
        assertTrue(board.events().isEmpty());
    }

    @Test
    void bothStagesOrOneOfThem() {
        TableWriter[] tables = nested();
        tables[0].map(IOVA, 0x8000_0000L, 0x1000, TestBoard.STAGE1_RW);
        tables[1].map(0x8000_0000L, frame, 0x1000, S2_RW);
        long addresses = 0x00ff_ffff_ffff_f000L;
        assertEquals(frame, run(GATOS, DEVICE, IOVA | BOTH | READ) & addresses);
        assertEquals(0x8000_0000L, run(GATOS, DEVICE, IOVA | STAGE_1 | READ) & addresses);
        assertEquals(frame, run(GATOS, DEVICE, 0x8000_0000L | STAGE_2 | READ) & addresses);
    }

    @Test
    void faultOfStage2TellsWhyAndWhere() {
        TableWriter[] tables = nested();
        tables[0].map(IOVA, 0x8000_0000L, 0x1000, TestBoard.STAGE1_RW);
        assertEquals(fault(S2_UNMAPPED, 3, 0x8000_0000L), run(GATOS, DEVICE, IOVA | BOTH | READ), "of the address");
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1 | READ) & 1, "the IPA is not translated");
        assertEquals(fault(S2_UNMAPPED, 3, 0), run(GATOS, DEVICE, 0x8000_0000L | STAGE_2 | READ));

        long table = tables[0].root() & ~0xfffL;
        long block = table & ~0x1f_ffffL;
        tables[1].unmap(block, 0x20_0000);
        long cd = board.allocate(0x20_0000) + 0x20_0000; // elsewhere
        board.writeWords(cd, TestBoard.cd(5, tables[0].root()));
        tables[1].map(cd, cd, 0x1000, S2_RW);
        board.stream(DEVICE, TestBoard.nested(3, cd, tables[1]));
        board.command(0x30, 0);
        board.sync();
        assertEquals(fault(S2_UNMAPPED, 2, table), run(GATOS, DEVICE, IOVA | BOTH | READ), "of a table");
        assertEquals(fault(0x0b, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1 | READ), "F_WALK_EABT");
        tables[1].unmap(cd, 0x1000);
        board.command(0x03 | (long) DEVICE << 32, 1);
        board.command(0x30, 0);
        board.sync();
        assertEquals(fault(S2_UNMAPPED, 1, cd), run(GATOS, DEVICE, IOVA | BOTH | READ), "of the CD");
        assertEquals(fault(0x09, 0, 0), run(GATOS, DEVICE, IOVA | STAGE_1 | READ), "F_CD_FETCH");
    }

    @Test
    void httuiLeavesTheTablesAlone() {
        TableWriter table = board.stage1Table();
        long[] cd = TestBoard.cd(5, table.root());
        cd[0] |= 3L << 42; // HA, HD
        long at = board.allocate(64);
        board.writeWords(at, cd);
        board.stream(DEVICE, TestBoard.stage1(0, at));
        long attributes = TestBoard.STAGE1_RW & ~Descriptor.AF | Descriptor.AP_READ_ONLY | Descriptor.DBM;
        table.map(IOVA, frame, 0x1000, attributes);
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1 | HTTUI) & 1, "as though it were writable and accessed");
        assertEquals(0, leaf(table) & Descriptor.AF);
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1) & 1);
        assertTrue((leaf(table) & Descriptor.AF) != 0);
        assertEquals(0, leaf(table) & Descriptor.AP_READ_ONLY, "dirty");
    }

    private long leaf(TableWriter table) {
        long at = table.root();
        for (int shift = 39; shift > 12; shift -= 9) {
            at = board.memory.read64(at + (IOVA >>> shift & 0x1ff) * 8) & 0xffff_ffff_f000L;
        }
        return board.memory.read64(at + (IOVA >>> 12 & 0x1ff) * 8);
    }

    @Test
    void runIsIgnoredWhileTheSmmuIsOff() {
        stage1();
        board.handshake(TestBoard.CR0, 0xc);
        assertEquals(0, run(GATOS, DEVICE, IOVA | STAGE_1 | READ), "PAR as before");
        assertEquals(1, board.misuses.size());
    }

    @Test
    void registersAreGuardedWhileItRuns() {
        board = new TestBoard(SmmuFeatures.smmuv3_2(), Timing.IMMEDIATE.handshakes(Latency.reads(2))).enabled();
        frame = board.allocate(0x1000);
        stage1().map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW);
        board.write64(GATOS + SID, DEVICE);
        board.write64(GATOS + ADDR, IOVA | STAGE_1 | READ);
        board.write(GATOS, 1);
        board.write64(GATOS + SID, 99);
        assertEquals(DEVICE, board.read(GATOS + SID));
        assertEquals(1, board.read(GATOS));
        assertEquals(1, board.read(GATOS));
        assertEquals(0, board.read(GATOS));
        assertEquals(0, board.read(GATOS + PAR) & 1);
        board.write64(GATOS + SID, 99);
        assertEquals(99, board.read(GATOS + SID));
    }

    @Test
    void virtualMachineSeesItsOwnStreamsOnly() {
        stage1().map(IOVA, frame, 0x1000, TestBoard.STAGE1_RW); // VMID 3
        board.write(SEL, 3);
        assertEquals(frame, run(VATOS, DEVICE, IOVA | STAGE_1 | READ) & 0x00ff_ffff_ffff_f000L);
        assertEquals(fault(0xff, 0, 0), run(VATOS, DEVICE, IOVA | BOTH | READ), "stage 1 alone is for it");
        board.write(SEL, 4);
        assertEquals(fault(0x04, 0, 0), run(VATOS, DEVICE, IOVA | STAGE_1 | READ), "C_BAD_STE");
        board.stream(DEVICE, 1 | 4 << 1, 0, 4, 0);
        assertEquals(fault(0x04, 0, 0), run(VATOS, DEVICE, IOVA | STAGE_1 | READ), "no VMID with bypass");
    }
}
