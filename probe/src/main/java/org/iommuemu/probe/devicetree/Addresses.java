package org.iommuemu.probe.devicetree;

import java.util.ArrayList;
import java.util.List;

/** {@code reg} and {@code ranges}: from a bus's addresses to the CPU's (Devicetree Specification v0.4, 2.3.6, 2.3.8). */
final class Addresses {
    private Addresses() {}

    static List<AddressRange> reg(DeviceTreeNode node) {
        Property reg = node.property("reg").orElse(null);
        if (reg == null || node.parent() == null || !isMapped(node.parent())) {
            return List.of();
        }
        List<AddressRange> result = new ArrayList<>();
        for (long[] row : reg.rows(node.parent().addressCells(), node.parent().sizeCells())) {
            requireNoWrap(reg, row[0], row[1]);
            long base = row[0];
            for (DeviceTreeNode bus = node.parent(); bus.parent() != null; bus = bus.parent()) {
                base = translate(reg, bus, base);
            }
            requireNoWrap(reg, base, row[1]);
            result.add(new AddressRange(base, row[1]));
        }
        return List.copyOf(result);
    }

    /** Whether the CPU reaches this bus by addresses. PCI's have three cells, and its spaces are not only memory. */
    private static boolean isMapped(DeviceTreeNode bus) {
        for (; bus.parent() != null; bus = bus.parent()) {
            if (!bus.has("ranges") || bus.addressCells() > 2) {
                return false;
            }
        }
        return true;
    }

    static List<long[]> ranges(DeviceTreeNode bus, Property ranges) {
        List<long[]> rows = ranges.rows(bus.addressCells(), bus.parent().addressCells(), bus.sizeCells());
        for (long[] row : rows) {
            requireNoWrap(ranges, row[0], row[2]);
            requireNoWrap(ranges, row[1], row[2]);
        }
        return rows;
    }

    private static long translate(Property reg, DeviceTreeNode bus, long address) {
        List<long[]> ranges = bus.ranges();
        if (ranges.isEmpty()) {
            return address;
        }
        for (long[] row : ranges) {
            if (Long.compareUnsigned(address - row[0], row[2]) < 0) {
                return address - row[0] + row[1];
            }
        }
        throw reg.error("0x%x is in no range of %s", address, bus);
    }

    private static void requireNoWrap(Property property, long base, long size) {
        if (AddressRange.wraps(base, size)) {
            throw property.error("0x%x bytes at 0x%x go past 2^64", size, base);
        }
    }
}
