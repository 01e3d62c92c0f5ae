package org.iommuemu.probe.iommu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.driver.mock.MockDriver;
import org.junit.jupiter.api.Test;

/** How operations find the IOMMUs that they are for, in uniform and in mixed systems. */
class DispatchTest {
    private static final long GUEST = 0x1000_0000L;
    private static final long PAGE = 4096;
    private static final long MIB_2 = 2 << 20;

    private final Rig rig = new Rig(Rig.iommus().parse());
    private final MockDriver first = new MockDriver("first", false);
    private final MockDriver second = new MockDriver("second", false);

    private DeviceTreeNode node(String path) {
        return rig.tree.node(path).orElseThrow();
    }

    private Iommus system(Iommus.Mode mode) {
        Iommus iommus = new Iommus(rig.platform, mode, Iommus.Probing.FIRMWARE_SPEC);
        first.probe(node("/iommu@1"));
        assertTrue(iommus.register(node("/iommu@1"), first));
        if (mode == Iommus.Mode.MIXED) {
            second.probe(node("/iommu@2"));
            assertTrue(iommus.register(node("/iommu@2"), second));
        }
        return iommus;
    }

    private Device added(Iommus iommus, String path) {
        Device device = rig.device(path);
        assertEquals(Errno.OK, iommus.addDevice(device, device.node().iommus()));
        return device;
    }

