#include "iommu_emu_reference.h"

#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the reference loops read guest memory, which is little-endian, as the host's"
#endif

#define FAULT IOMMU_EMU_REFERENCE_FAULT
#define WAYS IOMMU_EMU_REFERENCE_WAYS

/* Descriptor bits, Arm ARM D8.3. */
#define VALID UINT64_C(1)
#define TABLE UINT64_C(2)
#define ADDRESS UINT64_C(0x0000fffffffff000)

#define PAGE_SHIFT 12
#define LEVEL_BITS 9
#define INPUT_BITS 48

/* One load instruction; memcpy says so without breaking the aliasing rules. */
static inline uint64_t load64(const void *memory, uint64_t offset)
{
    uint64_t value;
    memcpy(&value, (const unsigned char *)memory + offset, sizeof value);
    return value;
}

/* One look-up; `mask` is the number of sets less one. */
static inline uint64_t look_up(const void *sets, uint64_t mask, uint64_t input)
{
    const uint64_t page_mask = (UINT64_C(1) << PAGE_SHIFT) - 1;
    uint64_t tag = (input & ~page_mask) | 1;
    uint64_t set = ((input >> PAGE_SHIFT) & mask) * (2 * WAYS * 8);
    uint64_t way = 0;

    /* Comparing all ways without a branch is slower: a branch lets the processor guess the way and go on. */
    while (load64(sets, set + way * 8) != tag) {
        if (++way == WAYS) {
            return FAULT;
        }
    }
    return (load64(sets, set + (WAYS + way) * 8) & ~page_mask) | (input & page_mask);
}

static inline int is_power_of_two(uint64_t count)
{
    return count != 0 && (count & (count - 1)) == 0;
}

uint64_t iommu_emu_reference_look_up(const void *sets, uint64_t set_count, uint64_t input, uint64_t count)
{
    if (!is_power_of_two(set_count)) {
        return FAULT;
    }
    for (uint64_t i = 0; i < count; i++) {
        input = look_up(sets, set_count - 1, input);
        if (input == FAULT) {
            break;
        }
    }
    return input;
}

/* One walk; without sets there is no stage 2. */
static inline uint64_t walk(const void *image, uint64_t size, uint64_t base, uint64_t table, const void *sets,
                            uint64_t mask, uint64_t input)
{
    if (input >> INPUT_BITS != 0) {
        return FAULT;
    }
    for (int level = 0;; level++) {
        int shift = PAGE_SHIFT + (3 - level) * LEVEL_BITS;
        uint64_t index = (input >> shift) & ((UINT64_C(1) << LEVEL_BITS) - 1);
        uint64_t address = table + index * 8;

        if (sets != NULL) {
            address = look_up(sets, mask, address);
            if (address == FAULT) {
                return FAULT;
            }
        }
        uint64_t offset = address - base;

        /* An address below the base wraps to an offset far beyond the size. */
        if (offset > size - 8) {
            return FAULT;
        }
        uint64_t descriptor = load64(image, offset);
        if ((descriptor & VALID) == 0) {
            return FAULT;
        }
        if (level == 3 || (descriptor & TABLE) == 0) {
            uint64_t within = (UINT64_C(1) << shift) - 1;

            /* No block at level 0, no table at level 3. */
            if (level == 0 || (level == 3 && (descriptor & TABLE) == 0)) {
                return FAULT;
            }
            uint64_t output = (descriptor & ADDRESS & ~within) | (input & within);
            return sets == NULL ? output : look_up(sets, mask, output);
        }
        table = descriptor & ADDRESS;
    }
}

uint64_t iommu_emu_reference_walk(const void *image, uint64_t size, uint64_t base, uint64_t root, uint64_t input,
                                  uint64_t count)
{
    if (size < 8) {
        return count == 0 ? input : FAULT;
    }
    for (uint64_t i = 0; i < count; i++) {
        input = walk(image, size, base, root, NULL, 0, input);
        if (input == FAULT) {
            break;
        }
    }
    return input;
}

uint64_t iommu_emu_reference_nested_walk(const void *image, uint64_t size, uint64_t base, uint64_t root,
                                         const void *sets, uint64_t set_count, uint64_t input, uint64_t count)
{
    if (size < 8 || sets == NULL || !is_power_of_two(set_count)) {
        return count == 0 ? input : FAULT;
    }
    for (uint64_t i = 0; i < count; i++) {
        input = walk(image, size, base, root, sets, set_count - 1, input);
        if (input == FAULT) {
            break;
        }
    }
    return input;
}

uint64_t iommu_emu_reference_load(const void *words, uint64_t size, uint64_t offset, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (size < 8 || offset > size - 8 || offset % 8 != 0) {
            return FAULT;
        }
        offset = load64(words, offset);
    }
    return offset;
}

/* What a device looks like to a bus that knows nothing about it. */
struct device {
    uint64_t (*read)(const struct device *device, uint64_t offset);
    const void *registers;
    uint64_t size;
};

static uint64_t read_register(const struct device *device, uint64_t offset)
{
    uint32_t value;

    if (device->size < 4 || offset > device->size - 4 || offset % 4 != 0) {
        return FAULT;
    }
    memcpy(&value, (const unsigned char *)device->registers + offset, sizeof value);
    return value;
}

/* Volatile: which function this is cannot be known where it is called, so it is neither inlined nor guessed. */
static uint64_t (*volatile reader)(const struct device *, uint64_t) = read_register;

uint64_t iommu_emu_reference_read(const void *registers, uint64_t size, uint64_t offset, uint64_t count)
{
    const struct device device = {.read = reader, .registers = registers, .size = size};

    for (uint64_t i = 0; i < count; i++) {
        offset = device.read(&device, offset);
        if (offset == FAULT) {
            break;
        }
    }
    return offset;
}

#define COMMAND_BYTES 16

/* Opcodes, IHI 0070, 4.1.3. */
#define CMD_TLBI_NH_ASID 0x11
#define CMD_TLBI_NH_VA 0x12
#define CMD_TLBI_S12_VMALL 0x28
#define CMD_SYNC 0x46

uint64_t iommu_emu_reference_decode(const void *commands, uint64_t size, uint64_t first, uint64_t count)
{
    const uint64_t slots = size / COMMAND_BYTES;
    uint64_t digest = 0;

    if (size % COMMAND_BYTES != 0 || slots == 0 || (slots & (slots - 1)) != 0 || first >= slots) {
        return FAULT;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t at = ((first + i) & (slots - 1)) * COMMAND_BYTES;
        uint64_t word0 = load64(commands, at);
        uint64_t word1 = load64(commands, at + 8);
        uint64_t opcode = word0 & 0xff;
        uint64_t vmid = (word0 >> 32) & 0xffff;
        uint64_t asid = word0 >> 48;

        digest = digest << 1 | digest >> 63;
        switch (opcode) {
        case CMD_TLBI_NH_ASID:
            digest ^= opcode ^ vmid << 16 ^ asid << 32;
            break;
        case CMD_TLBI_NH_VA:
            digest ^= opcode ^ vmid << 16 ^ asid << 32 ^ (word1 & ~UINT64_C(0xfff));
            break;
        case CMD_TLBI_S12_VMALL:
            digest ^= opcode ^ vmid << 16;
            break;
        case CMD_SYNC:
            digest ^= opcode;
            break;
        default:
            return FAULT;
        }
    }
    return digest;
}
