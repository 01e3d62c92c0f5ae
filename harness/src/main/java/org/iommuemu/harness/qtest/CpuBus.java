package org.iommuemu.harness.qtest;

import java.util.Arrays;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusError;
import org.iommuemu.mmio.PhysicalMemory;

/**
 * The bus as qtest's commands see it: any address, any length. What is not RAM is accessed in the largest aligned pieces
 * that the device takes; what nothing answers reads as zeros and ignores writes.
 */
final class CpuBus {
    private static final int LARGEST = 8;

    private final Bus bus;
    private final PhysicalMemory memory;

    CpuBus(Bus bus) {
        this.bus = bus;
        memory = bus.memory();
    }

    void read(long address, byte[] target) {
        for (int done = 0, part; done < target.length; done += part) {
            part = ramAt(address + done, target.length - done);
            if (part > 0) {
                memory.read(address + done, target, done, part);
            } else {
                part = readDevice(address + done, target, done, LARGEST);
            }
        }
    }

    void write(long address, byte[] source) {
        for (int done = 0, part; done < source.length; done += part) {
            part = ramAt(address + done, source.length - done);
            if (part > 0) {
                memory.write(address + done, source, done, part);
            } else {
                part = writeDevice(address + done, source, done, LARGEST);
            }
        }
    }

    void fill(long address, long length, byte value) {
        byte[] block = new byte[(int) Math.min(length, 0x10000)];
        Arrays.fill(block, value);
        for (long done = 0, part; done < length; done += part) {
            part = Math.min(block.length, length - done);
            if (value == 0 && memory.isRam(address + done, part)) {
                memory.zero(address + done, part);
            } else {
                write(address + done, part == block.length ? block : Arrays.copyOf(block, (int) part));
            }
        }
    }

    /** How many bytes from an address on are RAM. No device of this machine is in front of RAM. */
    private int ramAt(long address, int length) {
        if (memory.isRam(address, length)) {
            return length;
        }
        if (!memory.isRam(address, 1)) {
            return 0;
        }
        for (PhysicalMemory.Range range : memory.ranges()) {
            if (address >= range.base() && address < range.end()) {
                return (int) (range.end() - address);
            }
        }
        return 0;
    }

    private int readDevice(long address, byte[] target, int at, int largest) {
        int size = piece(address, target.length - at, largest);
        try {
            long value = bus.read(address, size);
            for (int i = 0; i < size; i++) {
                target[at + i] = (byte) (value >>> 8 * i);
            }
        } catch (BusError e) {
            if (size == LARGEST && e.reason() == BusError.Reason.BAD_SIZE) {
                return readDevice(address, target, at, LARGEST / 2);
            }
            Arrays.fill(target, at, at + size, (byte) 0);
        }
        return size;
    }

    private int writeDevice(long address, byte[] source, int at, int largest) {
        int size = piece(address, source.length - at, largest);
        long value = 0;
        for (int i = 0; i < size; i++) {
            value |= (source[at + i] & 0xffL) << 8 * i;
        }
        try {
            bus.write(address, size, value);
        } catch (BusError e) {
            if (size == LARGEST && e.reason() == BusError.Reason.BAD_SIZE) {
                return writeDevice(address, source, at, LARGEST / 2);
            }
        }
        return size;
    }

    private static int piece(long address, int left, int largest) {
        int size = largest;
        while (size > left || (address & size - 1) != 0) {
            size >>= 1;
        }
        return size;
    }
}
