package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** QEMU's options, and what they ask for. */
class LaunchBuilderTest {
    private static MachineConfig.Stages stages(String machine, String... devices) {
        LaunchBuilder options = LaunchBuilder.likeQemu();
        options.machine(machine);
        options.qtest("stdio");
        for (String device : devices) {
            options.device(device);
        }
        return options.build().machine().smmu();
    }

    private static void refused(Consumer<LaunchBuilder> option, String... parts) {
        String message = assertThrows(MachineException.class, () -> {
                    LaunchBuilder options = Talk.virt();
                    option.accept(options);
                    new VirtMachine(options.build().machine(), (unit, what) -> {});
                })
                .getMessage();
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
    }

    @Test
    void theSmmuHasTheStagesOfTheQemuThatTheProgramIsFor() {
        assertEquals(null, stages("virt"));
        assertEquals(MachineConfig.Stages.STAGE_1, stages("virt,iommu=smmuv3", "edu"));
        assertEquals(MachineConfig.Stages.NESTED, stages("virt,iommu=smmuv3", "iommu-testdev"));
        assertEquals(MachineConfig.Stages.STAGE_1, stages("virt-9.1,iommu=smmuv3", "iommu-testdev"));
        assertEquals(MachineConfig.Stages.NESTED, stages("virt-9.2,iommu=smmuv3"));
        LaunchBuilder options = Talk.virt("iommu-testdev");
        options.global("arm-smmuv3.stage=2");
        assertEquals(MachineConfig.Stages.STAGE_2, options.build().machine().smmu());
    }

    @ParameterizedTest
    @CsvSource({
        "512, 0x20000000",
        "512M, 0x20000000",
        "size=1G, 0x40000000",
        "1.5g, 0x60000000",
        "0x100, 0x10000000",
        "4097b, 0x2000"
    })
    void ramHasUnits(String text, String bytes) {
        LaunchBuilder options = Talk.virt();
        options.memory(text);
        assertEquals(Long.decode(bytes), options.build().machine().ramSize());
    }

    @Test
    void slotsAreHexadecimalAndTheDefaultNetworkCardHasOne() {
        LaunchBuilder options = LaunchBuilder.likeQemu();
        options.machine("virt");
        options.qtest("stdio");
        options.device("edu");
        options.device("edu,addr=1f.7,id=last");
        VirtMachine machine = new VirtMachine(options.build().machine(), (unit, what) -> {});
        assertEquals(0xffff_ffffL, machine.bus().read(Talk.ECAM + (1 << 15), 4));
        assertEquals(0x11e8_1234L, machine.bus().read(Talk.ECAM + (2 << 15), 4));
        assertEquals(0x11e8_1234L, machine.bus().read(Talk.ECAM + (0xff << 12), 4));
        assertTrue(machine.device("/machine/peripheral/last").isPresent());
    }

    @Test
    void socketsAreConnectedToOrListenedOn() {
        LaunchBuilder options = Talk.virt();
        options.qtest("unix:/tmp/a,,b,server=on,wait=off");
        options.chardev("socket,path=/tmp/q,id=char0");
        options.mon("chardev=char0,mode=control");
        Launch launch = options.build();
        assertEquals(new Chardev.Listen(Path.of("/tmp/a,b")), launch.qtest());
        assertTrue(launch.monitors().contains(new Chardev.Connect(Path.of("/tmp/q"))));
        options.qtest("unix:/tmp/c,server,nowait");
        assertEquals(new Chardev.Listen(Path.of("/tmp/c")), options.build().qtest());
        options.qtest("chardev:char0");
        assertEquals(new Chardev.Connect(Path.of("/tmp/q")), options.build().qtest());
    }

    @Test
    void whatDoesNotFitIsRefusedByName() {
        refused(o -> o.machine("virt,frob=1"), "-machine", "frob");
        refused(o -> o.machine("virt,dumpdtb=x"), "-machine", "dumpdtb");
        refused(o -> o.machine("raspi3b"), "raspi3b");
        refused(o -> o.machine("iommu=virtio"), "iommu=virtio");
        refused(o -> o.memory("much"), "-m much");
        refused(o -> o.cpus("0"), "-smp 0");
        refused(o -> o.device("virtio-net-pci"), "virtio-net-pci");
        refused(o -> o.device("edu,addr=20"), "addr=20");
        refused(o -> o.device("edu,addr=0"), "edu", "gpex-root");
        refused(o -> o.device("edu,frob=1"), "edu", "frob");
        refused(o -> o.device("edu,dma_mask=x"), "dma_mask=x");
        refused(o -> List.of("edu,id=a", "edu,id=a").forEach(o::device), "'a'");
        refused(o -> List.of("edu,addr=3", "edu,addr=3").forEach(o::device), "slot 3");
        refused(o -> o.device("arm-smmuv3,primary-bus=pcie.0"), "arm-smmuv3");
        refused(o -> o.chardev("udp,id=x"), "udp");
        refused(o -> o.chardev("socket,id=x"), "path");
        refused(o -> o.mon("chardev=x,mode=control"), "'x'");
        refused(o -> o.qtest("tcp::1234"), "-qtest", "tcp");
        refused(o -> o.global("arm-smmuv3.stage=3"), "stage=3");
        refused(o -> o.net("-net", "user"), "-net user");
        refused(
                o -> {
                    o.machine("highmem=off");
                    o.memory("4G");
                },
                "-m");
    }

    @Test
    void aServerOfItsOwnHasAnSmmuAndMeetsWhoListens() {
        LaunchBuilder options = LaunchBuilder.withSmmu();
        options.machine("virt");
        options.qtest("unix:/tmp/x");
        Launch launch = options.build();
        assertEquals(MachineConfig.Stages.STAGE_1, launch.machine().smmu());
        assertFalse(launch.machine().firstSlotTaken());
        assertEquals(new Chardev.Meet(Path.of("/tmp/x")), launch.qtest());
    }
}
