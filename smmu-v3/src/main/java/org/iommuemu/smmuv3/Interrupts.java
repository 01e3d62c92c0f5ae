package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;

/**
 * Interrupts, wired and message-signalled, and global errors (IHI 0070, 3.18 and 7.5). Called under the register file's
 * monitor. A source that has both a wire and a message configured uses both (3.18.2).
 */
final class Interrupts {
    private final SmmuFeatures features;
    private final RegisterFile registers;
    private final Bus bus;
    private final Smmu.Wires wires;
    private Runnable wakeUp = () -> {};

    Interrupts(SmmuFeatures features, RegisterFile registers, Bus bus, Smmu.Wires wires) {
        this.features = features;
        this.registers = registers;
        this.bus = bus;
        this.wires = wires;
    }

    /** Where WFE wake-up events go. */
    void onWakeUp(Runnable wakesUp) {
        wakeUp = wakesUp;
    }

    /** Wakes PEs that wait for an event (4.1.2, 4.7.3). */
    void sendEvent() {
        wakeUp.run();
    }

    /** The Event queue became non-empty. */
    void eventQueueNotEmpty() {
        if (isEnabled(Registers.EVENTQ_IRQEN)) {
            signal(
                    Registers.EVENTQ_IRQ_CFG0,
                    Registers.EVENTQ_IRQ_CFG1,
                    wires.eventq(),
                    GlobalError.MSI_EVENTQ_ABT_ERR);
        }
    }

    /** The PRI queue has what SMMU_PRIQ_IRQ_CFG2.LO says (6.3.36). */
    void priQueue() {
        if (isEnabled(Registers.PRIQ_IRQEN)) {
            signal(Registers.PRIQ_IRQ_CFG0, Registers.PRIQ_IRQ_CFG1, wires.priq(), GlobalError.MSI_PRIQ_ABT_ERR);
        }
    }

    /**
     * A CMD_SYNC completed with CS == SIG_IRQ.
     *
     * @param msiAddress of its message, 0 for none
     */
    void synchronised(long msiAddress, int msiData) {
        signal(msiAddress, msiData, wires.cmdqSync(), GlobalError.MSI_CMDQ_ABT_ERR);
    }

    /** An error is active while its bits in SMMU_GERROR and SMMU_GERRORN differ. */
    boolean isActive(GlobalError error) {
        return ((registers.get(Registers.GERROR) ^ registers.get(Registers.GERRORN)) & error.mask()) != 0;
    }

    /** Activates an error, unless it is active already. */
    void activate(GlobalError error) {
        if (isActive(error)) {
            return;
        }
        registers.set(Registers.GERROR, registers.get(Registers.GERROR) ^ error.mask());
        // The abort of a GERROR message sends no other one after it (7.5.1).
        if (isEnabled(Registers.GERROR_IRQEN) && error != GlobalError.MSI_GERROR_ABT_ERR) {
            signal(
                    Registers.GERROR_IRQ_CFG0,
                    Registers.GERROR_IRQ_CFG1,
                    wires.gerror(),
                    GlobalError.MSI_GERROR_ABT_ERR);
        }
    }

    private boolean isEnabled(Field enable) {
        return enable.isSet(registers.get(Registers.IRQ_CTRL));
    }

    private void signal(Register cfg0, Register cfg1, InterruptController.Line wire, GlobalError ifAborted) {
        // Bits above the OAS are RES0 in a register (6.3.21), though not in a command (4.7.3).
        long msiAddress = Bits.address(registers.get(cfg0), features.oas() - 1, 2);
        signal(msiAddress, (int) registers.get(cfg1), wire, ifAborted);
    }

    /** @param msiAddress 0 for no message; bits above the OAS count for that, but do not reach the bus (4.7.3, 3.4.3) */
    private void signal(long msiAddress, int data, InterruptController.Line wire, GlobalError ifAborted) {
        if (wire != null) {
            wire.pulse();
        }
        if (features.has(SmmuFeature.MSI) && msiAddress != 0) {
            long address = Bits.address(msiAddress, features.oas() - 1, 2);
            if (!bus.message(address, data)) {
                activate(ifAborted);
            }
        }
    }
}
