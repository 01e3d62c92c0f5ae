package org.iommuemu.smmuv3;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterMap;

/**
 * The Non-secure programming interface: both 64 KiB pages (IHI 0070, 6.2 and 6.3). Identification registers get their
 * values from {@link SmmuFeatures}; {@link #map} makes RES0 what a unit with less does not have. Registers that only
 * Secure, Realm or Root state, DPT and permission indirections have are not there, and so RES0.
 */
final class Registers {
    private Registers() {}

    // 6.3.1
    static final Field HTTU = Field.ro("HTTU", 6, 2, 0);
    static final Field TTENDIAN = Field.ro("TTENDIAN", 21, 2, 0);
    static final Field STALL_MODEL = Field.ro("STALL_MODEL", 24, 2, 0);
    static final Register IDR0 = Register.word(
            "SMMU_IDR0",
            0x0,
            Field.ro("S2P", 0, 1, 0),
            Field.ro("S1P", 1, 1, 0),
            Field.ro("TTF", 2, 2, 0),
            Field.ro("COHACC", 4, 1, 0),
            Field.ro("BTM", 5, 1, 0),
            HTTU,
            Field.ro("DORMHINT", 8, 1, 0),
            Field.ro("HYP", 9, 1, 0),
            Field.ro("ATS", 10, 1, 0),
            Field.ro("NS1ATS", 11, 1, 0),
            Field.ro("ASID16", 12, 1, 0),
            Field.ro("MSI", 13, 1, 0),
            Field.ro("SEV", 14, 1, 0),
            Field.ro("ATOS", 15, 1, 0),
            Field.ro("PRI", 16, 1, 0),
            Field.ro("VMW", 17, 1, 0),
            Field.ro("VMID16", 18, 1, 0),
            Field.ro("CD2L", 19, 1, 0),
            Field.ro("VATOS", 20, 1, 0),
            TTENDIAN,
            Field.ro("ATSRECERR", 23, 1, 0),
            STALL_MODEL,
            Field.ro("TERM_MODEL", 26, 1, 0),
            Field.ro("ST_LEVEL", 27, 2, 0));

    // 6.3.2
    static final Field SIDSIZE = Field.ro("SIDSIZE", 0, 6, 0);
    static final Field SSIDSIZE = Field.ro("SSIDSIZE", 6, 5, 0);
    static final Field PRIQS = Field.ro("PRIQS", 11, 5, 0);
    static final Field EVENTQS = Field.ro("EVENTQS", 16, 5, 0);
    static final Field CMDQS = Field.ro("CMDQS", 21, 5, 0);
    static final Register IDR1 = Register.word(
            "SMMU_IDR1",
            0x4,
            SIDSIZE,
            SSIDSIZE,
            PRIQS,
            EVENTQS,
            CMDQS,
            Field.ro("ATTR_PERMS_OVR", 26, 1, 0),
            Field.ro("ATTR_TYPES_OVR", 27, 1, 0),
            Field.ro("REL", 28, 1, 0),
            Field.ro("QUEUES_PRESET", 29, 1, 0),
            Field.ro("TABLES_PRESET", 30, 1, 0),
            Field.ro("ECMDQ", 31, 1, 0));

