package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.Translation;
import org.iommuemu.pagetables.MappingException;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.devicetree.TreeBuilder;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.IommuOps;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Platform;

/**
 * An SMMUv3 and an IPMMU of one board walk one stage 2 table, each set up by its driver: every access is translated alike,
 * or faults alike. Where the two differ, and may:
 *
 * <ul>
 *   <li>AF = 0: a fault for the SMMU; the IPMMU does not look at it while IMCTR.AFE is 0.
 *   <li>Address bits from 40 on: part of the SMMU's addresses; ignored by the IPMMU. (In tables they are not damaged here.)
 *   <li>The Contiguous hint: taken by the SMMU, and ignored by the IPMMU. (It is not damaged here, as software must not set
 *       it for what is not contiguous.)
 *   <li>The IPMMU has room for 40 bits of the address that faulted.
 * </ul>
 */
class SharedTableTest {
    private static final int BITS = 40;

    private static DeviceTree tree() {
        return TreeBuilder.tree()
                .strings("compatible", "renesas,r8a77965")
                .cells("#address-cells", 2)
                .cells("#size-cells", 2)
                .cells("interrupt-parent", 8)
                .begin("memory@40000000")
                .strings("device_type", "memory")
                .cells("reg", 0, 0x40000000, 0, 0x10000000)
                .end()
                .begin("interrupt-controller")
                .strings("compatible", "arm,gic-400")
                .cells("#interrupt-cells", 3)
                .cells("#address-cells", 0)
                .cells("phandle", 8)
                .cells("interrupt-controller")
                .end()
                .begin("prr@fff00044")
                .strings("compatible", "renesas,prr")
                .cells("reg", 0, 0xfff00044, 0, 4)
                .end()
                .begin("iommu@2b400000")
                .strings("compatible", "arm,smmu-v3")
                .cells("reg", 0, 0x2b400000, 0, 0x20000)
                .cells("interrupts", 0, 10, 1, 0, 11, 1, 0, 12, 1)
                .strings("interrupt-names", "eventq", "gerror", "cmdq-sync")
                .cells("#iommu-cells", 1)
                .cells("phandle", 1)
                .end()
                .begin("iommu@e67b0000")
                .strings("compatible", "renesas,ipmmu-r8a77965")
                .cells("reg", 0, 0xe67b0000, 0, 0x1000)
                .cells("interrupts", 0, 196, 4)
                .cells("#iommu-cells", 1)
                .cells("phandle", 3)
                .end()
                .begin("iommu@e6740000")
                .strings("compatible", "renesas,ipmmu-r8a77965")
                .cells("reg", 0, 0xe6740000, 0, 0x1000)
                .cells("renesas,ipmmu-main", 3, 0)
                .cells("#iommu-cells", 1)
                .cells("phandle", 2)
                .end()
                .begin("behind-smmu")
                .cells("iommus", 1, 7)
                .end()
                .begin("behind-ipmmu")
                .cells("iommus", 2, 33)
                .end()
                .parse();
    }

    private final BootTest.Lines log = new BootTest.Lines();
    private Board board;
    private Iommus iommus;
    private Random random;

    private DmaPort assign(Domain domain, String path) {
        Device device = new Device(board.tree().node(path).orElseThrow());
        assertEquals(Errno.OK, iommus.addDevice(device, device.node().iommus()));
        assertEquals(Errno.OK, iommus.assign(domain, device));
        return board.port(device.fwspec().iommu(), device.fwspec().ids().get(0));
    }

