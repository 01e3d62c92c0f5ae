package org.iommuemu.smmuv3;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.Translation;
import org.iommuemu.mmio.Translator;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.TableWriter;
import org.iommuemu.pagetables.WalkResult;
import org.iommuemu.smmuv3.TranslationProcedure.Lookup;
import org.iommuemu.smmuv3.TranslationProcedure.Stages;
import org.junit.jupiter.api.Test;

/** What ATS and ATOS see: translations and faults by stage, of which nobody else hears (IHI 0070, 3.9.1.2 and 9.1). */
class LookupTest {
    private static final int DEVICE = 8;
    private static final long IOVA = 0x1234_5000L;
    private static final long IPA = 0x20_0000_0000L;
    private static final long PAGE = 0x7654_3000L;

    private final TestBoard board = new TestBoard().enabled();

    private Lookup lookUp(Stages stages, int substreamId, long address, int access) {
        Transaction transaction = new Transaction(DEVICE, substreamId, address, access);
        Lookup lookup = board.smmu.procedure.lookUp(transaction, stages, true, true);
        assertEquals(0, board.events().size());
        return lookup;
    }

    private Lookup lookUp(Stages stages, long address) {
        return lookUp(stages, Translator.NO_SUBSTREAM, address, Access.READ);
    }

    private static void arrivesAt(long expected, Lookup lookup) {
        assertNull(lookup.fault());
        assertEquals(expected, Translation.address(lookup.translation(), 0));
    }

    private static void faults(Event.Type type, boolean stage2, Lookup lookup) {
        Event event = lookup.fault().event();
        assertEquals(type, event.type());
        assertEquals(stage2, (event.word1() >>> 39 & 1) != 0);
    }

    private TableWriter nested(Structure change) {
        TableWriter stage1 = board.stage1Table();
        TableWriter stage2 = board.stage2Table();
        stage1.map(IOVA, IPA, 4096, TestBoard.STAGE1_RW);
        stage1.map(IOVA + 4096, IPA + 4096, 4096, TestBoard.STAGE1_RW);
        stage2.map(TestBoard.RAM, TestBoard.RAM, TestBoard.RAM_SIZE, Descriptor.STAGE2_RAM);
        stage2.map(IPA, PAGE, 4096, Descriptor.STAGE2_RAM & ~Descriptor.S2_WRITE);
        long[] ste = TestBoard.nested(1, board.newCd(5, stage1.root()), stage2);
        for (int i = 0; i < ste.length; i++) {
            ste[i] |= change.words()[i];
        }
        board.stream(DEVICE, ste);
        return stage2;
    }

    private static Structure plain() {
        return new Structure(new long[4]);
    }

    @Test
    void eachStageAlone() {
        nested(plain());
        arrivesAt(PAGE, lookUp(Stages.ALL, IOVA));
        arrivesAt(IPA, lookUp(Stages.FIRST, IOVA));
        arrivesAt(PAGE, lookUp(Stages.SECOND, IPA));
        arrivesAt(IPA + 4096, lookUp(Stages.FIRST, IOVA + 4096));
        faults(Event.Type.F_TRANSLATION, true, lookUp(Stages.ALL, IOVA + 4096));
        faults(Event.Type.F_TRANSLATION, false, lookUp(Stages.FIRST, IOVA + 8192));
        faults(Event.Type.F_TRANSLATION, true, lookUp(Stages.SECOND, IPA + 4096));
        faults(Event.Type.F_ADDR_SIZE, false, lookUp(Stages.SECOND, 1L << 48));
    }

    @Test
    void permissionsOfTheStagesThatWereAskedFor() {
        nested(plain());
        long both = lookUp(Stages.ALL, IOVA).translation();
        assertFalse(WalkResult.permits(both, Access.WRITE));
        assertTrue(WalkResult.permits(lookUp(Stages.FIRST, IOVA).translation(), Access.WRITE));
        int write = Access.WRITE;
        faults(Event.Type.F_PERMISSION, true, lookUp(Stages.ALL, Translator.NO_SUBSTREAM, IOVA, write));
        arrivesAt(IPA, lookUp(Stages.FIRST, Translator.NO_SUBSTREAM, IOVA, write));
    }

