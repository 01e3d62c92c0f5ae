/* In place of Xen's header of this name: there is one CPU. */
#ifndef XEN_SHADOW_PERCPU_H
#define XEN_SHADOW_PERCPU_H

#include <xen/types.h>
#include <asm/sysregs.h>

#define this_cpu(variable) per_cpu__##variable
#define per_cpu(variable, cpu) (*((void)(cpu), &per_cpu__##variable))
#define this_cpu_ptr(variable) (variable)
#define per_cpu_ptr(variable, cpu) ((void)(cpu), (variable))

#endif
