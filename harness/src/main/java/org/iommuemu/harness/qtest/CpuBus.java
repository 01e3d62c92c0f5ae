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
    private static final int PAGE = 0x1000;

    private final Bus bus;
    private final PhysicalMemory memory;

    CpuBus(Bus bus) {
        this.bus = bus;
        memory = bus.memory();
    }

    void read(long address, byte[] target) {
        int largest = LARGEST;
        for (int done = 0, part; done < target.length; done += part) {
            long at = address + done;
            int left = target.length - done;
            int page = untilPage(at, left);
            if ((part = ramAt(at, left)) > 0) {
                memory.read(at, target, done, part);
            } else if (!bus.isOccupied(at, page)) {
                Arrays.fill(target, done, done + page, (byte) 0);
                part = page;
            } else {
                part = readDevice(at, target, done, piece(at, left, largest));
                largest = part == 0 ? LARGEST / 2 : part == page ? LARGEST : largest;
            }
        }
    }

    void write(long address, byte[] source) {
        int largest = LARGEST;
        for (int done = 0, part; done < source.length; done += part) {
            long at = address + done;
            int left = source.length - done;
            int page = untilPage(at, left);
            if ((part = ramAt(at, left)) > 0) {
                memory.write(at, source, done, part);
            } else if (!bus.isOccupied(at, page)) {
                part = page;
            } else {
                part = writeDevice(at, source, done, piece(at, left, largest));
                largest = part == 0 ? LARGEST / 2 : part == page ? LARGEST : largest;
            }
        }
    }

    private static int untilPage(long address, int left) {
        return Math.min(left, PAGE - (int) (address & PAGE - 1));
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

    /** How many bytes were read; none if it takes smaller pieces. */
    private int readDevice(long address, byte[] target, int at, int size) {
        try {
            long value = bus.read(address, size);
            for (int i = 0; i < size; i++) {
                target[at + i] = (byte) (value >>> 8 * i);
            }
        } catch (BusError e) {
            if (tooLarge(e)) {
                return 0;
            }
            Arrays.fill(target, at, at + size, (byte) 0);
        }
        return size;
    }

    /** How many bytes were written; none if it takes smaller pieces. */
    private int writeDevice(long address, byte[] source, int at, int size) {
        long value = 0;
        for (int i = 0; i < size; i++) {
            value |= (source[at + i] & 0xffL) << 8 * i;
        }
        try {
            bus.write(address, size, value);
        } catch (BusError e) {
            if (tooLarge(e)) {
                return 0;
            }
        }
        return size;
    }

    private static boolean tooLarge(BusError error) {
        return error.size() == LARGEST && error.reason() == BusError.Reason.BAD_SIZE;
    }

    private static int piece(long address, int left, int largest) {
        int size = largest;
        while (size > left || (address & size - 1) != 0) {
            size >>= 1;
        }
        return size;
    }
}
