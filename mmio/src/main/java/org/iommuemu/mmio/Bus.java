package org.iommuemu.mmio;

import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;

/**
 * The system bus: decodes 64-bit physical addresses to devices and RAM. Where a device and RAM overlap, the device
 * answers. Decoding costs O(log n) in the number of devices and takes no lock.
 *
 * <p>Software (a driver, a CPU) uses {@link #read} and {@link #write} and gets a {@link BusError} where nothing answers.
 * Hardware (a DMA master, an interrupt message) uses {@link #dmaRead} and {@link #dmaWrite} and gets a value.
 */
public final class Bus {
    private record Window(String name, long base, long size, BusDevice device) {
        boolean contains(long address, int length) {
            long offset = address - base;
            return Long.compareUnsigned(offset, size) < 0 && length <= size - offset;
        }
    }

    private final PhysicalMemory memory;

    /** By base, in unsigned order. */
    private final TreeMap<Long, Window> attached = new TreeMap<>(Long::compareUnsigned);

    /**
     * What decoding looks at: {@link #attached} as an array that never changes. Null after a change and made again by the
     * next access, so that attaching n devices costs O(n log n).
     */
    private volatile Window[] decoder = {};

    private volatile BusListener[] listeners = {};

    /** A bus with RAM. */
    public Bus(PhysicalMemory memory) {
        this.memory = memory;
    }

    /** The RAM on this bus. */
    public PhysicalMemory memory() {
        return memory;
    }

    /**
     * Puts a device on the bus.
     *
     * @param name for messages: a device tree path, for instance
     * @param base first byte of the window
     * @param size of the window in bytes
     * @throws IllegalArgumentException if the window is empty, wraps around or overlaps another device's; it names both
     */
    public synchronized void attach(String name, long base, long size, BusDevice device) {
        long last = base + size - 1;
        if (size <= 0 || Long.compareUnsigned(last, base) < 0) {
            throw new IllegalArgumentException("%s: no window of 0x%x bytes at 0x%x".formatted(name, size, base));
        }
        // Windows do not overlap, so only the last one that starts at or before our end can meet ours.
        Map.Entry<Long, Window> other = attached.floorEntry(last);
        if (other != null
                && (Long.compareUnsigned(other.getKey(), base) >= 0
                        || other.getValue().contains(base, 1))) {
            throw new IllegalArgumentException("%s: registers at 0x%x (0x%x bytes) overlap those of %s at 0x%x"
                    .formatted(name, base, size, other.getValue().name, other.getKey()));
        }
        attached.put(base, new Window(name, base, size, device));
        decoder = null;
    }

    /**
     * Whether there is anything in a range, a device or RAM.
     *
     * @param address first byte
     * @param length in bytes, at least 1; the range does not wrap around
     */
    public boolean isOccupied(long address, long length) {
        long last = address + length - 1;
        Window[] sorted = sorted();
        int at = firstEndingBehind(sorted, address);
        if (at < sorted.length && Long.compareUnsigned(sorted[at].base, last) <= 0) {
            return true;
        }
        return memory.ranges().stream()
                .anyMatch(range -> Long.compareUnsigned(range.base(), last) <= 0
                        && Long.compareUnsigned(address, range.end()) < 0);
    }

    /** Adds a listener that sees every access from now on. */
    public synchronized void addListener(BusListener listener) {
        BusListener[] longer = Arrays.copyOf(listeners, listeners.length + 1);
        longer[listeners.length] = listener;
        listeners = longer;
    }

    /**
     * A read by software.
     *
     * @param address physical address, a multiple of {@code size}
     * @param size in bytes: 1, 2, 4 or 8
     * @return the value, zero-extended
     * @throws BusError if nothing answers
     */
    public long read(long address, int size) {
        Window window = window(address, size);
        BusError.Reason error = error(window, address, size);
        if (error != null) {
            throw failed(new BusError(error, false, address, size));
        }
        long value = load(window, address, size);
        for (BusListener listener : listeners) {
            listener.onRead(address, size, value);
        }
        return value;
    }

    /**
     * A write by software.
     *
     * @param address physical address, a multiple of {@code size}
     * @param size in bytes: 1, 2, 4 or 8
     * @param value in the low bits
     * @throws BusError if nothing answers
     */
    public void write(long address, int size, long value) {
        Window window = window(address, size);
        BusError.Reason error = error(window, address, size);
        if (error != null) {
            throw failed(new BusError(error, true, address, size));
        }
        long written = value & -1L >>> 64 - 8 * size;
        store(window, address, size, written);
        for (BusListener listener : listeners) {
            listener.onWrite(address, size, written);
        }
    }

    /** A read of 32 bits by software, see {@link #read}. */
    public int read32(long address) {
        return (int) read(address, 4);
    }

    /** A write of 32 bits by software, see {@link #write}. */
    public void write32(long address, int value) {
        write(address, 4, value);
    }

    /** A read of 64 bits by software, see {@link #read}. */
    public long read64(long address) {
        return read(address, 8);
    }

    /** A write of 64 bits by software, see {@link #write}. */
    public void write64(long address, long value) {
        write(address, 8, value);
    }

