/*
 * In place of Xen's header of this name, which is Arm instructions: barriers, the interrupt mask, exchanges. There is one
 * CPU; what it orders, the compiler's builtins order.
 */
#ifndef XEN_SHADOW_SYSTEM_H
#define XEN_SHADOW_SYSTEM_H

#include <xen/lib.h>
#include <public/arch-arm.h>

#define mb() __sync_synchronize()
#define rmb() mb()
#define wmb() mb()
#define smp_mb() mb()
#define smp_rmb() mb()
#define smp_wmb() mb()
#define smp_mb__before_atomic() mb()
#define smp_mb__after_atomic() mb()
#define dsb(scope) mb()
#define dmb(scope) mb()
#define isb() mb()
#define csdb() mb()

/* An event wakes it up; here it only lets time pass, as an event that does not come would. */
void xen_wait_for_event(void);
#define wfe() xen_wait_for_event()
#define wfi() xen_wait_for_event()
#define sev() mb()

/* PSTATE.I of this one CPU: 0, or PSR_IRQ_MASK while interrupts are masked. */
extern unsigned long xen_pstate;
#define local_irq_disable() ((void)(xen_pstate |= PSR_IRQ_MASK))
#define local_irq_enable() ((void)(xen_pstate &= ~(unsigned long)PSR_IRQ_MASK))
#define local_save_flags(flags) ((void)((flags) = xen_pstate))
#define local_irq_save(flags) (local_save_flags(flags), local_irq_disable())
#define local_irq_restore(flags) ((void)(xen_pstate = (flags)))
#define local_irq_is_enabled() (!(xen_pstate & PSR_IRQ_MASK))

#define xchg(pointer, value) __atomic_exchange_n(pointer, value, __ATOMIC_SEQ_CST)
#define cmpxchg(pointer, old, new) __sync_val_compare_and_swap(pointer, old, new)
#define cmpxchg64(pointer, old, new) cmpxchg(pointer, old, new)
#define arch_fetch_and_add(pointer, value) __sync_fetch_and_add(pointer, value)

#endif
