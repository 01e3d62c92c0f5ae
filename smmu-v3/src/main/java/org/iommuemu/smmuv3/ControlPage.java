package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.List;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Latency;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;
import org.iommuemu.mmio.RegisterMap;

/**
 * A Command queue control page: the registers of its Enhanced Command queues (IHI 0070, 3.5.6, 6.2.5 and 6.3.107 to
 * 6.3.109). All commands of the Command queue are allowed in them.
 */
final class ControlPage {
    private static final int BYTES = 1 << RegisterPages.LOG2_PAGE;

    private static final Field EN = Field.rw("EN", 31);
    private static final Field ERRACK = Field.rw("ERRACK", 23);
    private static final Field ENACK = Field.ro("ENACK", 31, 1, 0);
    private static final Field ERR_REASON = Field.rw("ERR_REASON", 24, 3);
    private static final Field ERR = Field.rw("ERR", 23);

    /** One Enhanced Command queue. */
    private final class Ecmdq implements CommandQueue.Window {
        private final Register base;
        private final Register prod;
        private final Register cons;
        private CommandQueue queue;

        /** Null if ENACK says what EN does. */
        private Latency.Wait handshake;

        Ecmdq(int n, int offset) {
            base = Register.dword(
                    "SMMU_ECMDQ_BASE" + n, offset, Registers.QUEUE_LOG2SIZE, Registers.QUEUE_ADDR, Field.rw("RA", 62));
            prod = Register.word("SMMU_ECMDQ_PROD" + n, offset + 8, Registers.CMDQ_WR, ERRACK, EN);
            cons = Register.word("SMMU_ECMDQ_CONS" + n, offset + 12, Registers.CMDQ_RD, ERR, ERR_REASON, ENACK);
        }

        private void connect() {
            Queue.truncate(page, cons, Registers.CMDQ_RD, base, cmdqLog2Size);
            page.guard(base, () -> !isOrWas(), "EN == 1");
            page.guard(cons, () -> !isOrWas(), "EN == 1");
            // While EN and ENACK differ, PROD is read-only (6.3.108).
            page.guard(prod, () -> settled(), "EN is being acknowledged");
            page.onWrite(prod, (before, after) -> {
                if (EN.isSet(before ^ after)) {
                    handshake = latency.start();
                }
                consumption.consume();
                settled();
            });
            page.onRead(cons, stored -> {
                settled();
                consumption.consume(); // It may be time.
                long value = page.get(cons);
                if (handshake != null) {
                    handshake.looked();
                    settled();
                }
                queue.looked();
                consumption.consume();
                return value;
            });
        }

        /** Acknowledges EN when it is time; whether ENACK is what EN is. */
        private boolean settled() {
            if (handshake != null && handshake.isOver() && !queue.isDraining()) {
                handshake = null;
                page.set(cons, ENACK.set(page.get(cons), isEnabled() ? 1 : 0));
            }
            return handshake == null;
        }

        boolean isOrWas() {
            settled();
            return isEnabled() || ENACK.isSet(page.get(cons));
        }

        @Override
        public boolean isEnabled() {
            return EN.isSet(page.get(prod));
        }

        @Override
        public boolean isInError() {
            return ERRACK.isSet(page.get(prod)) != ERR.isSet(page.get(cons));
        }

        @Override
        public long base() {
            return page.get(base);
        }

        @Override
        public long writeIndex() {
            return Registers.CMDQ_WR.get(page.get(prod));
        }

        @Override
        public long readIndex() {
            return Registers.CMDQ_RD.get(page.get(cons));
        }

        @Override
        public void consumed(long readIndex) {
            page.set(cons, Registers.CMDQ_RD.set(page.get(cons), readIndex));
        }

        /** CMDQP_ERR tells that some queue is in error; it stops none (3.5.6.3). */
        @Override
        public void fail(int reason) {
            page.set(cons, ERR_REASON.set(page.get(cons), reason) ^ ERR.mask());
            interrupts.activate(GlobalError.CMDQP_ERR);
        }
    }

    private final RegisterFile page;
    private final List<Ecmdq> queues = new ArrayList<>();
    private final int cmdqLog2Size;
    private final Latency latency;
    private final Interrupts interrupts;
    private final Consumption consumption;

    /** Makes the queue behind a window. */
    interface QueueMaker {
        CommandQueue make(CommandQueue.Window window);
    }

    /**
     * A page in its reset state.
     *
     * @param registers whose monitor is the unit's
     * @param latency of the handshakes between EN and ENACK
     */
    ControlPage(
            String unit,
            SmmuFeatures features,
            RegisterFile registers,
            Latency latency,
            Interrupts interrupts,
            Consumption consumption,
            QueueMaker maker,
            MisuseListener misuse) {
        int count = features.queuesPerPage();
        cmdqLog2Size = features.cmdqLog2Size();
        this.latency = latency;
        this.interrupts = interrupts;
        this.consumption = consumption;
        List<Register> all = new ArrayList<>();
        for (int n = 0; n < count; n++) {
            Ecmdq queue = new Ecmdq(n, n * (BYTES / count));
            queues.add(queue);
            all.addAll(List.of(queue.base, queue.prod, queue.cons));
        }
        page = new RegisterFile(new RegisterMap(BYTES, all), unit, misuse, registers);
        for (Ecmdq queue : queues) {
            queue.queue = maker.make(queue);
            queue.connect();
            consumption.add(queue.queue);
        }
    }

    BusDevice registers() {
        return page;
    }

    /** Whether a queue is enabled, or not acknowledged to be disabled. */
    boolean isOrWasEnabled() {
        return queues.stream().anyMatch(Ecmdq::isOrWas);
    }
}
