/*
 * What Xen's side and the emulator's side of the glue know of each other. Xen's headers and the C library's do not go
 * together: outside.c and domain.c see the former, driver.c and report.c the latter, and all of them this.
 */
#ifndef MACHINE_H
#define MACHINE_H

/* ------------------------------------------------------------------ driver.c: the machine that Xen believes to run on */

/* Registers; `size` is 1, 2, 4 or 8. */
unsigned long machine_read(unsigned long physical, unsigned int size);
void machine_write(unsigned long physical, unsigned int size, unsigned long value);

/* Nanoseconds: what passed, and letting time pass with or without interrupts coming in. */
unsigned long machine_time(void);
void machine_delay(unsigned long nanoseconds, int interrupts);

/* Zeroed memory: from guest RAM what is aligned to more than 16 bytes, the rest from the C library. NULL if none is left. */
void *machine_allocate(unsigned long size, unsigned long alignment);
unsigned long machine_size_of(const void *memory);
void machine_free(void *memory);

/* The physical address of memory in guest RAM; ~0 for any other. */
unsigned long machine_physical(const void *memory);

/* 0 or a negative error number. */
int machine_request_irq(unsigned int number);
int machine_release_irq(unsigned int number);
void machine_limit_input(unsigned int bits);

/* The operation that is under way ends here, and Xen with it. */
void machine_crash(void) __attribute__((__noreturn__));

/* ------------------------------------------------------------------------------------- report.c: what Xen has to say */

/* A line of the console. `level` is 0 (error) to 3 (debug) as in Xen's prefixes. */
void report_line(unsigned int level, const char *text);

/* ----------------------------------------------------------------------------------- outside.c: Xen outside of its drivers */

void xen_irq(unsigned int number);
void xen_run_tasklets(void);

/* -------------------------------------------------------------------------------- domain.c: what Xen is asked to do */

struct xen_device;
struct xen_domain;

/* Unflattens the device tree, which stays where it is. */
void xen_start(const void *fdt);

/*
 * These return 0 or a negative error number. xen_probe is one device_init; xen_setup is all of iommu_setup, after which
 * xen_answer tells what the last device_init of a node came to.
 */
int xen_probe(const char *path);
int xen_setup(void);
int xen_answer(const char *path);
int xen_add_device(const char *path, int dt, const char *iommu, const unsigned int *ids, unsigned int count,
                   struct xen_device **device);
int xen_create_domain(unsigned int id, unsigned int input_bits, unsigned int start_level, unsigned long table,
                      struct xen_domain **domain);
int xen_assign(struct xen_domain *domain, struct xen_device *device);
int xen_deassign(struct xen_domain *domain, struct xen_device *device);
int xen_flush(struct xen_domain *domain, unsigned long address, unsigned long size);
int xen_destroy_domain(struct xen_domain *domain);

/* All that Xen keeps in static memory, as the linker puts it together: see xen.ld. */
extern char xen_state_start[], xen_state_end[];

#endif
