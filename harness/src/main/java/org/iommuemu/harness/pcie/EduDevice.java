package org.iommuemu.harness.pcie;

import org.iommuemu.mmio.MisuseListener;

/**
 * A function with the register layout of QEMU's {@code edu} device (QEMU documentation, specs/edu): identification, a
 * liveness check, a factorial, interrupts, and a DMA engine between bus addresses and 4 KiB of its own memory, which takes
 * 100 ms. The factorial is there at once.
 */
public final class EduDevice extends PciFunction {
    /** What {@code dma_mask} is where nobody says otherwise: 28 address bits. */
    public static final long DMA_MASK = (1L << 28) - 1;

    private static final int BAR_SIZE = 1 << 20;
    private static final int MSI_OFFSET = 0x40;

    // Registers: 32 bits, those of the DMA engine 64 bits.
    private static final int IDENTIFICATION = 0x00;
    private static final int LIVENESS = 0x04;
    private static final int FACTORIAL = 0x08;
    private static final int STATUS = 0x20;
    private static final int INTERRUPT_STATUS = 0x24;
    private static final int INTERRUPT_RAISE = 0x60;
    private static final int INTERRUPT_ACKNOWLEDGE = 0x64;
    private static final int DMA_SOURCE = 0x80;
    private static final int DMA_DESTINATION = 0x88;
    private static final int DMA_COUNT = 0x90;
    private static final int DMA_COMMAND = 0x98;

    private static final long ID = 0x010000ed;
    private static final int STATUS_FACTORIAL_INTERRUPT = 0x80;
    private static final int FACTORIAL_INTERRUPT = 1;
    private static final int DMA_INTERRUPT = 0x100;

    private static final int RUN = 1;
    private static final int TO_BUS = 1 << 1;
    private static final int INTERRUPT_WHEN_DONE = 1 << 2;

    /** Where the device's own memory is for DMA_SOURCE and DMA_DESTINATION. */
    private static final long BUFFER = 0x40000;

    private static final long MILLISECOND = 1_000_000;

    private final VirtualClock clock;
    private final long dmaMask;
    private final MisuseListener misuse;
    private final byte[] buffer = new byte[0x1000];

    private int liveness;
    private int factorial;
    private int status;
    private int interruptStatus;
    private long source;
    private long destination;
    private long count;
    private long command;

    /**
     * A device in its reset state.
     *
     * @param clock what its DMA engine waits on
     * @param dmaMask which bits of a bus address it drives
     * @param misuse hears of DMA that software asked for wrongly
     */
    public EduDevice(VirtualClock clock, long dmaMask, MisuseListener misuse) {
        super("edu", new Identity(0x1234, 0x11e8, 0x00ff, 0x10), BAR_SIZE);
        this.clock = clock;
        this.dmaMask = dmaMask;
        this.misuse = misuse;
        useInterruptPin();
        addMsi(MSI_OFFSET);
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size >= 4;
    }

    @Override
    public long read(long offset, int size) {
        long ones = -1L >>> 64 - 8 * size;
        if (offset < DMA_SOURCE && size != 4) {
            return ones;
        }
        long value =
                switch ((int) offset) {
                    case IDENTIFICATION -> ID;
                    case LIVENESS -> liveness;
                    case FACTORIAL -> factorial;
                    case STATUS -> status;
                    case INTERRUPT_STATUS -> interruptStatus;
                    case DMA_SOURCE -> source;
                    case DMA_DESTINATION -> destination;
                    case DMA_COUNT -> count;
                    case DMA_COMMAND -> command;
                    default -> -1;
                };
        return value & ones;
    }

    @Override
    public void write(long offset, int size, long value) {
        if (offset < DMA_SOURCE) {
            if (size == 4) {
                control((int) offset, (int) value);
            }
        } else if ((command & RUN) == 0) { // The engine's registers are locked while it runs.
            dma((int) offset, size == 4 ? value & 0xffff_ffffL : value);
        }
    }

    private void control(int offset, int value) {
        switch (offset) {
            case LIVENESS -> liveness = ~value;
            case FACTORIAL -> {
                factorial = factorial(value);
                if ((status & STATUS_FACTORIAL_INTERRUPT) != 0) {
                    raise(FACTORIAL_INTERRUPT);
                }
            }
            case STATUS -> status = value & STATUS_FACTORIAL_INTERRUPT;
            case INTERRUPT_RAISE -> raise(value);
            case INTERRUPT_ACKNOWLEDGE -> {
                interruptStatus &= ~value;
                if (interruptStatus == 0) {
                    withdraw();
                }
            }
            default -> {}
        }
    }

    private void dma(int offset, long value) {
        switch (offset) {
            case DMA_SOURCE -> source = value;
            case DMA_DESTINATION -> destination = value;
            case DMA_COUNT -> count = value;
            case DMA_COMMAND -> {
                if ((value & RUN) != 0) {
                    command = value;
                    clock.at((clock.now() / MILLISECOND + 100) * MILLISECOND, this::transfer);
                }
            }
            default -> {}
        }
    }

    /** n! modulo 2^32, which is 0 from 34 on: 34! has 32 factors of 2. */
    private static int factorial(int n) {
        if (Integer.compareUnsigned(n, 34) >= 0) {
            return 0;
        }
        int product = 1;
        for (int i = 2; i <= n; i++) {
            product *= i;
        }
        return product;
    }

    private void raise(int bits) {
        interruptStatus |= bits;
        if (interruptStatus != 0) {
            interrupt();
        }
    }

    private void transfer() {
        boolean toBus = (command & TO_BUS) != 0;
        long internal = (toBus ? source : destination) - BUFFER;
        if (internal < 0 || internal > buffer.length || count < 0 || count > buffer.length - internal) {
            misuse.misuse(
                    name(),
                    "DMA of 0x%x bytes at 0x%x, which is outside of the device's memory, is not done"
                            .formatted(count, internal + BUFFER));
        } else if (toBus) {
            dmaWrite(clamp(destination), buffer, (int) internal, (int) count);
        } else {
            dmaRead(clamp(source), buffer, (int) internal, (int) count);
        }
        command &= ~RUN;
        if ((command & INTERRUPT_WHEN_DONE) != 0) {
            raise(DMA_INTERRUPT);
        }
    }

    private long clamp(long address) {
        long clamped = address & dmaMask;
        if (clamped != address) {
            misuse.misuse(name(), "DMA to 0x%x goes to 0x%x, by dma_mask".formatted(address, clamped));
        }
        return clamped;
    }
}
