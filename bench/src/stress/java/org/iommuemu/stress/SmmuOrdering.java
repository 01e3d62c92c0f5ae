package org.iommuemu.stress;

import static org.openjdk.jcstress.annotations.Expect.ACCEPTABLE;
import static org.openjdk.jcstress.annotations.Expect.FORBIDDEN;

import org.iommuemu.mmio.DmaPort;
import org.openjdk.jcstress.annotations.Actor;
import org.openjdk.jcstress.annotations.Arbiter;
import org.openjdk.jcstress.annotations.JCStressTest;
import org.openjdk.jcstress.annotations.Outcome;
import org.openjdk.jcstress.annotations.State;
import org.openjdk.jcstress.infra.results.III_Result;
import org.openjdk.jcstress.infra.results.II_Result;
/**
 * Masters against commands and CMD_SYNC: when a CMD_SYNC is complete, so are all accesses that were translated with what
 * the commands before it invalidated (IHI 0070, 3.21.1, 4.7.3), data transfers included. Half of the ports have the
 * old translation in their micro-TLB at first.
 */
public final class SmmuOrdering {
    private static final SmmuBoard BOARD = new SmmuBoard();

    private static final int NESTED = SmmuBoard.NESTED_STREAMS;

    private SmmuOrdering() {}

    /** Address of S2TTB. */
    private static long rootOfStage2(int place) {
        return SmmuBoard.ste(NESTED + place) + 24;
    }