    @Test
    void aFaultThatWouldStallIsAValue() {
        nested(plain().with(185)); // S2S
        long at = board.streamTable + 64 * DEVICE + 16;
        board.bus.write64(at, board.bus.read64(at) & ~(1L << 58)); // S2R: a stall is recorded without it.
        board.command(0x03 | (long) DEVICE << 32, 1);
        Lookup lookup = lookUp(Stages.ALL, IOVA + 4096);
        assertEquals(Fault.Response.STALL, lookup.fault().response());
        assertTrue(lookup.fault().recorded());
    }

    @Test
    void aStage2FaultOfTheCdIsSeenByStage1() {
        TableWriter stage2 = nested(plain());
        long cd = board.bus.read64(board.streamTable + 64 * DEVICE) & 0x000f_ffff_ffff_ffc0L;
        stage2.unmap(cd & -4096, 4096);
        faults(Event.Type.F_TRANSLATION, true, lookUp(Stages.FIRST, IOVA));
        arrivesAt(PAGE, lookUp(Stages.SECOND, IPA));
    }

    @Test
    void configurationErrorsAreValues() {
        board.stream(DEVICE, 0x1 | 6 << 1);
        assertEquals(
                Event.Type.C_BAD_STE, lookUp(Stages.ALL, IOVA).fault().event().type());
        assertEquals(
                Event.Type.C_BAD_STE,
                lookUp(Stages.SECOND, IOVA).fault().event().type());
        board.stream(DEVICE, 0x1);
        assertSame(Fault.SILENT, lookUp(Stages.ALL, IOVA).fault());
        nested(plain());
        assertEquals(
                Event.Type.C_BAD_SUBSTREAMID,
                lookUp(Stages.ALL, 3, IOVA, Access.READ).fault().event().type());
    }

    @Test
    void withoutASubstreamStage1IsAnIdentity() {
        nested(plain().with(63, 59, 4).with(65, 64, StreamTableEntry.S1DSS_BYPASS));
        arrivesAt(IPA, lookUp(Stages.FIRST, IPA));
        arrivesAt(PAGE, lookUp(Stages.ALL, IPA));
        faults(Event.Type.F_ADDR_SIZE, false, lookUp(Stages.FIRST, 1L << 48));
        board.stream(DEVICE, 0x1 | 4 << 1);
        arrivesAt(IOVA, lookUp(Stages.ALL, IOVA));
        assertTrue(WalkResult.permits(lookUp(Stages.ALL, IOVA).translation(), Access.WRITE | Access.PRIVILEGED));
    }

    @Test
    void overridesOfPrivilegeAreForAtsOnly() {
        TableWriter table = board.stage1Table();
        table.map(IOVA, PAGE, 4096, Descriptor.AF);
        Structure ste = new Structure(TestBoard.stage1(1, board.newCd(5, table.root())));
        board.stream(DEVICE, ste.with(113, 112, 3).words()); // PRIVCFG: privileged
        Transaction read = new Transaction(DEVICE, Translator.NO_SUBSTREAM, IOVA, Access.READ);
        arrivesAt(PAGE, board.smmu.procedure.lookUp(read, Stages.ALL, true, true));
        Lookup plain = board.smmu.procedure.lookUp(read, Stages.ALL, false, true);
        faults(Event.Type.F_PERMISSION, false, plain);
    }

    @Test
    void theEntryOfAStream() {
        nested(plain().with(93, 92, 2));
        StreamTableEntry ste = board.smmu.procedure.locate(DEVICE).ste();
        assertEquals(StreamTableEntry.EATS_SPLIT_STAGE, ste.eats(true));
        assertEquals(StreamTableEntry.EATS_NONE, ste.eats(false), "without SMMU_CR0.ATSCHK");
        assertEquals(
                Event.Type.C_BAD_STREAMID,
                board.smmu.procedure.locate(0x100).fault().event().type());
    }
}
