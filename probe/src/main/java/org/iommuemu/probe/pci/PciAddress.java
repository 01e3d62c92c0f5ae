package org.iommuemu.probe.pci;

import java.util.Comparator;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a function is: {@code 000a:11:00.1}.
 *
 * @param domain the PCI segment, 0 to 2<sup>31</sup> - 1
 * @param bus 8 bits
 * @param device 5 bits
 * @param function 3 bits
 */
public record PciAddress(int domain, int bus, int device, int function) implements Comparable<PciAddress> {
    private static final Pattern FORM =
            Pattern.compile("(?:([0-9a-fA-F]{4,8}):)?([0-9a-fA-F]{2}):([01][0-9a-fA-F])\\.([0-7])");
    private static final Comparator<PciAddress> ORDER =
            Comparator.comparingInt(PciAddress::domain).thenComparingInt(PciAddress::requesterId);

    /** An address from its domain and its requester ID (bus 15:8, device 7:3, function 2:0). */
    public static PciAddress of(int domain, int requesterId) {
        return new PciAddress(domain, requesterId >> 8 & 0xff, requesterId >> 3 & 0x1f, requesterId & 7);
    }

    /** Reads {@code bb:dd.f} or {@code dddd:bb:dd.f} (four to eight digits of domain); empty if it is neither. */
    public static Optional<PciAddress> parse(String text) {
        Matcher form = FORM.matcher(text);
        if (!form.matches()) {
            return Optional.empty();
        }
        long domain = form.group(1) == null ? 0 : Long.parseLong(form.group(1), 16);
        if (domain > Integer.MAX_VALUE) {
            return Optional.empty();
        }
        return Optional.of(new PciAddress(
                (int) domain,
                Integer.parseInt(form.group(2), 16),
                Integer.parseInt(form.group(3), 16),
                Integer.parseInt(form.group(4))));
    }

    /** Device and function: 7:3 and 2:0. */
    public int devfn() {
        return device << 3 | function;
    }

    /** The 16-bit requester ID: bus 15:8, device 7:3, function 2:0. */
    public int requesterId() {
        return bus << 8 | devfn();
    }

    @Override
    public int compareTo(PciAddress other) {
        return ORDER.compare(this, other);
    }

    /** As Linux names it: {@code 0000:00:1f.2}. */
    @Override
    public String toString() {
        return "%04x:%02x:%02x.%d".formatted(domain, bus, device, function);
    }
}
