package org.iommuemu.nativecode.driver;

import java.nio.ByteBuffer;

/** The host's functions as C in this process calls them: arguments that are pointers are followed here. */
final class InProcessHost implements HostFunctions {
    private final DriverHost host;
    private final Binding binding;

    InProcessHost(DriverHost host, Binding binding) {
        this.host = host;
        this.binding = binding;
    }

    @Override
    public byte read8(long context, long address) {
        return (byte) host.read(address, 1);
    }

    @Override
    public short read16(long context, long address) {
        return (short) host.read(address, 2);
    }

    @Override
    public int read32(long context, long address) {
        return (int) host.read(address, 4);
    }

    @Override
    public long read64(long context, long address) {
        return host.read(address, 8);
    }

    @Override
    public void write8(long context, long address, byte value) {
        host.write(address, 1, value & 0xffL);
    }

    @Override
    public void write16(long context, long address, short value) {
        host.write(address, 2, value & 0xffffL);
    }

    @Override
    public void write32(long context, long address, int value) {
        host.write(address, 4, value & 0xffff_ffffL);
    }

    @Override
    public void write64(long context, long address, long value) {
        host.write(address, 8, value);
    }

    @Override
    public void barrier(long context) {
        host.barrier();
    }

    @Override
    public void delay(long context, long nanoseconds) {
        host.delay(nanoseconds);
    }

    @Override
    public long time(long context) {
        return host.time();
    }

    @Override
    public void log(long context, int level, long text) {
        host.log(level, binding.string(text));
    }

    @Override
    public int alloc(long context, long size, long physical) {
        long allocated = host.alloc(size);
        if (allocated < 0) {
            return (int) allocated;
        }
        binding.memory(physical, 8).putLong(0, allocated);
        return 0;
    }

    @Override
    public int free(long context, long physical, long size) {
        return host.free(physical, size);
    }

    @Override
    public int requestIrq(long context, int number) {
        return host.requestIrq(number);
    }

    @Override
    public int releaseIrq(long context, int number) {
        return host.releaseIrq(number);
    }

    @Override
    public void fault(long context, long fault) {
        ByteBuffer told = binding.memory(fault, Abi.FAULT_SIZE);
        host.fault(
                binding.string(told.getLong(0)),
                binding.string(told.getLong(8)),
                told.getLong(16),
                told.getLong(24),
                told.getInt(32));
    }

    @Override
    public int limitInput(long context, int bits) {
        return host.limitInput(bits);
    }
}
