package org.iommuemu.smmuv3;

import java.util.EnumSet;
import java.util.Set;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.pagetables.Granule;

/**
 * What an SMMU implements: decides SMMU_IDR0 to SMMU_IDR5, SMMU_IIDR and SMMU_AIDR (IHI 0070, 6.3.1 to 6.3.8), and
 * through them what the model does. Immutable.
 *
 * <p>Not modelled yet, and so identified as absent: ATS, PRI, hardware update of Access flag and dirty state, stalling,
 * broadcast TLB maintenance, Secure state, VMSAv8-32 tables, ATOS, MPAM. Two features that the architecture makes
 * mandatory are absent too, and SMMU_IDR3 says so: XNX (with stage 2, from SMMUv3.1 on) and FWB (from SMMUv3.2 on).
 */
public final class SmmuFeatures {
    /** Byte order of translation tables (SMMU_IDR0.TTENDIAN). */
    public enum TableEndianness {
        /** Each structure selects it. */
        MIXED(0),
        /** Little-endian only. */
        LITTLE(2),
        /** Big-endian only. */
        BIG(3);

        private final int encoded;

        TableEndianness(int encoded) {
            this.encoded = encoded;
        }
    }

    /** Widths that SMMU_IDR5.OAS, CD.IPS and STE.S2PS encode, in bits. */
    private static final int[] ADDRESS_SIZES = {32, 36, 40, 42, 44, 48};

    private final Builder values;

    private SmmuFeatures(Builder values) {
        this.values = values;
    }

    /**
     * An SMMUv3.2 with both stages, 16-bit StreamIDs in two-level tables, 16-bit SubstreamIDs, ASIDs and VMIDs, 48-bit
     * output addresses, all granules, range invalidation and MSIs.
     */
    public static SmmuFeatures smmuv3_2() {
        return builder().build();
    }

    /** What QEMU 7.2 shows on its {@code virt} machine: SMMUv3.1, stage 1 only, no substreams, 44-bit addresses. */
    public static SmmuFeatures qemuVirt() {
        return builder()
                .architecture(1)
                .stage2(false)
                .vmid16(false)
                .hyp(false)
                .ssidSize(0)
                .twoLevelContextTable(false)
                .msi(false)
                .tableEndianness(TableEndianness.LITTLE)
                .terminateModel(true)
                .attributeOverrides(false)
                .oas(44)
                .build();
    }

    /** Starts from {@link #smmuv3_2}. */
    public static Builder builder() {
        return new Builder();
    }

    /** Starts from these features. */
    public Builder toBuilder() {
        return new Builder(values);
    }

    /** Collects features; see {@link SmmuFeatures#builder}. */
    public static final class Builder {
        private int architecture = 2;
        private int implementation;
        private boolean stage1 = true;
        private boolean stage2 = true;
        private boolean hyp = true;
        private boolean twoLevelStreamTable = true;
        private boolean twoLevelContextTable = true;
        private boolean asid16 = true;
        private boolean vmid16 = true;
        private boolean coherent = true;
        private boolean msi = true;
        private boolean terminateModel;
        private boolean attributeOverrides = true;
        private boolean had = true;
        private boolean ril = true;
        private int bbml = 2;
        private int sidSize = 16;
        private int ssidSize = 16;
        private int cmdqLog2Size = 19;
        private int eventqLog2Size = 19;
        private int oas = 48;
        private TableEndianness endianness = TableEndianness.MIXED;
        private Set<Granule> granules = EnumSet.allOf(Granule.class);
        private TlbGeometry tlb = TlbGeometry.of(512, 4);

        private Builder() {}

        private Builder(Builder other) {
            architecture = other.architecture;
            implementation = other.implementation;
            stage1 = other.stage1;
            stage2 = other.stage2;
            hyp = other.hyp;
            twoLevelStreamTable = other.twoLevelStreamTable;
            twoLevelContextTable = other.twoLevelContextTable;
            asid16 = other.asid16;
            vmid16 = other.vmid16;
            coherent = other.coherent;
            msi = other.msi;
            terminateModel = other.terminateModel;
            attributeOverrides = other.attributeOverrides;
            had = other.had;
            ril = other.ril;
            bbml = other.bbml;
            sidSize = other.sidSize;
            ssidSize = other.ssidSize;
            cmdqLog2Size = other.cmdqLog2Size;
            eventqLog2Size = other.eventqLog2Size;
            oas = other.oas;
            endianness = other.endianness;
            granules = EnumSet.copyOf(other.granules);
            tlb = other.tlb;
        }

        /** SMMU_AIDR: the {@code x} of SMMUv3.x, 1 or 2. */
        public Builder architecture(int minor) {
            architecture = minor;
            return this;
        }

        /** The shape of each main TLB, which no register tells. */
        public Builder tlb(TlbGeometry geometry) {
            tlb = geometry;
            return this;
        }

        /** SMMU_IIDR: product, variant, revision and implementer. */
        public Builder implementation(int iidr) {
            implementation = iidr;
            return this;
        }

        /** IDR0.S1P: stage 1 translation. */
        public Builder stage1(boolean on) {
            stage1 = on;
            return this;
        }

