package org.iommuemu.probe.driver.smmuv3;

import static org.iommuemu.probe.driver.smmuv3.Smmuv3Registers.*;

import java.util.BitSet;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.mmio.Bus;
import org.iommuemu.pagetables.PageAllocator;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.InterruptSpecifier;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.P2m;
import org.iommuemu.probe.iommu.Platform;

/** One SMMUv3 as its driver sees it: registers at a bus address, a stream table and two queues in RAM. */
final class Smmuv3Unit {
    /** Looks at a register or queue before the driver gives up on it. */
    private static final int POLLS = 100_000;

    /** Log2 of the stream table entries behind one first-level descriptor. */
    private static final int SPLIT = 8;

    /** Log2 of the most first-level descriptors: a table of 1 MiB. */
    private static final int MAX_L1_BITS = 17;

    private static final int STE_BYTES = 64;
    private static final int COMMAND_BYTES = 16;
    private static final int EVENT_BYTES = 32;
    private static final int PAGE = 4096;

    private final Platform platform;
    private final Bus bus;
    private final Log log;
    private final DeviceTreeNode node;
    private final long base;

    private boolean hyp;
    private boolean twoLevel;
    private int sidBits;
    private int vmidBits;
    private int oas;
    private int cmdqBits;
    private int eventqBits;

    private long streamTable;
    /** By first-level index: the second-level table. */
    private final Map<Integer, Long> secondLevel = new HashMap<>();

    private long cmdq;
    private long eventq;
    private int cmdqProd;
    private boolean interruptsRequested;

    /** VMID 0 is kept for streams that bypass stage 2, as Xen does. */
    private final BitSet vmids = new BitSet();

    private final Map<Domain, Integer> vmidOf = new IdentityHashMap<>();

    Smmuv3Unit(Platform platform, DeviceTreeNode node, long base) {
        this.platform = platform;
        this.bus = platform.bus();
        this.log = platform.log();
        this.node = node;
        this.base = base;
        vmids.set(0);
    }

    /**
     * Reads the identification registers (arm_smmu_device_hw_probe).
     *
     * @return why the unit cannot be used, or null
     */
    String identify() {
        int idr0 = read(IDR0);
        twoLevel = field(idr0, 27, 2) == 1;
        hyp = (idr0 & IDR0_HYP) != 0;
        vmidBits = (idr0 & IDR0_VMID16) != 0 ? 16 : 8;
        boolean coherent = node.has("dma-coherent");
        if (coherent != ((idr0 & IDR0_COHACC) != 0)) {
            log.debug(
                    Smmuv3Driver.NAME, node.path() + ": IDR0.COHACC overridden by the device tree (" + coherent + ")");
        }
        int endian = field(idr0, 21, 2);
        if (endian != 0 && endian != 2) {
            return "little-endian translation tables are not supported";
        }
        if ((idr0 & IDR0_S2P) == 0) {
            return "no stage 2 translation";
        }
        if ((field(idr0, 2, 2) & 2) == 0) {
            return "no AArch64 translation tables";
        }
        int idr1 = read(IDR1);
        if ((idr1 & (IDR1_TABLES_PRESET | IDR1_QUEUES_PRESET | IDR1_REL)) != 0) {
            return "tables or queues at fixed addresses are not supported";
        }
        sidBits = field(idr1, 0, 6);
        twoLevel &= sidBits > SPLIT;
        // One page for each queue is plenty; a page is aligned to its size, as a queue must be.
        cmdqBits = Math.min(field(idr1, 21, 5), Integer.numberOfTrailingZeros(PAGE / COMMAND_BYTES));
        eventqBits = Math.min(field(idr1, 16, 5), Integer.numberOfTrailingZeros(PAGE / EVENT_BYTES));
        if (cmdqBits == 0) {
            return "a command queue of one entry is not supported";
        }
        int idr5 = read(IDR5);
        if ((idr5 & IDR5_GRAN4K) == 0) {
            return "no 4 KiB granule";
        }
        int[] sizes = {32, 36, 40, 42, 44, 48, 52};
        oas = Math.min(48, field(idr5, 0, 3) < sizes.length ? sizes[field(idr5, 0, 3)] : 48);
        platform.restrictIpaBits(oas);
        log.debug(
                Smmuv3Driver.NAME,
                "%s: ias %d-bit, oas %d-bit, %d-bit StreamIDs, %s stream table"
                        .formatted(node.path(), oas, oas, sidBits, twoLevel ? "2-level" : "linear"));
        return null;
    }

