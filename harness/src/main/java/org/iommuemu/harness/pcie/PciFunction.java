package org.iommuemu.harness.pcie;

import java.util.Arrays;
import org.iommuemu.mmio.BusDevice;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.InterruptController;

/**
 * A PCI function behind a {@link PcieHost}: a configuration space, at most one 32-bit memory BAR, which is the
 * {@link BusDevice}, an interrupt, and DMA through the unit in front of the host bridge with the requester ID as StreamID.
 * One thread at a time.
 */
public abstract class PciFunction implements BusDevice {
    private static final int PAGE = 0x1000;
    private static final long UNMAPPED = -1;

    /**
     * What identifies a function.
     *
     * @param classCode base class and sub-class, 16 bits
     */
    record Identity(int vendorId, int deviceId, int classCode, int revision) {}

    private final String name;
    private final ConfigSpace config = new ConfigSpace();
    private final long barSize;
    private Msi msi;
    private DmaPort port;
    private InterruptController.Line line;
    private boolean intx;

    /** @param barSize in bytes, a power of two; 0 for a function without registers */
    PciFunction(String name, Identity identity, int barSize) {
        this.name = name;
        this.barSize = barSize;
        config.set(ConfigSpace.VENDOR_ID, 2, identity.vendorId);
        config.set(ConfigSpace.DEVICE_ID, 2, identity.deviceId);
        config.set(ConfigSpace.CLASS_DEVICE, 2, identity.classCode);
        config.set(ConfigSpace.REVISION_ID, 1, identity.revision);
        config.set(ConfigSpace.SUBSYSTEM_VENDOR_ID, 2, 0x1af4);
        config.set(ConfigSpace.SUBSYSTEM_ID, 2, 0x1100);
        config.writable(ConfigSpace.BASE_ADDRESS_0, 4, barSize == 0 ? 0 : -barSize);
    }

    /** Gives the function INTA. */
    final void useInterruptPin() {
        config.set(ConfigSpace.INTERRUPT_PIN, 1, 1);
    }

    final void addMsi(int offset) {
        msi = new Msi(config, offset);
    }

    /** Says that other functions may be in this function's slot. */
    public final void declareMultiFunction() {
        config.set(ConfigSpace.HEADER_TYPE, 1, ConfigSpace.MULTI_FUNCTION);
    }

    /** The kind of device. */
    public final String name() {
        return name;
    }

    final void connect(DmaPort port, InterruptController.Line line) {
        this.port = port;
        this.line = line;
    }

    final long readConfig(int offset, int size) {
        return config.read(offset, size);
    }

    final void writeConfig(int offset, int size, long value) {
        config.write(offset, size, value);
        if (msi != null && msi.isEnabled()) {
            msi.limit();
            setIntx(false); // A function that may send messages does not use INTx (6.8.2).
        }
        driveLine();
    }

    /** Whether the BAR answers at an address of the bus's memory space. */
    final boolean decodes(long address) {
        long base = barAddress();
        return base != UNMAPPED && address >= base && address < base + barSize;
    }

    final long barAddress() {
        if (barSize == 0 || !config.isSet(ConfigSpace.COMMAND, ConfigSpace.COMMAND_MEMORY)) {
            return UNMAPPED;
        }
        long base = config.read(ConfigSpace.BASE_ADDRESS_0, 4) & -barSize;
        // Sizing leaves the BAR at the end of the address space, where nothing must answer.
        return base + barSize - 1 >= 0xffff_ffffL ? UNMAPPED : base;
    }

    /** Interrupts software: a message where MSI is enabled, otherwise INTx, which stays until {@link #withdraw}. */
    final void interrupt() {
        if (msi != null && msi.isEnabled()) {
            int data = msi.data();
            dmaWrite(msi.address(), new byte[] {(byte) data, (byte) (data >>> 8), 0, 0}, 0, 4);
        } else {
            setIntx(true);
        }
    }

    /** Deasserts INTx. */
    final void withdraw() {
        if (msi == null || !msi.isEnabled()) {
            setIntx(false);
        }
    }

    private void setIntx(boolean level) {
        intx = level;
        long status = config.read(ConfigSpace.STATUS, 2) & ~ConfigSpace.STATUS_INTERRUPT;
        config.set(ConfigSpace.STATUS, 2, status | (level ? ConfigSpace.STATUS_INTERRUPT : 0));
        driveLine();
    }

    private void driveLine() {
        line.set(intx && !config.isSet(ConfigSpace.COMMAND, ConfigSpace.COMMAND_INTX_DISABLE));
    }

    /**
     * Reads by DMA, page by page; what does not answer reads as zeros. Nothing answers a function that is no bus master.
     *
     * @return whether all pages answered
     */
    final boolean dmaRead(long address, byte[] target, int offset, int length) {
        boolean answered = true;
        for (int done = 0, part; done < length; done += part) {
            part = untilPage(address + done, length - done);
            if (!isMaster() || failed(port.read(address + done, target, offset + done, part))) {
                Arrays.fill(target, offset + done, offset + done + part, (byte) 0);
                answered = false;
            }
        }
        return answered;
    }

    /**
     * Writes by DMA, page by page, also behind a page that does not answer.
     *
     * @return whether all pages answered
     */
    final boolean dmaWrite(long address, byte[] source, int offset, int length) {
        boolean answered = true;
        for (int done = 0, part; done < length; done += part) {
            part = untilPage(address + done, length - done);
            answered &= isMaster() && !failed(port.write(address + done, source, offset + done, part));
        }
        return answered;
    }

    private static boolean failed(DmaPort.Response response) {
        return response == DmaPort.Response.ABORT || response == DmaPort.Response.BUS_ERROR;
    }

    private boolean isMaster() {
        return config.isSet(ConfigSpace.COMMAND, ConfigSpace.COMMAND_MASTER);
    }

    private static int untilPage(long address, int left) {
        return Math.min(left, PAGE - (int) (address & PAGE - 1));
    }
}
