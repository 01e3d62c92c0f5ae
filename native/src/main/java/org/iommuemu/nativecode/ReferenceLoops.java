package org.iommuemu.nativecode;

import java.nio.ByteBuffer;
import java.util.Optional;

/**
 * The C reference loops of {@code iommu_emu_reference.h}: what the same work costs in plain C on this machine. Every loop
 * but {@link #decode} is a dependent chain: the result of a step is the input of the next, so a time per step is a
 * latency.
 *
 * <p>Buffers are direct, little-endian, and used from index 0 to their capacity whatever position and limit are; C reads
 * nothing outside them, writes nothing and keeps nothing. Methods may be called by any number of threads at a time. All
 * throw {@link IllegalArgumentException} if a buffer is not direct or a count is negative.
 */
public interface ReferenceLoops {
    /** The result of a chain that cannot go on: a miss, an invalid descriptor, an address outside the memory. */
    long FAULT = -1;

    /** Ways of a set of {@link #lookUp}. */
    int WAYS = 4;

    /**
     * Looks pages up in a 4-way set-associative array, each time the address that the look-up before gave.
     *
     * @param sets sets of 64 bytes: four tags (input page address, bit 0 set; 0 is an empty way), then their four values
     *     (output page addresses). The number of sets is a power of two; a page lies in the set whose number is the page
     *     number (input &gt;&gt;&gt; 12) modulo the number of sets
     * @param input first address in bytes; bits 11:0 are carried through
     * @param count look-ups
     * @return the last output address, {@link #FAULT} at the first miss
     * @throws IllegalArgumentException also if the number of sets is not a power of two
     */
    long lookUp(ByteBuffer sets, long input, long count);

    /**
     * Translates through a four-level VMSAv8-64 table with 4 KiB granule and 48 bits of input address (Arm ARM, D8.3),
     * each time the address that the translation before gave. Permissions, attributes and the Access flag are not looked
     * at.
     *
     * @param image a copy of RAM that holds the tables
     * @param base physical address of the image's first byte
     * @param root physical address of the level 0 table
     * @param input first input address
     * @param count translations
     * @return the last output address, {@link #FAULT} at the first translation that fails or leaves the image
     */
    long walk(ByteBuffer image, long base, long root, long input, long count);

    /**
     * As {@link #walk}, with a stage 2 that is cached: the address of each descriptor and at last the output pass through
     * {@link #lookUp}. Four loads and five look-ups a translation.
     *
     * @param image as in {@link #walk}
     * @param base as in {@link #walk}
     * @param root as in {@link #walk}
     * @param sets as in {@link #lookUp}
     * @param input first input address
     * @param count translations
     * @return the last output address, {@link #FAULT} at the first translation that fails, misses or leaves the image
     * @throws IllegalArgumentException also if the number of sets is not a power of two
     */
    long nestedWalk(ByteBuffer image, long base, long root, ByteBuffer sets, long input, long count);

    /**
     * Reads 64-bit words, each time at the offset that the word before holds.
     *
     * @param offset of the first word in bytes
     * @param count reads
     * @return the last word, {@link #FAULT} at the first offset that is not a multiple of 8 or not in the buffer
     */
    long load(ByteBuffer words, long offset, long count);

    /**
     * Reads 32-bit registers through a function pointer, each time at the offset that the register before holds.
     *
     * @param offset of the first register in bytes
     * @param count reads
     * @return the last value, zero-extended; {@link #FAULT} at the first offset that is not a multiple of 4 or not in the
     *     buffer
     */
    long read(ByteBuffer registers, long offset, long count);

    /**
     * Decodes commands of an SMMUv3 Command queue: CMD_TLBI_NH_ASID, CMD_TLBI_NH_VA, CMD_TLBI_S12_VMALL and CMD_SYNC. No
     * dependent chain: commands do not depend on one another.
     *
     * @param commands the ring, a power of two of 16-byte commands
     * @param first index of the first one; behind the last in the buffer comes the first
     * @param count commands
     * @return a digest of opcodes and parameters, see {@code iommu_emu_reference.h}; {@link #FAULT} at any other opcode, or
     *     if there is no such ring or no such command in it
     */
    long decode(ByteBuffer commands, long first, long count);

    /**
     * Why the loops cannot be called here: they were not built for this system. Who can do without asks first.
     *
     * @return one line, empty if they can be called
     */
    static Optional<String> unavailable() {
        return Library.unavailable();
    }

    /**
     * The loops through JNA, with direct mapping.
     *
     * @throws UnsatisfiedLinkError if they are {@link #unavailable}
     */
    static ReferenceLoops jna() {
        return new JnaReferenceLoops(Library.path());
    }

    /**
     * The loops through jnr-ffi.
     *
     * @throws UnsatisfiedLinkError if they are {@link #unavailable}
     */
    static ReferenceLoops jnr() {
        return new JnrReferenceLoops(Library.path());
    }
}
