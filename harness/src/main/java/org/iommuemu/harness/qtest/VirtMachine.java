package org.iommuemu.harness.qtest;

import static org.iommuemu.smmuv3.SmmuFeature.ASID16;
import static org.iommuemu.smmuv3.SmmuFeature.S1P;
import static org.iommuemu.smmuv3.SmmuFeature.S2P;
import static org.iommuemu.smmuv3.SmmuFeature.VMID16;
import static org.iommuemu.smmuv3.SmmuFeature.XNX;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.iommuemu.harness.pcie.EduDevice;
import org.iommuemu.harness.pcie.IommuTestDevice;
import org.iommuemu.harness.pcie.PciFunction;
import org.iommuemu.harness.pcie.PcieHost;
import org.iommuemu.harness.pcie.VirtualClock;
import org.iommuemu.mmio.Bus;
import org.iommuemu.mmio.InterruptController;
import org.iommuemu.mmio.MisuseListener;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.smmuv3.Smmu;
import org.iommuemu.smmuv3.SmmuFeatures;

/**
 * The part of QEMU's {@code virt} machine that drivers of an SMMUv3 need: RAM, the SMMU, a PCIe host bridge with DMA
 * masters, and the interrupts that these raise. Its memory map is that of hw/arm/virt.c.
 *
 * <p>Its monitor is the machine's lock: whoever touches the bus, the clock or a device holds it.
 */
public final class VirtMachine {
    static final long RAM = 0x4000_0000L;

    private static final long V2M_FRAME = 0x0802_0000L;
    private static final long SMMU = 0x0905_0000L;
    private static final long PLATFORM_BUS = 0x0c00_0000L;
    private static final long PCIE_MMIO = 0x1000_0000L;
    private static final long PCIE_PIO = 0x3eff_0000L;
    private static final long PCIE_ECAM = 0x3f00_0000L;
    private static final long PCIE_PIO_SIZE = 0x1_0000L;
    private static final long PCIE_ECAM_SIZE = 0x0100_0000L;

    private static final long GIB = 1L << 30;
    /** Where what is high starts, if RAM does not reach further. */
    private static final long HIGH = 256 * GIB;

    private static final long HIGH_REDISTRIBUTORS_SIZE = 64L << 20;
    private static final long HIGH_ECAM_SIZE = 256L << 20;
    private static final long HIGH_MMIO_SIZE = 512 * GIB;

    // Interrupts: INTIDs, SPI n is 32 + n.
    private static final int SPI = 32;
    private static final int SPIS = 256;
    private static final int PCIE_SPI = SPI + 3;
    private static final int PCIE_SPIS = 4;
    private static final int V2M_SPI = SPI + 48;
    private static final int V2M_SPIS = 64;
    private static final int SMMU_SPI = SPI + 74;
    private static final int PLATFORM_BUS_SPI = SPI + 112;
    private static final int SMMU_SPIS = 4;

    /** Devices between those that are modelled, in the order in which the machine makes them: UART, RTC. */
    private static final int BEFORE_PCIE = 2;

    private final Bus bus = new Bus(new PhysicalMemory());
    private final InterruptController interrupts = new InterruptController();
    private final VirtualClock clock = new VirtualClock();
    private final List<QomDevice> devices = new ArrayList<>();
    private final MisuseListener misuse;
    private int unattached;

    /**
     * Builds a machine.
     *
     * @param misuse hears what software does wrong
     * @throws MachineException if it cannot be built; it says why
     */
    public VirtMachine(MachineConfig config, MisuseListener misuse) {
        this.misuse = misuse;
        if (config.kind() == MachineConfig.Kind.VIRT) {
            try {
                build(config);
            } catch (IllegalArgumentException e) {
                throw new MachineException(e.getMessage());
            }
        }
    }

    private void build(MachineConfig config) {
        if (!config.highMemory().allowed() && config.ramSize() > 3 * GIB) {
            throw new MachineException("-m: without highmem there is room for 3 GiB of RAM");
        }
        bus.memory().addRam(RAM, config.ramSize());
        unattached = config.cpus();
        addInterruptController(config);
        unattached += BEFORE_PCIE;
        addUnattached("gpex-pcihost", QomDevice.Pins.NONE, new QomDevice.Pins(PCIE_SPI, PCIE_SPIS));
        Smmu smmu = null;
        if (config.smmu() != null && config.platformSmmu()) {
            smmu = smmu(config.smmu(), PLATFORM_BUS, PLATFORM_BUS_SPI);
        } else if (config.smmu() != null) {
            smmu = smmu(config.smmu(), SMMU, SMMU_SPI);
            addUnattached("arm-smmuv3", QomDevice.Pins.NONE, new QomDevice.Pins(SMMU_SPI, SMMU_SPIS));
        }
        PcieHost host = new PcieHost(bus, config.bypass() ? null : smmu, interrupts, PCIE_SPI);
        addWindows(config, host);
        if (config.firstSlotTaken()) {
            host.reserve(1, "the default network card, which -net none leaves out");
        }
        addDevices(config, host);
    }