    // 6.3.3 to 6.3.6, 6.3.45
    static final Field BA_VATOS = Field.ro("BA_VATOS", 0, 10, 0);
    static final Register IDR2 = Register.word("SMMU_IDR2", 0x8, BA_VATOS);
    static final Field BBML = Field.ro("BBML", 11, 2, 0);
    static final Register IDR3 = Register.word(
            "SMMU_IDR3",
            0xc,
            Field.ro("HAD", 2, 1, 0),
            Field.ro("PBHA", 3, 1, 0),
            Field.ro("XNX", 4, 1, 0),
            Field.ro("PPS", 5, 1, 0),
            Field.ro("MPAM", 7, 1, 0),
            Field.ro("FWB", 8, 1, 0),
            Field.ro("STT", 9, 1, 0),
            Field.ro("RIL", 10, 1, 0),
            BBML,
            Field.ro("E0PD", 13, 1, 0),
            Field.ro("PTWNNC", 14, 1, 0),
            Field.ro("DPT", 15, 1, 0),
            Field.ro("PASIDTT", 16, 1, 0));
    static final Register IDR4 = Register.word("SMMU_IDR4", 0x10, Field.ro("IMPLEMENTATION_DEFINED", 0, 32, 0));
    static final Field OAS = Field.ro("OAS", 0, 3, 0);
    static final Field VAX = Field.ro("VAX", 10, 2, 0);
    static final Field STALL_MAX = Field.ro("STALL_MAX", 16, 16, 0);
    static final Register IDR5 = Register.word(
            "SMMU_IDR5",
            0x14,
            OAS,
            Field.ro("GRAN4K", 4, 1, 0),
            Field.ro("GRAN16K", 5, 1, 0),
            Field.ro("GRAN64K", 6, 1, 0),
            Field.ro("DS", 7, 1, 0),
            VAX,
            STALL_MAX);
    static final Field LOG2NUMQ = Field.ro("CMDQ_CONTROL_PAGE_LOG2NUMQ", 16, 4, 0);
    static final Field LOG2NUMP = Field.ro("CMDQ_CONTROL_PAGE_LOG2NUMP", 24, 4, 0);
    static final Register IDR6 = Register.word("SMMU_IDR6", 0x190, LOG2NUMQ, LOG2NUMP);

    // 6.3.7, 6.3.8
    static final Register IIDR = Register.word("SMMU_IIDR", 0x18, Field.ro("IIDR", 0, 32, 0));
    static final Field ARCH_MINOR = Field.ro("ArchMinorRev", 0, 4, 0);
    static final Register AIDR = Register.word("SMMU_AIDR", 0x1c, ARCH_MINOR, Field.ro("ArchMajorRev", 4, 4, 0));

    // 6.3.9, 6.3.10
    static final Field SMMUEN = Field.rw("SMMUEN", 0);
    static final Field PRIQEN = Field.rw("PRIQEN", 1);
    static final Field EVENTQEN = Field.rw("EVENTQEN", 2);
    static final Field CMDQEN = Field.rw("CMDQEN", 3);
    static final Field ATSCHK = Field.rw("ATSCHK", 4);
    static final Field VMW = Field.rw("VMW", 6, 3);
    static final Register CR0 = Register.word("SMMU_CR0", 0x20, SMMUEN, PRIQEN, EVENTQEN, CMDQEN, ATSCHK, VMW);
    static final Register CR0ACK = Register.acknowledge("SMMU_CR0ACK", 0x24, CR0);

    // 6.3.11, 6.3.12
    static final Register CR1 = Register.word(
            "SMMU_CR1",
            0x28,
            Field.rw("QUEUE_IC", 0, 2),
            Field.rw("QUEUE_OC", 2, 2),
            Field.rw("QUEUE_SH", 4, 2),
            Field.rw("TABLE_IC", 6, 2),
            Field.rw("TABLE_OC", 8, 2),
            Field.rw("TABLE_SH", 10, 2));
    static final long CR1_QUEUE = 0x3f;
    static final long CR1_TABLE = 0xfc0;
    static final Field E2H = Field.rw("E2H", 0);
    static final Field RECINVSID = Field.rw("RECINVSID", 1);
    static final Field PTM = Field.rw("PTM", 2);
    static final Field REC_CFG_ATS = Field.rw("REC_CFG_ATS", 3);
    static final Register CR2 = Register.word("SMMU_CR2", 0x2c, E2H, RECINVSID, PTM, REC_CFG_ATS);

