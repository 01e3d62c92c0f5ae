package org.iommuemu.probe.driver.ipmmu;

import static org.iommuemu.probe.driver.ipmmu.IpmmuLayout.*;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.iommuemu.pagetables.Descriptor;
import org.iommuemu.pagetables.Granule;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.pagetables.TableWriter;
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
import org.iommuemu.probe.iommu.P2m;
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;
import org.iommuemu.probe.iommu.ReservedRegion;

/** The driver: one root per system, caches that wait for it, one context of the root per domain. */
public final class IpmmuDriver implements IommuDriver, IommuOps {
    /** Its short name. */
    public static final String NAME = "ipmmu";

    private static final int MAX_IPA_BITS = 40;

    /** A table of its own takes input addresses of 32 bits, and has leaves as Linux writes them. */
    private static final TableWriter.Geometry OWN_TABLE = new TableWriter.Geometry(Granule.KIB_4, 1, 32, MAX_IPA_BITS);

    private static final TableWriter.Options OWN_TABLE_OPTIONS =
            new TableWriter.Options(false, false, false, Descriptor.NS_TABLE);
    private static final long OWN_LEAF =
            LinuxPageTable.leaf(3, LinuxPageTable.READ | LinuxPageTable.WRITE | LinuxPageTable.CACHE);

    /** What a domain has: a context, and the caches where it is switched on, with the devices behind each. */
    private static final class DomainContext {
        private final Domain domain;
        private final int context;
        private final Map<IpmmuUnit, Integer> caches = new LinkedHashMap<>();
        /** Of a SoC whose stage 2 does not work: stage 1, with the domain's guest-physical addresses as input. */
        private TableWriter ownTable;

        private DomainContext(Domain domain, int context) {
            this.domain = domain;
            this.context = context;
        }

        /** In the order in which Xen writes to them: list_add puts a new one in front. */
        private List<IpmmuUnit> newestFirst() {
            List<IpmmuUnit> units = new ArrayList<>(caches.keySet());
            Collections.reverse(units);
            return units;
        }
    }

    private final Platform platform;
    private final Log log;
    private final Map<DeviceTreeNode, IpmmuUnit> units = new LinkedHashMap<>();
    private final Map<Domain, DomainContext> domains = new IdentityHashMap<>();
    private final DomainContext[] contextOwner = new DomainContext[16];
    private final BitSet contexts = new BitSet();
    private IpmmuUnit root;
    /** Stage 2 does not work, and the command line wants tables of the IOMMU's own. */
    private boolean ownTables;

    /** A driver without units. */
    public IpmmuDriver(Platform platform) {
        this.platform = platform;
        this.log = platform.log();
    }

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public boolean matches(DeviceTreeNode node) {
        return IpmmuLayout.of(node) != null;
    }

    /** As ipmmu_probe does. */
    @Override
    public ProbeAnswer probe(DeviceTreeNode node) {
        List<AddressRange> reg = node.reg();
        if (reg.isEmpty()) {
            return new ProbeAnswer.Failed(Errno.EINVAL, "no MMIO region");
        }
        IpmmuUnit unit = new IpmmuUnit(platform, reg.get(0).base(), node, IpmmuLayout.of(node));
        boolean isRoot = !node.has("renesas,ipmmu-main");
        // Xen looks at the product in the root only and then defers the caches of a root that answered ENODEV for ever,
        // which ends in a panic. No unit of such an SoC can be used, so each says so.
        String unsupported = stage2Unsupported();
        if (unsupported != null && platform.sharePt()) {
            return new ProbeAnswer.Unusable("P2M sharing is not supported in current SoC revision: " + unsupported);
        }
        if (isRoot) {
            if (root != null) {
                return new ProbeAnswer.Unusable("there is a root already: " + root);
            }
            List<InterruptSpecifier> interrupts = node.interrupts();
            if (interrupts.isEmpty()) {
                return new ProbeAnswer.Failed(Errno.ENXIO, "no IRQ found");
            }
            ownTables = unsupported != null;
            platform.restrictIpaBits(ownTables ? OWN_TABLE.inputBits() : MAX_IPA_BITS);
            if (ownTables) {
                log.info(NAME, "%s: no stage 2 (%s): a stage 1 table for each domain".formatted(unit, unsupported));
            }
            platform.interrupts().request(platform.tree().interruptNumber(interrupts.get(0)), this::handleInterrupt);
            contexts.set(0); // Secure firmware uses it.
            root = unit;
            resetRoot();
        } else if (root == null) {
            return new ProbeAnswer.Deferred(
                    IpmmuUnit.namedRoot(platform, node, this::matches), "its root is not registered yet");
        }
        unit.changeControl(IMSCTLR, 0, IMSCTLR_USE_SECGRP);
        units.put(node, unit);
        log.debug(NAME, "%s: registered %s IPMMU".formatted(unit, isRoot ? "root" : "cache"));
        return new ProbeAnswer.Initialised();
    }

