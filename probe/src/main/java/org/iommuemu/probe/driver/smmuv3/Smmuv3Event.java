package org.iommuemu.probe.driver.smmuv3;

import java.util.Map;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.FaultReport;

/** Reads event records (IHI 0070, 7.3). */
final class Smmuv3Event {
    private static final Map<Integer, String> NAMES = Map.ofEntries(
            Map.entry(0x01, "F_UUT"),
            Map.entry(0x02, "C_BAD_STREAMID"),
            Map.entry(0x03, "F_STE_FETCH"),
            Map.entry(0x04, "C_BAD_STE"),
            Map.entry(0x05, "F_BAD_ATS_TREQ"),
            Map.entry(0x06, "F_STREAM_DISABLED"),
            Map.entry(0x07, "F_TRANSL_FORBIDDEN"),
            Map.entry(0x08, "C_BAD_SUBSTREAMID"),
            Map.entry(0x09, "F_CD_FETCH"),
            Map.entry(0x0a, "C_BAD_CD"),
            Map.entry(0x0b, "F_WALK_EABT"),
            Map.entry(0x10, "F_TRANSLATION"),
            Map.entry(0x11, "F_ADDR_SIZE"),
            Map.entry(0x12, "F_ACCESS"),
            Map.entry(0x13, "F_PERMISSION"),
            Map.entry(0x20, "F_TLB_CONFLICT"),
            Map.entry(0x21, "F_CFG_CONFLICT"),
            Map.entry(0x24, "E_PAGE_REQUEST"));

    private Smmuv3Event() {}

    static FaultReport report(DeviceTreeNode node, long word0, long word1, long word2, long word3) {
        int type = (int) word0 & 0xff;
        String name = NAMES.getOrDefault(type, "event 0x%02x".formatted(type));
        String details = "%s, %s, stage %d, record %016x %016x %016x %016x"
                .formatted(
                        (word1 & 1L << 35) != 0 ? "read" : "write",
                        (word1 & 1L << 33) != 0 ? "privileged" : "unprivileged",
                        (word1 & 1L << 39) != 0 ? 2 : 1,
                        word0,
                        word1,
                        word2,
                        word3);
        return new FaultReport(node, name, word0 >>> 32, word2, details);
    }
}