    // 6.3.13, 6.3.14
    static final Field DORMANT = Field.ro("DORMANT", 0, 1, 0);
    static final Register STATUSR = Register.word("SMMU_STATUSR", 0x40, DORMANT);
    static final Field GBPA_MEMATTR = Field.rw("MemAttr", 0, 4);
    static final Field GBPA_MTCFG = Field.rw("MTCFG", 4);
    static final Field GBPA_ALLOCCFG = Field.rw("ALLOCCFG", 8, 4);
    static final Field GBPA_SHCFG = Field.rw("SHCFG", 12, 2).resetTo(1); // Use incoming.
    static final Field GBPA_ABORT = Field.rw("ABORT", 20);
    static final Field GBPA_UPDATE = Field.busy("Update", 31);
    static final Register GBPA = Register.word(
            "SMMU_GBPA",
            0x44,
            GBPA_MEMATTR,
            GBPA_MTCFG,
            GBPA_ALLOCCFG,
            GBPA_SHCFG,
            Field.rw("PRIVCFG", 16, 2),
            Field.rw("INSTCFG", 18, 2),
            GBPA_ABORT,
            GBPA_UPDATE);
    static final Register AGBPA = Register.word("SMMU_AGBPA", 0x48, Field.ro("IMPLEMENTATION_DEFINED", 0, 32, 0));

    // 6.3.16, 6.3.18
    static final Field GERROR_IRQEN = Field.rw("GERROR_IRQEN", 0);
    static final Field PRIQ_IRQEN = Field.rw("PRIQ_IRQEN", 1);
    static final Field EVENTQ_IRQEN = Field.rw("EVENTQ_IRQEN", 2);
    static final Register IRQ_CTRL = Register.word("SMMU_IRQ_CTRL", 0x50, GERROR_IRQEN, PRIQ_IRQEN, EVENTQ_IRQEN);
    static final Register IRQ_CTRLACK = Register.acknowledge("SMMU_IRQ_CTRLACK", 0x54, IRQ_CTRL);

    // 6.3.19, 6.3.20: the bits are those of GlobalError.
    static final Register GERROR = Register.word("SMMU_GERROR", 0x60, Field.ro("errors", 0, 10, 0));
    static final Register GERRORN = Register.word(
            "SMMU_GERRORN",
            0x64,
            Field.rw("CMDQ_ERR", 0),
            Field.rw("EVENTQ_ABT_ERR", 2),
            Field.rw("PRIQ_ABT_ERR", 3),
            Field.rw("MSI_CMDQ_ABT_ERR", 4),
            Field.rw("MSI_EVENTQ_ABT_ERR", 5),
            Field.rw("MSI_PRIQ_ABT_ERR", 6),
            Field.rw("MSI_GERROR_ABT_ERR", 7),
            Field.rw("SFM_ERR", 8),
            Field.rw("CMDQP_ERR", 9));

