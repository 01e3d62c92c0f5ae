/* In place of Xen's header of this name, which is Arm instructions: the same functions with the compiler's builtins. */
#ifndef XEN_SHADOW_ATOMIC_H
#define XEN_SHADOW_ATOMIC_H

#include <xen/atomic.h>
#include <xen/prefetch.h>
#include <asm/system.h>

#define read_atomic(pointer) __atomic_load_n(pointer, __ATOMIC_RELAXED)
#define write_atomic(pointer, value) __atomic_store_n(pointer, value, __ATOMIC_RELAXED)
#define add_sized(pointer, value) ((void)(*(pointer) += (value)))

static inline int atomic_read(const atomic_t *v)
{
    return __atomic_load_n(&v->counter, __ATOMIC_RELAXED);
}

static inline int _atomic_read(atomic_t v)
{
    return v.counter;
}

static inline void atomic_set(atomic_t *v, int i)
{
    __atomic_store_n(&v->counter, i, __ATOMIC_RELAXED);
}

static inline void _atomic_set(atomic_t *v, int i)
{
    v->counter = i;
}

static inline int atomic_add_return(int i, atomic_t *v)
{
    return __atomic_add_fetch(&v->counter, i, __ATOMIC_SEQ_CST);
}

static inline int atomic_sub_return(int i, atomic_t *v)
{
    return __atomic_sub_fetch(&v->counter, i, __ATOMIC_SEQ_CST);
}

static inline void atomic_add(int i, atomic_t *v)
{
    (void)atomic_add_return(i, v);
}

static inline void atomic_sub(int i, atomic_t *v)
{
    (void)atomic_sub_return(i, v);
}

static inline void atomic_and(int mask, atomic_t *v)
{
    (void)__atomic_and_fetch(&v->counter, mask, __ATOMIC_SEQ_CST);
}

static inline int atomic_cmpxchg(atomic_t *v, int old, int new)
{
    return cmpxchg(&v->counter, old, new);
}

static inline int atomic_add_unless(atomic_t *v, int add, int unless)
{
    int seen = atomic_read(v);
    while (seen != unless
           && !__atomic_compare_exchange_n(&v->counter, &seen, seen + add, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    return seen;
}

static inline int atomic_sub_and_test(int i, atomic_t *v)
{
    return atomic_sub_return(i, v) == 0;
}

static inline void atomic_inc(atomic_t *v)
{
    atomic_add(1, v);
}

static inline int atomic_inc_return(atomic_t *v)
{
    return atomic_add_return(1, v);
}

static inline int atomic_inc_and_test(atomic_t *v)
{
    return atomic_add_return(1, v) == 0;
}

static inline void atomic_dec(atomic_t *v)
{
    atomic_sub(1, v);
}

static inline int atomic_dec_return(atomic_t *v)
{
    return atomic_sub_return(1, v);
}

static inline int atomic_dec_and_test(atomic_t *v)
{
    return atomic_sub_return(1, v) == 0;
}

static inline int atomic_add_negative(int i, atomic_t *v)
{
    return atomic_add_return(i, v) < 0;
}

#define atomic_xchg(v, new) xchg(&(v)->counter, new)

#endif
