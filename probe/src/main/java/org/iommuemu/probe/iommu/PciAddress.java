package org.iommuemu.probe.iommu;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The address of a PCI function.
 *
 * @param segment 16 bits
 * @param requesterId bus in bits 15:8, device in bits 7:3, function in bits 2:0
 */
public record PciAddress(int segment, int requesterId) {
    private static final Pattern TEXT =
            Pattern.compile("(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([0-1]?[0-9a-fA-F])\\.([0-7])");

    /** Reads "0000:01:00.0", or "01:00.0" in segment 0; empty if it is not one. */
    public static Optional<PciAddress> parse(String text) {
        Matcher matcher = TEXT.matcher(text);
        if (!matcher.matches()) {
            return Optional.empty();
        }
        int segment = matcher.group(1) == null ? 0 : Integer.parseInt(matcher.group(1), 16);
        int requesterId = Integer.parseInt(matcher.group(2), 16) << 8
                | Integer.parseInt(matcher.group(3), 16) << 3
                | Integer.parseInt(matcher.group(4));
        return Optional.of(new PciAddress(segment, requesterId));
    }

    @Override
    public String toString() {
        return "%04x:%02x:%02x.%d".formatted(segment, requesterId >> 8, requesterId >> 3 & 0x1f, requesterId & 7);
    }
}
