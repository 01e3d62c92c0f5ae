/*
 * What the drivers and the IOMMU framework call outside of themselves: locks, memory, interrupts, tasklets, time, console.
 * There is one CPU. Whatever Xen would call a bug ends the operation that is under way.
 */
#include <xen/domain.h>
#include <xen/err.h>
#include <xen/event.h>
#include <xen/irq.h>
#include <xen/iommu.h>
#include <xen/keyhandler.h>
#include <xen/lib.h>
#include <xen/rcupdate.h>
#include <xen/sched.h>
#include <xen/softirq.h>
#include <xen/symbols.h>
#include <xen/tasklet.h>
#include <xen/vmap.h>
#include <xen/xmalloc.h>

#include "machine.h"

/* ------------------------------------------------------------------------------------------------------ bugs, console */

void printk(const char *format, ...)
{
    static char line[1024]; /* Up to its line feed it may come in pieces. */
    static size_t length;
    static unsigned int level = 2;
    static char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    for ( const char *at = text; *at; at++ )
    {
        if ( *at == '<' && at[1] && at[2] == '>' )
        {
            if ( at[1] >= '0' && at[1] <= '3' )
                level = at[1] - '0';
            at += 2;
        }
        else if ( *at == '\n' )
        {
            line[length] = '\0';
            report_line(level, line);
            length = 0;
            level = 2;
        }
        else if ( length < sizeof(line) - 1 )
            line[length++] = *at;
    }
}

int printk_ratelimit(void)
{
    return 1;
}

void noreturn xen_bug(const char *what, const char *file, unsigned int line)
{
    printk(XENLOG_ERR "%s at %s:%u\n", what, file, line);
    machine_crash();
}

void xen_warn(const char *file, unsigned int line)
{
    printk(XENLOG_WARNING "Xen WARN at %s:%u\n", file, line);
}

void panic(const char *format, ...)
{
    static char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    printk(XENLOG_ERR "Panic: %s\n", text);
    machine_crash();
}

void __domain_crash(struct domain *d)
{
    printk(XENLOG_ERR "%pd crashes\n", d);
}

const char *symbols_lookup(unsigned long address, unsigned long *size, unsigned long *offset, char *name)
{
    return NULL;
}

/* --------------------------------------------------------------------------------------------------- locks, time, bits */

unsigned long xen_pstate;
uint64_t xen_no_system_register;

/* One CPU would wait for itself for ever. */
void _spin_lock(spinlock_t *lock)
{
    if ( lock->tickets.head_tail )
        xen_bug("deadlock: lock taken twice", __FILE__, __LINE__);
    lock->tickets.head_tail = 1;
}

void _spin_unlock(spinlock_t *lock)
{
    if ( !lock->tickets.head_tail )
        xen_bug("lock released that is not taken", __FILE__, __LINE__);
    lock->tickets.head_tail = 0;
}

unsigned long _spin_lock_irqsave(spinlock_t *lock)
{
    unsigned long flags;

    local_irq_save(flags);
    _spin_lock(lock);
    return flags;
}

void _spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
    _spin_unlock(lock);
    local_irq_restore(flags);
}

s_time_t get_s_time(void)
{
    return machine_time();
}

void udelay(unsigned long microseconds)
{
    machine_delay(microseconds * 1000, local_irq_is_enabled());
}

void xen_wait_for_event(void)
{
    udelay(1);
}

static unsigned long find_next(const unsigned long *bits, unsigned long size, unsigned long from, int value)
{
    while ( from < size && test_bit(from, bits) != value )
        from++;
    return from < size ? from : size;
}

unsigned long find_next_bit(const unsigned long *bits, unsigned long size, unsigned long from)
{
    return find_next(bits, size, from, 1);
}

unsigned long find_next_zero_bit(const unsigned long *bits, unsigned long size, unsigned long from)
{
    return find_next(bits, size, from, 0);
}

/* --------------------------------------------------------------------------------------------------- memory, registers */

void *_xmalloc(unsigned long size, unsigned long alignment)
{
    return machine_allocate(size, alignment);
}

void *_xzalloc(unsigned long size, unsigned long alignment)
{
    return machine_allocate(size, alignment);
}

void *_xrealloc(void *memory, unsigned long size, unsigned long alignment)
{
    unsigned long before = memory ? machine_size_of(memory) : 0;
    void *larger = machine_allocate(size, alignment);

    if ( larger && memory )
    {
        memcpy(larger, memory, min(before, size));
        machine_free(memory);
    }
    return larger;
}

void xfree(void *memory)
{
    if ( memory )
        machine_free(memory);
}

/* PAR_EL1: the frame, and in bit 0 whether there is none. */
uint64_t __va_to_par(vaddr_t va)
{
    unsigned long physical = machine_physical((const void *)va);

    return physical == ~0UL ? 1 : physical & PAGE_MASK;
}

void dump_hyp_walk(vaddr_t va)
{
    printk(XENLOG_ERR "0x%lx is not in RAM: its physical address is no address of a table or queue\n", va);
}

void panic_PAR(uint64_t par)
{
    xen_bug("address translation fault", __FILE__, __LINE__);
}

/* One to one: page frames are numbers, and no memory stands behind struct page_info. */
unsigned long frametable_base_pdx;
unsigned long pfn_pdx_bottom_mask = ~0UL;
unsigned long pfn_top_mask;
unsigned int pfn_pdx_hole_shift;

