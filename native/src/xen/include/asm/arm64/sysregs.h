/* In place of Xen's header of this name: there are no system registers. Nothing that is compiled here reads one. */
#ifndef XEN_SHADOW_ARM64_SYSREGS_H
#define XEN_SHADOW_ARM64_SYSREGS_H

#include <xen/stringify.h>

extern uint64_t xen_no_system_register;
#define READ_SYSREG64(name) xen_no_system_register
#define WRITE_SYSREG64(value, name) ((void)(xen_no_system_register = (value)))
#define READ_SYSREG(name) READ_SYSREG64(name)
#define WRITE_SYSREG(value, name) WRITE_SYSREG64(value, name)

#endif
