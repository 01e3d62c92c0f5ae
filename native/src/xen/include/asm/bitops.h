/* In place of Xen's header of this name, which counts bits with Arm instructions. Bitmaps are in memory of Xen's own. */
#ifndef XEN_SHADOW_BITOPS_H
#define XEN_SHADOW_BITOPS_H

#include <asm/asm_defns.h>

#define BITS_PER_BYTE 8

static inline int test_bit(int number, const volatile void *bits)
{
    return ((const volatile uint32_t *)bits)[number / 32] >> number % 32 & 1;
}

static inline int test_and_set_bit(int number, volatile void *bits)
{
    uint32_t bit = 1u << number % 32;
    return (__sync_fetch_and_or((volatile uint32_t *)bits + number / 32, bit) & bit) != 0;
}

static inline int test_and_clear_bit(int number, volatile void *bits)
{
    uint32_t bit = 1u << number % 32;
    return (__sync_fetch_and_and((volatile uint32_t *)bits + number / 32, ~bit) & bit) != 0;
}

static inline int test_and_change_bit(int number, volatile void *bits)
{
    uint32_t bit = 1u << number % 32;
    return (__sync_fetch_and_xor((volatile uint32_t *)bits + number / 32, bit) & bit) != 0;
}

#define set_bit(number, bits) ((void)test_and_set_bit(number, bits))
#define clear_bit(number, bits) ((void)test_and_clear_bit(number, bits))
#define change_bit(number, bits) ((void)test_and_change_bit(number, bits))
#define __set_bit(number, bits) set_bit(number, bits)
#define __clear_bit(number, bits) clear_bit(number, bits)
#define __change_bit(number, bits) change_bit(number, bits)
#define __test_and_set_bit(number, bits) test_and_set_bit(number, bits)
#define __test_and_clear_bit(number, bits) test_and_clear_bit(number, bits)
#define __test_and_change_bit(number, bits) test_and_change_bit(number, bits)

/* Numbers from 1; 0 if no bit is set. */
static inline int flsl(unsigned long word)
{
    return word == 0 ? 0 : 64 - __builtin_clzl(word);
}

static inline int fls(unsigned int word)
{
    return flsl(word);
}

#define ffs(word) __builtin_ffs((int)(word))
#define ffsl(word) __builtin_ffsl((long)(word))

/* Numbers from 0; of a word with such a bit. */
static inline unsigned long __ffs(unsigned long word)
{
    return (unsigned long)__builtin_ctzl(word);
}

static inline unsigned int find_first_set_bit(unsigned long word)
{
    return (unsigned int)__builtin_ctzl(word);
}

#define ffz(word) __ffs(~(word))

/* The number of the first such bit from one on; `size` if there is none. */
unsigned long find_next_bit(const unsigned long *bits, unsigned long size, unsigned long from);
unsigned long find_next_zero_bit(const unsigned long *bits, unsigned long size, unsigned long from);
#define find_first_bit(bits, size) find_next_bit(bits, size, 0)
#define find_first_zero_bit(bits, size) find_next_zero_bit(bits, size, 0)

#define hweight64(word) ((unsigned int)__builtin_popcountll(word))
#define hweight32(word) ((unsigned int)__builtin_popcount((uint32_t)(word)))
#define hweight16(word) hweight32((uint16_t)(word))
#define hweight8(word) hweight32((uint8_t)(word))

#endif
