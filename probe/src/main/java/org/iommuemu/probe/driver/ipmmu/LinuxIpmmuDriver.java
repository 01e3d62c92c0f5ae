package org.iommuemu.probe.driver.ipmmu;

import static org.iommuemu.probe.driver.ipmmu.IpmmuLayout.*;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.devicetree.InterruptSpecifier;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.IommuDriver;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Log;
import org.iommuemu.probe.iommu.OwnTables;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;

/**
 * A driver that works as Linux' does: each domain has a stage 1 table of 32-bit I/O virtual addresses of its own, in one
 * context of one unit; a cache that comes before its root is deferred (EPROBE_DEFER). It drives all generations.
 *
 * <p>Which masters Linux translates at all (SDHI, PCIe), and that it refuses some chips, is its policy and not here.
 */
public final class LinuxIpmmuDriver implements IommuDriver, IommuOps, OwnTables {
    /** Devices may read. */
    public static final int READ = LinuxPageTable.READ;
    /** Devices may write. */
    public static final int WRITE = LinuxPageTable.WRITE;
    /** Normal cached memory; otherwise not cached. */
    public static final int CACHE = LinuxPageTable.CACHE;
    /** Devices may not fetch instructions. */
    public static final int NOEXEC = LinuxPageTable.NOEXEC;
    /** Device memory. */
    public static final int MMIO = LinuxPageTable.MMIO;
    /** Privileged accesses only. */
    public static final int PRIV = LinuxPageTable.PRIV;

    private static final int UNUSED = -1;

    /** A unit that was probed; its root, which is itself on Gen2; by micro-TLB, the context that it is connected to. */
    private static final class Mmu {
        private final IpmmuUnit unit;
        private final Mmu root;
        /** Of a root, by context. */
        private final LinuxDomain[] domains;

        private final int[] utlbContexts = new int[UTLBS];

        private Mmu(IpmmuUnit unit, Mmu root) {
            this.unit = unit;
            this.root = root == null ? this : root;
            domains = new LinuxDomain[unit.layout().contexts()];
            Arrays.fill(utlbContexts, UNUSED);
        }
    }

    /** A domain with its table and its context of a root; all its devices are behind one unit. */
    private record LinuxDomain(Domain domain, LinuxPageTable table, Mmu mmu, int context) {}

    private final Platform platform;
    private final Log log;
    private final Map<DeviceTreeNode, Mmu> mmus = new LinkedHashMap<>();
    private final Map<Domain, LinuxDomain> domains = new IdentityHashMap<>();
    /** The root that caches belong to; Linux takes the one that is registered, whatever their phandles say. */
    private Mmu root;

    /** A driver without units. */
    public LinuxIpmmuDriver(Platform platform) {
        this.platform = platform;
        this.log = platform.log();
    }

    @Override
    public String name() {
        return IpmmuDriver.NAME;
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return IpmmuLayout.ofAnyGeneration(node) != null;
    }

