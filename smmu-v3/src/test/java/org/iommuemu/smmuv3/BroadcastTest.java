package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.TestBoard.CR0;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.iommuemu.mmio.DmaPort.Response;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.smmuv3.BroadcastInvalidation.Scope;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** TLB maintenance that PEs broadcast (IHI 0070, 3.17). */
class BroadcastTest {
    private static final int CR2 = 0x2c;
    private static final int STAGE_1 = 1;
    private static final int STAGE_2 = 2;
    private static final int EL2 = 3;
    private static final int VMID = 3;
    private static final int ASID = 5;
    private static final long IOVA = 0x1234_5000L;

    private TestBoard board;

    /** Three streams with cached translations whose tables are empty by now. */
    private void boardWithStaleEntries(SmmuFeatures features, int cr2) {
        board = new TestBoard(features).enabled();
        board.handshake(CR0, 0xc); // CR2 is guarded by SMMUEN.
        board.write(CR2, cr2);
        board.handshake(CR0, 0xd);
        TableWriter table = board.stage1Table();
        table.map(IOVA, board.allocate(4096), 4096, TestBoard.STAGE1_RW);
        TableWriter p2m = board.stage2Table();
        p2m.map(IOVA, board.allocate(4096), 4096, Descriptor.STAGE2_RAM);
        board.stream(STAGE_1, TestBoard.stage1(VMID, board.newCd(ASID, table.root())));
        board.stream(STAGE_2, TestBoard.stage2(VMID, p2m));
        long[] el2 = TestBoard.stage1(0, board.newCd(ASID, table.root()));
        el2[1] = 2L << 30; // STRW: EL2
        board.stream(EL2, el2);
        for (int stream = STAGE_1; stream <= EL2; stream++) {
            assertEquals(Response.OK, board.dmaRead(stream, IOVA));
        }
        table.unmap(IOVA, 4096);
        p2m.unmap(IOVA, 4096);
    }

    private static SmmuFeatures withBtm() {
        return SmmuFeatures.smmuv3_2().toBuilder().with(SmmuFeature.BTM).build();
    }

    private void broadcast(Scope scope, int vmid, int asid, long address) {
        board.smmu.broadcast(new BroadcastInvalidation(scope, vmid, asid, address));
    }

    private boolean isStale(int stream) {
        return board.dmaRead(stream, IOVA) == Response.OK;
    }

    @ParameterizedTest
    @EnumSource(Scope.class)
    void aScopeReachesWhatItNamesAndNothingElse(Scope scope) {
        boardWithStaleEntries(withBtm(), 1); // E2H: entries of EL2 have ASIDs.
        broadcast(scope, VMID + 1, ASID + 1, IOVA + 4096);
        if (scope != Scope.ALLE1 && scope != Scope.ALLE2) {
            for (int stream = STAGE_1; stream <= EL2; stream++) {
                assertTrue(isStale(stream), "stream " + stream);
            }
        }
        broadcast(scope, VMID, ASID, IOVA + 8);
        boolean el2 = scope.name().endsWith("2");
        boolean ofStage1 = !el2 && scope != Scope.IPAS2E1;
        boolean ofStage2 = scope == Scope.ALLE1 || scope == Scope.VMALLS12E1 || scope == Scope.IPAS2E1;
        assertEquals(!ofStage1, isStale(STAGE_1));
        assertEquals(!ofStage2, isStale(STAGE_2));
        assertEquals(!el2, isStale(EL2));
    }

    @Test
    void nothingIsHeardAfterResetAndWithoutTheFeature() {
        assertEquals(4, new TestBoard(withBtm()).read(CR2), "PTM is set");
        boardWithStaleEntries(withBtm(), 4);
        broadcast(Scope.ALLE1, 0, 0, 0);
        assertTrue(isStale(STAGE_1));
        boardWithStaleEntries(SmmuFeatures.smmuv3_2(), 0);
        broadcast(Scope.ALLE1, 0, 0, 0);
        assertTrue(isStale(STAGE_1));
    }

    @Test
    void whatConcernsBothStagesReachesTheOneThatThereIs() {
        SmmuFeatures stage1Alone = SmmuFeatures.qemuVirt().toBuilder()
                .with(SmmuFeature.BTM)
                .oas(48)
                .build();
        board = new TestBoard(stage1Alone).enabled();
        board.handshake(CR0, 0xc);
        board.write(CR2, 0);
        board.handshake(CR0, 0xd);
        TableWriter table = board.stage1Table();
        table.map(IOVA, board.allocate(4096), 4096, TestBoard.STAGE1_RW);
        board.stream(STAGE_1, TestBoard.stage1(0, board.newCd(ASID, table.root())));
        board.dmaRead(STAGE_1, IOVA);
        table.unmap(IOVA, 4096);
        broadcast(Scope.IPAS2E1, VMID, 0, IOVA);
        assertTrue(isStale(STAGE_1));
        broadcast(Scope.VMALLS12E1, VMID, 0, 0);
        assertFalse(isStale(STAGE_1), "without stage 2 all VMIDs are 0");
    }

    @ParameterizedTest
    @EnumSource(
            value = Scope.class,
            names = {"IPAS2E1", "ALLE2"})
    void whatIsNotImplementedIsIgnored(Scope scope) {
        board = new TestBoard(
                SmmuFeatures.minimal().toBuilder().with(SmmuFeature.BTM).build());
        board.write(CR2, 0);
        broadcast(scope, 0, 0, 0);
        assertEquals(0, board.misuses.size());
    }
}