    @Property(tries = 60)
    void everyAddressIsTranslatedAlikeOrFaultsAlike(@ForAll long seed) {
        random = new Random(seed);
        board = Board.of(tree(), OptionalInt.empty(), MisuseListener.NONE);
        AddressRange range = board.plan().heap();
        HypervisorHeap heap = new HypervisorHeap(board.memory(), range.base(), range.size());
        Platform platform = new Platform(board.bus(), board.interrupts(), heap, board.tree(), log, 48);
        iommus = new Iommus(platform);
        Smmuv3Driver smmus = new Smmuv3Driver(platform);
        IpmmuDriver ipmmus = new IpmmuDriver(platform);
        assertTrue(new IommuSetup(platform, List.of(smmus, ipmmus), iommus, new ProbeFailures())
                .run(IommuOptions.parse(""))
                .enabled());
        assertEquals(BITS, platform.ipaBits());
        Domain domain = new Domain(1, board.memory(), heap, platform.ipaBits(), true);
        DmaPort smmu = assign(domain, "/behind-smmu");
        DmaPort ipmmu = assign(domain, "/behind-ipmmu");

        List<Long> starts = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
            int shift = new int[] {12, 13, 16, 21, 22, 30}[random.nextInt(6)];
            long start = random.nextLong() & (1L << BITS) - 1 & -1L << shift;
            long output = random.nextLong() & (1L << BITS) - 1 & -1L << shift;
            starts.add(start);
            try {
                domain.mapRam(start, output, 1L << shift);
            } catch (MappingException e) {
                assertEquals(MappingException.Reason.OVERLAP, e.reason());
            }
        }
        for (int round = 0; round < 4; round++) {
            for (int i = 0; i < 60; i++) {
                compare(smmu, ipmmu, address(starts), random.nextBoolean());
            }
            for (int i = 0; i < 12; i++) {
                damage(domain.ioP2m().root(), address(starts) & (1L << BITS) - 1);
            }
            for (IommuOps ops : List.of(smmus, ipmmus)) {
                ops.iotlbFlush(domain, 0, 1L << BITS);
            }
        }
    }

    private long address(List<Long> starts) {
        return switch (random.nextInt(8)) {
            case 0 -> random.nextLong() & (1L << BITS + 1) - 1;
            case 1 -> random.nextLong() & (1L << BITS) - 1;
            default -> starts.get(random.nextInt(starts.size())) + random.nextInt(1 << 12 + random.nextInt(12));
        };
    }

    /** Changes one bit of one of the descriptors that translate an address. */
    private void damage(long root, long address) {
        int level = 1;
        long entry = root + (address >>> 30) * 8;
        long descriptor = board.memory().read64(entry);
        while (level < 3 && (descriptor & 3) == 3 && random.nextInt(3) > 0) {
            level++;
            entry = (descriptor & 0xff_ffff_f000L) + (address >>> (level == 2 ? 21 : 12) & 511) * 8;
            if (!board.memory().isRam(entry, 8)) {
                return;
            }
            descriptor = board.memory().read64(entry);
        }
        boolean leaf = level == 3 || (descriptor & 2) == 0;
        int bit =
                switch (random.nextInt(leaf ? 8 : 3)) {
                    case 0 -> 0;
                    case 1 -> leaf ? 1 : 12 + random.nextInt(6);
                    case 2 -> leaf ? 12 + random.nextInt(36) : 63;
                    case 3 -> 10; // AF
                    case 4 -> 6; // S2AP[0]
                    case 5 -> 7; // S2AP[1]
                    case 6 -> 2 + random.nextInt(8);
                    default -> 53 + random.nextInt(11);
                };
        board.memory().write64(entry, descriptor ^ 1L << bit);
    }

    private void compare(DmaPort smmu, DmaPort ipmmu, long address, boolean write) {
        log.faults.clear();
        long first = smmu.translate(address, write);
        board.interrupts().dispatch();
        List<FaultReport> firstFaults = List.copyOf(log.faults);
        log.faults.clear();
        long second = ipmmu.translate(address, write);
        board.interrupts().dispatch();
        List<FaultReport> secondFaults = List.copyOf(log.faults);
        String what = "0x%x: %s, %s".formatted(address, firstFaults, secondFaults);
        if (Translation.translated(first)) {
            assertTrue(Translation.translated(second), what);
            assertEquals(
                    Translation.address(first, address) & (1L << BITS) - 1, Translation.address(second, address), what);
            assertEquals(Translation.attributes(first), Translation.attributes(second), what);
            assertEquals(Translation.shareability(first), Translation.shareability(second), what);
            return;
        }
        assertEquals(1, firstFaults.size(), what);
        assertEquals(address, firstFaults.get(0).address(), what);
        String kind = firstFaults.get(0).fault();
        if (kind.equals("F_ACCESS")) {
            // The IPMMU goes on to the permissions.
            assertTrue(
                    Translation.translated(second)
                            || secondFaults.get(0).fault().equals("PF"),
                    what);
            return;
        }
        assertEquals(Translation.ABORT, second, what);
        assertEquals(1, secondFaults.size(), what);
        assertEquals(
                switch (kind) {
                    case "F_TRANSLATION" -> "TF";
                    case "F_PERMISSION" -> "PF";
                    case "F_WALK_EABT" -> "ABORT";
                    default -> throw new AssertionError(what);
                },
                secondFaults.get(0).fault(),
                what);
        assertEquals(address & (1L << BITS) - 1, secondFaults.get(0).address(), what);
    }
}
