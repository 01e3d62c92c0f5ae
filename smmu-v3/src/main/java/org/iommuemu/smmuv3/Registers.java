package org.iommuemu.smmuv3;

import java.util.List;
import org.iommuemu.mmio.Field;
import org.iommuemu.mmio.Register;
import org.iommuemu.mmio.RegisterMap;

/**
 * The Non-secure programming interface: both 64 KiB pages (IHI 0070, 6.2 and 6.3). Fields of features that are not
 * modelled (ATS, PRI, VMW) are RES0. Identification registers get their values from {@link SmmuFeatures}.
 */
final class Registers {
    private Registers() {}

    // 6.3.1
    static final Field S2P = Field.ro("S2P", 0, 1, 0);
    static final Field S1P = Field.ro("S1P", 1, 1, 0);
    static final Field TTF = Field.ro("TTF", 2, 2, 2); // VMSAv8-64 only.
    static final Field COHACC = Field.ro("COHACC", 4, 1, 0);
    static final Field HYP = Field.ro("HYP", 9, 1, 0);
    static final Field ASID16 = Field.ro("ASID16", 12, 1, 0);
    static final Field MSI = Field.ro("MSI", 13, 1, 0);
    static final Field VMID16 = Field.ro("VMID16", 18, 1, 0);
    static final Field CD2L = Field.ro("CD2L", 19, 1, 0);
    static final Field TTENDIAN = Field.ro("TTENDIAN", 21, 2, 0);
    static final Field STALL_MODEL = Field.ro("STALL_MODEL", 24, 2, 1); // No stalling.
    static final Field TERM_MODEL = Field.ro("TERM_MODEL", 26, 1, 0);
    static final Field ST_LEVEL = Field.ro("ST_LEVEL", 27, 2, 0);
    static final Register IDR0 = Register.word(
            "SMMU_IDR0",
            0x0,
            S2P,
            S1P,
            TTF,
            COHACC,
            HYP,
            ASID16,
            MSI,
            VMID16,
            CD2L,
            TTENDIAN,
            STALL_MODEL,
            TERM_MODEL,
            ST_LEVEL);

    // 6.3.2
    static final Field SIDSIZE = Field.ro("SIDSIZE", 0, 6, 0);
    static final Field SSIDSIZE = Field.ro("SSIDSIZE", 6, 5, 0);
    static final Field PRIQS = Field.ro("PRIQS", 11, 5, 0);
    static final Field EVENTQS = Field.ro("EVENTQS", 16, 5, 0);
    static final Field CMDQS = Field.ro("CMDQS", 21, 5, 0);
    static final Field ATTR_PERMS_OVR = Field.ro("ATTR_PERMS_OVR", 26, 1, 0);
    static final Field ATTR_TYPES_OVR = Field.ro("ATTR_TYPES_OVR", 27, 1, 0);
    static final Register IDR1 =
            Register.word("SMMU_IDR1", 0x4, SIDSIZE, SSIDSIZE, PRIQS, EVENTQS, CMDQS, ATTR_PERMS_OVR, ATTR_TYPES_OVR);

    // 6.3.3 to 6.3.6
    static final Register IDR2 = Register.word("SMMU_IDR2", 0x8, Field.ro("BA_VATOS", 0, 10, 0));
    static final Field HAD = Field.ro("HAD", 2, 1, 0);
    static final Field RIL = Field.ro("RIL", 10, 1, 0);
    static final Field BBML = Field.ro("BBML", 11, 2, 0);
    static final Register IDR3 = Register.word("SMMU_IDR3", 0xc, HAD, RIL, BBML);
    static final Register IDR4 = Register.word("SMMU_IDR4", 0x10, Field.ro("IMPLEMENTATION_DEFINED", 0, 32, 0));
    static final Field OAS = Field.ro("OAS", 0, 3, 0);
    static final Field GRAN4K = Field.ro("GRAN4K", 4, 1, 0);
    static final Field GRAN16K = Field.ro("GRAN16K", 5, 1, 0);
    static final Field GRAN64K = Field.ro("GRAN64K", 6, 1, 0);
    static final Register IDR5 = Register.word("SMMU_IDR5", 0x14, OAS, GRAN4K, GRAN16K, GRAN64K);

    // 6.3.7, 6.3.8
    static final Register IIDR = Register.word("SMMU_IIDR", 0x18, Field.ro("IIDR", 0, 32, 0));
    static final Field ARCH_MINOR = Field.ro("ArchMinorRev", 0, 4, 0);
    static final Register AIDR = Register.word("SMMU_AIDR", 0x1c, ARCH_MINOR, Field.ro("ArchMajorRev", 4, 4, 0));

    // 6.3.9, 6.3.10
    static final Field SMMUEN = Field.rw("SMMUEN", 0);
    static final Field EVENTQEN = Field.rw("EVENTQEN", 2);
    static final Field CMDQEN = Field.rw("CMDQEN", 3);
    static final Register CR0 = Register.word("SMMU_CR0", 0x20, SMMUEN, EVENTQEN, CMDQEN);
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
    static final Field E2H = Field.rw("E2H", 0);
    static final Field RECINVSID = Field.rw("RECINVSID", 1);
    static final Register CR2 = Register.word("SMMU_CR2", 0x2c, E2H, RECINVSID, Field.rw("PTM", 2));

