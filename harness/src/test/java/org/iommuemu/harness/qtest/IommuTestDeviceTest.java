package org.iommuemu.harness.qtest;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The iommu-testdev behind the SMMU, programmed as qtest programs do it: one page mapped by stage 1, by stage 2 or by one
 * over the other, one transfer, one verdict.
 */
class IommuTestDeviceTest {
    private static final long CONFIG = Talk.ECAM + (1 << 15);
    private static final long BAR = 0x1000_0000L;
    private static final int STREAM_ID = 1 << 3;

    private static final long STREAM_TABLE = 0x4e17_9000L;
    private static final long CONTEXT_DESCRIPTOR = 0x4e18_0000L;
    private static final long COMMANDS = 0x4e16_b000L;
    private static final long EVENTS = 0x4e17_0000L;
    private static final long STAGE_1_TABLES = 0x4e4d_0000L;
    private static final long STAGE_2_TABLES = 0x4e5d_0000L;
    private static final long IOVA = 0x80_8060_4567L;
    private static final long TARGET = 0x4ecb_a000L;

    private static final long OK = 0;
    private static final long BUSY = 0xffff_fffeL;
    private static final long TX_FAIL = 0xdead_0002L;

    private Talk talk = Talk.with(Talk.virt("iommu-testdev"));

    private enum Mode {
        STAGE_1(5),
        STAGE_2(6),
        NESTED(7);

        private final int config;

        Mode(int config) {
            this.config = config;
        }
    }

    /** Maps a page with four levels of tables of 4 KiB, each level's in a page of its own. */
    private void map(long tables, long input, long output, long leaf) {
        for (int level = 0; level < 3; level++) {
            long index = input >>> 39 - 9 * level & 0x1ff;
            talk.writeq(tables + 0x1000L * level + 8 * index, tables + 0x1000L * (level + 1) | 3);
        }
        talk.writeq(tables + 0x3000 + 8 * (input >>> 12 & 0x1ff), output | leaf);
    }

    private void enable(Mode mode) {
        talk.writel(CONFIG + 0x10, BAR);
        talk.writel(CONFIG + 4, 7);
        long ste = STREAM_TABLE + 64 * STREAM_ID;
        talk.writeq(ste, 1 | mode.config << 1 | (mode == Mode.STAGE_2 ? 0 : CONTEXT_DESCRIPTOR));
        if (mode != Mode.STAGE_1) {
            // S2T0SZ 20, S2SL0 2 (level 0), 4 KiB, S2PS 48 bits, AArch64, S2R.
            talk.writeq(ste + 16, 20L << 32 | 2L << 38 | 5L << 48 | 1L << 51 | 1L << 58);
            talk.writeq(ste + 24, STAGE_2_TABLES);
        }
        // T0SZ 16, EPD1, V; IPS 44 bits, AArch64, R, A, ASID.
        talk.writeq(CONTEXT_DESCRIPTOR, 16 | 1L << 30 | 1L << 31 | 4L << 32 | 1L << 41 | 3L << 45 | 0x1e20L << 48);
        talk.writeq(CONTEXT_DESCRIPTOR + 8, STAGE_1_TABLES);
        long readWrite = 3 | 1 << 6 | 3 << 8 | 1 << 10;
        long stage2ReadWrite = 3 | 0xf << 2 | 3 << 6 | 3 << 8 | 1 << 10;
        map(STAGE_1_TABLES, IOVA, TARGET, readWrite);
        map(STAGE_2_TABLES, mode == Mode.STAGE_2 ? IOVA : TARGET, TARGET, stage2ReadWrite);
        if (mode == Mode.NESTED) {
            for (long page = STAGE_1_TABLES; page < STAGE_1_TABLES + 0x4000; page += 0x1000) {
                map(STAGE_2_TABLES, page, page, stage2ReadWrite);
            }
            map(STAGE_2_TABLES, CONTEXT_DESCRIPTOR, CONTEXT_DESCRIPTOR, stage2ReadWrite);
        }
        talk.writel(Talk.SMMU + 0x44, 0x8000_0000L); // GBPA.Update
        talk.writel(Talk.SMMU + 0x20, 0);
        talk.writel(Talk.SMMU + 0x28, 0xd75); // CR1
        talk.writeq(Talk.SMMU + 0x90, COMMANDS | 0xa);
        talk.writeq(Talk.SMMU + 0xa0, EVENTS | 0xa);
        talk.writel(Talk.SMMU + 0x88, 5); // A linear table of 32 entries.
        talk.writeq(Talk.SMMU + 0x80, STREAM_TABLE);
        talk.writel(Talk.SMMU + 0x20, 0xd);
        assertEquals(0xd, talk.readl(Talk.SMMU + 0x24));
    }

