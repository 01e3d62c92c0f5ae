package org.iommuemu.harness.qtest;

import java.util.List;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * What a machine is made of.
 *
 * @param kind whether there is a machine at all
 * @param smmu the stages of its SMMU; null for none
 * @param platformSmmu whether the SMMU is on the platform bus, as a device that was asked for
 * @param highMemory what is above 4 GiB
 * @param gicVersion 2 or 3: version 2 comes with a frame for messages (GICv2m)
 * @param its whether a GIC version 3 comes with an ITS, which only has a place in the list of devices
 * @param bypass whether PCIe functions go around the SMMU ({@code default_bus_bypass_iommu})
 * @param ramSize in bytes
 * @param cpus how many; they only have a place in the list of devices
 * @param firstSlotTaken whether the slot behind the host bridge belongs to the default network card, which is not modelled
 * @param devices in the order in which they are plugged
 * @param steppedClock whether time stands still until it is told to move; otherwise it runs as the host's
 */
public record MachineConfig(
        Kind kind,
        Stages smmu,
        boolean platformSmmu,
        HighMemory highMemory,
        int gicVersion,
        boolean its,
        boolean bypass,
        long ramSize,
        int cpus,
        boolean firstSlotTaken,
        List<Device> devices,
        boolean steppedClock) {
    /** Kinds of machine. */
    public enum Kind {
        /** No machine: only questions about what there is are answered. */
        NONE,
        /** QEMU's {@code virt}. */
        VIRT
    }

    /** Which stages an SMMU translates in; the property {@code stage} of {@code arm-smmuv3}. */
    public enum Stages {
        /** Stage 1. */
        STAGE_1("1"),
        /** Stage 2. */
        STAGE_2("2"),
        /** Both, also one behind the other. */
        NESTED("nested");

        private final String text;

        Stages(String text) {
            this.text = text;
        }

        static Stages of(String option, String text) {
            for (Stages stages : values()) {
                if (stages.text.equals(text)) {
                    return stages;
                }
            }
            throw new MachineException("%s: stage=%s: it is 1, 2 or nested".formatted(option, text));
        }
    }

    /** Devices that can be plugged. */
    public enum Model {
        /** See {@link org.iommuemu.harness.pcie.EduDevice}. */
        EDU("edu"),
        /** See {@link org.iommuemu.harness.pcie.IommuTestDevice}. */
        IOMMU_TESTDEV("iommu-testdev"),
        /** An SMMU on the platform bus, in front of the PCIe host bridge. */
        ARM_SMMUV3("arm-smmuv3");

        private final String text;

        Model(String text) {
            this.text = text;
        }

        @Override
        public String toString() {
            return text;
        }
    }

    /**
     * A device to plug.
     *
     * @param id its name among the devices; null for none
     * @param devfn device and function number; empty for the first free slot
     * @param dmaMask of {@link Model#EDU}; empty for that of {@code -global}
     */
    public record Device(Model model, String id, OptionalInt devfn, boolean multiFunction, OptionalLong dmaMask) {
        Device withDmaMask(long mask) {
            return new Device(model, id, devfn, multiFunction, OptionalLong.of(mask));
        }
    }

    /**
     * What may be above 4 GiB.
     *
     * @param allowed whether anything may
     * @param ecam whether PCIe configuration space is, instead of below
     * @param mmio whether there is another PCIe window
     */
    public record HighMemory(boolean allowed, boolean ecam, boolean mmio) {}
}
