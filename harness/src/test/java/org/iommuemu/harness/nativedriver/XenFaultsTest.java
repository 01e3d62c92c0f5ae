package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.FaultReport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Faults and global errors, as the interrupt handlers of Xen's own drivers tell them. */
@Tag("xen")
class XenFaultsTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;

    /** Registers of an SMMUv3 (IHI 0070, 6.3). */
    private static final int CR0 = 0x20;

    private static final int CR0ACK = 0x24;
    private static final int CMDQ_BASE = 0x90;
    private static final int CMDQ_CONS = 0x9c;
    private static final long BASE_ADDRESS = 0x000f_ffff_ffff_ffc0L;

    @BeforeEach
    void needXen() throws IOException {
        Xen.need();
    }

    /** arm_smmu_evtq_tasklet and ipmmu_domain_irq print what they read; that is what is reported. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void theDriversOwnHandlerReportsFaults(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long address = INPUT + 3 * PAGE + 0x80;
            assertEquals(DmaPort.Response.ABORT, rig.write(device, address));
            assertEquals(List.of(), rig.log.faults, "before the interrupt is taken");
            rig.board.interrupts().dispatch();
            assertEquals(1, rig.log.faults.size());
            FaultReport fault = rig.log.faults.get(0);
            assertEquals(kind == Kind.SMMUV3 ? "F_TRANSLATION" : "TF", fault.fault());
            assertEquals(address, fault.address());
            if (kind == Kind.SMMUV3) {
                assertEquals(device.fwspec().ids().get(0).intValue(), fault.streamId());
                assertEquals(device.fwspec().iommu(), fault.iommu());
            }
            assertEquals(0, rig.board.interrupts().dispatch());
            // It is handled: the next one is another one.
            rig.write(device, address + PAGE);
            rig.board.interrupts().dispatch();
            assertEquals(2, rig.log.faults.size());
            assertEquals(address + PAGE, rig.log.faults.get(1).address());
        }
    }

    /** S2AP of a page without write permission; a table at an address where no RAM is. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void permissionFaultsAndAbortedWalksAreTold(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);

            long page = descriptor(rig, domain, 3);
            rig.board.memory().write64(page, rig.board.memory().read64(page) & ~(1L << 7));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 0x10));
            assertEquals(DmaPort.Response.OK, rig.port(device).read(INPUT + 0x10, new byte[4], 0, 4));
            rig.board.interrupts().dispatch();

            long table = descriptor(rig, domain, 2);
            rig.board.memory().write64(table, 0xf_0000_0000L | 3);
            rig.nativeDriver().iotlbFlush(domain, INPUT, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 0x20));
            rig.board.interrupts().dispatch();

            assertEquals(
                    kind == Kind.SMMUV3 ? List.of("F_PERMISSION", "F_WALK_EABT") : List.of("PF", "ABORT"),
                    rig.log.faults.stream().map(FaultReport::fault).toList());
            assertEquals(
                    List.of(INPUT + 0x10, INPUT + 0x20),
                    rig.log.faults.stream().map(FaultReport::address).toList());
        }
    }

    /** Physical address of the descriptor of {@code INPUT} at a level of a domain's table. */
    private static long descriptor(Rig rig, Domain domain, int level) {
        long table = domain.ioP2m().root();
        for (int at = domain.ioP2m().startLevel(); ; at++) {
            long descriptor = table + 8 * (INPUT >> 39 - 9 * at & 0x1ff);
            if (at == level) {
                return descriptor;
            }
            table = rig.board.memory().read64(descriptor) & 0x0000_ffff_ffff_f000L;
        }
    }

    /** A queue is read to its end, however many events one interrupt stands for. */
    @Test
    void oneInterruptBringsAllEvents() throws IOException {
        try (Rig rig = Xen.rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            rig.attach(rig.domain(1), device);
            for (int i = 0; i < 300; i++) {
                rig.write(device, INPUT + i * PAGE);
            }
            rig.board.interrupts().dispatch();
            assertEquals(300, rig.log.faults.size());
            for (int i = 0; i < 300; i++) {
                assertEquals(INPUT + i * PAGE, rig.log.faults.get(i).address());
            }
        }
    }

    /**
     * arm_smmu_init_one_queue halves what it cannot get, until it can. What does not fit into the Event queue then is lost
     * (IHI 0070, 7.4): the driver reads what is there, sees the overflow flag, and hears of the next event again.
     */
    @Test
    void eventsBeyondTheQueueAreLostAndTheDriverGoesOn() throws IOException {
        long heap = (1 << 20) + (512 << 10) + (256 << 10) + (64 << 10);
        try (Rig rig = Xen.rig(Kind.SMMUV3, heap).booted()) {
            Device device = rig.device(Kind.SMMUV3.second);
            String unit = device.fwspec().iommu().path();
            assertTrue(rig.log.has(unit + ": allocated 2048 entries for evtq"), rig.log.said::toString);
            rig.attach(rig.domain(1), device);
            for (int round = 0; round < 2; round++) {
                rig.log.faults.clear();
                rig.log.said.clear();
                for (int i = 0; i < 2100; i++) {
                    rig.write(device, INPUT + i * PAGE);
                }
                rig.board.interrupts().dispatch();
                assertEquals(2048, rig.log.faults.size());
                assertEquals(INPUT + 2047 * PAGE, rig.log.faults.get(2047).address());
                assertTrue(rig.log.has("EVTQ overflow detected"), rig.log.said::toString);
                rig.write(device, INPUT + 5000 * PAGE);
                rig.board.interrupts().dispatch();
                assertEquals(2049, rig.log.faults.size());
                assertEquals(INPUT + 5000 * PAGE, rig.log.faults.get(2048).address());
            }
        }
    }

    /**
     * arm_smmu_gerror_handler and arm_smmu_cmdq_skip_err: the SMMU stops at a command that it does not know, the driver puts
     * a CMD_SYNC in its place, and the queue goes on (IHI 0070, 7.1).
     */
    @Test
    void anIllegalCommandIsSkippedByTheDriver() throws IOException {
        try (Rig rig = Xen.rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));

            // Commands wait while the queue is off; the driver does not know that it is.
            long unit = Xen.base(device.fwspec().iommu());
            int cr0 = rig.board.bus().read32(unit + CR0);
            rig.board.bus().write32(unit + CR0, cr0 & ~8);
            long queue = rig.board.bus().read64(unit + CMDQ_BASE) & BASE_ADDRESS & ~0x1fL;
            int next = rig.board.bus().read32(unit + CMDQ_CONS) & 0x7ffff;
            rig.unmap(domain, INPUT, PAGE);
            assertTrue(rig.log.has("CMD_SYNC timeout"), rig.log.said::toString);
            assertEquals(0x28, rig.board.memory().read64(queue + 16L * next) & 0xff, "CMD_TLBI_S12_VMALL");
            rig.board.memory().write64(queue + 16L * next, 0xff);
            rig.board.bus().write32(unit + CR0, cr0);
            assertEquals(cr0, rig.board.bus().read32(unit + CR0ACK));

            rig.board.interrupts().dispatch();
            assertTrue(rig.log.has("Illegal command"), rig.log.said::toString);
            assertTrue(rig.log.has("skipping command in error state"), rig.log.said::toString);
            assertEquals(0, rig.board.interrupts().dispatch());

            // The invalidation was lost with the command; the next one is not.
            rig.map(domain, INPUT + PAGE, rig.ram(PAGE), PAGE);
            rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            rig.unmap(domain, INPUT + PAGE, PAGE);
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + PAGE));
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT));
        }
    }
}