    private void addInterruptController(MachineConfig config) {
        QomDevice.Pins pins = new QomDevice.Pins(SPI, SPIS);
        if (config.gicVersion() == 2) {
            addUnattached("arm_gic", pins, QomDevice.Pins.NONE);
            addUnattached("arm-gicv2m", QomDevice.Pins.NONE, new QomDevice.Pins(V2M_SPI, V2M_SPIS));
            bus.attach("gicv2m", V2M_FRAME, V2mFrame.SIZE, new V2mFrame(interrupts, V2M_SPI, V2M_SPIS));
        } else {
            addUnattached("arm-gicv3", pins, QomDevice.Pins.NONE);
            unattached += config.its() ? 1 : 0;
        }
    }

    private void addUnattached(String type, QomDevice.Pins inputs, QomDevice.Pins outputs) {
        devices.add(new QomDevice("/machine/unattached/device[" + unattached++ + "]", type, inputs, outputs));
    }

    private Smmu smmu(MachineConfig.Stages stages, long base, int firstInterrupt) {
        Smmu.Wires wires = new Smmu.Wires(
                interrupts.line(firstInterrupt),
                interrupts.line(firstInterrupt + 3),
                interrupts.line(firstInterrupt + 2),
                interrupts.line(firstInterrupt + 1));
        Smmu smmu = new Smmu("smmuv3", features(stages), bus, wires, misuse);
        bus.attach("smmuv3", base, smmu.window(), smmu.registers());
        return smmu;
    }

    private static SmmuFeatures features(MachineConfig.Stages stages) {
        SmmuFeatures.Builder stage1 = SmmuFeatures.qemuVirt().toBuilder();
        return switch (stages) {
            case STAGE_1 -> stage1.build();
            case STAGE_2 -> stage1.without(S1P, ASID16).with(S2P, VMID16, XNX).build();
            case NESTED -> stage1.with(S2P, VMID16, XNX).build();
        };
    }

    private void addWindows(MachineConfig config, PcieHost host) {
        bus.attach("pcie-mmio", PCIE_MMIO, PCIE_PIO - PCIE_MMIO, host.memory(PCIE_MMIO));
        bus.attach("pcie-pio", PCIE_PIO, PCIE_PIO_SIZE, host.ports());
        long base = Math.max(HIGH, roundUp(RAM + config.ramSize(), GIB));
        long ecam = roundUp(roundUp(base, HIGH_REDISTRIBUTORS_SIZE) + HIGH_REDISTRIBUTORS_SIZE, HIGH_ECAM_SIZE);
        long mmio = roundUp(ecam + HIGH_ECAM_SIZE, HIGH_MMIO_SIZE);
        if (config.highMemory().ecam()) {
            bus.attach("pcie-ecam", ecam, HIGH_ECAM_SIZE, host.configuration());
        } else {
            bus.attach("pcie-ecam", PCIE_ECAM, PCIE_ECAM_SIZE, host.configuration());
        }
        if (config.highMemory().mmio()) {
            bus.attach("pcie-mmio-high", mmio, HIGH_MMIO_SIZE, host.memory(mmio));
        }
    }

    private static long roundUp(long address, long powerOfTwo) {
        return address + powerOfTwo - 1 & -powerOfTwo;
    }

    private void addDevices(MachineConfig config, PcieHost host) {
        int anonymous = 0;
        for (MachineConfig.Device device : config.devices()) {
            String path = device.id() == null
                    ? "/machine/peripheral-anon/device[" + anonymous++ + "]"
                    : "/machine/peripheral/" + device.id();
            QomDevice.Pins outputs = QomDevice.Pins.NONE;
            if (device.model() == MachineConfig.Model.ARM_SMMUV3) {
                outputs = new QomDevice.Pins(PLATFORM_BUS_SPI, SMMU_SPIS);
            } else if (device.devfn().isPresent()) {
                host.plug(function(device), device.devfn().getAsInt());
            } else {
                host.plug(function(device));
            }
            devices.add(new QomDevice(path, device.model().toString(), QomDevice.Pins.NONE, outputs));
        }
    }

    private PciFunction function(MachineConfig.Device device) {
        PciFunction function = device.model() == MachineConfig.Model.EDU
                ? new EduDevice(clock, device.dmaMask().orElse(EduDevice.DMA_MASK), misuse)
                : new IommuTestDevice(bus);
        if (device.multiFunction()) {
            function.declareMultiFunction();
        }
        return function;
    }

    /** The bus as a CPU sees it. */
    public Bus bus() {
        return bus;
    }

    /** The interrupts, by INTID: SPI n is 32 + n. */
    public InterruptController interrupts() {
        return interrupts;
    }

    /** The time that devices see. */
    public VirtualClock clock() {
        return clock;
    }

    /** The devices that have a name. */
    List<QomDevice> devices() {
        return List.copyOf(devices);
    }

    /** A device by its path, or by the end of its path if no other has that. */
    Optional<QomDevice> device(String path) {
        List<QomDevice> found = devices.stream()
                .filter(device -> device.path().equals(path)
                        || !path.startsWith("/") && device.path().endsWith("/" + path))
                .toList();
        return found.size() == 1 ? Optional.of(found.get(0)) : Optional.empty();
    }
}