        /** IDR0.S2P: stage 2 translation. */
        public Builder stage2(boolean on) {
            stage2 = on;
            return this;
        }

        /** IDR0.HYP: EL2 contexts (StreamWorlds NS-EL2 and NS-EL2-E2H). */
        public Builder hyp(boolean on) {
            hyp = on;
            return this;
        }

        /** IDR0.ST_LEVEL: two-level stream tables. */
        public Builder twoLevelStreamTable(boolean on) {
            twoLevelStreamTable = on;
            return this;
        }

        /** IDR0.CD2L: two-level context descriptor tables. */
        public Builder twoLevelContextTable(boolean on) {
            twoLevelContextTable = on;
            return this;
        }

        /** IDR0.ASID16: ASIDs of 16 bits instead of 8. */
        public Builder asid16(boolean on) {
            asid16 = on;
            return this;
        }

        /** IDR0.VMID16: VMIDs of 16 bits instead of 8. */
        public Builder vmid16(boolean on) {
            vmid16 = on;
            return this;
        }

        /** IDR0.COHACC: table walks and queues are coherent. The model's always are; this is what it tells. */
        public Builder coherent(boolean on) {
            coherent = on;
            return this;
        }

        /** IDR0.MSI: message-signalled interrupts. */
        public Builder msi(boolean on) {
            msi = on;
            return this;
        }

        /** IDR0.TERM_MODEL: terminated accesses always abort, so CD.A == 0 is illegal. */
        public Builder terminateModel(boolean abortOnly) {
            terminateModel = abortOnly;
            return this;
        }

        /** IDR1.ATTR_TYPES_OVR and ATTR_PERMS_OVR: STEs and GBPA override attributes and permissions of accesses. */
        public Builder attributeOverrides(boolean on) {
            attributeOverrides = on;
            return this;
        }

        /** IDR3.HAD: hierarchical attributes can be disabled. */
        public Builder had(boolean on) {
            had = on;
            return this;
        }

        /** IDR3.RIL: range invalidation and level hints. */
        public Builder ril(boolean on) {
            ril = on;
            return this;
        }

        /** IDR3.BBML: how much of break-before-make software may leave out, 0 to 2. */
        public Builder bbml(int level) {
            bbml = level;
            return this;
        }

        /** IDR1.SIDSIZE: width of a StreamID, 0 to 32 bits. */
        public Builder sidSize(int bits) {
            sidSize = bits;
            return this;
        }

        /** IDR1.SSIDSIZE: width of a SubstreamID, 0 (no substreams) to 20 bits. */
        public Builder ssidSize(int bits) {
            ssidSize = bits;
            return this;
        }

        /** IDR1.CMDQS: log2 of the most commands in the Command queue, 0 to 19. */
        public Builder cmdqLog2Size(int log2) {
            cmdqLog2Size = log2;
            return this;
        }

        /** IDR1.EVENTQS: log2 of the most records in the Event queue, 0 to 19. */
        public Builder eventqLog2Size(int log2) {
            eventqLog2Size = log2;
            return this;
        }

        /** IDR5.OAS: width of an output address: 32, 36, 40, 42, 44 or 48 bits. */
        public Builder oas(int bits) {
            oas = bits;
            return this;
        }

        /** IDR0.TTENDIAN. */
        public Builder tableEndianness(TableEndianness order) {
            endianness = order;
            return this;
        }

        /** IDR5.GRAN4K, GRAN16K, GRAN64K. */
        public Builder granules(Set<Granule> supported) {
            granules = Set.copyOf(supported);
            return this;
        }

        /**
         * The features.
         *
         * @throws IllegalArgumentException if no SMMU can be like this; the message says why
         */
        public SmmuFeatures build() {
            refuse(architecture < 1 || architecture > 2, "SMMUv3.%d is not modelled", architecture);
            refuse(!stage1 && !stage2, "an SMMU without stage 1 and stage 2 translates nothing");
            refuse(hyp && !(stage1 && stage2), "HYP needs both stages (6.3.1)");
            refuse(asid16 && !stage1, "ASID16 without stage 1 (6.3.1)");
            refuse(vmid16 && !stage2, "VMID16 without stage 2 (6.3.1)");
            refuse(sidSize < 0 || sidSize > 32, "SIDSIZE %d is not in 0 to 32", sidSize);
            refuse(ssidSize < 0 || ssidSize > 20, "SSIDSIZE %d is not in 0 to 20", ssidSize);
            refuse(ssidSize > 0 && !stage1, "substreams without stage 1");
            refuse(twoLevelContextTable && ssidSize == 0, "CD2L without substreams");
            refuse(!twoLevelStreamTable && sidSize >= 7, "SIDSIZE %d needs two-level stream tables (6.3.2)", sidSize);
            refuse(cmdqLog2Size < 0 || cmdqLog2Size > 19, "CMDQS %d is not in 0 to 19", cmdqLog2Size);
            refuse(eventqLog2Size < 0 || eventqLog2Size > 19, "EVENTQS %d is not in 0 to 19", eventqLog2Size);
            refuse(bbml < 0 || bbml > 2, "BBML %d is not in 0 to 2", bbml);
            refuse(!ril && architecture >= 2, "RIL is mandatory from SMMUv3.2 on (6.3.4)");
            refuse(bbml == 0 && architecture >= 2, "BBML of 1 or 2 is mandatory from SMMUv3.2 on (6.3.4)");
            refuse(!had && stage1, "HAD is mandatory with stage 1 from SMMUv3.1 on (6.3.4)");
            refuse(granules.isEmpty(), "no granule");
            refuse(addressSizeCode(oas) < 0, "OAS of %d bits: not one of 32, 36, 40, 42, 44, 48", oas);
            return new SmmuFeatures(new Builder(this));
        }