    /** As ipmmu_probe does. */
    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        List<AddressRange> reg = node.reg();
        if (reg.isEmpty()) {
            return new ProbeAnswer.Failed(Errno.EINVAL, "no MMIO region");
        }
        IpmmuLayout layout = IpmmuLayout.ofAnyGeneration(node);
        IpmmuUnit unit = new IpmmuUnit(platform, reg.get(0).base(), node, layout);
        boolean isRoot = !layout.hasCaches() || !node.has("renesas,ipmmu-main");
        if (!isRoot && root == null) {
            return new ProbeAnswer.Deferred(
                    IpmmuUnit.namedRoot(platform, node, this::matches), "EPROBE_DEFER, its root is not registered yet");
        }
        Mmu mmu = new Mmu(unit, isRoot ? null : root);
        if (isRoot) {
            List<InterruptSpecifier> interrupts = node.interrupts();
            if (interrupts.isEmpty()) {
                return new ProbeAnswer.Failed(Errno.ENXIO, "no IRQ found");
            }
            platform.interrupts()
                    .request(platform.tree().interruptNumber(interrupts.get(0)), () -> handleInterrupt(mmu));
            unit.disableContexts();
            if (layout.hasCaches()) {
                root = mmu;
            }
        }
        mmus.put(node, mmu);
        log.debug(name(), "%s: registered %s IPMMU, stage 1".formatted(unit, isRoot ? "root" : "cache"));
        return new ProbeAnswer.Initialised();
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    /** Linux takes any number here; one that the unit does not have would reach other registers. */
    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        Mmu mmu = mmus.get(device.fwspec().iommu());
        if (args.size() != 1
                || args.get(0) < 0
                || args.get(0) >= mmu.unit.layout().utlbs()) {
            return Errno.EINVAL;
        }
        device.fwspec().addId(args.get(0));
        return Errno.OK;
    }

    @Override
    public Errno addDevice(Device device) {
        Mmu mmu = device.fwspec() == null ? null : mmus.get(device.fwspec().iommu());
        if (mmu == null || mmu.root == mmu && mmu.unit.layout().hasCaches()) {
            return Errno.ENODEV; // A root that has caches has no ports.
        }
        if (device.isProtected()) {
            return Errno.EEXIST;
        }
        device.setProtected(true);
        return Errno.OK;
    }

    /** As ipmmu_attach_device does: the context with the first device of a domain. */
    @Override
    public Errno assignDevice(Domain domain, Device device) {
        Mmu mmu = mmus.get(device.fwspec().iommu());
        LinuxDomain attached = domains.get(domain);
        if (attached == null) {
            int context = freeContext(mmu.root);
            if (context == UNUSED) {
                return Errno.EBUSY;
            }
            try {
                LinuxPageTable table = new LinuxPageTable(platform.bus().memory(), platform.pages());
                attached = new LinuxDomain(domain, table, mmu, context);
            } catch (LinuxPageTable.OutOfMemory e) {
                return Errno.ENOMEM;
            }
            domains.put(domain, attached);
            mmu.root.domains[context] = attached;
            setUpContext(attached);
            log.debug(name(), "%s: %s uses IPMMU context %d".formatted(mmu.unit, domain, context));
        } else if (attached.mmu != mmu) {
            log.error(name(), "%s: %s is on %s already".formatted(mmu.unit, domain, attached.mmu.unit));
            return Errno.EINVAL;
        }
        for (int utlb : device.fwspec().ids()) {
            enableUtlb(mmu, utlb, attached.context);
        }
        return Errno.OK;
    }

    /** Context 0 is left to secure firmware where units have roots (reserved_context). */
    private static int freeContext(Mmu root) {
        for (int n = root.unit.layout().hasCaches() ? 1 : 0; n < root.domains.length; n++) {
            if (root.domains[n] == null) {
                return n;
            }
        }
        return UNUSED;
    }

    /** As ipmmu_domain_setup_context does. */
    private void setUpContext(LinuxDomain domain) {
        IpmmuUnit unit = domain.mmu.root.unit;
        boolean gen2 = !unit.layout().hasCaches();
        int n = domain.context;
        unit.writeContext(n, IMTTLBR0, (int) domain.table.root());
        unit.writeContext(n, IMTTUBR0, (int) (domain.table.root() >>> 32));
        unit.writeContext(
                n,
                IMTTBCR,
                IMTTBCR_EAE | (gen2 ? IMTTBCR_CACHED_WALKS | IMTTBCR_SL0_LEVEL_1_GEN2 : IMTTBCR_STAGE1_LEVEL_1));
        unit.writeContext(n, IMMAIR0, IMMAIR0_VALUE);
        if (gen2) {
            unit.writeContext(n, IMBUSCR, unit.readContext(n, IMBUSCR) & ~IMBUSCR_DVM_BUSSEL);
        }
        unit.writeContext(n, IMSTR, unit.readContext(n, IMSTR));
        writeBoth(domain, IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
    }

    /** Linux writes the same value to cache and root. */
    private static void writeBoth(LinuxDomain domain, int imctr) {
        Mmu mmu = domain.mmu;
        if (mmu.root != mmu) {
            mmu.unit.writeContext(domain.context, IMCTR, imctr);
        }
        mmu.root.unit.writeContext(domain.context, IMCTR, imctr);
    }

    private static void enableUtlb(Mmu mmu, int utlb, int context) {
        mmu.unit.writeAsid(utlb, 0);
        mmu.unit.writeUtlb(utlb, context << IMUCTR_TTSEL_SHIFT | IMUCTR_FLUSH | IMUCTR_MMUEN);
        mmu.utlbContexts[utlb] = context;
    }

    /** The domain keeps its context. */
    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        Mmu mmu = mmus.get(device.fwspec().iommu());
        for (int utlb : device.fwspec().ids()) {
            mmu.unit.writeUtlb(utlb, 0);
            mmu.utlbContexts[utlb] = UNUSED;
        }
        return Errno.OK;
    }

    /**
     * Maps a range of a domain's I/O virtual addresses. The domain has a device. No register is touched, as nothing that was
     * not mapped is cached.
     *
     * @param protection {@link #READ} and others
     * @return EINVAL if a value does not fit or the domain has no context, EEXIST if something is mapped there, ENOMEM
     */
    @Override
    public Errno map(Domain domain, long iova, long physical, long size, int protection) {
        LinuxDomain attached = domains.get(domain);
        return attached == null ? Errno.EINVAL : attached.table.map(iova, physical, size, protection);
    }

    /**
     * Unmaps a range and invalidates it.
     *
     * @return bytes that were mapped, from the start of the range
     */
    @Override
    public long unmap(Domain domain, long iova, long size) {
        LinuxDomain attached = domains.get(domain);
        long done = attached == null ? 0 : attached.table.unmap(iova, size);
        if (done > 0) {
            invalidate(attached);
        }
        return done;
    }

    @Override
    public long iovaToPhys(Domain domain, long iova) {
        LinuxDomain attached = domains.get(domain);
        return attached == null ? -1 : attached.table.resolve(iova);
    }

    @Override
    public Optional<OwnTables> ownTables() {
        return Optional.of(this);
    }

    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        LinuxDomain attached = domains.get(domain);
        if (attached != null) {
            invalidate(attached);
        }
    }

    /** As ipmmu_tlb_invalidate does. */
    private void invalidate(LinuxDomain domain) {
        writeBoth(domain, domain.mmu.root.unit.readContext(domain.context, IMCTR) | IMCTR_FLUSH);
        domain.mmu.root.unit.waitForFlush(domain.context);
    }

    @Override
    public void teardown(Domain domain) {
        LinuxDomain attached = domains.remove(domain);
        if (attached != null) {
            writeBoth(attached, IMCTR_FLUSH);
            attached.mmu.root.unit.waitForFlush(attached.context);
            attached.mmu.root.domains[attached.context] = null;
            attached.table.free();
        }
    }

    /** Brings all units back after their registers were lost (ipmmu_resume_noirq): roots, contexts, then micro-TLBs. */
    @Override
    public void resume() {
        for (Mmu mmu : mmus.values()) {
            if (mmu.root == mmu) {
                mmu.unit.disableContexts();
                for (LinuxDomain domain : mmu.domains) {
                    if (domain != null) {
                        setUpContext(domain);
                    }
                }
            }
        }
        for (Mmu mmu : mmus.values()) {
            for (int utlb = 0; utlb < UTLBS; utlb++) {
                if (mmu.utlbContexts[utlb] != UNUSED) {
                    enableUtlb(mmu, utlb, mmu.utlbContexts[utlb]);
                }
            }
        }
    }

    /** The unit is no longer driven (ipmmu_remove): its own contexts are disabled. */
    public void remove(DeviceTreeNode node) {
        mmus.get(node).unit.disableContexts();
    }

    /** As ipmmu_irq does. */
    private void handleInterrupt(Mmu mmu) {
        for (LinuxDomain domain : new ArrayList<>(Arrays.asList(mmu.domains))) {
            if (domain != null) {
                handleContext(mmu.unit, domain);
            }
        }
    }

    private void handleContext(IpmmuUnit unit, LinuxDomain domain) {
        IpmmuUnit.Fault taken = unit.takeFault(domain.context);
        if (taken == null) {
            return;
        }
        int status = taken.status();
        long address = taken.address();
        if ((status & (IMSTR_MHIT | IMSTR_ABORT)) != 0) {
            log.error(
                    name(),
                    "%s: %s at 0x%x"
                            .formatted(
                                    unit,
                                    (status & IMSTR_MHIT) != 0 ? "multiple TLB hits" : "abort of a page table walk",
                                    address));
        }
        if ((status & (IMSTR_PF | IMSTR_TF)) != 0) {
            log.fault(new FaultReport(
                    unit.node(),
                    (status & IMSTR_TF) != 0 ? "TF" : "PF",
                    -1,
                    address,
                    "%s: unhandled fault: status 0x%08x, context %d".formatted(domain.domain, status, domain.context)));
        }
    }
}
