/* In place of Xen's header of this name: what would be an undefined instruction ends the operation that is under way. */
#ifndef XEN_SHADOW_BUG_H
#define XEN_SHADOW_BUG_H

#include <xen/compiler.h>

void noreturn xen_bug(const char *what, const char *file, unsigned int line);
void xen_warn(const char *file, unsigned int line);

#define BUG() xen_bug("Xen BUG", __FILE__, __LINE__)
#define WARN() xen_warn(__FILE__, __LINE__)
#define assert_failed(predicate) xen_bug("Assertion '" predicate "' failed", __FILE__, __LINE__)

#endif