    // 6.3.21 to 6.3.23, 6.3.30 to 6.3.32, 6.3.34 to 6.3.36
    static final Field MSI_ADDR = Field.rw("ADDR", 2, 50);
    static final Register GERROR_IRQ_CFG0 = Register.dword("SMMU_GERROR_IRQ_CFG0", 0x68, MSI_ADDR);
    static final Register GERROR_IRQ_CFG1 = Register.word("SMMU_GERROR_IRQ_CFG1", 0x70, Field.rw("DATA", 0, 32));
    static final Register GERROR_IRQ_CFG2 =
            Register.word("SMMU_GERROR_IRQ_CFG2", 0x74, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2));
    static final Register EVENTQ_IRQ_CFG0 = Register.dword("SMMU_EVENTQ_IRQ_CFG0", 0xb0, MSI_ADDR);
    static final Register EVENTQ_IRQ_CFG1 = Register.word("SMMU_EVENTQ_IRQ_CFG1", 0xb8, Field.rw("DATA", 0, 32));
    static final Register EVENTQ_IRQ_CFG2 =
            Register.word("SMMU_EVENTQ_IRQ_CFG2", 0xbc, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2));

    static final Register PRIQ_IRQ_CFG0 = Register.dword("SMMU_PRIQ_IRQ_CFG0", 0xd0, MSI_ADDR);
    static final Register PRIQ_IRQ_CFG1 = Register.word("SMMU_PRIQ_IRQ_CFG1", 0xd8, Field.rw("DATA", 0, 32));
    static final Field PRIQ_LO = Field.rw("LO", 31);
    static final Register PRIQ_IRQ_CFG2 =
            Register.word("SMMU_PRIQ_IRQ_CFG2", 0xdc, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2), PRIQ_LO);

    // 6.3.24, 6.3.25
    static final Field STRTAB_ADDR = Field.rw("ADDR", 6, 46);
    static final Register STRTAB_BASE = Register.dword("SMMU_STRTAB_BASE", 0x80, STRTAB_ADDR, Field.rw("RA", 62));
    static final Field STRTAB_LOG2SIZE = Field.rw("LOG2SIZE", 0, 6);
    static final Field STRTAB_SPLIT = Field.rw("SPLIT", 6, 5);
    static final Field STRTAB_FMT = Field.rw("FMT", 16, 2);
    static final Register STRTAB_BASE_CFG =
            Register.word("SMMU_STRTAB_BASE_CFG", 0x88, STRTAB_LOG2SIZE, STRTAB_SPLIT, STRTAB_FMT);

    // 6.3.26 to 6.3.29, 6.3.33
    static final Field QUEUE_LOG2SIZE = Field.rw("LOG2SIZE", 0, 5);
    static final Field QUEUE_ADDR = Field.rw("ADDR", 5, 47);
    static final Register CMDQ_BASE =
            Register.dword("SMMU_CMDQ_BASE", 0x90, QUEUE_LOG2SIZE, QUEUE_ADDR, Field.rw("RA", 62));
    static final Field CMDQ_WR = Field.rw("WR", 0, 20);
    static final Register CMDQ_PROD = Register.word("SMMU_CMDQ_PROD", 0x98, CMDQ_WR);
    static final Field CMDQ_RD = Field.rw("RD", 0, 20);
    static final Field CMDQ_ERR = Field.ro("ERR", 24, 7, 0);
    static final Register CMDQ_CONS = Register.word("SMMU_CMDQ_CONS", 0x9c, CMDQ_RD, CMDQ_ERR);
    static final Register EVENTQ_BASE =
            Register.dword("SMMU_EVENTQ_BASE", 0xa0, QUEUE_LOG2SIZE, QUEUE_ADDR, Field.rw("WA", 62));

    static final Register PRIQ_BASE =
            Register.dword("SMMU_PRIQ_BASE", 0xc0, QUEUE_LOG2SIZE, QUEUE_ADDR, Field.rw("WA", 62));

    // 6.3.37 to 6.3.40, 6.3.44; and the same for virtual machines, in their page (6.3.99 to 6.3.102).
    static final Field RUN = Field.busy("RUN", 0);
    static final Field ATOS_STREAMID = Field.rw("STREAMID", 0, 32);
    static final Field ATOS_SUBSTREAMID = Field.rw("SUBSTREAMID", 32, 20);
    static final Field ATOS_SSID_VALID = Field.rw("SSID_VALID", 52);
    static final Field ATOS_HTTUI = Field.rw("HTTUI", 6);
    static final Field ATOS_IND = Field.rw("InD", 7);
    static final Field ATOS_RNW = Field.rw("RnW", 8);
    static final Field ATOS_PNU = Field.rw("PnU", 9);
    static final Field ATOS_TYPE = Field.rw("TYPE", 10, 2);
    static final Field ATOS_ADDR = Field.rw("ADDR", 12, 52);
    static final Register GATOS_CTRL = Register.word("SMMU_GATOS_CTRL", 0x100, RUN);
    static final Register GATOS_SID =
            Register.dword("SMMU_GATOS_SID", 0x108, ATOS_STREAMID, ATOS_SUBSTREAMID, ATOS_SSID_VALID);
    static final Register GATOS_ADDR =
            Register.dword("SMMU_GATOS_ADDR", 0x110, ATOS_HTTUI, ATOS_IND, ATOS_RNW, ATOS_PNU, ATOS_TYPE, ATOS_ADDR);
    static final Register GATOS_PAR = Register.dword("SMMU_GATOS_PAR", 0x118, Field.ro("PAR", 0, 64, 0));
    static final Field VATOS_VMID = Field.rw("VMID", 0, 16);
    static final Register VATOS_SEL = Register.word("SMMU_VATOS_SEL", 0x180, VATOS_VMID);

    static final Register VATOS_CTRL = Register.word("SMMU_VATOS_CTRL", 0xa00, RUN);
    static final Register VATOS_SID =
            Register.dword("SMMU_VATOS_SID", 0xa08, ATOS_STREAMID, ATOS_SUBSTREAMID, ATOS_SSID_VALID);
    static final Register VATOS_ADDR =
            Register.dword("SMMU_VATOS_ADDR", 0xa10, ATOS_HTTUI, ATOS_IND, ATOS_RNW, ATOS_PNU, ATOS_TYPE, ATOS_ADDR);
    static final Register VATOS_PAR = Register.dword("SMMU_VATOS_PAR", 0xa18, Field.ro("PAR", 0, 64, 0));

    /** The VATOS page (6.2.3). */
    static final RegisterMap VATOS_MAP =
            new RegisterMap(0x10000, List.of(VATOS_CTRL, VATOS_SID, VATOS_ADDR, VATOS_PAR));

    // 6.3.41 to 6.3.43
    static final Register MPAMIDR =
            Register.word("SMMU_MPAMIDR", 0x130, Field.ro("PARTID_MAX", 0, 16, 0x3f), Field.ro("PMG_MAX", 16, 8, 1));
    static final Field MPAM_UPDATE = Field.busy("Update", 31);
    static final Register GMPAM =
            Register.word("SMMU_GMPAM", 0x138, Field.rw("SO_PARTID", 0, 6), Field.rw("SO_PMG", 16, 1), MPAM_UPDATE);
    static final Register GBPMPAM =
            Register.word("SMMU_GBPMPAM", 0x13c, Field.rw("GBP_PARTID", 0, 6), Field.rw("GBP_PMG", 16, 1), MPAM_UPDATE);

    /** The most Command queue control pages that {@link SmmuFeatures} allows. */
    private static final int CONTROL_PAGES = 4;
    // 6.3.49 to 6.3.51
    static final List<Register> CMDQ_CONTROL_PAGE_BASE = controlPages(n -> Register.dword(
            "SMMU_CMDQ_CONTROL_PAGE_BASE" + n,
            0x4000 + 32 * n,
            Field.ro("CMDQ_CONTROL_PAGE_PRESET", 0, 1, 1),
            Field.ro("CMDQGS", 1, 2, 1),
            Field.ro("ADDR", 16, 40, 0)));
    static final List<Register> CMDQ_CONTROL_PAGE_CFG = controlPages(
            n -> Register.word("SMMU_CMDQ_CONTROL_PAGE_CFG" + n, 0x4008 + 32 * n, Field.ro("EN", 0, 1, 1)));
    static final List<Register> CMDQ_CONTROL_PAGE_STATUS = controlPages(
            n -> Register.word("SMMU_CMDQ_CONTROL_PAGE_STATUS" + n, 0x400c + 32 * n, Field.ro("ENACK", 0, 1, 1)));

    private static List<Register> controlPages(IntFunction<Register> page) {
        return IntStream.range(0, CONTROL_PAGES).mapToObj(page).toList();
    }

    // Page 1
    static final Field EVENTQ_WR = Field.rw("WR", 0, 20);
    static final Field OVFLG = Field.rw("OVFLG", 31);
    static final Register EVENTQ_PROD = Register.word("SMMU_EVENTQ_PROD", 0x100a8, EVENTQ_WR, OVFLG);
    static final Field EVENTQ_RD = Field.rw("RD", 0, 20);
    static final Field OVACKFLG = Field.rw("OVACKFLG", 31);
    static final Register EVENTQ_CONS = Register.word("SMMU_EVENTQ_CONS", 0x100ac, EVENTQ_RD, OVACKFLG);

    static final Field PRIQ_WR = Field.rw("WR", 0, 20);
    static final Register PRIQ_PROD = Register.word("SMMU_PRIQ_PROD", 0x100c8, PRIQ_WR, OVFLG);
    static final Field PRIQ_RD = Field.rw("RD", 0, 20);
    static final Register PRIQ_CONS = Register.word("SMMU_PRIQ_CONS", 0x100cc, PRIQ_RD, OVACKFLG);

    // 6.2.1, ID_REGS: as on a CoreSight component, IMPLEMENTATION DEFINED but for CIDR.
    private static Register id(String name, int offset, int value) {
        return Register.word("SMMU_" + name, offset, Field.ro(name, 0, 8, value));
    }

    static final Register PIDR4 = id("PIDR4", 0xfd0, 0);
    static final Register PIDR0 = id("PIDR0", 0xfe0, 0);
    static final Register PIDR1 = id("PIDR1", 0xfe4, 0);
    static final Register PIDR2 = id("PIDR2", 0xfe8, 0);

    static final RegisterMap MAP = new RegisterMap(0x20000, all());

    private static List<Register> all() {
        List<Register> all = new ArrayList<>(List.of(
                IDR0,
                IDR1,
                IDR2,
                IDR3,
                IDR4,
                IDR5,
                IIDR,
                AIDR,
                CR0,
                CR0ACK,
                CR1,
                CR2,
                STATUSR,
                GBPA,
                AGBPA,
                IRQ_CTRL,
                IRQ_CTRLACK,
                GERROR,
                GERRORN,
                GERROR_IRQ_CFG0,
                GERROR_IRQ_CFG1,
                GERROR_IRQ_CFG2,
                STRTAB_BASE,
                STRTAB_BASE_CFG,
                CMDQ_BASE,
                CMDQ_PROD,
                CMDQ_CONS,
                EVENTQ_BASE,
                EVENTQ_IRQ_CFG0,
                EVENTQ_IRQ_CFG1,
                EVENTQ_IRQ_CFG2,
                PRIQ_BASE,
                PRIQ_IRQ_CFG0,
                PRIQ_IRQ_CFG1,
                PRIQ_IRQ_CFG2,
                GATOS_CTRL,
                GATOS_SID,
                GATOS_ADDR,
                GATOS_PAR,
                MPAMIDR,
                GMPAM,
                GBPMPAM,
                VATOS_SEL,
                IDR6,
                PIDR4,
                PIDR0,
                PIDR1,
                PIDR2,
                id("PIDR3", 0xfec, 0),
                id("CIDR0", 0xff0, 0x0d),
                id("CIDR1", 0xff4, 0xf0),
                id("CIDR2", 0xff8, 0x05),
                id("CIDR3", 0xffc, 0xb1),
                EVENTQ_PROD,
                EVENTQ_CONS,
                PRIQ_PROD,
                PRIQ_CONS));
        all.addAll(CMDQ_CONTROL_PAGE_BASE);
        all.addAll(CMDQ_CONTROL_PAGE_CFG);
        all.addAll(CMDQ_CONTROL_PAGE_STATUS);
        return all;
    }

    /** Maps by what is absent: units that are alike share one. */
    private static final Map<Map<?, ?>, RegisterMap> MAPS = new ConcurrentHashMap<>();

    /** The registers as a unit with these features has them. */
    static RegisterMap map(SmmuFeatures features) {
        Map<Register, Long> absent = absent(features);
        Map<Integer, Register> aliases = features.chooses(SmmuOption.PAGE_0_ALIASES_PAGE_1)
                ? Map.of(0xa8, EVENTQ_PROD, 0xac, EVENTQ_CONS, 0xc8, PRIQ_PROD, 0xcc, PRIQ_CONS)
                : Map.of();
        return MAPS.computeIfAbsent(Map.of(absent, aliases), key -> MAP.variant(absent, aliases));
    }

    /** The VATOS page as a unit with these features has it. */
    static RegisterMap vatosMap(SmmuFeatures features) {
        return VATOS_MAP.variant(Map.of(VATOS_SID, beyondIds(features)), Map.of());
    }

    private static Map<Register, Long> absent(SmmuFeatures features) {
        Map<Register, Long> absent = new HashMap<>();
        Lacking lacking = (feature, register, bits) -> {
            if (!features.has(feature)) {
                absent.merge(register, bits, (some, more) -> some | more);
            }
        };
        lacking.res0(SmmuFeature.ATS, CR0, ATSCHK.mask());
        lacking.res0(SmmuFeature.PRI, CR0, PRIQEN.mask());
        lacking.res0(SmmuFeature.VMW, CR0, VMW.mask());
        lacking.res0(SmmuFeature.HYP, CR2, E2H.mask());
        // PTM is stored without BTM, too: software that writes it back must not be surprised, and nothing depends on
        // it.
        lacking.res0(SmmuFeature.ATSRECERR, CR2, REC_CFG_ATS.mask());
        lacking.res0(SmmuFeature.DORMHINT, STATUSR, -1);
        lacking.res0(SmmuFeature.PRI, IRQ_CTRL, PRIQ_IRQEN.mask());
        for (Register errors : List.of(GERROR, GERRORN)) {
            lacking.res0(
                    SmmuFeature.PRI, errors, GlobalError.PRIQ_ABT_ERR.mask() | GlobalError.MSI_PRIQ_ABT_ERR.mask());
            lacking.res0(SmmuFeature.MSI, errors, 0xf << 4);
            lacking.res0(SmmuFeature.ECMDQ, errors, GlobalError.CMDQP_ERR.mask());
        }
        lacking.res0(SmmuFeature.ST_LEVEL, STRTAB_BASE_CFG, STRTAB_SPLIT.mask() | STRTAB_FMT.mask());
        for (Register message : List.of(
                GERROR_IRQ_CFG0,
                GERROR_IRQ_CFG1,
                GERROR_IRQ_CFG2,
                EVENTQ_IRQ_CFG0,
                EVENTQ_IRQ_CFG1,
                EVENTQ_IRQ_CFG2,
                PRIQ_IRQ_CFG0,
                PRIQ_IRQ_CFG1)) {
            lacking.res0(SmmuFeature.MSI, message, -1);
        }
        lacking.res0(SmmuFeature.MSI, PRIQ_IRQ_CFG2, ~PRIQ_LO.mask());
        for (Register queue : List.of(PRIQ_BASE, PRIQ_IRQ_CFG0, PRIQ_IRQ_CFG1, PRIQ_IRQ_CFG2, PRIQ_PROD, PRIQ_CONS)) {
            lacking.res0(SmmuFeature.PRI, queue, -1);
        }
        for (Register atos : List.of(GATOS_CTRL, GATOS_SID, GATOS_ADDR, GATOS_PAR)) {
            lacking.res0(SmmuFeature.ATOS, atos, -1);
        }
        absent.merge(GATOS_SID, beyondIds(features), (some, more) -> some | more);
        lacking.res0(SmmuFeature.VATOS, VATOS_SEL, -1);
        lacking.res0(SmmuFeature.VMID16, VATOS_SEL, 0xff00);
        for (Register mpam : List.of(MPAMIDR, GMPAM, GBPMPAM)) {
            lacking.res0(SmmuFeature.MPAM, mpam, -1);
        }
        lacking.res0(SmmuFeature.ECMDQ, IDR6, -1);
        for (int n = features.commandQueuePages(); n < CONTROL_PAGES; n++) {
            absent.put(CMDQ_CONTROL_PAGE_BASE.get(n), -1L);
            absent.put(CMDQ_CONTROL_PAGE_CFG.get(n), -1L);
            absent.put(CMDQ_CONTROL_PAGE_STATUS.get(n), -1L);
        }
        return absent;
    }

    /** Bits of StreamIDs and SubstreamIDs that a unit does not have, in SMMU_GATOS_SID and VATOS_SID (6.3.38, 6.3.100). */
    private static long beyondIds(SmmuFeatures features) {
        long streams = -1L << features.sidSize() & ATOS_STREAMID.mask();
        long substreams = -1L << 32 + features.ssidSize() & ATOS_SUBSTREAMID.mask();
        return streams | substreams | (features.ssidSize() == 0 ? ATOS_SSID_VALID.mask() : 0);
    }

    @FunctionalInterface
    private interface Lacking {
        void res0(SmmuFeature feature, Register register, long bits);
    }
}
