package org.iommuemu.smmuv3;

import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterFile;

/** Indexes of a circular queue in memory: position, and a wrap bit above it (IHI 0070, 3.5.1). */
final class Queue {
    private final int log2Size;
    private final long base;
    private final int log2EntryBytes;

    /**
     * A queue as its base register describes it.
     *
     * @param register SMMU_CMDQ_BASE or SMMU_EVENTQ_BASE
     * @param maxLog2Size what SMMU_IDR1 allows; a larger LOG2SIZE behaves as that (6.3.26)
     * @param oas address bits above it are RES0
     */
    Queue(long register, int maxLog2Size, int log2EntryBytes, int oas) {
        log2Size = (int) Math.min(Registers.QUEUE_LOG2SIZE.get(register), maxLog2Size);
        this.log2EntryBytes = log2EntryBytes;
        // ADDR starts at bit 5: aligned to the larger of the queue's size and 32 bytes.
        base = Bits.alignDown(Bits.address(register, oas - 1, 5), log2Size + log2EntryBytes);
    }

    /**
     * Makes bits of an index above its wrap bit RAZ, as they are where the SMMU moves the index (6.3.28, 6.3.95, 6.3.97).
     * LOG2SIZE is UNKNOWN after reset, so until software writes it the index keeps all bits.
     *
     * @param index of {@code register}
     * @param base of the queue, whose LOG2SIZE tells where the wrap bit is
     * @param maxLog2Size what SMMU_IDR1 allows
     */
    static void truncate(RegisterFile registers, Register register, Field index, Register base, int maxLog2Size) {
        long[] indexMask = {-1};
        Runnable truncate = () -> {
            long value = registers.get(register);
            registers.set(register, index.set(value, index.get(value) & indexMask[0]));
        };
        registers.onWrite(register, (before, after) -> truncate.run());
        registers.onWrite(base, (before, after) -> {
            indexMask[0] = (2L << Math.min(Registers.QUEUE_LOG2SIZE.get(after), maxLog2Size)) - 1;
            truncate.run();
        });
    }

    private long indexMask() {
        return (2L << log2Size) - 1;
    }

    boolean isEmpty(long producer, long consumer) {
        return ((producer ^ consumer) & indexMask()) == 0;
    }

    boolean isFull(long producer, long consumer) {
        return ((producer ^ consumer) & indexMask()) == 1L << log2Size;
    }

    long next(long index) {
        return index + 1 & indexMask();
    }

    long address(long index) {
        return base + ((index & (1L << log2Size) - 1) << log2EntryBytes);
    }
}