    private void resetRoot() {
        root.disableContexts();
        root.changeControl(IMSAUXCTLR, ownTables ? 0 : IMSAUXCTLR_S2PTE, ownTables ? IMSAUXCTLR_S2PTE : 0);
    }

    /**
     * Why stage 2 does not work on this SoC, or null if it does (ipmmu_stage2_supported): the product register has the
     * product in bits 14:8 and the cut in bits 7:0.
     */
    private String stage2Unsupported() {
        Optional<DeviceTreeNode> node = platform.tree().compatibleNode("renesas,prr");
        if (node.isEmpty() || node.get().reg().isEmpty()) {
            return "there is no product register";
        }
        int value = platform.bus().read32(node.get().reg().get(0).base());
        boolean supported =
                switch (value & 0x7f00) {
                    case 0x4f00, 0x5200 -> (value & 0xff) >= 0x20; // H3 from ES3.0, M3-W+
                    case 0x5500, 0x5a00, 0x5c00 -> true; // M3-N, S4, V4H
                    default -> false;
                };
        return supported ? null : "product register 0x%04x".formatted(value);
    }

    @Override
    public IommuOps ops() {
        return this;
    }

    @Override
    public Errno dtXlate(Device device, List<Integer> args) {
        if (args.size() != 1 || args.get(0) < 0 || args.get(0) >= UTLBS) {
            return Errno.EINVAL;
        }
        device.fwspec().addId(args.get(0));
        return Errno.OK;
    }

    @Override
    public Errno addDevice(Device device) {
        if (device.fwspec() == null || !units.containsKey(device.fwspec().iommu())) {
            return Errno.ENODEV;
        }
        if (device.isProtected()) {
            return Errno.EEXIST;
        }
        device.setProtected(true);
        log.debug(
                NAME,
                "%s: added master device (IPMMU %s, %d micro-TLBs)"
                        .formatted(
                                device,
                                device.fwspec().iommu().path(),
                                device.fwspec().ids().size()));
        return Errno.OK;
    }

    /** As ipmmu_assign_device and ipmmu_attach_device do: the root's context with the first device of a domain. */
    @Override
    public Errno assignDevice(Domain domain, Device device) {
        IpmmuUnit cache = units.get(device.fwspec().iommu());
        DomainContext context = domains.get(domain);
        if (context == null) {
            int free = contexts.nextClearBit(0);
            if (free >= root.layout().contexts()) {
                return Errno.EBUSY;
            }
            context = new DomainContext(domain, free);
            if (ownTables) {
                try {
                    fillOwnTable(context);
                } catch (MappingException e) {
                    return Errno.ENOMEM;
                }
            }
            contexts.set(free);
            contextOwner[free] = context;
            domains.put(domain, context);
            enableContext(context);
        }
        if (!context.caches.containsKey(cache)) {
            context.caches.put(cache, 0);
            writeCache(cache, context.context, root.readContext(context.context, IMCTR) | IMCTR_FLUSH);
        }
        List<Integer> utlbs = device.fwspec().ids();
        for (int i = 0; i < utlbs.size(); i++) {
            int other = cache.enableUtlb(utlbs.get(i), context.context);
            if (other >= 0) {
                log.error(
                        NAME,
                        "%s: micro-TLB %d is assigned to context %d already".formatted(cache, utlbs.get(i), other));
                utlbs.subList(0, i).forEach(cache::disableUtlb);
                release(context, cache, 0);
                return Errno.EINVAL;
            }
        }
        context.caches.merge(cache, 1, Integer::sum);
        return Errno.OK;
    }

    /** Copies what is mapped in a domain; {@link #mapPages} and {@link #unmapPages} keep it in step from then on. */
    private void fillOwnTable(DomainContext context) {
        TableWriter table = new TableWriter(
                platform.bus().memory(),
                platform.tables(),
                OWN_TABLE,
                OWN_TABLE_OPTIONS,
                (address, size) -> flush(context));
        try {
            context.domain.forEachRun(
                    (guestPhysical, machine, size) -> table.map(guestPhysical, machine, size, OWN_LEAF));
        } catch (MappingException e) {
            table.destroy();
            throw e;
        }
        context.ownTable = table;
    }

