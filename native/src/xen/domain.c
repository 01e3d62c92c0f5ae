/*
 * Xen as far as the emulator asks for it: the device tree, probing of a unit, devices, domains. Each function does what Xen's
 * boot or its toolstack would call. The P2M is the host's: a root table, its width and the level at which it starts.
 */
#include <xen/device_tree.h>
#include <xen/err.h>
#include <xen/iommu.h>
#include <xen/libfdt/libfdt.h>
#include <xen/sched.h>
#include <asm/iommu_fwspec.h>
#include <asm/p2m.h>

#include "machine.h"

/* A DMA master: a node, or a function behind a host bridge, which Xen 4.17 has no node for. */
struct xen_device {
    struct dt_device_node *node;
};

struct xen_domain {
    struct domain domain;
};

/* p2m.c: the width that every IOMMU can take, then that of the table; and the latter's first level. */
unsigned int p2m_ipa_bits = 64;
unsigned int p2m_root_level;

void p2m_restrict_ipa_bits(unsigned int bits)
{
    p2m_ipa_bits = min(p2m_ipa_bits, bits);
    machine_limit_input(bits);
}

/* A flattened device tree is big-endian; the fourth word is the offset of its strings (Devicetree Specification, 5.2). */
const char *fdt_string(const void *fdt, int offset)
{
    return (const char *)fdt + be32_to_cpu(((const __be32 *)fdt)[3]) + offset;
}

/* A GIC's specifier: kind, number, trigger. SPIs follow 32 private interrupts, the upper 16 of which are PPIs. */
int gic_irq_xlate(const u32 *specifier, unsigned int cells, unsigned int *number, unsigned int *type)
{
    if ( cells < 3 )
        return -EINVAL;
    *number = specifier[1] + (specifier[0] == 0 ? 32 : 16);
    if ( type )
        *type = specifier[2] & DT_IRQ_TYPE_SENSE_MASK;
    return 0;
}

static const struct dt_device_match gics[] = {
    DT_MATCH_COMPATIBLE("arm,gic-v3"),
    DT_MATCH_COMPATIBLE("arm,gic-400"),
    DT_MATCH_COMPATIBLE("arm,cortex-a15-gic"),
    DT_MATCH_COMPATIBLE("arm,cortex-a7-gic"),
    { /* end */ },
};

void xen_start(const void *fdt)
{
    device_tree_flattened = fdt;
    dt_unflatten_host_device_tree();
    dt_interrupt_controller = dt_find_interrupt_controller(gics);
    dt_irq_xlate = gic_irq_xlate;
}

/* The last answer of each node that a driver was asked for. */
struct answer {
    struct list_head list;
    const struct dt_device_node *node;
    int rc;
};

static LIST_HEAD(answers);

static struct answer *find_answer(const struct dt_device_node *node)
{
    struct answer *answer;

    list_for_each_entry ( answer, &answers, list )
        if ( answer->node == node )
            return answer;
    return NULL;
}

/* The linker puts this between Xen's device_init and who calls it. */
int __real_device_init(struct dt_device_node *node, enum device_class class, const void *data);
int __wrap_device_init(struct dt_device_node *node, enum device_class class, const void *data);

int __wrap_device_init(struct dt_device_node *node, enum device_class class, const void *data)
{
    int rc = __real_device_init(node, class, data);
    struct answer *answer = find_answer(node);

    if ( rc == -EBADF || !dt_device_is_available(node) )
        return rc;
    printk(XENLOG_DEBUG "device_init %s: %d\n", dt_node_full_name(node), rc);
    if ( !answer )
    {
        answer = xzalloc(struct answer);
        if ( !answer )
            return -ENOMEM;
        answer->node = node;
        list_add_tail(&answer->list, &answers);
    }
    answer->rc = rc;
    return rc;
}

/* As iommu_hardware_setup asks for each node; which is next, the host decides. */
int xen_probe(const char *path)
{
    struct dt_device_node *node = dt_find_node_by_path(path);
    int rc = node ? device_init(node, DEVICE_IOMMU, NULL) : -ENODEV;

    if ( !rc )
        iommu_enabled = true;
    return rc;
}