    /** A transfer, which is a burst of its own, against CMD_TLBI_NH_VA. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 9", expect = ACCEPTABLE, desc = "After: the write went to the new frame.")
    @Outcome(id = "1, 1, 8", expect = ACCEPTABLE, desc = "Before: the write was in the old frame when the driver went on.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class TransferAgainstTlbi extends Moved {
        private final DmaPort port = BOARD.port(place, true);

        /** A page at its present frame. */
        public TransferAgainstTlbi() {
            super(BOARD.memory, SmmuBoard::stage1Descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            write(port, 0);
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.invalidate(SmmuBoard.TLBI_NH_VA, 0, SmmuBoard.ASID_A, Place.input(place));
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(place, false));
        }
    }

    /** A burst that the master opened against CMD_TLBI_NH_VA: hits in it do no fence. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstTlbi extends Moved {
        private final DmaPort port = BOARD.port(place, true);

        /** A page at its present frame. */
        public BurstAgainstTlbi() {
            super(BOARD.memory, SmmuBoard::stage1Descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.invalidate(SmmuBoard.TLBI_NH_VA, 0, SmmuBoard.ASID_A, Place.input(place));
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(place, false));
        }
    }

    /** A port without a micro-TLB, so that every access asks the SMMU, against CMD_TLBI_NH_ASID. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class UncachedAgainstTlbi extends Moved {
        private final DmaPort port = BOARD.port(place, false);

        /** A page at its present frame. */
        public UncachedAgainstTlbi() {
            super(BOARD.memory, SmmuBoard::stage1Descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.invalidate(SmmuBoard.TLBI_NH_ASID, 0, SmmuBoard.ASID_A, 0);
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(place, false));
        }
    }

    /** Another CD, with another ASID, against CMD_CFGI_STE: configuration is cached, too (3.21.3). */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstCfgi extends Moved {
        private final DmaPort port = BOARD.port(place, true);

        /** A page at its present frame. */
        public BurstAgainstCfgi() {
            super(BOARD.memory, SmmuBoard::ste);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.command(SmmuBoard.CFGI_STE, (long) place << 32, 1);
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(place, false));
        }
    }

    /** Stage 2 alone against CMD_TLBI_S2_IPA. */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstStage2 extends Moved {
        private final DmaPort port = BOARD.port(SmmuBoard.STAGE2_STREAM, true);

        /** A page at its present frame. */
        public BurstAgainstStage2() {
            super(BOARD.memory, SmmuBoard::stage2Descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.invalidate(SmmuBoard.TLBI_S2_IPA, SmmuBoard.STAGE2_VMID, 0, Place.input(place));
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(SmmuBoard.STAGE2_STREAM, false));
        }
    }

    /**
     * Stage 1 over stage 2, whose translations are cached by VA: CMD_TLBI_S2_IPA, then CMD_TLBI_NH_ALL (4.4.3.1) or, half of the
     * times, CMD_TLBI_S12_VMALL.
     */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstNested extends Moved {
        private final DmaPort port = BOARD.port(SmmuBoard.NESTED_STREAMS + place, true);

        /** A page at its present frame. */
        public BurstAgainstNested() {
            super(BOARD.memory, SmmuBoard::stage2Descriptor);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            int vmid = SmmuBoard.NESTED_VMIDS + place;
            BOARD.invalidate(SmmuBoard.TLBI_S2_IPA, vmid, 0, Place.input(place));
            BOARD.invalidate((number & 2) == 0 ? SmmuBoard.TLBI_NH_ALL : SmmuBoard.TLBI_S12_VMALL, vmid, 0, 0);
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(SmmuBoard.NESTED_STREAMS + place, false));
        }
    }

    /**
     * Stage 2 of a nested stream is replaced as a whole, and the VMID stays: CMD_CFGI_STE, then CMD_TLBI_S12_VMALL. A walk with
     * the old STE must not leave anything under the VMID, also of stage 2 alone, which nested walks cache.
     */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 11", expect = ACCEPTABLE, desc = "After.")
    @Outcome(id = "1, 1, 10", expect = ACCEPTABLE, desc = "One before, one after.")
    @Outcome(id = "2, 2, 9", expect = ACCEPTABLE, desc = "As long as nothing is complete, the order is free.")
    @Outcome(id = "3, 3, 8", expect = ACCEPTABLE, desc = "Before.")
    @Outcome(expect = FORBIDDEN, desc = "A write arrived in the old frame too late, or was lost.")
    public static class BurstAgainstNewStage2 extends Moved {
        private final DmaPort port = BOARD.port(NESTED + place, true);

        /** A page at its present frame. */
        public BurstAgainstNewStage2() {
            super(BOARD.memory, SmmuOrdering::rootOfStage2);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Does DMA. */
        @Actor
        public void master() {
            meet(0);
            port.beginBurst();
            write(port, 0);
            write(port, 1);
            port.endBurst();
        }

        /** Moves the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            move();
            BOARD.command(SmmuBoard.CFGI_STE, (long) (NESTED + place) << 32, 1);
            BOARD.invalidate(SmmuBoard.TLBI_S12_VMALL, SmmuBoard.NESTED_VMIDS + place, 0, 0);
            BOARD.sync();
            done(result);
        }

        /** Looks at both frames. */
        @Arbiter
        public void arbiter(III_Result result) {
            end(result, BOARD.port(NESTED + place, false));
        }
    }

    /** A read: what the driver puts into the old frame after CMD_SYNC is not the master's any more. */
    @JCStressTest
    @State
    @Outcome(id = "1, 0", expect = ACCEPTABLE, desc = "The master read the old frame.")
    @Outcome(id = "2, 0", expect = ACCEPTABLE, desc = "The master read the new frame.")
    @Outcome(expect = FORBIDDEN, desc = "The master read what another owner of the frame wrote.")
    public static class ReadAgainstTlbi extends Moved {
        private final DmaPort port = BOARD.port(place, true);
        private final byte[] bytes = new byte[1];

        /** A page at its present frame, which has 1 in it; the other one has 2. */
        public ReadAgainstTlbi() {
            super(BOARD.memory, SmmuBoard::stage1Descriptor);
            BOARD.memory.write8(frame(0), 1);
            BOARD.memory.write8(frame(1), 2);
            if ((number & 1) == 0) {
                port.translate(Place.input(place), false);
            }
        }

        /** Reads. */
        @Actor
        public void master(II_Result result) {
            meet(0);
            DmaPort.Response response = port.read(Place.input(place), bytes, 0, 1);
            result.r1 = bytes[0];
            result.r2 = response.ordinal();
        }

        /** Moves the page, and uses the old frame for something else. */
        @Actor
        public void driver() {
            meet(1);
            move();
            BOARD.invalidate(SmmuBoard.TLBI_NH_VA, 0, SmmuBoard.ASID_A, Place.input(place));
            BOARD.sync();
            BOARD.memory.write8(frame(0), 3);
        }
    }

    /**
     * A page that is unmapped. The master's fault needs the lock under which CMD_SYNC waits for it. Results: bytes in the old
     * frame when the driver was told, in the end, the response (0 OK, 1 ABORT).
     */
    @JCStressTest
    @State
    @Outcome(id = "0, 0, 1", expect = ACCEPTABLE, desc = "After: aborted.")
    @Outcome(id = "1, 1, 0", expect = ACCEPTABLE, desc = "Before: written.")
    @Outcome(expect = FORBIDDEN, desc = "Written too late, or not what the master was told.")
    public static class TransferAgainstUnmap extends Moved {
        private final DmaPort port = BOARD.port(place, true);
        private final long descriptor = SmmuBoard.stage1Descriptor(place);

        /** A page at its present frame. */
        public TransferAgainstUnmap() {
            super(BOARD.memory, SmmuBoard::stage1Descriptor);
            // The last state left it without the valid bit, and nothing cached.
            BOARD.memory.write64(descriptor, BOARD.memory.read64(descriptor) | 1);
            if ((number & 1) == 0) {
                warm(port);
            }
        }

        /** Writes once. */
        @Actor
        public void master(III_Result result) {
            meet(0);
            result.r3 = write(port, 0).ordinal();
        }

        /** Unmaps the page. */
        @Actor
        public void driver(III_Result result) {
            meet(1);
            BOARD.memory.write64(descriptor, BOARD.memory.read64(descriptor) & ~1);
            BOARD.invalidate(SmmuBoard.TLBI_NH_VA, 0, SmmuBoard.ASID_A, Place.input(place));
            BOARD.sync();
            done(result);
        }

        /** Looks at the frame. */
        @Arbiter
        public void arbiter(III_Result result) {
            result.r2 = BOARD.memory.read8(frame(0));
        }
    }
}
