package org.iommuemu.harness.pcie;

import java.util.Map;
import java.util.TreeMap;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.Translator;

/**
 * A generic ECAM host bridge with one bus, number 0 (PCI Express Base Specification, 7.2.2): configuration accesses of up
 * to 4 bytes, windows into the bus's memory space, and an empty I/O space. What nothing on the bus answers reads as ones.
 */
public final class PcieHost {
    private static final int SLOTS = 32;
    private static final int INTERRUPTS = 4;

    private final Bus bus;
    private final Translator translator;
    private final InterruptController interrupts;
    private final int firstInterrupt;

    /** By slot: what it is kept for. */
    private final Map<Integer, String> reserved = new TreeMap<>();

    /** By device and function number. */
    private final Map<Integer, PciFunction> functions = new TreeMap<>();

    /**
     * A host bridge with nothing behind it.
     *
     * @param translator what DMA goes through, with the requester ID as StreamID; null for nothing
     * @param firstInterrupt number of the interrupt of INTA of slot 0; INTB to INTD follow, and slots are swizzled
     */
    public PcieHost(Bus bus, Translator translator, InterruptController interrupts, int firstInterrupt) {
        this.bus = bus;
        this.translator = translator;
        this.interrupts = interrupts;
        this.firstInterrupt = firstInterrupt;
        plug(new HostBridge(), 0);
    }

    /** Puts a function on the first slot that is free. */
    public void plug(PciFunction function) {
        for (int slot = 1; slot < SLOTS; slot++) {
            if (isFree(slot)) {
                plug(function, slot << 3);
                return;
            }
        }
        throw new IllegalArgumentException(function.name() + ": all slots of the PCI bus are in use");
    }

    /** Keeps a slot free of functions. */
    public void reserve(int slot, String why) {
        reserved.put(slot, why);
    }

    private boolean isFree(int slot) {
        return !reserved.containsKey(slot) && functions.keySet().stream().noneMatch(other -> other >> 3 == slot);
    }

    /**
     * Puts a function on the bus.
     *
     * @param devfn device and function number, 0 to 255
     * @throws IllegalArgumentException if the place is taken; it names both
     */
    public void plug(PciFunction function, int devfn) {
        PciFunction other = functions.get(devfn);
        String user = other == null ? reserved.get(devfn >> 3) : other.name();
        if (user != null) {
            throw new IllegalArgumentException("%s: slot %d function %d of the PCI bus is in use by %s"
                    .formatted(function.name(), devfn >> 3, devfn & 7, user));
        }
        functions.put(devfn, function);
        int pin = (devfn >> 3) % INTERRUPTS;
        function.connect(new DmaPort(bus, translator, devfn), interrupts.line(firstInterrupt + pin));
    }

    /** Configuration space, 1 MiB for each bus number. */
    public BusDevice configuration() {
        return new BusDevice() {
            @Override
            public long read(long offset, int size) {
                PciFunction function = at(offset);
                return function == null ? ones(size) : function.readConfig((int) offset & 0xfff, size);
            }

            @Override
            public void write(long offset, int size, long value) {
                PciFunction function = at(offset);
                if (function != null) {
                    function.writeConfig((int) offset & 0xfff, size, value);
                }
            }

            @Override
            public boolean accepts(long offset, int size) {
                return size <= 4;
            }

            private PciFunction at(long offset) {
                return offset >>> 20 == 0 ? functions.get((int) offset >>> 12) : null;
            }
        };
    }

    /**
     * A window into the bus's memory space.
     *
     * @param base the bus address of its first byte
     */
    public BusDevice memory(long base) {
        return new BusDevice() {
            @Override
            public long read(long offset, int size) {
                PciFunction function = at(offset);
                return function == null ? ones(size) : function.read(base + offset - function.barAddress(), size);
            }

            @Override
            public void write(long offset, int size, long value) {
                PciFunction function = at(offset);
                if (function != null) {
                    function.write(base + offset - function.barAddress(), size, value);
                }
            }

            @Override
            public boolean accepts(long offset, int size) {
                PciFunction function = at(offset);
                return function == null || function.accepts(base + offset - function.barAddress(), size);
            }

            private PciFunction at(long offset) {
                for (PciFunction function : functions.values()) {
                    if (function.decodes(base + offset)) {
                        return function;
                    }
                }
                return null;
            }
        };
    }

    /** The window into the I/O space, where nothing is. */
    public BusDevice ports() {
        return new BusDevice() {
            @Override
            public long read(long offset, int size) {
                return ones(size);
            }

            @Override
            public void write(long offset, int size, long value) {}
        };
    }

    private static long ones(int size) {
        return -1L >>> 64 - 8 * size;
    }
}
