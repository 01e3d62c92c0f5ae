package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.junit.jupiter.api.Test;

/** Access flag and dirty state, updated by the SMMU or not (IHI 0070, 3.13). */
class HardwareUpdateTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final long IPA = 0x20_0000_0000L;
    private static final long PAGE = 0x7654_3000L;
    private static final int F_ACCESS = 0x12;
    private static final int F_PERMISSION = 0x13;
    private static final long DIRTY = 1L << 7;

    /** Writable-clean, for everybody; the Access flag is 0. */
    private static final long STAGE1_CLEAN =
            Descriptor.AP_UNPRIVILEGED | Descriptor.AP_READ_ONLY | Descriptor.DBM | Descriptor.NG;

    private static final long STAGE2_CLEAN =
            Descriptor.MEM_ATTR_NORMAL | Descriptor.S2_READ | Descriptor.DBM | 3L << Descriptor.SH_SHIFT;

    private static final int HD = 42;
    private static final int HA = 43;
    private static final int S2HD = 183;
    private static final int S2HA = 184;

    private final TestBoard board = new TestBoard().enabled();
    private final TableWriter stage1 = board.stage1Table();
    private final TableWriter stage2 = board.stage2Table();

    private long translate(int access) {
        return board.smmu.translate(DEVICE, Translator.NO_SUBSTREAM, IOVA, access);
    }

    private void succeeds(int access) {
        assertTrue(Translation.translated(translate(access)));
        assertEquals(0, board.events().size());
    }

    private long[] fails(int access) {
        assertFalse(Translation.translated(translate(access)));
        return board.event();
    }

    private Structure cd() {
        return new Structure(TestBoard.cd(5, stage1.root()));
    }

    private void attachStage1(Structure cd) {
        stage1.map(IOVA, PAGE, 4096, STAGE1_CLEAN);
        long address = board.allocate(64);
        board.writeWords(address, cd.words());
        board.stream(DEVICE, TestBoard.stage1(1, address));
    }

    /** Where the leaf of a table with four levels of 4 KiB, or of three, is. */
    private long leaf(TableWriter table, long input, int levels) {
        long entry = table.root() + (input >>> 12 + 9 * (levels - 1)) * 8;
        for (int level = levels - 2; level >= 0; level--) {
            long next = board.bus.read64(entry) & 0x0000_ffff_ffff_f000L;
            entry = next + (input >>> 12 + 9 * level & 0x1ff) * 8;
        }
        return entry;
    }

    private long stage1Leaf() {
        return board.bus.read64(leaf(stage1, IOVA, 4));
    }

    private long stage2Leaf(long ipa) {
        return board.bus.read64(leaf(stage2, ipa, 3));
    }

    @Test
    void withoutItTheAccessFlagFaultsUnlessAffd() {
        attachStage1(cd());
        assertEquals(F_ACCESS, TestBoard.type(fails(Access.READ)));
        stage1.unmap(IOVA, 4096);
        attachStage1(cd().with(35)); // AFFD
        succeeds(Access.READ);
        assertEquals(F_PERMISSION, TestBoard.type(fails(Access.WRITE)));
        assertEquals(0, stage1Leaf() & Descriptor.AF);
    }

    @Test
    void aReadSetsTheAccessFlagAWriteMakesDirty() {
        attachStage1(cd().with(HA).with(HD));
        succeeds(Access.READ);
        assertEquals(Descriptor.AF, stage1Leaf() & Descriptor.AF);
        assertEquals(DIRTY, stage1Leaf() & DIRTY, "AP[2]: clean");
        succeeds(Access.WRITE);
        assertEquals(0, stage1Leaf() & DIRTY);
        assertEquals(Descriptor.DBM, stage1Leaf() & Descriptor.DBM);
    }

    @Test
    void withoutHdWritableCleanIsReadOnly() {
        attachStage1(cd().with(HA));
        assertEquals(F_PERMISSION, TestBoard.type(fails(Access.WRITE)));
        assertEquals(DIRTY, stage1Leaf() & DIRTY);
        succeeds(Access.READ);
    }

    @Test
    void hdAloneBehavesAsNothing() {
        attachStage1(cd().with(HD));
        assertEquals(F_ACCESS, TestBoard.type(fails(Access.WRITE)));
    }

    @Test
    void stage2() {
        stage2.map(IOVA, PAGE, 4096, STAGE2_CLEAN);
        Structure ste = new Structure(TestBoard.stage2(3, stage2));
        board.stream(DEVICE, ste.words());
        assertEquals(F_ACCESS, TestBoard.type(fails(Access.READ)));
        board.stream(DEVICE, ste.with(181).words()); // S2AFFD
        succeeds(Access.READ);
        board.command(0x28 | 3L << 32, 0); // CMD_TLBI_S12_VMALL
        board.stream(DEVICE, ste.with(S2HA).with(S2HD).words());
        succeeds(Access.READ);
        assertEquals(Descriptor.AF, stage2Leaf(IOVA) & (Descriptor.AF | DIRTY));
        succeeds(Access.WRITE);
        assertEquals(DIRTY, stage2Leaf(IOVA) & DIRTY, "S2AP[1]");
    }

    /** Both stages update; what stage 1 needs is writable-clean at stage 2, but its CD. */
    private long nested(boolean stage2Updates) {
        stage1.map(IOVA, IPA, 4096, STAGE1_CLEAN);
        long cd = board.newCd(5, stage1.root());
        board.writeWords(cd, cd().with(HA).with(HD).words());
        for (long table = stage1.root() & -0x10_0000L; table < cd + 4096; table += 4096) {
            stage2.map(table, table, 4096, STAGE2_CLEAN | Descriptor.AF);
        }
        stage2.map(IPA, PAGE, 4096, STAGE2_CLEAN);
        Structure ste = new Structure(TestBoard.nested(1, cd, stage2));
        board.stream(DEVICE, (stage2Updates ? ste.with(S2HA).with(S2HD) : ste).words());
        return cd;
    }

    @Test
    void updatingStage1MakesItsTableDirtyAtStage2() {
        long cd = nested(true);
        succeeds(Access.READ);
        long table = leaf(stage1, IOVA, 4) & -4096;
        assertEquals(DIRTY, stage2Leaf(table) & DIRTY, "the Access flag was written");
        assertEquals(0, stage2Leaf(stage1.root()) & DIRTY, "a table that was only read");
        assertEquals(0, stage2Leaf(cd) & DIRTY, "never for a CD");
        assertEquals(Descriptor.AF, stage2Leaf(IPA) & (Descriptor.AF | DIRTY));
        succeeds(Access.WRITE);
        assertEquals(0, stage1Leaf() & DIRTY);
        assertEquals(DIRTY, stage2Leaf(IPA) & DIRTY);
    }

    @Test
    void anUpdateThatStage2DoesNotPermitIsATableWrite() {
        nested(false);
        stage2.unmap(IPA, 4096);
        long[] event = fails(Access.READ);
        assertEquals(F_PERMISSION, TestBoard.type(event));
        assertTrue(TestBoard.isStage2(event));
        assertEquals(1, TestBoard.faultClass(event), "TT");
        assertEquals(0, event[1] >>> 44 & 1, "TTRnW: the write of the descriptor");
        assertEquals(1, event[1] >>> 35 & 1, "RnW: the access was a read");
        assertEquals(leaf(stage1, IOVA, 4) & -4096, event[3]);
    }

    @Test
    void smmusWithoutItRefuseIt() {
        SmmuFeatures none = SmmuFeatures.builder()
                .hardwareUpdate(SmmuFeatures.HardwareUpdate.NONE)
                .build();
        TestBoard other = new TestBoard(none).enabled();
        long cd = other.newCd(5, other.stage1Table().root());
        other.bus.write64(cd, other.bus.read64(cd) | 1L << HA);
        other.stream(DEVICE, TestBoard.stage1(1, cd));
        other.dmaRead(DEVICE, IOVA);
        assertEquals(0x0a, TestBoard.type(other.event()), "C_BAD_CD");
        assertNotEquals(0, other.misuses.size());
    }

    @Test
    void aLookUpThatOnlyLooksChangesNothing() {
        nested(true);
        Transaction write = new Transaction(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.WRITE);
        TranslationProcedure procedure = board.smmu.procedure;
        TranslationProcedure.Lookup looked = procedure.lookUp(write, TranslationProcedure.Stages.ALL, false, false);
        assertEquals(PAGE, Translation.address(looked.translation(), IOVA), "writable-clean is writable");
        assertEquals(0, stage1Leaf() & Descriptor.AF);
        assertEquals(0, stage2Leaf(IPA) & (Descriptor.AF | DIRTY));
        assertEquals(0, stage2Leaf(leaf(stage1, IOVA, 4) & -4096) & DIRTY);

        procedure.lookUp(write, TranslationProcedure.Stages.FIRST, false, true);
        assertEquals(Descriptor.AF, stage1Leaf() & (Descriptor.AF | DIRTY), "accessed and dirty");
        assertEquals(0, stage2Leaf(IPA) & DIRTY, "the output was not used");
        procedure.lookUp(write, TranslationProcedure.Stages.ALL, false, true);
        assertEquals(DIRTY, stage2Leaf(IPA) & DIRTY);
    }
}
