package org.iommuemu.probe.driver.smmuv3;

/** Offsets and bits as the driver knows them (IHI 0070, chapters 4 to 7); of a model it knows nothing. */
final class Smmuv3Registers {
    static final int IDR0 = 0x00;
    static final int IDR0_S2P = 1;
    static final int IDR0_COHACC = 1 << 4;
    static final int IDR0_HYP = 1 << 9;
    static final int IDR0_VMID16 = 1 << 18;

    static final int IDR1 = 0x04;
    static final int IDR1_TABLES_PRESET = 1 << 30;
    static final int IDR1_QUEUES_PRESET = 1 << 29;
    static final int IDR1_REL = 1 << 28;

    static final int IDR5 = 0x14;
    static final int IDR5_GRAN4K = 1 << 4;

    static final int CR0 = 0x20;
    static final int CR0ACK = 0x24;
    static final int CR0_SMMUEN = 1;
    static final int CR0_EVENTQEN = 1 << 2;
    static final int CR0_CMDQEN = 1 << 3;

    static final int CR1 = 0x28;
    /** Tables and queues: inner shareable, write-back. */
    static final int CR1_VALUE = 3 << 10 | 1 << 8 | 1 << 6 | 3 << 4 | 1 << 2 | 1;

    static final int CR2 = 0x2c;
    static final int CR2_E2H = 1;
    static final int CR2_RECINVSID = 1 << 1;
    static final int CR2_PTM = 1 << 2;

    static final int GBPA = 0x44;
    static final int GBPA_UPDATE = 1 << 31;
    static final int GBPA_ABORT = 1 << 20;

    static final int IRQ_CTRL = 0x50;
    static final int IRQ_CTRLACK = 0x54;
    static final int IRQ_CTRL_GERROR_IRQEN = 1;
    static final int IRQ_CTRL_EVENTQ_IRQEN = 1 << 2;

    static final int GERROR = 0x60;
    static final int GERRORN = 0x64;
    static final int GERROR_CMDQ_ERR = 1;
    static final int GERROR_EVENTQ_ABT_ERR = 1 << 2;
    static final int GERROR_SFM_ERR = 1 << 8;

    static final int STRTAB_BASE = 0x80;
    static final long BASE_RA = 1L << 62;
    static final int STRTAB_BASE_CFG = 0x88;
    static final int STRTAB_FMT_2LVL = 1 << 16;
    static final int STRTAB_SPLIT_SHIFT = 6;

    static final int CMDQ_BASE = 0x90;
    static final int CMDQ_PROD = 0x98;
    static final int CMDQ_CONS = 0x9c;

    static final int EVENTQ_BASE = 0xa0;
    static final int EVENTQ_PROD = 0x100a8;
    static final int EVENTQ_CONS = 0x100ac;
    static final int EVENTQ_OVERFLOW = 1 << 31;

    // Stream table entry, by 64-bit word.
    static final long STE_V = 1;
    static final long STE_CONFIG_ABORT = 0;
    static final long STE_CONFIG_S2 = 6L << 1;
    static final long STE_1_SHCFG_INCOMING = 1L << 44;
    static final long STE_2_S2AA64 = 1L << 51;
    static final long STE_2_S2PTW = 1L << 54;
    static final long STE_2_S2R = 1L << 58;

    // Commands, low byte of the first word.
    static final long CMD_PREFETCH_CONFIG = 0x01;
    static final long CMD_CFGI_STE = 0x03;
    static final long CMD_CFGI_ALL = 0x04;
    static final long CMD_TLBI_EL2_ALL = 0x20;
    static final long CMD_TLBI_S12_VMALL = 0x28;
    static final long CMD_TLBI_NSNH_ALL = 0x30;
    static final long CMD_SYNC = 0x46;
    /** Completion by wake-up event; inner shareable, write-back. */
    static final long CMD_SYNC_SEV = 2L << 12 | 3L << 22 | 0xfL << 24;

    private Smmuv3Registers() {}

    static int field(int register, int lsb, int width) {
        return register >>> lsb & (1 << width) - 1;
    }
}