    /** Makes the queues and the stream table (arm_smmu_init_structures). */
    Errno allocate() {
        cmdq = platform.pages().allocate(PAGE);
        eventq = platform.pages().allocate(PAGE);
        long bytes = twoLevel ? 8L << Math.min(sidBits - SPLIT, MAX_L1_BITS) : (long) STE_BYTES << sidBits;
        streamTable = platform.pages().allocate(Math.max(PAGE, bytes));
        if (cmdq == PageAllocator.NONE || eventq == PageAllocator.NONE || streamTable == PageAllocator.NONE) {
            return Errno.ENOMEM;
        }
        if (!twoLevel) {
            abortStreams(streamTable, 1L << sidBits);
        }
        return Errno.OK;
    }

    /** Brings the unit from an unknown state to translating, also after its registers were lost (arm_smmu_device_reset). */
    Errno reset() {
        if ((read(CR0) & CR0_SMMUEN) != 0) {
            log.warning(Smmuv3Driver.NAME, node.path() + ": SMMU currently enabled! Resetting...");
            if (updateGbpa(GBPA_ABORT) != Errno.OK) {
                return Errno.ETIMEDOUT;
            }
        }
        if (writeSync(CR0, CR0ACK, 0) != Errno.OK) {
            return Errno.ETIMEDOUT;
        }
        write(CR1, CR1_VALUE);
        write(CR2, CR2_PTM | CR2_RECINVSID | CR2_E2H);

        int l1Bits = Math.min(sidBits - SPLIT, MAX_L1_BITS);
        bus.write64(base + STRTAB_BASE, streamTable | BASE_RA);
        write(STRTAB_BASE_CFG, twoLevel ? STRTAB_FMT_2LVL | SPLIT << STRTAB_SPLIT_SHIFT | SPLIT + l1Bits : sidBits);

        bus.write64(base + CMDQ_BASE, cmdq | BASE_RA | cmdqBits);
        cmdqProd = 0;
        write(CMDQ_PROD, 0);
        write(CMDQ_CONS, 0);
        int enables = CR0_CMDQEN;
        if (writeSync(CR0, CR0ACK, enables) != Errno.OK) {
            return Errno.ETIMEDOUT;
        }
        Errno rc = issue(CMD_CFGI_ALL, 31);
        rc = rc == Errno.OK ? sync() : rc;
        if (rc == Errno.OK && hyp) {
            rc = issue(CMD_TLBI_EL2_ALL, 0);
        }
        rc = rc == Errno.OK ? issue(CMD_TLBI_NSNH_ALL, 0) : rc;
        rc = rc == Errno.OK ? sync() : rc;
        if (rc != Errno.OK) {
            return rc;
        }

        bus.write64(base + EVENTQ_BASE, eventq | BASE_RA | eventqBits);
        write(EVENTQ_PROD, 0);
        write(EVENTQ_CONS, 0);
        enables |= CR0_EVENTQEN;
        if (writeSync(CR0, CR0ACK, enables) != Errno.OK) {
            return Errno.ETIMEDOUT;
        }
        if (setupInterrupts() != Errno.OK) {
            return Errno.ETIMEDOUT;
        }
        return writeSync(CR0, CR0ACK, enables | CR0_SMMUEN);
    }

