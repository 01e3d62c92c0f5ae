package org.iommuemu.harness;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.iommuemu.harness.grant.Backend;
import org.iommuemu.harness.grant.GrantTables;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.probe.boot.IommuOptions;
import org.iommuemu.probe.boot.IommuSetup;
import org.iommuemu.probe.boot.ProbeFailures;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;
import org.iommuemu.probe.driver.grantdma.GrantDmaDriver;
import org.iommuemu.probe.driver.grantdma.GrantHypercalls;
import org.iommuemu.probe.driver.ipmmu.IpmmuDriver;
import org.iommuemu.probe.driver.smmuv3.Smmuv3Driver;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.iommuemu.probe.iommu.FaultReport;
import org.iommuemu.probe.iommu.HypervisorHeap;
import org.iommuemu.probe.iommu.Iommus;
import org.iommuemu.probe.iommu.Platform;

/** boards/mixed.dtb with its IOMMUs up and no domain: models, drivers of all kinds, and the grant tables of Xen. */
final class MixedBoard {
    static final String SMMU_MASTER = "/soc/dma-controller@2c000000";
    static final String IPMMU_MASTER = "/soc/ethernet@e6800000";
    static final String OTHER_CACHE_MASTER = "/soc/fcp@fea27000";
    static final String GRANT_MASTER = "/virtio@2000000";
    static final String OLDER_BINDING_MASTER = "/virtio@2000200";

    final BootTest.Lines log = new BootTest.Lines();
    final Board board;
    final HypervisorHeap heap;
    final Platform platform;
    final Iommus iommus;
    final GrantTables tables;
    final GrantDmaDriver grants;
    final IommuSetup.Outcome outcome;

    MixedBoard(String commandLine, OptionalInt product) {
        this(tree(), commandLine, product);
    }

    MixedBoard() {
        this("", OptionalInt.empty());
    }

    MixedBoard(DeviceTree tree, String commandLine, OptionalInt product) {
        board = Board.of(tree, product, MisuseListener.NONE);
        AddressRange range = board.plan().heap();
        heap = new HypervisorHeap(board.memory(), range.base(), range.size());
        platform = new Platform(board.bus(), board.interrupts(), heap, tree, log, 48);
        iommus = new Iommus(platform);
        tables = new GrantTables(board.memory(), heap);
        grants = new GrantDmaDriver(platform, new GrantHypercalls() {
            @Override
            public List<Long> setupTable(Domain caller, int frames) {
                return tables.setup(caller.id(), caller::resolve, frames);
            }

            @Override
            public void dropTable(Domain caller) {
                tables.drop(caller.id());
            }
        });
        outcome = new IommuSetup(
                        platform,
                        List.of(new Smmuv3Driver(platform), new IpmmuDriver(platform), grants),
                        iommus,
                        new ProbeFailures())
                .run(IommuOptions.parse(commandLine));
    }

    static DeviceTree tree() {
        try {
            return DeviceTree.read(BootTest.BOARDS.resolve("mixed.dtb"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    Device device(String path) {
        Device device = new Device(board.tree().node(path).orElseThrow());
        assertEquals(
                Errno.OK,
                iommus.addDevice(
                        device,
                        GrantDmaDriver.hasOlderBinding(device.node())
                                ? List.of(GrantDmaDriver.olderSpecifier(device.node()))
                                : device.node().iommus()));
        return device;
    }

    Device assigned(Domain domain, String path) {
        Device device = device(path);
        assertEquals(Errno.OK, iommus.assign(domain, device));
        return device;
    }

    DmaPort port(Device device) {
        return board.port(device.fwspec().iommu(), device.fwspec().ids().get(0));
    }

    Backend backend(Domain frontend, int domain) {
        return new Backend(
                board.bus(),
                tables,
                frontend.id(),
                domain,
                (fault, asking, address, details) -> log.fault(new FaultReport(
                        board.tree().node("/iommu").orElseThrow(), fault.name(), asking, address, details)));
    }

    /** The faults that were reported since the last look. */
    List<String> takeFaults() {
        board.interrupts().dispatch();
        List<String> faults =
                new ArrayList<>(log.faults.stream().map(FaultReport::fault).toList());
        log.faults.clear();
        return faults;
    }

    /** RAM that is domain 0's, aligned to 2 MiB. */
    long ram(long offset) {
        long mib2 = 2 << 20;
        return (board.plan().domain0().get(0).base() + mib2 & -mib2) + mib2 + offset;
    }
}
