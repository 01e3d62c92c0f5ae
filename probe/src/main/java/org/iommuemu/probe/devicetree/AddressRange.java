package org.iommuemu.probe.devicetree;

/**
 * A range of addresses. Both numbers are unsigned.
 *
 * @param base the first address
 * @param size in bytes; zero is a range that contains nothing. {@code base + size} is at most 2<sup>64</sup>.
 */
public record AddressRange(long base, long size) {
    /** @throws IllegalArgumentException if the range goes past 2<sup>64</sup> */
    public AddressRange {
        if (wraps(base, size)) {
            throw new IllegalArgumentException(
                    String.format("0x%x bytes at 0x%x go past the 64-bit address space", size, base));
        }
    }

    /** Returns the address after the last one; zero if the range goes up to 2<sup>64</sup>. */
    public long end() {
        return base + size;
    }

    /** Returns whether {@code address} (unsigned) lies in the range. */
    public boolean contains(long address) {
        return Long.compareUnsigned(address - base, size) < 0;
    }

    /** Returns whether any address lies in both ranges. */
    public boolean overlaps(AddressRange other) {
        return size != 0 && other.size != 0 && (contains(other.base) || other.contains(base));
    }

    @Override
    public String toString() {
        return String.format("0x%x+0x%x", base, size);
    }

    static boolean wraps(long base, long size) {
        return size != 0 && Long.compareUnsigned(base + (size - 1), base) < 0;
    }
}
