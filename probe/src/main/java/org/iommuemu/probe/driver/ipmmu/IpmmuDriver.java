package org.iommuemu.probe.driver.ipmmu;

import static org.iommuemu.probe.driver.ipmmu.IpmmuLayout.*;

import java.util.BitSet;
import java.util.IdentityHashMap;
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
import org.iommuemu.probe.iommu.Platform;
import org.iommuemu.probe.iommu.ProbeAnswer;

/** The driver: one root per system, caches that wait for it, one context of the root per domain. */
public final class IpmmuDriver implements IommuDriver, IommuOps {
    /** Its short name. */
    public static final String NAME = "ipmmu";

    private static final int MAX_IPA_BITS = 40;

    /** What a domain has: a context, and the caches where it is switched on, with the devices behind each. */
    private static final class DomainContext {
        private final int context;
        private final Map<IpmmuUnit, Integer> caches = new IdentityHashMap<>();

        private DomainContext(int context) {
            this.context = context;
        }
    }

    private final Platform platform;
    private final Log log;
    private final Map<DeviceTreeNode, IpmmuUnit> units = new IdentityHashMap<>();
    private final Map<Domain, DomainContext> domains = new IdentityHashMap<>();
    private final Domain[] contextOwner = new Domain[16];
    private final BitSet contexts = new BitSet();
    private IpmmuUnit root;

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
        if (unsupported != null) {
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
            platform.restrictIpaBits(MAX_IPA_BITS);
            platform.interrupts().request(platform.tree().interruptNumber(interrupts.get(0)), this::handleInterrupt);
            unit.disableContexts();
            unit.changeControl(IMSAUXCTLR, IMSAUXCTLR_S2PTE, 0);
            contexts.set(0); // Secure firmware uses it.
            root = unit;
        } else if (root == null) {
            return new ProbeAnswer.Deferred(
                    IpmmuUnit.namedRoot(platform, node, this::matches), "its root is not registered yet");
        }
        unit.changeControl(IMSCTLR, 0, IMSCTLR_USE_SECGRP);
        units.put(node, unit);
        log.debug(NAME, "%s: registered %s IPMMU".formatted(unit, isRoot ? "root" : "cache"));
        return new ProbeAnswer.Initialised();
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
            context = new DomainContext(free);
            contexts.set(free);
            contextOwner[free] = domain;
            domains.put(domain, context);
            enableContext(domain, free);
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

    /** Sends a context through the domain's P2M (ipmmu_domain_init_context). */
    private void enableContext(Domain domain, int context) {
        long table = domain.ioP2m().root();
        log.debug(NAME, "%s: %s: set IPMMU context %d (pgd 0x%x)".formatted(root, domain, context, table));
        root.writeContext(context, IMTTLBR0, (int) table & 0xfffff000);
        root.writeContext(context, IMTTUBR0, (int) (table >>> 32) & 0xff);
        root.writeContext(
                context,
                IMTTBCR,
                IMTTBCR_EAE
                        | IMTTBCR_PMB
                        | IMTTBCR_SL0_LEVEL_1
                        | 64 - domain.ioP2m().ipaBits());
        root.writeContext(context, IMSTR, root.readContext(context, IMSTR));
        root.writeContext(context, IMCTR, IMCTR_VA64 | IMCTR_INTEN | IMCTR_FLUSH | IMCTR_MMUEN);
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

    /** The hardware has no selective flush: the whole context goes, in the caches first (ipmmu_tlb_invalidate). */
    @Override
    public void iotlbFlush(Domain domain, long address, long size) {
        DomainContext context = domains.get(domain);
        if (context != null) {
            int control = root.readContext(context.context, IMCTR) | IMCTR_FLUSH;
            context.caches.keySet().forEach(cache -> writeCache(cache, context.context, control));
            root.writeContext(context.context, IMCTR, control);
            root.waitForFlush(context.context);
        }
    }

    @Override
    public void teardown(Domain domain) {
        DomainContext context = domains.remove(domain);
        if (context != null) {
            root.writeContext(context.context, IMCTR, IMCTR_FLUSH);
            root.waitForFlush(context.context);
            contexts.clear(context.context);
            contextOwner[context.context] = null;
        }
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
                "%s: unhandled fault: status 0x%08x, context %d".formatted(contextOwner[context], status, context)));
    }
}