void __iomem *ioremap_attr(paddr_t start, size_t length, unsigned int attributes)
{
    return (void __iomem *)start;
}

void vunmap(const void *address)
{
}

u8 xen_read8(const volatile void *address)
{
    return machine_read((unsigned long)address, 1);
}

u16 xen_read16(const volatile void *address)
{
    return machine_read((unsigned long)address, 2);
}

u32 xen_read32(const volatile void *address)
{
    return machine_read((unsigned long)address, 4);
}

u64 xen_read64(const volatile void *address)
{
    return machine_read((unsigned long)address, 8);
}

void xen_write8(u8 value, volatile void *address)
{
    machine_write((unsigned long)address, 1, value);
}

void xen_write16(u16 value, volatile void *address)
{
    machine_write((unsigned long)address, 2, value);
}

void xen_write32(u32 value, volatile void *address)
{
    machine_write((unsigned long)address, 4, value);
}

void xen_write64(u64 value, volatile void *address)
{
    machine_write((unsigned long)address, 8, value);
}

/* --------------------------------------------------------------------------------------------------------- interrupts */

struct action {
    struct list_head list;
    unsigned int number;
    void (*handler)(int, void *, struct cpu_user_regs *);
    void *device;
};

static LIST_HEAD(actions);

static struct action *find_action(unsigned int number)
{
    struct action *action;

    list_for_each_entry ( action, &actions, list )
        if ( action->number == number )
            return action;
    return NULL;
}

/* Xen does not get this far without a GIC; a tree may. */
int platform_get_irq(const struct dt_device_node *device, int index)
{
    struct dt_irq irq;

    return !dt_interrupt_controller || dt_device_get_irq(device, index, &irq) ? -EPERM : (int)irq.irq;
}

/* Without IRQF_SHARED a line has one owner. */
int request_irq(unsigned int number, unsigned int flags, void (*handler)(int, void *, struct cpu_user_regs *),
                const char *name, void *device)
{
    struct action *action;
    int rc;

    if ( find_action(number) )
        return -EBUSY;
    rc = machine_request_irq(number);
    if ( rc )
        return rc;
    action = xzalloc(struct action);
    if ( !action )
        return -ENOMEM;
    action->number = number;
    action->handler = handler;
    action->device = device;
    list_add_tail(&action->list, &actions);
    return 0;
}

void release_irq(unsigned int number, const void *device)
{
    struct action *action = find_action(number);

    if ( !action || action->device != device )
        xen_bug("interrupt released that is not requested", __FILE__, __LINE__);
    machine_release_irq(number);
    list_del(&action->list);
    xfree(action);
}

void xen_irq(unsigned int number)
{
    struct action *action = find_action(number);

    if ( action )
        action->handler(number, action->device, NULL);
}

static LIST_HEAD(tasklets);

void tasklet_init(struct tasklet *tasklet, void (*function)(void *), void *data)
{
    memset(tasklet, 0, sizeof(*tasklet));
    INIT_LIST_HEAD(&tasklet->list);
    tasklet->scheduled_on = -1;
    tasklet->func = function;
    tasklet->data = data;
}

void tasklet_schedule(struct tasklet *tasklet)
{
    if ( list_empty(&tasklet->list) )
        list_add_tail(&tasklet->list, &tasklets);
}

/* On the way out of Xen, not inside of what was interrupted. */
void xen_run_tasklets(void)
{
    while ( !list_empty(&tasklets) )
    {
        struct tasklet *tasklet = list_entry(tasklets.next, struct tasklet, list);

        list_del_init(&tasklet->list);
        tasklet->func(tasklet->data);
    }
}

/* ------------------------------------------------------------------------------------------ what is there, but not used */

struct domain *hardware_domain;
struct domain *dom_io;
struct domain *domain_list;
irq_cpustat_t irq_stat[NR_CPUS];
DEFINE_PER_CPU(struct vcpu *, curr_vcpu);
DEFINE_PER_CPU(unsigned int, cpu_id);
DEFINE_PER_CPU(unsigned int, __preempt_count);
DEFINE_PER_CPU(unsigned int, rcu_lock_cnt);

void register_keyhandler(unsigned char key, keyhandler_fn_t *handler, const char *description, bool diagnostic)
{
}

/* The emulator reads `iommu=`, see IommuOptions. */
int parse_bool(const char *s, const char *e)
{
    return -1;
}

int parse_boolean(const char *name, const char *s, const char *e)
{
    return -1;
}

int cmdline_strcmp(const char *fragment, const char *name)
{
    return -1;
}

char *safe_copy_string_from_guest(XEN_GUEST_HANDLE(char) buffer, size_t size, size_t maximum)
{
    return ERR_PTR(-ENOSYS);
}

int vgic_vcpu_pending_irq(struct vcpu *v)
{
    return 0;
}

bool vgic_evtchn_irq_pending(struct vcpu *v)
{
    return false;
}

/* Grant mappings alone come here. A domain's table is the host's, which maps what it wants mapped. */
int guest_physmap_add_entry(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned long order, p2m_type_t type)
{
    return -EOPNOTSUPP;
}

int guest_physmap_remove_page(struct domain *d, gfn_t gfn, mfn_t mfn, unsigned int order)
{
    return -EOPNOTSUPP;
}

size_t strlcpy(char *destination, const char *source, size_t size)
{
    size_t length = strlen(source);

    if ( size )
    {
        size_t copied = min(length, size - 1);

        memcpy(destination, source, copied);
        destination[copied] = '\0';
    }
    return length;
}
