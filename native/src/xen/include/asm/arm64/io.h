/* In place of Xen's header of this name: registers are the emulator's. An ioremapped address is the physical one. */
#ifndef XEN_SHADOW_ARM64_IO_H
#define XEN_SHADOW_ARM64_IO_H

#include <asm/system.h>
#include <asm/byteorder.h>

u8 xen_read8(const volatile void *address);
u16 xen_read16(const volatile void *address);
u32 xen_read32(const volatile void *address);
u64 xen_read64(const volatile void *address);
void xen_write8(u8 value, volatile void *address);
void xen_write16(u16 value, volatile void *address);
void xen_write32(u32 value, volatile void *address);
void xen_write64(u64 value, volatile void *address);

#define readb(address) xen_read8(address)
#define readw(address) xen_read16(address)
#define readl(address) xen_read32(address)
#define readq(address) xen_read64(address)
#define writeb(value, address) xen_write8(value, address)
#define writew(value, address) xen_write16(value, address)
#define writel(value, address) xen_write32(value, address)
#define writeq(value, address) xen_write64(value, address)

/* Accesses come in program order with or without it. */
#define readb_relaxed(address) readb(address)
#define readw_relaxed(address) readw(address)
#define readl_relaxed(address) readl(address)
#define readq_relaxed(address) readq(address)
#define writeb_relaxed(value, address) writeb(value, address)
#define writew_relaxed(value, address) writew(value, address)
#define writel_relaxed(value, address) writel(value, address)
#define writeq_relaxed(value, address) writeq(value, address)

#endif