int xen_setup(void)
{
    dom_io = xzalloc(struct domain);
    if ( !dom_io )
        return -ENOMEM;
    dom_io->domain_id = DOMID_IO;
    return iommu_setup();
}

int xen_answer(const char *path)
{
    const struct dt_device_node *node = dt_find_node_by_path(path);
    const struct answer *answer = find_answer(node);

    return answer ? answer->rc : -ENODEV;
}

/* What iommu_add_dt_device does, for a function whose StreamIDs come from the bridge's iommu-map. */
static int add_function(struct dt_device_node *node, struct dt_device_node *iommu, const unsigned int *ids,
                        unsigned int count)
{
    const struct iommu_ops *ops = iommu_get_ops();
    struct dt_phandle_args specifier = { .np = iommu, .args_count = 1 };
    int rc = ops ? iommu_fwspec_init(&node->dev, &iommu->dev) : -EINVAL;

    for ( unsigned int i = 0; i < count && !rc; i++ )
    {
        specifier.args[0] = ids[i];
        rc = ops->dt_xlate(&node->dev, &specifier);
    }
    if ( !rc )
        rc = ops->add_device(0, &node->dev);
    if ( rc < 0 )
        iommu_fwspec_free(&node->dev);
    return rc;
}

int xen_add_device(const char *path, int dt, const char *iommu, const unsigned int *ids, unsigned int count,
                   struct xen_device **device)
{
    struct dt_device_node *node = dt_find_node_by_path(path);
    struct dt_device_node *unit = dt_find_node_by_path(iommu);
    int rc;

    if ( !node || !unit )
        return -ENODEV;
    *device = xzalloc(struct xen_device);
    if ( !*device )
        return -ENOMEM;
    if ( dt )
        rc = iommu_add_dt_device(node);
    else
    {
        struct dt_device_node *function = xzalloc(struct dt_device_node);

        if ( !function )
            return -ENOMEM;
        *function = *node;
        function->dev.of_node = function;
        function->dev.iommu_fwspec = NULL;
        function->is_protected = false;
        INIT_LIST_HEAD(&function->domain_list);
        node = function;
        rc = add_function(node, unit, ids, count);
    }
    (*device)->node = node;
    return rc > 0 ? -ENODEV : rc; /* Above 0: no IOMMU protects it. */
}

int xen_create_domain(unsigned int id, unsigned int input_bits, unsigned int start_level, unsigned long table,
                      struct xen_domain **domain)
{
    struct domain *d;
    int rc;

    *domain = xzalloc(struct xen_domain);
    if ( !*domain )
        return -ENOMEM;
    d = &(*domain)->domain;
    d->domain_id = id;
    d->options = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap | XEN_DOMCTL_CDF_iommu;
    d->arch.p2m.root = mfn_to_page(maddr_to_mfn(table));
    p2m_ipa_bits = input_bits;
    p2m_root_level = start_level;
    if ( id == 0 )
        hardware_domain = d;
    rc = iommu_domain_init(d, 0);
    if ( !rc && id == 0 )
        iommu_hwdom_init(d);
    return rc;
}

int xen_assign(struct xen_domain *domain, struct xen_device *device)
{
    return iommu_assign_dt_device(&domain->domain, device->node);
}

int xen_deassign(struct xen_domain *domain, struct xen_device *device)
{
    return iommu_deassign_dt_device(&domain->domain, device->node);
}

/* After an entry of the P2M was taken away, as p2m.c asks for it. */
int xen_flush(struct xen_domain *domain, unsigned long address, unsigned long size)
{
    return iommu_iotlb_flush(&domain->domain, _dfn(address >> PAGE_SHIFT), PFN_UP(size), IOMMU_FLUSHF_modified);
}

int xen_destroy_domain(struct xen_domain *domain)
{
    int rc = iommu_release_dt_devices(&domain->domain);

    if ( !rc )
        iommu_domain_destroy(&domain->domain);
    if ( hardware_domain == &domain->domain )
        hardware_domain = NULL;
    xfree(domain);
    return rc;
}
