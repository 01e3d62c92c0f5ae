package org.iommuemu.smmuv3;

import static org.iommuemu.smmuv3.SmmuFeature.*;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.iommuemu.mmio.TlbGeometry;
import org.iommuemu.pagetables.Granule;

/**
 * What an SMMU implements: decides SMMU_IDR0 to SMMU_IDR6, SMMU_IIDR and SMMU_AIDR (IHI 0070, 6.3.1 to 6.3.8, 6.3.45),
 * and through them what the model does. Immutable.
 *
 * <p>Never there: Secure, Realm and Root state, preset tables and queues, PBHA, MTE, DPT, permission indirections and
 * overlays, 128-bit descriptors, Access flags of Table descriptors.
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

    /** What becomes of faulting accesses (SMMU_IDR0.STALL_MODEL). Ordinals are the encodings. */
    public enum StallModel {
        /** CD.S and STE.S2S decide whether an access stalls or terminates. */
        STALL_AND_TERMINATE,
        /** None stalls; CD.S and STE.S2S must be 0. */
        TERMINATE,
        /** All that can stall do; CD.S and STE.S2S must be 1. */
        STALL
    }

    /** Hardware update of translation tables (SMMU_IDR0.HTTU). Ordinals are the encodings. */
    public enum HardwareUpdate {
        /** None: CD.HA and STE.S2HA must be 0. */
        NONE,
        /** Of the Access flag. */
        ACCESS_FLAG,
        /** Of the Access flag and the dirty state. */
        DIRTY_STATE
    }

    /** Widths that SMMU_IDR5.OAS, CD.IPS and STE.S2PS encode, in bits. */
    private static final int[] ADDRESS_SIZES = {32, 36, 40, 42, 44, 48, 52};

    private static final List<SmmuFeature> GRANULES = List.of(GRAN4K, GRAN16K, GRAN64K);

    private final Builder values;

    private SmmuFeatures(Builder values) {
        this.values = values;
    }

    /** An SMMUv3.0 with all that it may have: 48-bit addresses, no XNX, no range invalidation. */
    public static SmmuFeatures smmuv3_0() {
        return smmuv3_1().toBuilder().architecture(0).without(XNX, HAD).build();
    }

    /** An SMMUv3.1: {@link #smmuv3_2} without range invalidation, S2FWB and small tables. */
    public static SmmuFeatures smmuv3_1() {
        return builder().architecture(1).bbml(0).without(RIL, FWB, STT).build();
    }

    /**
     * An SMMUv3.2 with both stages, 16-bit StreamIDs in two-level tables, 16-bit SubstreamIDs, ASIDs and VMIDs, 48-bit
     * output addresses, all granules, hardware update, stalls, ATS, PRI, ATOS, range invalidation and MSIs. What
     * {@link #builder} starts from.
     */
    public static SmmuFeatures smmuv3_2() {
        return builder().build();
    }

    /** An SMMUv3.3 with 52-bit addresses in all granules, E0PD, Enhanced Command queues and a page for virtual ATOS. */
    public static SmmuFeatures smmuv3_3() {
        return builder()
                .architecture(3)
                .oas(52)
                .vax(52)
                .with(DS, E0PD, PTWNNC, ATSRECERR, ECMDQ, VATOS)
                .build();
    }

    /**
     * Arm's MMU-600, after the public register description of a system on chip with it (Agilex 5), with hardware update
     * and coherent access, which a system may tie off there: SMMUv3.1, 24-bit StreamIDs, 64 stalls, no split-stage ATS.
     */
    public static SmmuFeatures mmu600() {
        return smmuv3_1().toBuilder()
                .implementation(0x483_0_0_43b)
                .with(VMSAV8_32, NS1ATS)
                .without(ATOS, SEV)
                .sidSize(24)
                .ssidSize(20)
                .stallMax(64)
                .build();
    }

    /**
     * Arm's MMU-700 as far as public: SMMUv3.2, 32-bit StreamIDs, 20-bit SubstreamIDs, 52-bit addresses with 64 KiB
     * granules, no ATOS. The product number is the one that drivers know (0x487); the rest is as in {@link #builder}.
     */
    public static SmmuFeatures mmu700() {
        return builder()
                .implementation(0x487_0_0_43b)
                .without(ATOS, SEV)
                .sidSize(32)
                .ssidSize(20)
                .oas(52)
                .vax(52)
                .build();
    }

    /** What QEMU 7.2 shows on its {@code virt} machine: SMMUv3.1, stage 1 only, no substreams, 44-bit addresses. */
    public static SmmuFeatures qemuVirt() {
        return new Builder(EnumSet.of(
                        S1P, VMSAV8_64, COHACC, ASID16, TERM_MODEL, ST_LEVEL, HAD, RIL, GRAN4K, GRAN16K, GRAN64K))
                .architecture(1)
                .ssidSize(0)
                .priqLog2Size(0)
                .stallModel(StallModel.TERMINATE)
                .hardwareUpdate(HardwareUpdate.NONE)
                .tableEndianness(TableEndianness.LITTLE)
                .oas(44)
                .build();
    }

    /** As little as the architecture lets an SMMU have: stage 1 with 4 KiB granules for 64 streams, one linear table. */
    public static SmmuFeatures minimal() {
        return new Builder(EnumSet.of(S1P, VMSAV8_64, TERM_MODEL, GRAN4K))
                .architecture(0)
                .bbml(0)
                .sidSize(6)
                .ssidSize(0)
                .cmdqLog2Size(2)
                .eventqLog2Size(2)
                .priqLog2Size(0)
                .stallModel(StallModel.TERMINATE)
                .hardwareUpdate(HardwareUpdate.NONE)
                .tableEndianness(TableEndianness.LITTLE)
                .oas(32)
                .build();
    }

    /**
     * Arm's architecture envelope model as public traces of its fixed virtual platforms show it: SMMU_IDR0 0x080fe6bf,
     * IDR3 0x1714, IDR5 0xffff0475.
     */
    public static SmmuFeatures aem() {
        return builder()
                .with(VMSAV8_32, BTM)
                .without(ASID16)
                .ssidSize(20)
                .vax(52)
                .stallMax(0xffff)
                .build();
    }

    /**
     * The SMMU that identification registers describe.
     *
     * @param idr0 SMMU_IDR0; likewise the others
     * @throws IllegalArgumentException if no SMMU is like this, or it has what is never there; the message says what
     */
    public static SmmuFeatures identifiedBy(
            long idr0, long idr1, long idr3, long idr5, long idr6, long iidr, long aidr) {
        long[] registers = {idr0, idr1, 0, idr3, 0, idr5, idr6};
        Set<SmmuFeature> features = EnumSet.noneOf(SmmuFeature.class);
        for (SmmuFeature feature : SmmuFeature.values()) {
            if ((registers[feature.register] >>> feature.bit & 1) != 0) {
                features.add(feature);
            }
        }
        TableEndianness endianness = null;
        for (TableEndianness each : TableEndianness.values()) {
            endianness = Registers.TTENDIAN.get(idr0) == each.encoded ? each : endianness;
        }
        int stalls = (int) Registers.STALL_MODEL.get(idr0);
        int update = (int) Registers.HTTU.get(idr0);
        int oas = (int) Registers.OAS.get(idr5);
        refuse(endianness == null, "SMMU_IDR0.TTENDIAN is Reserved");
        refuse(stalls == 3, "SMMU_IDR0.STALL_MODEL is Reserved");
        refuse(update == 3, "SMMU_IDR0.HTTU: Access flags of Table descriptors are not modelled");
        refuse(oas >= ADDRESS_SIZES.length, "SMMU_IDR5.OAS: 56-bit addresses are not modelled");
        refuse(Registers.VAX.get(idr5) > 1, "SMMU_IDR5.VAX: 56-bit addresses are not modelled");
        SmmuFeatures built = new Builder(features)
                .architecture((int) aidr)
                .implementation((int) iidr)
                .tableEndianness(endianness)
                .stallModel(StallModel.values()[stalls])
                .hardwareUpdate(HardwareUpdate.values()[update])
                .sidSize((int) Registers.SIDSIZE.get(idr1))
                .ssidSize((int) Registers.SSIDSIZE.get(idr1))
                .cmdqLog2Size((int) Registers.CMDQS.get(idr1))
                .eventqLog2Size((int) Registers.EVENTQS.get(idr1))
                .priqLog2Size((int) Registers.PRIQS.get(idr1))
                .bbml((int) Registers.BBML.get(idr3))
                .oas(ADDRESS_SIZES[oas])
                .vax(Registers.VAX.get(idr5) == 1 ? 52 : 48)
                .stallMax(stalls == 1 ? 1 : (int) Registers.STALL_MAX.get(idr5))
                .commandQueuePages((int) Registers.LOG2NUMP.get(idr6), (int) Registers.LOG2NUMQ.get(idr6))
                .build();
        long[] built0to6 = {built.idr0(), built.idr1(), 0, built.idr3(), 0, built.idr5(), built.idr6()};
        for (int i = 0; i < registers.length; i++) {
            long difference = registers[i] ^ built0to6[i];
            refuse(difference != 0, "SMMU_IDR%d: bits 0x%x are Reserved or not modelled", i, difference);
        }
        return built;
    }

    /** Starts from {@link #smmuv3_2}. */
    public static Builder builder() {
        return new Builder(EnumSet.complementOf(EnumSet.of(
                VMSAV8_32,
                BTM,
                DORMHINT,
                NS1ATS,
                VATOS,
                ATSRECERR,
                TERM_MODEL,
                ECMDQ,
                PPS,
                MPAM,
                E0PD,
                PTWNNC,
                PASIDTT,
                DS)));
    }

    /** Starts from these features. */
    public Builder toBuilder() {
        return values.copy();
    }

    /** Collects features; see {@link SmmuFeatures#builder}. */
    public static final class Builder implements Cloneable {
        private Set<SmmuFeature> features;
        private Set<SmmuOption> options;
        private int architecture = 2;
        private int implementation;
        private int sidSize = 16;
        private int ssidSize = 16;
        private int cmdqLog2Size = 19;
        private int eventqLog2Size = 19;
        private int priqLog2Size = 19;
        private int bbml = 2;
        private int oas = 48;
        private int vax = 48;
        private int stallMax = 256;
        private int log2Pages;
        private int log2Queues = 4;
        private StallModel stallModel = StallModel.STALL_AND_TERMINATE;
        private HardwareUpdate hardwareUpdate = HardwareUpdate.DIRTY_STATE;
        private TableEndianness endianness = TableEndianness.MIXED;
        private TlbGeometry tlb = TlbGeometry.of(512, 4);

        private Builder(Set<SmmuFeature> features) {
            this.features = features;
            options = EnumSet.noneOf(SmmuOption.class);
        }

        private Builder copy() {
            try {
                Builder copy = (Builder) clone();
                copy.features = EnumSet.copyOf(features);
                copy.options = EnumSet.noneOf(SmmuOption.class);
                copy.options.addAll(options);
                return copy;
            } catch (CloneNotSupportedException e) {
                throw new AssertionError(e);
            }
        }

        /** Adds features. */
        public Builder with(SmmuFeature... added) {
            features.addAll(List.of(added));
            return this;
        }

        /** Takes features away. */
        public Builder without(SmmuFeature... removed) {
            features.removeAll(List.of(removed));
            return this;
        }

        /** Chooses what is off otherwise. */
        public Builder with(SmmuOption... chosen) {
            options.addAll(List.of(chosen));
            return this;
        }

        /** SMMU_AIDR: the {@code x} of SMMUv3.x, 0 to 3. */
        public Builder architecture(int minor) {
            architecture = minor;
            return this;
        }

        /** SMMU_IIDR: product, variant, revision and implementer. */
        public Builder implementation(int iidr) {
            implementation = iidr;
            return this;
        }

        /** IDR0.STALL_MODEL. */
        public Builder stallModel(StallModel model) {
            stallModel = model;
            return this;
        }

        /** IDR0.HTTU. */
        public Builder hardwareUpdate(HardwareUpdate update) {
            hardwareUpdate = update;
            return this;
        }

        /** IDR0.TTENDIAN. */
        public Builder tableEndianness(TableEndianness order) {
            endianness = order;
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

        /** IDR1.PRIQS: log2 of the most records in the PRI queue, 0 to 19. */
        public Builder priqLog2Size(int log2) {
            priqLog2Size = log2;
            return this;
        }

        /** IDR3.BBML: how much of break-before-make software may leave out, 0 to 2. */
        public Builder bbml(int level) {
            bbml = level;
            return this;
        }

        /** IDR5.OAS: width of an output address: 32, 36, 40, 42, 44, 48 or 52 bits. */
        public Builder oas(int bits) {
            oas = bits;
            return this;
        }

        /** IDR5.VAX: width of a virtual address that one TTB translates: 48 or 52 bits. */
        public Builder vax(int bits) {
            vax = bits;
            return this;
        }

        /** IDR5.STALL_MAX: most stalled accesses that software has not answered, 1 to 65,535. */
        public Builder stallMax(int accesses) {
            stallMax = accesses;
            return this;
        }

        /** IDR5.GRAN4K, GRAN16K, GRAN64K. */
        public Builder granules(Set<Granule> supported) {
            for (Granule granule : Granule.values()) {
                SmmuFeature feature = GRANULES.get(granule.ordinal());
                if (supported.contains(granule)) {
                    features.add(feature);
                } else {
                    features.remove(feature);
                }
            }
            return this;
        }

        /**
         * IDR6: where there is {@link SmmuFeature#ECMDQ}, its Command queue control pages.
         *
         * @param log2Pages LOG2NUMP, 0 to 2
         * @param log2Queues LOG2NUMQ, queues of each, 0 to 8
         */
        public Builder commandQueuePages(int log2Pages, int log2Queues) {
            this.log2Pages = log2Pages;
            this.log2Queues = log2Queues;
            return this;
        }

        /** The shape of each main TLB, which no register tells. */
        public Builder tlb(TlbGeometry geometry) {
            tlb = geometry;
            return this;
        }

        /**
         * The features.
         *
         * @throws IllegalArgumentException if no SMMU can be like this; the message says why
         */
        public SmmuFeatures build() {
            boolean s1p = features.contains(S1P);
            boolean s2p = features.contains(S2P);
            boolean ats = features.contains(ATS);
            refuse(architecture < 0 || architecture > 3, "SMMUv3.%d is not modelled", architecture);
            refuse(!s1p && !s2p, "an SMMU without stage 1 and stage 2 translates nothing");
            needs(VMSAV8_64, false, "VMSAv8-32 alone is not modelled");
            needs(GRAN4K, !features.contains(VMSAV8_32), "TTF with VMSAv8-32 needs it (6.3.6)");
            refuse(GRANULES.stream().noneMatch(features::contains), "no granule");
            only(HYP, s1p && s2p, "both stages (6.3.1)");
            only(VMID16, s2p, "stage 2 (6.3.1)");
            only(VMW, s2p, "stage 2 (6.3.1)");
            only(ASID16, s1p, "stage 1 (6.3.1)");
            only(PRI, ats, "ATS (6.3.1)");
            only(ATSRECERR, ats, "ATS (6.3.1)");
            only(NS1ATS, ats && s1p && s2p, "ATS and both stages (6.3.1)");
            only(PASIDTT, ats && ssidSize > 0, "ATS and substreams (6.3.4)");
            only(PPS, features.contains(PRI) && ssidSize > 0, "PRI and substreams (6.3.4)");
            only(VATOS, features.contains(ATOS) && s1p && s2p, "ATOS and both stages (6.3.1)");
            only(ECMDQ, features.contains(COHACC) && features.contains(MSI), "COHACC and MSI (6.3.2)");
            only(CD2L, ssidSize > 0, "substreams");
            only(XNX, s2p && architecture > 0, "stage 2 and SMMUv3.1 (6.3.4)");
            only(FWB, s2p, "stage 2 (6.3.4)");
            only(PTWNNC, s2p, "stage 2 (6.3.4)");
            only(HAD, s1p, "stage 1 (6.3.4)");
            only(E0PD, s1p, "stage 1 (6.3.4)");
            boolean small = features.contains(GRAN4K) || features.contains(GRAN16K);
            only(DS, small && vax == 52, "VAX of 52 bits and 4 or 16 KiB granules (6.3.6)");
            for (SmmuFeature feature : features) {
                refuse(feature.since > architecture + 1, "%s is not in SMMUv3.%d (2.9)", feature, architecture);
            }
            needs(HYP, architecture < 2 || !(s1p && s2p), "mandatory from SMMUv3.2 on (6.3.1)");
            needs(XNX, architecture < 1 || !s2p, "mandatory with stage 2 from SMMUv3.1 on (6.3.4)");
            needs(HAD, architecture < 1 || !s1p, "mandatory with stage 1 from SMMUv3.1 on (6.3.4)");
            needs(RIL, architecture < 2, "mandatory from SMMUv3.2 on (6.3.4)");
            needs(FWB, architecture < 2 || !s2p, "mandatory with stage 2 from SMMUv3.2 on (6.3.4)");
            needs(E0PD, architecture < 3 || !s1p, "mandatory from SMMUv3.3 on (6.3.4)");
            needs(PTWNNC, architecture < 3 || !s2p, "mandatory with stage 2 from SMMUv3.3 on (6.3.4)");
            refuse(bbml < 0 || bbml > 2, "BBML %d is not in 0 to 2", bbml);
            refuse(bbml == 0 && architecture >= 2, "BBML of 1 or 2 is mandatory from SMMUv3.2 on (6.3.4)");
            refuse(bbml > 0 && architecture == 0, "BBML is not in SMMUv3.0 (2.9)");
            refuse(sidSize < 0 || sidSize > 32, "SIDSIZE %d is not in 0 to 32", sidSize);
            refuse(ssidSize < 0 || ssidSize > 20, "SSIDSIZE %d is not in 0 to 20", ssidSize);
            refuse(ssidSize > 0 && !s1p, "substreams without stage 1 (3.2)");
            needs(ST_LEVEL, sidSize < 7, "two-level Stream tables are mandatory with SIDSIZE of 7 or more (6.3.2)");
            refuse(cmdqLog2Size < 0 || cmdqLog2Size > 19, "CMDQS %d is not in 0 to 19", cmdqLog2Size);
            refuse(eventqLog2Size < 0 || eventqLog2Size > 19, "EVENTQS %d is not in 0 to 19", eventqLog2Size);
            refuse(priqLog2Size < 0 || priqLog2Size > 19, "PRIQS %d is not in 0 to 19", priqLog2Size);
            refuse(addressSizeCode(oas) < 0, "OAS of %d bits: not one of 32, 36, 40, 42, 44, 48, 52", oas);
            boolean wide = features.contains(GRAN64K) || features.contains(DS);
            refuse(
                    oas == 52 && (architecture == 0 || !wide),
                    "OAS of 52 bits needs SMMUv3.1, and GRAN64K or DS (6.3.6)");
            refuse(vax != 48 && vax != 52, "VAX of %d bits: not 48 or 52", vax);
            refuse(
                    vax == 52 && (architecture == 0 || !wide),
                    "VAX of 52 bits needs SMMUv3.1, and GRAN64K or DS (6.3.6)");
            refuse(stallMax < 1 || stallMax > 0xffff, "STALL_MAX %d is not in 1 to 65535", stallMax);
            refuse(log2Pages < 0 || log2Pages > 2, "LOG2NUMP %d is not in 0 to 2", log2Pages);
            refuse(log2Queues < 0 || log2Queues > 8, "LOG2NUMQ %d is not in 0 to 8", log2Queues);
            refuse(
                    options.contains(SmmuOption.STORES_GUARDED_WRITES) && architecture >= 2,
                    "guarded writes are ignored from SMMUv3.2 on (6.3.24)");
            refuse(
                    architecture > 0
                            && (options.contains(SmmuOption.CLAMPS_TXSZ)
                                    || options.contains(SmmuOption.EATS_CHECKS_S2S_ALWAYS)),
                    "TxSZ out of range and S2S with full ATS are no choice from SMMUv3.1 on (5.2)");
            return new SmmuFeatures(copy());
        }

        private void needs(SmmuFeature feature, boolean otherwise, String why) {
            refuse(!otherwise && !features.contains(feature), "without %s: %s", feature, why);
        }

        private void only(SmmuFeature feature, boolean possible, String needed) {
            refuse(features.contains(feature) && !possible, "%s needs %s", feature, needed);
        }
    }

    private static void refuse(boolean impossible, String reason, Object... arguments) {
        if (impossible) {
            throw new IllegalArgumentException(reason.formatted(arguments));
        }
    }

    boolean has(SmmuFeature feature) {
        return values.features.contains(feature);
    }

    boolean chooses(SmmuOption option) {
        return values.options.contains(option);
    }

    /** The {@code x} of SMMUv3.x. */
    int architecture() {
        return values.architecture;
    }

    StallModel stallModel() {
        return values.stallModel;
    }

    int stallMax() {
        return values.stallMax;
    }

    HardwareUpdate hardwareUpdate() {
        return values.hardwareUpdate;
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

    int eventqLog2Size() {
        return values.eventqLog2Size;
    }

    int priqLog2Size() {
        return values.priqLog2Size;
    }

    int oas() {
        return values.oas;
    }

    int vax() {
        return values.vax;
    }

    /** Command queue control pages, 0 without Enhanced Command queues. */
    int commandQueuePages() {
        return has(ECMDQ) ? 1 << values.log2Pages : 0;
    }

    /** Enhanced Command queues in each control page. */
    int queuesPerPage() {
        return 1 << values.log2Queues;
    }

    TlbGeometry tlb() {
        return values.tlb;
    }

    boolean supports(Granule granule) {
        return has(GRANULES.get(granule.ordinal()));
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

    /** The features of one bit that a register tells. */
    private long bits(int register) {
        long idr = 0;
        for (SmmuFeature feature : values.features) {
            idr |= feature.register == register ? 1L << feature.bit : 0;
        }
        return idr;
    }

    long idr0() {
        long idr = Registers.TTENDIAN.set(bits(0), values.endianness.encoded);
        idr = Registers.STALL_MODEL.set(idr, values.stallModel.ordinal());
        return Registers.HTTU.set(idr, values.hardwareUpdate.ordinal());
    }

    long idr1() {
        long idr = Registers.SIDSIZE.set(bits(1), values.sidSize);
        idr = Registers.SSIDSIZE.set(idr, values.ssidSize);
        idr = Registers.PRIQS.set(idr, values.priqLog2Size);
        idr = Registers.EVENTQS.set(idr, values.eventqLog2Size);
        return Registers.CMDQS.set(idr, values.cmdqLog2Size);
    }

    long idr3() {
        return Registers.BBML.set(bits(3), values.bbml);
    }

    long idr5() {
        long idr = Registers.OAS.set(bits(5), addressSizeCode(values.oas));
        idr = Registers.VAX.set(idr, values.vax == 52 ? 1 : 0);
        return values.stallModel == StallModel.TERMINATE ? idr : Registers.STALL_MAX.set(idr, values.stallMax);
    }

    long idr6() {
        return has(ECMDQ) ? Registers.LOG2NUMQ.set(Registers.LOG2NUMP.set(0, values.log2Pages), values.log2Queues) : 0;
    }

    long iidr() {
        return values.implementation & 0xffff_ffffL;
    }

    long aidr() {
        return values.architecture;
    }
}