    /** Sends a context through the domain's P2M (ipmmu_domain_init_context), or through a stage 1 table as Linux does. */
    private void enableContext(DomainContext context) {
        Domain domain = context.domain;
        int n = context.context;
        boolean own = context.ownTable != null;
        long table = own ? context.ownTable.root() : domain.ioP2m().root();
        log.debug(NAME, "%s: %s: set IPMMU context %d (pgd 0x%x)".formatted(root, domain, n, table));
        root.writeContext(n, IMTTLBR0, (int) table & 0xfffff000);
        root.writeContext(n, IMTTUBR0, (int) (table >>> 32) & 0xff);
        if (own) {
            root.writeContext(n, IMTTBCR, IMTTBCR_EAE | IMTTBCR_STAGE1_LEVEL_1);
            root.writeContext(n, IMMAIR0, IMMAIR0_VALUE);
        } else {
            root.writeContext(
                    n,
                    IMTTBCR,
                    IMTTBCR_EAE
                            | IMTTBCR_PMB
                            | IMTTBCR_SL0_LEVEL_1
                            | 64 - domain.ioP2m().ipaBits());
        }
        root.writeContext(n, IMSTR, root.readContext(n, IMSTR));
        root.writeContext(n, IMCTR, (own ? 0 : IMCTR_VA64) | IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
    }

    @Override
    public Errno deassignDevice(Domain domain, Device device) {
        IpmmuUnit cache = units.get(device.fwspec().iommu());
        device.fwspec().ids().forEach(cache::disableUtlb);
        release(domains.get(domain), cache, 1);
        return Errno.OK;
    }

    /** Devices no longer use a cache; with the last one the context is switched off there. */
    private void release(DomainContext context, IpmmuUnit cache, int devices) {
        if (context.caches.merge(cache, -devices, Integer::sum) == 0) {
            context.caches.remove(cache);
            writeCache(cache, context.context, IMCTR_FLUSH);
        }
    }

    /** A table of its own has been invalidated by whoever changed it. */
    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        DomainContext context = domains.get(domain);
        if (context != null && context.ownTable == null) {
            flush(context);
        }
    }

    @Override
    public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
        DomainContext context = domains.get(domain);
        if (context != null && context.ownTable != null) {
            context.ownTable.map(guestPhysical, machine, size, OWN_LEAF);
        }
    }

    @Override
    public void unmapPages(Domain domain, long guestPhysical, long size) {
        DomainContext context = domains.get(domain);
        if (context != null && context.ownTable != null) {
            context.ownTable.unmap(guestPhysical, size);
        }
    }

    /** The hardware has no selective flush: the whole context goes, in the caches first (ipmmu_tlb_invalidate). */
    private void flush(DomainContext context) {
        int control = root.readContext(context.context, IMCTR) | IMCTR_FLUSH;
        context.newestFirst().forEach(cache -> writeCache(cache, context.context, control));
        root.writeContext(context.context, IMCTR, control);
        root.waitForFlush(context.context);
    }

    @Override
    public void teardown(Domain domain) {
        DomainContext context = domains.remove(domain);
        if (context != null) {
            root.writeContext(context.context, IMCTR, IMCTR_FLUSH);
            root.waitForFlush(context.context);
            contexts.clear(context.context);
            contextOwner[context.context] = null;
            if (context.ownTable != null) {
                context.ownTable.destroy();
            }
        }
    }

    /** As ipmmu_resume_noirq of Linux does: the root, contexts in root and caches, then micro-TLBs. */
    @Override
    public void resume() {
        if (root == null) {
            return;
        }
        resetRoot();
        units.values().forEach(unit -> unit.changeControl(IMSCTLR, 0, IMSCTLR_USE_SECGRP));
        for (DomainContext context : domains.values()) {
            enableContext(context);
            int control = root.readContext(context.context, IMCTR) | IMCTR_FLUSH;
            context.newestFirst().forEach(cache -> writeCache(cache, context.context, control));
        }
        units.values().forEach(IpmmuUnit::restoreUtlbs);
    }

    /** What goes through a context that is switched off would pass untranslated: they stay on, without interrupts. */
    @Override
    public void crashShutdown() {
        for (DomainContext context : domains.values()) {
            root.writeContext(context.context, IMCTR, root.readContext(context.context, IMCTR) & ~IMCTR_INTEN);
        }
    }

    @Override
    public List<ReservedRegion> reservedMemory() {
        return platform.reservedMemory(units.keySet());
    }

    /** Table addresses have 40 bits, and walks start at level 1. */
    @Override
    public Errno shareP2m(Domain domain) {
        P2m table = domain.ioP2m();
        return table.root() >>> MAX_IPA_BITS == 0 && table.ipaBits() <= MAX_IPA_BITS && table.startLevel() == 1
                ? Errno.OK
                : Errno.EINVAL;
    }

    /** A cache that is a root too (a device directly behind it) has its context switched on already. */
    private void writeCache(IpmmuUnit cache, int context, int control) {
        if (cache != root) {
            cache.writeContext(context, IMCTR, control & IMCTR_COMMON);
        }
    }

    /** Looks at every context that is ours: the interrupt does not tell which one it is (ipmmu_irq). */
    private void handleInterrupt() {
        for (int n = 0; n < root.layout().contexts(); n++) {
            if (contextOwner[n] != null) {
                handleContext(n);
            }
        }
    }

    private void handleContext(int context) {
        IpmmuUnit.Fault taken = root.takeFault(context);
        if (taken == null) {
            return;
        }
        int status = taken.status();
        String fault = (status & IMSTR_TF) != 0
                ? "TF"
                : (status & IMSTR_PF) != 0 ? "PF" : (status & IMSTR_ABORT) != 0 ? "ABORT" : "MHIT";
        log.fault(new FaultReport(
                root.node(),
                fault,
                -1,
                taken.address(),
                "%s: unhandled fault: status 0x%08x, context %d"
                        .formatted(contextOwner[context].domain, status, context)));
    }
}
