package org.iommuemu.smmuv3;

import org.iommuemu.mmio.RegisterFile;

/** The Command queue's registers: SMMU_CMDQ_BASE, PROD and CONS, SMMU_CR0.CMDQEN, SMMU_GERROR.CMDQ_ERR (6.3.26 to 6.3.28). */
record CommandQueueRegisters(RegisterFile registers, Interrupts interrupts) implements CommandQueue.Window {
    @Override
    public boolean isEnabled() {
        return Registers.CMDQEN.isSet(registers.get(Registers.CR0));
    }

    @Override
    public boolean isInError() {
        return interrupts.isActive(GlobalError.CMDQ_ERR);
    }

    @Override
    public long base() {
        return registers.get(Registers.CMDQ_BASE);
    }

    @Override
    public long writeIndex() {
        return Registers.CMDQ_WR.get(registers.get(Registers.CMDQ_PROD));
    }

    @Override
    public long readIndex() {
        return Registers.CMDQ_RD.get(registers.get(Registers.CMDQ_CONS));
    }

    @Override
    public void consumed(long readIndex) {
        registers.set(Registers.CMDQ_CONS, Registers.CMDQ_RD.set(registers.get(Registers.CMDQ_CONS), readIndex));
    }

    @Override
    public void fail(int reason) {
        registers.set(Registers.CMDQ_CONS, Registers.CMDQ_ERR.set(registers.get(Registers.CMDQ_CONS), reason));
        interrupts.activate(GlobalError.CMDQ_ERR);
    }
}