    /** Refuses all DMA and raises no interrupt (arm_smmu_device_disable); tables and queues in RAM stay. */
    Errno disable() {
        Errno rc = updateGbpa(GBPA_ABORT);
        rc = rc == Errno.OK ? writeSync(IRQ_CTRL, IRQ_CTRLACK, 0) : rc;
        return rc == Errno.OK ? writeSync(CR0, CR0ACK, 0) : rc;
    }

    /** Whether a stage 2 table of this shape is one for the unit. */
    boolean canWalk(P2m table) {
        return table.ipaBits() <= oas;
    }

    private Errno setupInterrupts() {
        if (writeSync(IRQ_CTRL, IRQ_CTRLACK, 0) != Errno.OK) {
            return Errno.ETIMEDOUT;
        }
        if (!interruptsRequested) {
            interruptsRequested = true;
            requestInterrupts();
        }
        return writeSync(IRQ_CTRL, IRQ_CTRLACK, IRQ_CTRL_EVENTQ_IRQEN | IRQ_CTRL_GERROR_IRQEN);
    }

    private void requestInterrupts() {
        Optional<InterruptSpecifier> combined = node.interrupt("combined");
        if (combined.isPresent()) {
            request(combined, "combined", () -> {
                handleGerror();
                handleEvents();
            });
        } else {
            request(node.interrupt("eventq"), "eventq", this::handleEvents);
            request(node.interrupt("gerror"), "gerror", this::handleGerror);
        }
    }

    private void request(Optional<InterruptSpecifier> interrupt, String name, Runnable handler) {
        if (interrupt.isPresent()) {
            platform.interrupts().request(platform.tree().interruptNumber(interrupt.get()), handler);
        } else {
            log.warning(
                    Smmuv3Driver.NAME,
                    "%s: no %s interrupt - what it would report stays unseen".formatted(node.path(), name));
        }
    }

    /** Makes sure that a stream has an entry that can be written (arm_smmu_add_device, arm_smmu_init_l2_strtab). */
    Errno prepareStream(int streamId) {
        int covered = twoLevel ? Math.min(sidBits, SPLIT + MAX_L1_BITS) : sidBits;
        if (covered < 32 && streamId >>> covered != 0) {
            log.error(
                    Smmuv3Driver.NAME, "%s: StreamID 0x%x is beyond %d bits".formatted(node.path(), streamId, covered));
            return Errno.ERANGE;
        }
        if (!twoLevel || secondLevel.containsKey(streamId >>> SPLIT)) {
            return Errno.OK;
        }
        long table = platform.pages().allocate((long) STE_BYTES << SPLIT);
        if (table == PageAllocator.NONE) {
            return Errno.ENOMEM;
        }
        abortStreams(table, 1 << SPLIT);
        secondLevel.put(streamId >>> SPLIT, table);
        bus.write64(streamTable + (streamId >>> SPLIT) * 8L, table | SPLIT + 1);
        return Errno.OK;
    }

    /** What is not attached is refused, not let through. */
    private void abortStreams(long table, long count) {
        for (long i = 0; i < count; i++) {
            bus.write64(table + i * STE_BYTES, STE_V | STE_CONFIG_ABORT);
            bus.write64(table + i * STE_BYTES + 8, STE_1_SHCFG_INCOMING);
        }
    }

    private long entry(int streamId) {
        return twoLevel
                ? secondLevel.get(streamId >>> SPLIT) + (long) (streamId & (1 << SPLIT) - 1) * STE_BYTES
                : streamTable + (streamId & 0xffffffffL) * STE_BYTES;
    }

