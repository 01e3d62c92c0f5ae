/*
 * Reference loops: what the same work costs in plain C on this machine, the "physical limit" that bench compares the
 * emulator with.
 *
 * Every loop but _decode is a dependent chain: the result of a step is the input of the next one, so that a time per
 * step is a latency and not how many steps a processor overlaps. Memory is the caller's, in little-endian byte order, aligned to
 * 8 bytes, not changed and not kept. Sizes and offsets are in bytes unless a name says otherwise. No loop reads outside
 * the memory that it is given, whatever that holds. Every function may be called by any number of threads at a time.
 *
 * C11. Hosts: little-endian, 64 bits; GNU C compilers (gcc, clang).
 */
#ifndef IOMMU_EMU_REFERENCE_H
#define IOMMU_EMU_REFERENCE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Result of a chain that cannot go on: a miss, an invalid descriptor, an address outside the memory. */
#define IOMMU_EMU_REFERENCE_FAULT UINT64_MAX

/* Ways of a set of iommu_emu_reference_look_up. */
#define IOMMU_EMU_REFERENCE_WAYS 4

/*
 * Looks pages up in a set-associative array, `count` times, each time the address that the one before gave.
 *
 * sets:      set_count sets of 64 bytes: four tags, then the four values that belong to them. A tag is an input page
 *            address (bits 63:12) with bit 0 set; 0 is an empty way. A value is an output page address (bits 63:12).
 *            A page lies in the set whose number is the page number (input >> 12) modulo set_count.
 * set_count: a power of two; anything else is a fault
 * input:     first address; bits 11:0 are carried through to the result
 * returns    the last output address, IOMMU_EMU_REFERENCE_FAULT at the first miss; `input` if count is 0
 */
uint64_t iommu_emu_reference_look_up(const void *sets, uint64_t set_count, uint64_t input, uint64_t count);

/*
 * Translates through a four-level table of VMSAv8-64 with 4 KiB granule and 48 bits of input address (Arm ARM, D8.3),
 * `count` times, each time the address that the one before gave. Reads addresses, valid and table bits, at levels 1 and
 * 2 also blocks; permissions, attributes and the Access flag are not looked at.
 *
 * image:     a copy of RAM
 * size:      of the image
 * base:      physical address of the image's first byte
 * root:      physical address of the level 0 table, a multiple of 4096
 * input:     first input address
 * returns    the last output address, IOMMU_EMU_REFERENCE_FAULT at the first translation that fails or whose tables do
 *            not lie in the image; `input` if count is 0
 */
uint64_t iommu_emu_reference_walk(const void *image, uint64_t size, uint64_t base, uint64_t root, uint64_t input,
                                  uint64_t count);

/*
 * As iommu_emu_reference_walk, with a stage 2 that is cached: the address of each descriptor, and at last the output,
 * are looked up as iommu_emu_reference_look_up does it. Four loads and five look-ups, each of which needs the one before.
 *
 * sets, set_count: as there
 * returns          IOMMU_EMU_REFERENCE_FAULT also at the first miss
 */
uint64_t iommu_emu_reference_nested_walk(const void *image, uint64_t size, uint64_t base, uint64_t root,
                                         const void *sets, uint64_t set_count, uint64_t input, uint64_t count);

/*
 * Reads 64-bit words, `count` times, each time at the offset that the one before holds.
 *
 * words:     memory of `size` bytes
 * offset:    of the first word, a multiple of 8
 * returns    the last word read (which may be equal to IOMMU_EMU_REFERENCE_FAULT), IOMMU_EMU_REFERENCE_FAULT at the
 *            first offset that is no multiple of 8 or not within the memory; `offset` if count is 0
 */
uint64_t iommu_emu_reference_load(const void *words, uint64_t size, uint64_t offset, uint64_t count);

/*
 * Reads 32-bit registers through a function pointer that the compiler cannot see through (a "virtual call"), `count`
 * times, each time at the offset that the one before holds.
 *
 * registers: memory of `size` bytes
 * offset:    of the first register, a multiple of 4
 * returns    the last value read, 0 to UINT32_MAX; IOMMU_EMU_REFERENCE_FAULT at the first offset that is no multiple of
 *            4 or not within the memory; `offset` if count is 0
 */
uint64_t iommu_emu_reference_read(const void *registers, uint64_t size, uint64_t offset, uint64_t count);

/*
 * Decodes commands of an SMMUv3 Command queue (IHI 0070, 4), `count` of them: what any implementation must do with the
 * bytes before it can act on them. Takes CMD_TLBI_NH_ASID (0x11), CMD_TLBI_NH_VA (0x12), CMD_TLBI_S12_VMALL (0x28) and
 * CMD_SYNC (0x46). This loop is no dependent chain: commands do not depend on one another.
 *
 * commands:  the ring, `size` bytes, a power of two of 16-byte commands
 * first:     index of the first command, less than size / 16; behind the last one comes the first
 * returns    a digest of opcodes and parameters: from 0, for each command rotated left by one and XORed with the opcode
 *            and, if the command has them, VMID << 16, ASID << 32 and the address's bits 63:12;
 *            IOMMU_EMU_REFERENCE_FAULT at the first other opcode, or if size or first are none (a digest may have that
 *            value, too)
 */
uint64_t iommu_emu_reference_decode(const void *commands, uint64_t size, uint64_t first, uint64_t count);

#ifdef __cplusplus
}
#endif

#endif