    @Test
    void inAMixedSystemEachDeviceReachesTheIommuThatItNames() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Domain domain = iommus.createDomain(1);
        assertEquals(Errno.OK, iommus.assign(domain, added(iommus, "/one")));
        assertEquals(List.of("assign d1 /one"), first.takeAsked());
        assertEquals(List.of(), second.takeAsked());
        assertEquals(Errno.OK, iommus.assign(domain, added(iommus, "/two")));
        assertEquals(List.of(), first.takeAsked());
        assertEquals(List.of("assign d1 /two"), second.takeAsked());
        assertEquals(List.of(first, second), domain.iommus());
    }

    @Test
    void aChangeOfTheP2mFlushesEachIommuThatTheDomainUsesOnce() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Domain both = iommus.createDomain(1);
        Domain other = iommus.createDomain(2);
        for (Domain domain : List.of(both, other)) {
            domain.mapRam(GUEST, Rig.RAM, PAGE);
            domain.mapRam(GUEST + MIB_2, Rig.RAM, MIB_2);
        }
        iommus.assign(both, added(iommus, "/one"));
        iommus.assign(both, added(iommus, "/partly"));
        iommus.assign(both, added(iommus, "/two"));
        first.takeAsked();
        second.takeAsked();

        other.unmap(GUEST, PAGE);
        assertEquals(List.of(), first.takeAsked(), "it has no devices");
        both.unmap(GUEST, PAGE);
        assertEquals(List.of("flush d1 0x10000000 0x1000"), first.takeAsked(), "once, for two devices");
        assertEquals(List.of("flush d1 0x10000000 0x1000"), second.takeAsked());
        both.unmap(GUEST + MIB_2, MIB_2);
        assertEquals(1, first.takeAsked().size());
        assertEquals(1, second.takeAsked().size());
    }

    @Test
    void splittingABlockIsOneMoreFlushForEach() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Domain domain = iommus.createDomain(1);
        domain.mapRam(GUEST, Rig.RAM, MIB_2);
        iommus.assign(domain, added(iommus, "/one"));
        iommus.assign(domain, added(iommus, "/two"));
        first.takeAsked();
        second.takeAsked();
        domain.unmap(GUEST, PAGE);
        // Break before make: the block must be gone everywhere before a table takes its place.
        List<String> expected = List.of("flush d1 0x10000000 0x200000", "flush d1 0x10000000 0x1000");
        assertEquals(expected, first.takeAsked());
        assertEquals(expected, second.takeAsked());
    }

    @Test
    void anIommuLeavesTheDomainWithTheLastDeviceBehindIt() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Domain domain = iommus.createDomain(1);
        domain.mapRam(GUEST, Rig.RAM, PAGE);
        Device one = added(iommus, "/one");
        Device partly = added(iommus, "/partly");
        Device two = added(iommus, "/two");
        for (Device device : List.of(one, partly, two)) {
            iommus.assign(domain, device);
        }
        first.takeAsked();
        assertEquals(Errno.OK, iommus.deassign(domain, one));
        assertEquals(List.of(first, second), domain.iommus());
        assertEquals(Errno.OK, iommus.deassign(domain, partly));
        assertEquals(List.of("deassign d1 /one", "deassign d1 /partly", "teardown d1"), first.takeAsked());
        assertEquals(List.of(second), domain.iommus());
        domain.unmap(GUEST, PAGE);
        assertEquals(List.of(), first.takeAsked());
    }

    @Test
    void aUniformSystemIsBoundToItsOperations() {
        Iommus iommus = system(Iommus.Mode.UNIFORM);
        assertSame(first, iommus.ops());
        Domain domain = iommus.createDomain(1);
        domain.mapRam(GUEST, Rig.RAM, PAGE);
        Device device = added(iommus, "/one");
        assertEquals(List.of(0x10, 0x11), device.fwspec().ids());
        assertEquals(Errno.OK, iommus.assign(domain, device));
        domain.unmap(GUEST, PAGE);
        assertEquals(Errno.OK, iommus.deassign(domain, device));
        assertEquals(
                List.of("assign d1 /one", "flush d1 0x10000000 0x1000", "deassign d1 /one", "teardown d1"),
                first.takeAsked());
        assertEquals(Errno.OK, iommus.removeDevice(device));
        assertEquals(List.of(), first.claimed());
    }

    @Test
    void aSecondKindIsRefusedInAUniformSystemWithAWarning() {
        Iommus iommus = system(Iommus.Mode.UNIFORM);
        second.probe(node("/iommu@2"));
        assertFalse(iommus.register(node("/iommu@2"), second));
        assertTrue(
                rig.lines.get(0).startsWith("WARNING /iommu@2: cannot set IOMMU ops, already set to a different value"),
                rig.lines::toString);
        assertSame(first, iommus.ops());
        assertEquals(
                Errno.ENODEV, iommus.addDevice(rig.device("/two"), node("/two").iommus()));
        // The same operations once more are no second kind.
        first.probe(node("/iommu@2"));
        assertTrue(iommus.register(node("/iommu@2"), first));
    }

    @Test
    void systemsOfOneProcessAreBoundEachToItsOwn() {
        Iommus iommus = system(Iommus.Mode.UNIFORM);
        Rig otherRig = new Rig(Rig.iommus().parse());
        Iommus other = new Iommus(otherRig.platform, Iommus.Mode.UNIFORM, Iommus.Probing.FIRMWARE_SPEC);
        DeviceTreeNode otherNode = otherRig.tree.node("/iommu@1").orElseThrow();
        second.probe(otherNode);
        assertTrue(other.register(otherNode, second));
        iommus.assign(iommus.createDomain(1), added(iommus, "/one"));
        Device device = otherRig.device("/one");
        assertEquals(Errno.OK, other.addDevice(device, device.node().iommus()));
        other.assign(other.createDomain(2), device);
        assertEquals(List.of("assign d1 /one"), first.takeAsked());
        assertEquals(List.of("assign d2 /one"), second.takeAsked());
    }

    @Test
    void thereIsNoOneOperationsObjectInAMixedSystem() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        IllegalStateException error = assertThrows(IllegalStateException.class, iommus::ops);
        assertEquals(
                "there is no one operations object in a mixed system (2 kinds of IOMMU): name a device or a domain, or do it"
                        + " for each IOMMU",
                error.getMessage());
    }

    @Test
    void whatHasNoContextIsDoneForEachRegisteredIommu() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        assertEquals(Errno.OK, iommus.suspend());
        iommus.resume();
        iommus.crashShutdown();
        List<String> expected = List.of("suspend", "resume", "crash shutdown");
        assertEquals(expected, first.takeAsked());
        assertEquals(expected, second.takeAsked());
    }

    @Test
    void ifOneIommuCannotBeSuspendedThoseBeforeItAreResumed() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        second.answerSuspend(Errno.ETIMEDOUT);
        assertEquals(Errno.ETIMEDOUT, iommus.suspend());
        assertEquals(List.of("suspend", "resume"), first.takeAsked());
        assertEquals(List.of("suspend"), second.takeAsked());
    }

    /** Operations of which one goes wrong. */
    private static class Failing implements IommuOps {
        @Override
        public Errno dtXlate(Device device, List<Integer> args) {
            return Errno.OK;
        }

        @Override
        public Errno addDevice(Device device) {
            device.setProtected(true);
            return Errno.OK;
        }

        @Override
        public Errno assignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public Errno deassignDevice(Domain domain, Device device) {
            return Errno.OK;
        }

        @Override
        public void iotlbFlush(Domain domain, long address, long size) {}

        @Override
        public void teardown(Domain domain) {}
    }

    @Test
    void anIommuThatDoesNotAnswerKeepsNoOtherFromACrashShutdown() {
        Iommus iommus = new Iommus(rig.platform);
        iommus.register(node("/iommu@1"), new Failing() {
            @Override
            public void crashShutdown() {
                rig.bus.read32(0); // Nothing is there.
            }
        });
        iommus.register(node("/iommu@2"), second);
        iommus.crashShutdown();
        assertEquals(List.of("crash shutdown"), second.takeAsked());
    }

    @Test
    void whatOneTableCannotMapIsMappedInNone() {
        boolean[] full = {false};
        Iommus iommus = new Iommus(rig.platform);
        iommus.register(node("/iommu@1"), first);
        first.probe(node("/iommu@1"));
        iommus.register(node("/iommu@2"), new Failing() {
            @Override
            public void mapPages(Domain domain, long guestPhysical, long machine, long size) {
                if (full[0]) {
                    domain.ioP2m().mapRam(guestPhysical, machine, size); // Overlaps, and throws.
                }
            }
        });
        for (boolean shared : new boolean[] {true, false}) {
            rig.platform.setSharePt(shared);
            Domain domain = iommus.createDomain(1);
            Device one = added(iommus, "/one");
            Device two = added(iommus, "/two");
            iommus.assign(domain, one);
            iommus.assign(domain, two);
            full[0] = true;
            assertThrows(MappingException.class, () -> domain.mapRam(GUEST, Rig.RAM, PAGE));
            assertEquals(-1, domain.resolve(GUEST));
            assertEquals(-1, domain.ioP2m().resolve(GUEST));
            full[0] = false;
            domain.mapRam(GUEST, Rig.RAM, PAGE);
            assertEquals(Rig.RAM, domain.ioP2m().resolve(GUEST));
            assertEquals(Errno.OK, iommus.destroy(domain));
        }
    }

    @Test
    void aDomainThatAKindCannotShareTakesNoDevicesBehindIt() {
        Iommus iommus = new Iommus(rig.platform);
        iommus.register(node("/iommu@1"), first);
        first.probe(node("/iommu@1"));
        iommus.register(node("/iommu@2"), new Failing() {
            @Override
            public Errno shareP2m(Domain domain) {
                return Errno.EINVAL;
            }
        });
        Domain domain = iommus.createDomain(1);
        assertEquals(Errno.OK, iommus.assign(domain, added(iommus, "/one")));
        assertEquals(Errno.ENODEV, iommus.assign(domain, added(iommus, "/two")));
    }

    @Test
    void pageTablesAreFreedLaterAndInSteps() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        long before = rig.heap.taken();
        Domain domain = iommus.createDomain(1);
        domain.mapRam(GUEST, Rig.RAM, PAGE);
        iommus.assign(domain, added(iommus, "/one"));
        long used = rig.heap.taken();
        assertEquals(before + 4 * PAGE, used, "a root of two concatenated tables, one of level 2, one of level 3");
        assertEquals(Errno.OK, iommus.destroy(domain));
        assertEquals(used, rig.heap.taken());
        assertEquals(2, iommus.freePageTables(1));
        assertEquals(0, iommus.freePageTables(Integer.MAX_VALUE));
        assertEquals(before, rig.heap.taken());
    }

    @Test
    void whoeverNeedsATableGetsOneThatWaitsToBeFreed() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        iommus.destroy(iommus.createDomain(1));
        while (rig.heap.allocate(PAGE) != HypervisorHeap.NONE) {
            // Until the heap is empty.
        }
        assertEquals(1, iommus.freePageTables(0));
        Domain domain = iommus.createDomain(2);
        assertEquals(0, iommus.freePageTables(0));
        assertThrows(MappingException.class, () -> domain.mapRam(GUEST, Rig.RAM, PAGE));
    }

    @Test
    void aDyingDomainTakesNoDevices() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Domain domain = iommus.createDomain(1);
        iommus.destroy(domain);
        assertEquals(Errno.EINVAL, iommus.assign(domain, added(iommus, "/one")));
    }

    @Test
    void aDeviceMovesToAnotherDomainOrStaysWhereItWas() {
        Iommus iommus = system(Iommus.Mode.MIXED);
        Device device = added(iommus, "/one");
        Domain from = iommus.createDomain(1);
        Domain to = iommus.createDomain(2);
        assertEquals(Errno.ESRCH, iommus.reassign(from, to, device));
        iommus.assign(from, device);
        assertEquals(Errno.OK, iommus.reassign(from, to, device));
        assertSame(to, device.domain().orElseThrow());
        iommus.destroy(from);
        assertEquals(Errno.EINVAL, iommus.reassign(to, from, device));
        assertSame(to, device.domain().orElseThrow());
    }
}