    private long transfer(long address, int length, int attributes) {
        talk.writel(BAR + 0x4, address);
        talk.writel(BAR + 0x8, address >>> 32);
        talk.writel(BAR + 0x1c, TARGET | IOVA & 0xfff);
        talk.writel(BAR + 0x20, 0);
        talk.writel(BAR + 0xc, length);
        talk.writel(BAR + 0x18, attributes);
        talk.writel(BAR + 0x14, 1);
        assertEquals(BUSY, talk.readl(BAR + 0x10));
        assertEquals(0, talk.readl(BAR));
        return talk.readl(BAR + 0x10);
    }

    @ParameterizedTest
    @EnumSource(Mode.class)
    void aMappedPageIsWritten(Mode mode) {
        enable(mode);
        assertEquals(OK, transfer(IOVA, 6, 0xa));
        talk.expect("OK 0x0078563412785600", "read 0x%x 8".formatted(TARGET + 0x566));
        assertEquals(0, talk.readl(Talk.SMMU + 0x100a8));
    }

    @ParameterizedTest
    @EnumSource(Mode.class)
    void anUnmappedPageFailsAndIsAnEvent(Mode mode) {
        enable(mode);
        assertEquals(TX_FAIL, transfer(IOVA + 0x1000, 4, 0xa));
        assertEquals(1, talk.readl(Talk.SMMU + 0x100a8));
        assertEquals(0x10 | (long) STREAM_ID << 32, talk.readq(EVENTS)); // F_TRANSLATION
        assertEquals(IOVA + 0x1000, talk.readq(EVENTS + 16));
    }

    @ParameterizedTest
    @CsvSource({
        "0, 4, 0xa, 0xdead0004", // The pattern went elsewhere: MISMATCH.
        "0, 0, 0xa, 0xdead0001", // BAD_LEN
        "0, 4, 0xb, 0xdead0006", // Secure, and the Non-secure space: BAD_ATTRS.
        "0, 4, 0x8, 0xdead0006",
        "0, 4, 0x3, 0xdead0004", // The space is not valid: nothing to contradict.
        "0x20000000, 4, 0xa, 0xdead0002" // Behind the end of RAM: TX_FAIL.
    })
    void withoutTranslationTheVerdictIsOnTheTransfer(String offset, int length, String attributes, String verdict) {
        talk.writel(CONFIG + 0x10, BAR);
        talk.writel(CONFIG + 4, 7);
        assertEquals(
                Long.decode(verdict), transfer(Talk.RAM + Long.decode(offset), length, Integer.decode(attributes)));
    }

    @Test
    void whatIsNotArmedIsNotTransferred() {
        talk.writel(CONFIG + 0x10, BAR);
        talk.writel(CONFIG + 4, 7);
        assertEquals(0xffff_ffffL, talk.readl(BAR + 0x10));
        talk.readl(BAR);
        assertEquals(0xdead_0005L, talk.readl(BAR + 0x10));
        talk.writel(BAR + 0x14, 0);
        assertEquals(0xffff_ffffL, talk.readl(BAR + 0x10));
    }

    @Test
    void anSmmuOnThePlatformBusIsInFrontOfItToo() {
        LaunchBuilder options = LaunchBuilder.likeQemu();
        options.machine("virt,gic-version=3");
        options.net("-net", "none");
        options.device("arm-smmuv3,primary-bus=pcie.0");
        options.device("iommu-testdev");
        options.qtest("null");
        talk = Talk.with(options);
        talk.writel(CONFIG + 0x10, BAR);
        talk.writel(CONFIG + 4, 7);
        assertEquals(3, talk.readl(0x0c00_0000L) & 3);
        talk.writel(0x0c00_0044L, 0x8010_0000L); // GBPA: abort
        assertEquals(TX_FAIL, transfer(Talk.RAM, 4, 0xa));
    }
}