    /**
     * A read by hardware. Device registers are read in the largest aligned pieces of at most 8 bytes.
     *
     * @param address physical address, of any alignment
     * @return whether all bytes were read; if not, the target's content is not defined
     */
    public boolean dmaRead(long address, byte[] target, int offset, int length) {
        return dma(false, address, target, offset, length);
    }

    /**
     * A write by hardware. Device registers are written in the largest aligned pieces of at most 8 bytes.
     *
     * @param address physical address, of any alignment
     * @return whether all bytes were written; if not, some before the failing one may have been
     */
    public boolean dmaWrite(long address, byte[] source, int offset, int length) {
        return dma(true, address, source, offset, length);
    }

    /**
     * A message-signalled interrupt of a unit: a write of 32 bits to RAM or to a device that takes messages.
     *
     * @param address a multiple of 4
     * @return whether it arrived; otherwise it is aborted
     */
    public boolean message(long address, int data) {
        Window window = window(address, 4);
        if (window != null && !window.device.takesMessages()) {
            failed(new BusError(BusError.Reason.UNMAPPED, true, address, 4));
            return false;
        }
        byte[] bytes = {(byte) data, (byte) (data >>> 8), (byte) (data >>> 16), (byte) (data >>> 24)};
        return dmaWrite(address, bytes, 0, bytes.length);
    }

    private boolean dma(boolean write, long address, byte[] bytes, int offset, int length) {
        if (!isRam(address, length)) {
            for (int done = 0, part; done < length; done += part) {
                part = piece(address + done, length - done);
                Window window = window(address + done, part);
                BusError.Reason error = error(window, address + done, part);
                if (error != null) {
                    failed(new BusError(error, write, address + done, part));
                    return false;
                }
                if (write) {
                    long value = 0;
                    for (int i = 0; i < part; i++) {
                        value |= (bytes[offset + done + i] & 0xffL) << 8 * i;
                    }
                    store(window, address + done, part, value);
                } else {
                    long value = load(window, address + done, part);
                    for (int i = 0; i < part; i++) {
                        bytes[offset + done + i] = (byte) (value >>> 8 * i);
                    }
                }
            }
        } else if (write) {
            memory.write(address, bytes, offset, length);
        } else {
            memory.read(address, bytes, offset, length);
        }
        for (BusListener listener : listeners) {
            listener.onDma(write, address, length);
        }
        return true;
    }

    private static int piece(long address, int left) {
        int part = 8;
        while (part > left || (address & part - 1) != 0) {
            part >>= 1;
        }
        return part;
    }

    private BusError failed(BusError error) {
        for (BusListener listener : listeners) {
            listener.onError(error);
        }
        return error;
    }

    /** Why an access fails, null if it does not. */
    private BusError.Reason error(Window window, long address, int size) {
        if (size != 4 && size != 8 && size != 2 && size != 1) {
            return BusError.Reason.BAD_SIZE;
        }
        if ((address & size - 1) != 0) {
            return BusError.Reason.MISALIGNED;
        }
        if (window == null) {
            return isRam(address, size) ? null : BusError.Reason.UNMAPPED;
        }
        return window.device.accepts(address - window.base, size) ? null : BusError.Reason.BAD_SIZE;
    }

    /** Whether RAM answers for all bytes of an access: they are RAM, and no device is in front of any of them. */
    private boolean isRam(long address, int length) {
        if (!memory.isRam(address, length)) {
            return false;
        }
        Window[] sorted = sorted();
        int at = firstEndingBehind(sorted, address);
        return at == sorted.length || Long.compareUnsigned(address + length - 1, sorted[at].base) < 0;
    }

    /** The device that answers for all bytes of an access, null if none does. */
    private Window window(long address, int size) {
        Window[] sorted = sorted();
        int at = firstEndingBehind(sorted, address);
        return at < sorted.length && sorted[at].contains(address, size) ? sorted[at] : null;
    }

    /** Index of the first window whose last byte is at an address or behind it, or the number of windows. */
    private static int firstEndingBehind(Window[] sorted, long address) {
        int low = 0;
        int high = sorted.length;
        while (low < high) {
            int middle = (low + high) >>> 1;
            Window window = sorted[middle];
            if (Long.compareUnsigned(window.base + window.size - 1, address) < 0) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    private Window[] sorted() {
        Window[] sorted = decoder;
        return sorted != null ? sorted : decoder();
    }

    private synchronized Window[] decoder() {
        if (decoder == null) {
            decoder = attached.values().toArray(Window[]::new);
        }
        return decoder;
    }

    /** @param window who answers; null for RAM */
    private long load(Window window, long address, int size) {
        if (window != null) {
            return window.device.read(address - window.base, size);
        }
        return switch (size) {
            case 1 -> memory.read8(address);
            case 2 -> memory.read16(address);
            case 4 -> memory.read32(address) & 0xffffffffL;
            default -> memory.read64(address);
        };
    }

    /** @param window who answers; null for RAM */
    private void store(Window window, long address, int size, long value) {
        if (window != null) {
            window.device.write(address - window.base, size, value);
            return;
        }
        switch (size) {
            case 1 -> memory.write8(address, (int) value);
            case 2 -> memory.write16(address, (int) value);
            case 4 -> memory.write32(address, (int) value);
            default -> memory.write64(address, value);
        }
    }
}
