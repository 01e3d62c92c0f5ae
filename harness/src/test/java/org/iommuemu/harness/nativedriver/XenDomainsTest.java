package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Domains, the shared P2M and assignment with Xen's own drivers. */
@Tag("xen")
class XenDomainsTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;

    /** Registers of an SMMUv3 (IHI 0070, 6.3). */
    private static final int STRTAB_BASE = 0x80;

    private static final int CMDQ_BASE = 0x90;
    private static final int CMDQ_PROD = 0x98;
    private static final long BASE_ADDRESS = 0x000f_ffff_ffff_ffc0L;

    /** Registers of an IPMMU's contexts, 0x40 apart. */
    private static final int IMCTR = 0x00;

    private static final int IMTTBCR = 0x08;
    private static final int IMTTLBR0 = 0x10;
    private static final int IMTTUBR0 = 0x14;

    @BeforeEach
    void needXen() throws IOException {
        Xen.need();
    }

    /** arm_smmu_domain_finalise_s2: S2TTB of the stream table entry is the P2M's root. */
    @Test
    void anSmmuWalksTheP2mItself() throws IOException {
        try (Rig rig = Xen.rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long unit = Xen.base(device.fwspec().iommu());
            int streamId = device.fwspec().ids().get(0);
            // Two levels, split at 8 bits.
            long level1 = (rig.board.bus().read64(unit + STRTAB_BASE) & BASE_ADDRESS) + 8L * (streamId >> 8);
            long entry = (rig.board.memory().read64(level1) & BASE_ADDRESS) + 64L * (streamId & 0xff);
            assertEquals(0b110, rig.board.memory().read64(entry) >> 1 & 7, "Config: stage 2");
            assertEquals(domain.ioP2m().root(), rig.board.memory().read64(entry + 24) & BASE_ADDRESS);
        }
    }

    /** ipmmu_domain_init_context: the same of IMTTLBR0 and IMTTUBR0; context 0 is left alone. */
    @Test
    void anIpmmuWalksTheP2mItself() throws IOException {
        try (Rig rig = Xen.rig(Kind.IPMMU).booted()) {
            Device device = rig.device(Kind.IPMMU.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            long context = Xen.base(Xen.root(rig)) + 0x40;
            long root = rig.board.bus().read32(context + IMTTLBR0) & 0xffff_ffffL
                    | (long) rig.board.bus().read32(context + IMTTUBR0) << 32;
            assertEquals(domain.ioP2m().root(), root);
            assertEquals(64 - domain.ioP2m().ipaBits(), rig.board.bus().read32(context + IMTTBCR) & 0x1f);
            assertEquals(1, rig.board.bus().read32(context + IMCTR) & 1);
            assertEquals(0, rig.board.bus().read32(Xen.base(Xen.root(rig)) + IMCTR));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void anAssignedDeviceReachesWhatItsDomainMaps(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            rig.map(domain, INPUT, rig.ram(0), 4 * PAGE);
            for (int page = 0; page < 4; page++) {
                rig.assertReaches(device, INPUT + page * PAGE + 0x40, rig.ram(page * PAGE + 0x40));
            }
            assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT + 4 * PAGE));
        }
    }

    /** The domain has a context of its own in each SMMU; a flush is for all of them. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void whatIsUnmappedIsGoneBehindEveryUnit(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            assertNotEquals(one.fwspec().iommu(), two.fwspec().iommu());
            Domain domain = rig.domain(1);
            rig.attach(domain, one);
            rig.attach(domain, two);
            rig.map(domain, INPUT, rig.ram(0), 2 * PAGE);
            for (Device device : List.of(one, two)) {
                rig.assertReaches(device, INPUT, rig.ram(0));
                rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            }
            rig.unmap(domain, INPUT, PAGE);
            for (Device device : List.of(one, two)) {
                assertEquals(DmaPort.Response.ABORT, rig.write(device, INPUT));
                rig.assertReaches(device, INPUT + PAGE, rig.ram(PAGE));
            }
            rig.map(domain, INPUT, rig.ram(4 * PAGE), PAGE);
            rig.assertReaches(one, INPUT, rig.ram(4 * PAGE));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void domainsDoNotSeeEachOther(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            rig.assertDomainsAreApart(kind);
        }
    }

    /** iommu_assign_dt_device: a device on a domain's list is nobody else's. */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void aDeviceBelongsToOneDomain(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device device = rig.device(kind.first);
            Domain domain = rig.domain(1);
            rig.attach(domain, device);
            // Past our own check of the same.
            assertEquals(Errno.EBUSY, rig.nativeDriver().assignDevice(rig.domain(2), device));
            rig.map(domain, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
        }
    }

    /** ipmmu_domain_allocate_context: eight on Gen3, the first of which is not Xen's to give. */
    @Test
    void anIpmmuHasContextsForSevenDomains() throws IOException {
        try (Rig rig = Xen.rig(Kind.IPMMU).booted()) {
            List<DeviceTreeNode> masters = rig.board.tree().nodes().stream()
                    .filter(node -> node.available() && node.has("iommus"))
                    .filter(node -> rig.iommus.isRegistered(node.iommus().get(0).node()))
                    .limit(8)
                    .toList();
            List<Domain> domains = new ArrayList<>();
            for (int i = 0; i < 7; i++) {
                domains.add(rig.domain(1 + i));
                rig.attach(domains.get(i), rig.device(masters.get(i).path()));
            }
            Domain eighth = rig.domain(8);
            Device last = rig.device(masters.get(7).path());
            assertEquals(Errno.EBUSY, rig.iommus.assign(eighth, last));
            rig.iommus.destroy(domains.get(3));
            rig.attach(eighth, last);
            rig.map(eighth, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(last, INPUT, rig.ram(0));
        }
    }

    @ParameterizedTest
    @EnumSource(Kind.class)
    void destroyedDomainsLeaveNothingBehind(Kind kind) throws IOException {
        try (Rig rig = Xen.rig(kind).booted()) {
            Device one = rig.device(kind.first);
            Device two = rig.device(kind.second);
            long before = rig.heap.taken();
            // More of them than an IPMMU has contexts.
            for (int round = 1; round <= 20; round++) {
                Domain domain = rig.domain(round);
                rig.attach(domain, one);
                rig.attach(domain, two);
                rig.map(domain, INPUT, rig.ram(0), PAGE);
                rig.assertReaches(one, INPUT, rig.ram(0));
                rig.iommus.destroy(domain);
                assertEquals(before, rig.heap.taken());
                rig.assertDoesNotReach(two, INPUT, rig.ram(0));
            }
        }
    }

    /**
     * arm_smmu_domain_free gives a VMID back without CMD_TLBI_S12_VMALL, which CFGI_STE does not stand for (IHI 0070, 3.17):
     * the next domain has it, and what was cached with it. Either the driver invalidates, or the cached translation is hit.
     */
    @Test
    void aVmidIsNobodyElsesBeforeItIsInvalidated() throws IOException {
        try (Rig rig = Xen.rig(Kind.SMMUV3).booted()) {
            Device device = rig.device(Kind.SMMUV3.first);
            long unit = Xen.base(device.fwspec().iommu());
            Domain former = rig.domain(1);
            rig.attach(former, device);
            rig.map(former, INPUT, rig.ram(0), PAGE);
            rig.assertReaches(device, INPUT, rig.ram(0));
            int before = rig.board.bus().read32(unit + CMDQ_PROD);
            rig.iommus.destroy(former);
            Domain next = rig.domain(2);
            rig.attach(next, device);
            long queue = rig.board.bus().read64(unit + CMDQ_BASE) & BASE_ADDRESS & ~0x1fL;
            boolean invalidated = false;
            for (int at = before; at < rig.board.bus().read32(unit + CMDQ_PROD); at++) {
                invalidated |= (rig.board.memory().read64(queue + 16L * at) & 0xff) == 0x28;
            }
            assertEquals(invalidated ? DmaPort.Response.ABORT : DmaPort.Response.OK, rig.write(device, INPUT));
        }
    }
}