        private static void refuse(boolean impossible, String reason, Object... arguments) {
            if (impossible) {
                throw new IllegalArgumentException(reason.formatted(arguments));
            }
        }
    }

    boolean stage1() {
        return values.stage1;
    }

    boolean stage2() {
        return values.stage2;
    }

    boolean hyp() {
        return values.hyp;
    }

    boolean twoLevelStreamTable() {
        return values.twoLevelStreamTable;
    }

    boolean twoLevelContextTable() {
        return values.twoLevelContextTable;
    }

    boolean asid16() {
        return values.asid16;
    }

    boolean vmid16() {
        return values.vmid16;
    }

    boolean msi() {
        return values.msi;
    }

    boolean terminateModel() {
        return values.terminateModel;
    }

    boolean attributeOverrides() {
        return values.attributeOverrides;
    }

    boolean had() {
        return values.had;
    }

    boolean ril() {
        return values.ril;
    }

    int sidSize() {
        return values.sidSize;
    }

    int ssidSize() {
        return values.ssidSize;
    }

    int cmdqLog2Size() {
        return values.cmdqLog2Size;
    }

    TlbGeometry tlb() {
        return values.tlb;
    }

    int eventqLog2Size() {
        return values.eventqLog2Size;
    }

    int oas() {
        return values.oas;
    }

    boolean supports(Granule granule) {
        return values.granules.contains(granule);
    }

    /** Whether tables may have this byte order: CD.ENDI, STE.S2ENDI. */
    boolean supportsEndianness(boolean big) {
        return values.endianness == TableEndianness.MIXED || (values.endianness == TableEndianness.BIG) == big;
    }

    /** The effective width of CD.IPS or STE.S2PS: at most that of the output; Reserved values behave as that (5.2, 5.4). */
    int effectiveAddressSize(int encoded) {
        return encoded < ADDRESS_SIZES.length ? Math.min(ADDRESS_SIZES[encoded], values.oas) : values.oas;
    }

    private static int addressSizeCode(int bits) {
        for (int i = 0; i < ADDRESS_SIZES.length; i++) {
            if (ADDRESS_SIZES[i] == bits) {
                return i;
            }
        }
        return -1;
    }

    long idr0() {
        long idr = Registers.IDR0.reset();
        idr = Registers.S1P.set(idr, bit(values.stage1));
        idr = Registers.S2P.set(idr, bit(values.stage2));
        idr = Registers.COHACC.set(idr, bit(values.coherent));
        idr = Registers.HYP.set(idr, bit(values.hyp));
        idr = Registers.ASID16.set(idr, bit(values.asid16));
        idr = Registers.MSI.set(idr, bit(values.msi));
        idr = Registers.VMID16.set(idr, bit(values.vmid16));
        idr = Registers.CD2L.set(idr, bit(values.twoLevelContextTable));
        idr = Registers.TTENDIAN.set(idr, values.endianness.encoded);
        idr = Registers.TERM_MODEL.set(idr, bit(values.terminateModel));
        return Registers.ST_LEVEL.set(idr, bit(values.twoLevelStreamTable));
    }

    long idr1() {
        long idr = Registers.SIDSIZE.set(0, values.sidSize);
        idr = Registers.SSIDSIZE.set(idr, values.ssidSize);
        idr = Registers.EVENTQS.set(idr, values.eventqLog2Size);
        idr = Registers.CMDQS.set(idr, values.cmdqLog2Size);
        idr = Registers.ATTR_PERMS_OVR.set(idr, bit(values.attributeOverrides));
        return Registers.ATTR_TYPES_OVR.set(idr, bit(values.attributeOverrides));
    }

    long idr3() {
        long idr = Registers.HAD.set(0, bit(values.had && values.stage1));
        idr = Registers.RIL.set(idr, bit(values.ril));
        return Registers.BBML.set(idr, values.bbml);
    }

    long idr5() {
        long idr = Registers.OAS.set(0, addressSizeCode(values.oas));
        idr = Registers.GRAN4K.set(idr, bit(supports(Granule.KIB_4)));
        idr = Registers.GRAN16K.set(idr, bit(supports(Granule.KIB_16)));
        return Registers.GRAN64K.set(idr, bit(supports(Granule.KIB_64)));
    }

    long iidr() {
        return values.implementation & 0xffff_ffffL;
    }

    long aidr() {
        return values.architecture;
    }

    private static long bit(boolean on) {
        return on ? 1 : 0;
    }
}
