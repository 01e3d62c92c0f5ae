package org.iommuemu.smmuv3;

import java.util.function.IntToLongFunction;

/** What an SMMU's registers say, by the bit numbers of IHI 0070, 6.3. Shares no code with what it is compared with. */
final class PlainRegisters {
    private final IntToLongFunction registers;

    /** @param registers a register's value, by its offset */
    PlainRegisters(IntToLongFunction registers) {
        this.registers = registers;
    }

    /** Bits high to low of the register at an offset. */
    private long field(int offset, int high, int low) {
        return Plain.bits(registers.applyAsLong(offset), high, low);
    }

    private boolean flag(int offset, int bit) {
        return field(offset, bit, bit) == 1;
    }

    // SMMU_IDR0

    boolean stage2() {
        return flag(0x0, 0);
    }

    boolean stage1() {
        return flag(0x0, 1);
    }

    int httu() {
        return (int) field(0x0, 7, 6);
    }

    boolean hyp() {
        return flag(0x0, 9);
    }

    boolean ats() {
        return flag(0x0, 10);
    }

    boolean ns1Ats() {
        return flag(0x0, 11);
    }

    boolean asid16() {
        return flag(0x0, 12);
    }

    boolean vmid16() {
        return flag(0x0, 18);
    }

    boolean cd2l() {
        return flag(0x0, 19);
    }

    int ttEndian() {
        return (int) field(0x0, 22, 21);
    }

    int stallModel() {
        return (int) field(0x0, 25, 24);
    }

    boolean termModel() {
        return flag(0x0, 26);
    }

    boolean twoLevelStreamTable() {
        return field(0x0, 28, 27) == 1;
    }

    // SMMU_IDR1

    int sidSize() {
        return (int) field(0x4, 5, 0);
    }

    int ssidSize() {
        return (int) field(0x4, 10, 6);
    }

    boolean attrPermsOvr() {
        return flag(0x4, 26);
    }

    boolean attrTypesOvr() {
        return flag(0x4, 27);
    }

    // SMMU_IDR3

    boolean had() {
        return flag(0xc, 2);
    }

    boolean xnx() {
        return flag(0xc, 4);
    }

    boolean fwb() {
        return flag(0xc, 8);
    }

    boolean stt() {
        return flag(0xc, 9);
    }

    boolean e0pd() {
        return flag(0xc, 13);
    }

    // SMMU_IDR5

    int oas() {
        return Plain.addressSize((int) field(0x14, 2, 0));
    }

    boolean granule(int pageBits) {
        return flag(0x14, pageBits == 12 ? 4 : pageBits == 14 ? 5 : 6);
    }

    boolean ds() {
        return flag(0x14, 7);
    }

    boolean va52() {
        return field(0x14, 11, 10) != 0;
    }

    // SMMU_AIDR

    boolean v3_0() {
        return field(0x1c, 7, 0) == 0;
    }

    // Control

    boolean smmuEn() {
        return flag(0x20, 0);
    }

    boolean e2h() {
        return flag(0x2c, 0);
    }

    boolean recInvSid() {
        return flag(0x2c, 1);
    }

    long gbpa() {
        return registers.applyAsLong(0x44);
    }

    long streamTable() {
        return Plain.bits(registers.applyAsLong(0x80), 51, 6) * Plain.power(6);
    }

    int log2Size() {
        return (int) field(0x88, 5, 0);
    }

    /** 6, 8 or 10; other values behave as 6. */
    int split() {
        int split = (int) field(0x88, 10, 6);
        return split == 8 || split == 10 ? split : 6;
    }

    boolean twoLevel() {
        return field(0x88, 17, 16) == 1 && twoLevelStreamTable();
    }
}