    /** Sends streams through a domain's tables (arm_smmu_attach_dev, arm_smmu_write_strtab_ent). */
    Errno attach(Domain domain, List<Integer> streamIds) {
        Integer vmid = vmidOf.get(domain);
        if (vmid == null) {
            vmid = vmids.nextClearBit(0);
            if (vmid >>> vmidBits != 0) {
                return Errno.ENOSPC;
            }
            vmids.set(vmid);
            vmidOf.put(domain, vmid);
            log.debug(
                    Smmuv3Driver.NAME,
                    "%s: %s: VMID 0x%x, P2M at 0x%x"
                            .formatted(node.path(), domain, vmid, domain.ioP2m().root()));
        }
        int ipaBits = domain.ioP2m().ipaBits();
        int physicalSize = List.of(32, 36, 40, 42, 44, 48).indexOf(oas);
        long vtcr = 64 - ipaBits // S2T0SZ
                | 2 - domain.ioP2m().startLevel() << 6 // S2SL0
                | 1 << 8 // S2IR0: write-back
                | 1 << 10 // S2OR0
                | 3 << 12 // S2SH0: inner shareable
                | physicalSize << 16; // S2PS; S2TG is 0 for 4 KiB
        for (int streamId : streamIds) {
            long entry = entry(streamId);
            bus.write64(entry + 16, vmid | vtcr << 32 | STE_2_S2AA64 | STE_2_S2PTW | STE_2_S2R);
            bus.write64(entry + 24, domain.ioP2m().root());
            // The entry is not live yet; all but its first word must be seen before that makes it so.
            Errno rc = invalidateEntry(streamId);
            if (rc == Errno.OK) {
                bus.write64(entry, STE_V | STE_CONFIG_S2);
                rc = invalidateEntry(streamId);
            }
            if (rc != Errno.OK) {
                return rc;
            }
            if (!node.has("hisilicon,broken-prefetch-cmd")) {
                issue(CMD_PREFETCH_CONFIG | (long) streamId << 32, 0);
            }
        }
        return Errno.OK;
    }

    /** Refuses streams again (arm_smmu_detach_dev). */
    Errno detach(List<Integer> streamIds) {
        for (int streamId : streamIds) {
            bus.write64(entry(streamId), STE_V | STE_CONFIG_ABORT);
            bus.write64(entry(streamId) + 16, 0);
            Errno rc = invalidateEntry(streamId);
            if (rc != Errno.OK) {
                return rc;
            }
        }
        return Errno.OK;
    }

    private Errno invalidateEntry(int streamId) {
        Errno rc = issue(CMD_CFGI_STE | (long) streamId << 32, 1);
        return rc == Errno.OK ? sync() : rc;
    }

    /** Invalidates all that TLBs hold for a domain (arm_smmu_tlb_inv_context). */
    void invalidate(Domain domain) {
        Integer vmid = vmidOf.get(domain);
        if (vmid != null) {
            issue(CMD_TLBI_S12_VMALL | (long) vmid << 32, 0);
            sync();
        }
    }

    void forget(Domain domain) {
        Integer vmid = vmidOf.get(domain);
        if (vmid != null) {
            invalidate(domain);
            vmidOf.remove(domain);
            vmids.clear(vmid);
        }
    }

    private Errno issue(long word0, long word1) {
        int index = cmdqProd & (1 << cmdqBits) - 1;
        for (int polls = 0; isFull(cmdqProd, read(CMDQ_CONS), cmdqBits); polls++) {
            if (polls == POLLS) {
                log.error(Smmuv3Driver.NAME, node.path() + ": command queue is full and stays so");
                return Errno.ETIMEDOUT;
            }
            platform.relax();
        }
        bus.write64(cmdq + (long) index * COMMAND_BYTES, word0);
        bus.write64(cmdq + (long) index * COMMAND_BYTES + 8, word1);
        cmdqProd = cmdqProd + 1 & (2 << cmdqBits) - 1;
        write(CMDQ_PROD, cmdqProd);
        return Errno.OK;
    }

    /** Waits until all commands before have taken effect (arm_smmu_cmdq_issue_sync). */
    private Errno sync() {
        Errno rc = issue(CMD_SYNC | CMD_SYNC_SEV, 0);
        for (int polls = 0; rc == Errno.OK && consumed() != cmdqProd; polls++) {
            if (polls == POLLS) {
                log.error(Smmuv3Driver.NAME, node.path() + ": CMD_SYNC timeout");
                return Errno.ETIMEDOUT;
            }
            platform.relax();
        }
        return rc;
    }