    // 6.3.13, 6.3.14
    static final Register STATUSR = Register.word("SMMU_STATUSR", 0x40, Field.ro("DORMANT", 0, 1, 0));
    static final Field GBPA_MEMATTR = Field.rw("MemAttr", 0, 4);
    static final Field GBPA_MTCFG = Field.rw("MTCFG", 4);
    static final Field GBPA_SHCFG = Field.rw("SHCFG", 12, 2).resetTo(1); // Use incoming.
    static final Field GBPA_ABORT = Field.rw("ABORT", 20);
    static final Field GBPA_UPDATE = Field.busy("Update", 31);
    static final Register GBPA = Register.word(
            "SMMU_GBPA",
            0x44,
            GBPA_MEMATTR,
            GBPA_MTCFG,
            Field.rw("ALLOCCFG", 8, 4),
            GBPA_SHCFG,
            Field.rw("PRIVCFG", 16, 2),
            Field.rw("INSTCFG", 18, 2),
            GBPA_ABORT,
            GBPA_UPDATE);
    static final Register AGBPA = Register.word("SMMU_AGBPA", 0x48, Field.ro("IMPLEMENTATION_DEFINED", 0, 32, 0));

    // 6.3.16, 6.3.17
    static final Field GERROR_IRQEN = Field.rw("GERROR_IRQEN", 0);
    static final Field EVENTQ_IRQEN = Field.rw("EVENTQ_IRQEN", 2);
    static final Register IRQ_CTRL = Register.word("SMMU_IRQ_CTRL", 0x50, GERROR_IRQEN, EVENTQ_IRQEN);
    static final Register IRQ_CTRLACK = Register.acknowledge("SMMU_IRQ_CTRLACK", 0x54, IRQ_CTRL);

    // 6.3.18, 6.3.19: the bits are those of GlobalError.
    static final Register GERROR = Register.word("SMMU_GERROR", 0x60, Field.ro("errors", 0, 9, 0));
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
            Field.rw("SFM_ERR", 8));

    // 6.3.20 to 6.3.22, 6.3.31 to 6.3.33
    static final Field MSI_ADDR = Field.rw("ADDR", 2, 50);
    static final Register GERROR_IRQ_CFG0 = Register.dword("SMMU_GERROR_IRQ_CFG0", 0x68, MSI_ADDR);
    static final Register GERROR_IRQ_CFG1 = Register.word("SMMU_GERROR_IRQ_CFG1", 0x70, Field.rw("DATA", 0, 32));
    static final Register GERROR_IRQ_CFG2 =
            Register.word("SMMU_GERROR_IRQ_CFG2", 0x74, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2));
    static final Register EVENTQ_IRQ_CFG0 = Register.dword("SMMU_EVENTQ_IRQ_CFG0", 0xb0, MSI_ADDR);
    static final Register EVENTQ_IRQ_CFG1 = Register.word("SMMU_EVENTQ_IRQ_CFG1", 0xb8, Field.rw("DATA", 0, 32));
    static final Register EVENTQ_IRQ_CFG2 =
            Register.word("SMMU_EVENTQ_IRQ_CFG2", 0xbc, Field.rw("MemAttr", 0, 4), Field.rw("SH", 4, 2));

    // 6.3.24, 6.3.25
    static final Field STRTAB_ADDR = Field.rw("ADDR", 6, 46);
    static final Register STRTAB_BASE = Register.dword("SMMU_STRTAB_BASE", 0x80, STRTAB_ADDR, Field.rw("RA", 62));
    static final Field STRTAB_LOG2SIZE = Field.rw("LOG2SIZE", 0, 6);
    static final Field STRTAB_SPLIT = Field.rw("SPLIT", 6, 5);
    static final Field STRTAB_FMT = Field.rw("FMT", 16, 2);
    static final Register STRTAB_BASE_CFG =
            Register.word("SMMU_STRTAB_BASE_CFG", 0x88, STRTAB_LOG2SIZE, STRTAB_SPLIT, STRTAB_FMT);

    // 6.3.26 to 6.3.30
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

    // Page 1
    static final Field EVENTQ_WR = Field.rw("WR", 0, 20);
    static final Field OVFLG = Field.rw("OVFLG", 31);
    static final Register EVENTQ_PROD = Register.word("SMMU_EVENTQ_PROD", 0x100a8, EVENTQ_WR, OVFLG);
    static final Field EVENTQ_RD = Field.rw("RD", 0, 20);
    static final Field OVACKFLG = Field.rw("OVACKFLG", 31);
    static final Register EVENTQ_CONS = Register.word("SMMU_EVENTQ_CONS", 0x100ac, EVENTQ_RD, OVACKFLG);

    // 6.3.61: as on a CoreSight component, IMPLEMENTATION DEFINED but for CIDR.
    private static Register id(String name, int offset, int value) {
        return Register.word("SMMU_" + name, offset, Field.ro(name, 0, 8, value));
    }

    static final RegisterMap MAP = new RegisterMap(
            0x20000,
            List.of(
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
                    id("PIDR4", 0xfd0, 0),
                    id("PIDR0", 0xfe0, 0),
                    id("PIDR1", 0xfe4, 0),
                    id("PIDR2", 0xfe8, 0),
                    id("PIDR3", 0xfec, 0),
                    id("CIDR0", 0xff0, 0x0d),
                    id("CIDR1", 0xff4, 0xf0),
                    id("CIDR2", 0xff8, 0x05),
                    id("CIDR3", 0xffc, 0xb1),
                    EVENTQ_PROD,
                    EVENTQ_CONS));
}
