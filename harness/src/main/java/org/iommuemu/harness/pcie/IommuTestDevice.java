package org.iommuemu.harness.pcie;

import java.util.Arrays;
import org.iommuemu.mmio.Bus;

/**
 * A function with the register layout of QEMU's {@code iommu-testdev} (QEMU 11, include/hw/misc/iommu-testdev.h): software
 * arms a transfer and triggers it; the function writes a pattern by DMA, reads it back at the physical address where
 * software expects it, and says how that went.
 */
public final class IommuTestDevice extends PciFunction {
    private static final int BAR_SIZE = 0x1000;

    // Registers of 32 bits.
    private static final int TRIGGERING = 0x00;
    private static final int GVA_LO = 0x04;
    private static final int GVA_HI = 0x08;
    private static final int LEN = 0x0c;
    private static final int RESULT = 0x10;
    private static final int DBELL = 0x14;
    private static final int ATTRS = 0x18;
    private static final int GPA_LO = 0x1c;
    private static final int GPA_HI = 0x20;

    // RESULT; 0 is success.
    private static final int IDLE = 0xffff_ffff;
    private static final int BUSY = 0xffff_fffe;
    private static final int BAD_LEN = 0xdead_0001;
    private static final int TX_FAIL = 0xdead_0002;
    private static final int RD_FAIL = 0xdead_0003;
    private static final int MISMATCH = 0xdead_0004;
    private static final int NOT_ARMED = 0xdead_0005;
    private static final int BAD_ATTRS = 0xdead_0006;

    private static final int ARM = 1;

    // ATTRS: bit 0 secure, bits 2:1 the security space, bit 3 whether the space is valid.
    private static final int SECURE = 1;
    private static final int SPACE_VALID = 1 << 3;
    private static final int SPACE_SECURE = 0;
    private static final int SPACE_NONSECURE = 1;

    private static final long PATTERN = 0x1234_5678;
    private static final int CHUNK = 0x10000;

    private final Bus bus;

    private long gva;
    private long gpa;
    private int length;
    private int result = IDLE;
    private boolean armed;
    private int attributes = SPACE_NONSECURE << 1;

    /** A device in its reset state. */
    public IommuTestDevice(Bus bus) {
        super("iommu-testdev", new Identity(0x1b36, 0x0005, 0x00ff, 0), BAR_SIZE);
        this.bus = bus;
    }

    @Override
    public boolean accepts(long offset, int size) {
        return size == 4;
    }

    @Override
    public long read(long offset, int size) {
        return switch ((int) offset) {
            case TRIGGERING -> {
                trigger();
                yield 0;
            }
            case GVA_LO -> gva & 0xffff_ffffL;
            case GVA_HI -> gva >>> 32;
            case GPA_LO -> gpa & 0xffff_ffffL;
            case GPA_HI -> gpa >>> 32;
            case LEN -> length & 0xffff_ffffL;
            case RESULT -> result & 0xffff_ffffL;
            case ATTRS -> attributes & 0xffff_ffffL;
            default -> 0;
        };
    }

    @Override
    public void write(long offset, int size, long value) {
        int data = (int) value;
        switch ((int) offset) {
            case GVA_LO -> gva = low(gva, data);
            case GVA_HI -> gva = high(gva, data);
            case GPA_LO -> gpa = low(gpa, data);
            case GPA_HI -> gpa = high(gpa, data);
            case LEN -> length = data;
            case RESULT -> result = data;
            case DBELL -> {
                armed = (data & ARM) != 0;
                result = armed ? BUSY : IDLE;
            }
            case ATTRS -> attributes = data;
            default -> {}
        }
    }

    private static long low(long register, int half) {
        return register & ~0xffff_ffffL | half & 0xffff_ffffL;
    }

    private static long high(long register, int half) {
        return register & 0xffff_ffffL | (long) half << 32;
    }

    private void trigger() {
        result = armed ? transfer() : NOT_ARMED;
        armed = false;
    }

    private int transfer() {
        if (length == 0) {
            return BAD_LEN;
        }
        if (attributesContradict()) {
            return BAD_ATTRS;
        }
        byte[] pattern = new byte[CHUNK];
        for (int i = 0; i < CHUNK; i++) {
            pattern[i] = (byte) (PATTERN >>> 8 * (i & 3));
        }
        long bytes = length & 0xffff_ffffL;
        boolean written = true;
        for (long done = 0; done < bytes; done += CHUNK) {
            written &= dmaWrite(gva + done, pattern, 0, (int) Math.min(CHUNK, bytes - done));
        }
        return written ? verify(pattern, bytes) : TX_FAIL;
    }

    private int verify(byte[] pattern, long bytes) {
        byte[] found = new byte[CHUNK];
        boolean same = true;
        for (long done = 0; done < bytes; done += CHUNK) {
            int part = (int) Math.min(CHUNK, bytes - done);
            if (!bus.dmaRead(gpa + done, found, 0, part)) {
                return RD_FAIL;
            }
            same &= Arrays.equals(pattern, 0, part, found, 0, part);
        }
        return same ? 0 : MISMATCH;
    }

    /** The secure bit and a valid security space must say the same; the other two spaces say nothing of it. */
    private boolean attributesContradict() {
        int space = attributes >>> 1 & 3;
        boolean secure = (attributes & SECURE) != 0;
        return (attributes & SPACE_VALID) != 0
                && (space == SPACE_SECURE || space == SPACE_NONSECURE)
                && secure != (space == SPACE_SECURE);
    }
}