    private int consumed() {
        return read(CMDQ_CONS) & (2 << cmdqBits) - 1;
    }

    private static boolean isFull(int prod, int cons, int bits) {
        return ((prod ^ cons) & (2 << bits) - 1) == 1 << bits;
    }

    private void handleEvents() {
        int mask = (2 << eventqBits) - 1;
        int cons = read(EVENTQ_CONS);
        for (int prod; ((prod = read(EVENTQ_PROD)) & mask) != (cons & mask); ) {
            long record = eventq + (long) (cons & (1 << eventqBits) - 1) * EVENT_BYTES;
            log.fault(Smmuv3Event.report(
                    node,
                    bus.read64(record),
                    bus.read64(record + 8),
                    bus.read64(record + 16),
                    bus.read64(record + 24)));
            if (((prod ^ cons) & EVENTQ_OVERFLOW) != 0) {
                log.error(Smmuv3Driver.NAME, node.path() + ": EVTQ overflow detected -- events lost");
            }
            cons = prod & EVENTQ_OVERFLOW | cons + 1 & mask;
            write(EVENTQ_CONS, cons);
        }
    }

    private void handleGerror() {
        int gerror = read(GERROR);
        int active = gerror ^ read(GERRORN);
        if (active == 0) {
            return;
        }
        log.warning(
                Smmuv3Driver.NAME,
                "%s: unexpected global error reported (0x%08x), this could be serious".formatted(node.path(), active));
        if ((active & GERROR_SFM_ERR) != 0) {
            log.error(Smmuv3Driver.NAME, node.path() + ": device has entered Service Failure Mode!");
            writeSync(CR0, CR0ACK, 0);
        }
        if ((active & GERROR_EVENTQ_ABT_ERR) != 0) {
            log.error(Smmuv3Driver.NAME, node.path() + ": EVTQ write aborted -- events may have been lost");
        }
        if ((active & GERROR_CMDQ_ERR) != 0) {
            skipCommand();
        }
        write(GERRORN, gerror);
    }

    /** Replaces the command that the unit stopped at by a CMD_SYNC (arm_smmu_cmdq_skip_err). */
    private void skipCommand() {
        int cons = read(CMDQ_CONS);
        int error = field(cons, 24, 7);
        String[] names = {"No error", "Illegal command", "Abort on command fetch", "ATC invalidate timeout"};
        long command = cmdq + (long) (cons & (1 << cmdqBits) - 1) * COMMAND_BYTES;
        log.error(
                Smmuv3Driver.NAME,
                "%s: CMDQ error (cons 0x%08x): %s, command 0x%016x 0x%016x"
                        .formatted(
                                node.path(),
                                cons,
                                error < names.length ? names[error] : "Unknown",
                                bus.read64(command),
                                bus.read64(command + 8)));
        if (error == 1) {
            bus.write64(command, CMD_SYNC);
            bus.write64(command + 8, 0);
        }
    }

    private Errno updateGbpa(int set) {
        Errno rc = poll(GBPA, GBPA_UPDATE, 0);
        if (rc == Errno.OK) {
            write(GBPA, read(GBPA) | set | GBPA_UPDATE);
            rc = poll(GBPA, GBPA_UPDATE, 0);
        }
        return rc;
    }

    private Errno writeSync(int register, int acknowledge, int value) {
        write(register, value);
        return poll(acknowledge, -1, value);
    }

    private Errno poll(int register, int mask, int value) {
        for (int polls = 0; polls < POLLS; polls++) {
            if ((read(register) & mask) == value) {
                return Errno.OK;
            }
            platform.relax();
        }
        log.error(Smmuv3Driver.NAME, "%s: register 0x%x does not become 0x%x".formatted(node.path(), register, value));
        return Errno.ETIMEDOUT;
    }

    private int read(int register) {
        return bus.read32(base + register);
    }

    private void write(int register, int value) {
        bus.write32(base + register, value);
    }

    @Override
    public String toString() {
        return node.path();
    }
}
