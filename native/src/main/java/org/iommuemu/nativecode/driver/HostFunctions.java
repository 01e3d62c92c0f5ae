package org.iommuemu.nativecode.driver;

/** The functions of {@code struct iommu_emu_host}, in its order and with its types; they never throw. */
interface HostFunctions {
    byte read8(long context, long address);

    short read16(long context, long address);

    int read32(long context, long address);

    long read64(long context, long address);

    void write8(long context, long address, byte value);

    void write16(long context, long address, short value);

    void write32(long context, long address, int value);

    void write64(long context, long address, long value);

    void barrier(long context);

    void delay(long context, long nanoseconds);

    long time(long context);

    /** @param text address of a string */
    void log(long context, int level, long text);

    /** @param physical address of where the answer goes */
    int alloc(long context, long size, long physical);

    int free(long context, long physical, long size);

    int requestIrq(long context, int number);

    int releaseIrq(long context, int number);

    /** @param fault address of a {@code struct iommu_emu_fault} */
    void fault(long context, long fault);

    int limitInput(long context, int bits);
}
