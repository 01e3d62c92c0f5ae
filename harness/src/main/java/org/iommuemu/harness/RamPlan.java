package org.iommuemu.harness;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.probe.devicetree.AddressRange;
import org.iommuemu.probe.devicetree.DeviceTree;

/**
 * Who gets which RAM: firmware what the tree reserves, the hypervisor a heap, domain 0 the rest.
 *
 * @param memory all RAM
 * @param heap the hypervisor's; below 2^40, so that an IPMMU can walk tables in it
 * @param domain0 domain 0's, page-aligned
 * @param note what the tree did not say and had to be chosen, or null
 */
record RamPlan(PhysicalMemory memory, AddressRange heap, List<AddressRange> domain0, String note) {
    private static final long PAGE = 4096;
    private static final long MIB = 1 << 20;

    /** Stage 2 tables with the 4 KiB granule reach so far. */
    private static final long OUTPUT_LIMIT = 1L << 48;

    /** What an IPMMU's 40-bit table addresses reach. */
    private static final long TABLE_LIMIT = 1L << 40;

    /** Less than this is a stub for a boot loader to fill in. */
    private static final long LEAST_RAM = 16 * MIB;

    private static final long MOST_HEAP = 1024 * MIB;

    /**
     * Makes the plan.
     *
     * @param devices windows that RAM of our choice must leave free
     */
    static RamPlan of(DeviceTree tree, List<AddressRange> devices) {
        List<AddressRange> ram = below(tree.memory(), OUTPUT_LIMIT);
        String note = null;
        if (largest(below(ram, TABLE_LIMIT)).size() < LEAST_RAM) {
            AddressRange chosen = free(devices);
            ram = new ArrayList<>(ram);
            ram.add(chosen);
            note = "the tree leaves RAM to the boot loader: 1 GiB at 0x%x is assumed".formatted(chosen.base());
        }
        PhysicalMemory memory = new PhysicalMemory();
        ram.forEach(range -> memory.addRam(range.base(), range.size()));
        // Banks that overlap are one by now.
        List<AddressRange> free = memory.ranges().stream()
                .map(range -> new AddressRange(range.base(), range.size()))
                .toList();
        List<AddressRange> reserved = new ArrayList<>(tree.memoryReservations());
        reserved.addAll(tree.reservedMemory());
        for (AddressRange range : reserved) {
            free = without(free, range);
        }
        free = free.stream().map(RamPlan::pages).filter(r -> r.size() > 0).toList();
        AddressRange bank = largest(below(free, TABLE_LIMIT));
        if (bank.size() < LEAST_RAM) {
            throw new BoardException(
                    tree.name() + ": /memory: no 16 MiB of RAM are left below 2^40 beside what is reserved");
        }
        long heapSize = Math.min(bank.size() / 4 & -2 * MIB, MOST_HEAP);
        AddressRange heap = new AddressRange(bank.base() + bank.size() - heapSize & -2 * MIB, heapSize);
        return new RamPlan(memory, heap, without(free, heap), note);
    }

    private static AddressRange free(List<AddressRange> devices) {
        for (long base = 1L << 30; ; base += 1L << 30) {
            AddressRange candidate = new AddressRange(base, 1L << 30);
            if (devices.stream().noneMatch(candidate::overlaps)) {
                return candidate;
            }
        }
    }

    private static AddressRange largest(List<AddressRange> ranges) {
        return ranges.stream().max(Comparator.comparingLong(AddressRange::size)).orElse(new AddressRange(0, 0));
    }

    /** The parts of ranges below an address. */
    private static List<AddressRange> below(List<AddressRange> ranges, long limit) {
        return ranges.stream()
                .filter(r -> Long.compareUnsigned(r.base(), limit) < 0)
                .map(r -> Long.compareUnsigned(r.size(), limit - r.base()) <= 0
                        ? r
                        : new AddressRange(r.base(), limit - r.base()))
                .toList();
    }

    private static List<AddressRange> without(List<AddressRange> ranges, AddressRange hole) {
        List<AddressRange> rest = new ArrayList<>();
        for (AddressRange range : ranges) {
            if (hole.size() == 0 || !range.overlaps(hole)) {
                rest.add(range);
                continue;
            }
            if (Long.compareUnsigned(range.base(), hole.base()) < 0) {
                rest.add(new AddressRange(range.base(), hole.base() - range.base()));
            }
            if (hole.end() != 0 && Long.compareUnsigned(hole.end(), range.end()) < 0) {
                rest.add(new AddressRange(hole.end(), range.end() - hole.end()));
            }
        }
        return rest;
    }

    private static AddressRange pages(AddressRange range) {
        long base = range.base() + PAGE - 1 & -PAGE;
        long end = range.end() & -PAGE;
        return new AddressRange(base, Math.max(0, end - base));
    }
}
