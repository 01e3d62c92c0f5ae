/*
 * iommu-emu: what a driver in C has of the emulated machine, and what the emulator wants of a driver.
 *
 * The machine gives a driver a `struct iommu_emu_host`: registers at physical addresses, RAM, interrupts, a clock, a log
 * and the device tree. A driver gives the machine a `struct iommu_emu_driver`: operations on units, devices and domains.
 * The same two structures serve a driver that is loaded into the emulator and one in a process of its own
 * (iommu_emu_client.h); a driver cannot tell which it is.
 *
 * Plain C11, 64-bit little-endian systems only. Physical addresses, I/O virtual addresses and sizes are in bytes.
 *
 * ERRORS. A function that returns int returns 0, or a negative error number: those of Linux and Xen, which the constants
 * IOMMU_EMU_E... repeat for systems that number them otherwise. Any other value is a bug of whoever returned it: the
 * emulator logs it and goes on as if it were -EIO.
 *
 * THREADS. The emulator makes one call of a driver at a time, and all calls of a driver on one thread, except that `irq`
 * runs inside of `delay`, as an interrupt does between two instructions (never inside of another `irq`). So a driver that
 * is called by the emulator only needs no lock. A thread that a driver makes itself may use the members of the host that
 * are marked "any thread"; the first call on such a thread costs some tens of microseconds, later ones do not (over jnr-ffi
 * all of them do).
 *
 * VERSIONS. IOMMU_EMU_ABI_VERSION is major << 16 | minor. A minor version adds members at the end of structures only; the
 * `size` of a structure tells which ones are there. Emulator and driver work together if their majors are the same.
 */
#ifndef IOMMU_EMU_H
#define IOMMU_EMU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOMMU_EMU_ABI_MAJOR 1u
#define IOMMU_EMU_ABI_MINOR 0u
#define IOMMU_EMU_ABI_VERSION (IOMMU_EMU_ABI_MAJOR << 16 | IOMMU_EMU_ABI_MINOR)

/* Error numbers that mean something here, by the numbers of Linux; all others that Linux has may be returned, too. */
#define IOMMU_EMU_EIO 5        /* the hardware does not do what it should */
#define IOMMU_EMU_ENXIO 6      /* a resource that the device tree should name is missing */
#define IOMMU_EMU_EBADF 9      /* probe: the node is no IOMMU */
#define IOMMU_EMU_EAGAIN 11    /* probe: something that is needed is not up yet; ask again later (deferred) */
#define IOMMU_EMU_ENOMEM 12    /* out of memory */
#define IOMMU_EMU_EFAULT 14    /* what the emulator makes of an access that nothing answered (a bus error) */
#define IOMMU_EMU_EBUSY 16     /* in use */
#define IOMMU_EMU_ENODEV 19    /* probe: cannot be used; the system goes on without this unit */
#define IOMMU_EMU_EINVAL 22    /* an argument is wrong */
#define IOMMU_EMU_ENOSPC 28    /* no context, VMID or the like is left */
#define IOMMU_EMU_ERANGE 34    /* a StreamID or address is wider than the hardware takes */
#define IOMMU_EMU_ENOSYS 38    /* not implemented */
#define IOMMU_EMU_ETIMEDOUT 110 /* the hardware, or the driver, does not answer */

/* ------------------------------------------------------------------------------------------------------------------
 * The board: what the device tree said. All of it is constant and valid until the driver's `close` has returned.
 */

/* A piece of the physical address space. */
struct iommu_emu_range {
    uint64_t base; /* first byte */
    uint64_t size; /* in bytes */
};

/* A bank of guest RAM: the same bytes that the emulator's table walks, queues and DMA use. Untouched RAM reads as 0. */
struct iommu_emu_ram {
    uint64_t base; /* physical address of the first byte */
    uint64_t size; /* in bytes */
    void *pointer; /* where that byte is for the driver; the whole bank is contiguous */
};

/* An interrupt of a device. */
struct iommu_emu_interrupt {
    const char *name; /* from interrupt-names, "" where the tree names none */
    uint32_t number;  /* for request_irq; a GIC's INTID, 32 + n for an SPI */
    uint32_t reserved;
};

/* Where a device's DMA goes: an entry of its `iommus`. */
struct iommu_emu_stream {
    uint32_t iommu; /* index of the unit in the board's devices */
    uint32_t id;    /* StreamID or micro-TLB number: the specifier's first cell, 0 if it has none */
};

/* A property as it stands in the tree. */
struct iommu_emu_property {
    const char *name;
    const uint8_t *value; /* cells are big-endian */
    uint64_t length;      /* in bytes */
};

#define IOMMU_EMU_NO_DEVICE UINT32_MAX

/* A node of the device tree. */
struct iommu_emu_device {
    const char *path;              /* "/soc/iommu@e67b0000" */
    uint32_t parent;               /* index of the node around it; IOMMU_EMU_NO_DEVICE at the root */
    uint32_t phandle;              /* 0 if it has none */
    uint32_t available;            /* 1, or 0 if `status` is neither "okay" nor "ok" */
    uint32_t compatible_count;
    const char *const *compatible; /* most specific first */
    uint32_t reg_count;
    uint32_t interrupt_count;
    const struct iommu_emu_range *reg; /* CPU physical addresses, through `ranges` */
    const struct iommu_emu_interrupt *interrupts;
    uint32_t stream_count;
    uint32_t property_count;
    const struct iommu_emu_stream *streams;       /* from `iommus`; `iommu-map` is among the properties */
    const struct iommu_emu_property *properties;  /* all of them */
};

/* The board. */
struct iommu_emu_board {
    const char *name; /* of the tree: a file's path */
    uint32_t device_count;
    uint32_t ram_count;
    const struct iommu_emu_device *devices; /* every node, depth first; the root is number 0 */
    const struct iommu_emu_ram *ram;        /* in ascending order, no two banks adjacent */
    const void *fdt;                        /* the flattened device tree itself */
    uint64_t fdt_size;                      /* in bytes */
};

/* ------------------------------------------------------------------------------------------------------------------
 * What is handed to the driver's operations. Valid from the first operation that is given it to the last.
 */

/* A DMA master behind a unit: its firmware spec. Valid from add_device on, until `close`. */
struct iommu_emu_master {
    uint32_t number;       /* the emulator's, from 0; unique on this board */
    uint32_t device;       /* index of its node; a PCIe host bridge's for the functions behind it */
    uint32_t iommu;        /* index of the unit's node */
    uint32_t stream_count;
    const uint32_t *stream_ids; /* StreamIDs or micro-TLB numbers, each once */
};

/*
 * A domain: a guest-physical (or I/O virtual) address space. Where the driver shares the host's tables
 * (IOMMU_EMU_SHARES_TABLES), table, input_bits and start_level describe a stage 2 table of VMSAv8-64 with 4 KiB granule that
 * the host keeps; concatenated tables at the start level. Otherwise these three are 0. Valid from the first `attach` to
 * `release`; `data` is the driver's own and 0 at first.
 */
struct iommu_emu_domain {
    uint32_t id;          /* 0 is the hardware domain */
    uint32_t input_bits;  /* width of an input address */
    uint32_t start_level; /* level at which a walk starts: 0 or 1 */
    uint32_t reserved;
    uint64_t table;       /* physical address of the table at the start level */
    void *data;
};

/* A fault that a driver read from its unit. The emulator copies it. */
struct iommu_emu_fault {
    const char *name;    /* in the specification's words: "F_TRANSLATION", "TF" */
    const char *details; /* the rest, for the log; may be NULL */
    uint64_t address;    /* input address */
    uint64_t stream_id;  /* or IOMMU_EMU_NO_STREAM where the unit does not tell */
    uint32_t iommu;      /* index of the unit's node */
    uint32_t reserved;
};

#define IOMMU_EMU_NO_STREAM UINT64_MAX

enum iommu_emu_log_level {
    IOMMU_EMU_DEBUG = 0,   /* said only if the command line asks for it (iommu=verbose) */
    IOMMU_EMU_INFO = 1,    /* a step */
    IOMMU_EMU_WARNING = 2, /* something is not as it should be; the driver goes on */
    IOMMU_EMU_ERROR = 3    /* a step failed */
};

/* ------------------------------------------------------------------------------------------------------------------
 * The host: what a driver may ask for. `context` is the first argument of every function.
 */
struct iommu_emu_host {
    uint32_t abi_version; /* the emulator's IOMMU_EMU_ABI_VERSION */
    uint32_t size;        /* of this structure in bytes */
    void *context;
    const struct iommu_emu_board *board;

    /*
     * A read or write at a physical address that is a multiple of the size: registers of a device, or RAM. Any thread.
     * Where nothing answers (a bus error) a read gives all ones, a write is lost, the emulator logs it, and the operation
     * that is under way on this thread fails with -EFAULT whatever the driver returns. Registers have side effects at once:
     * the emulated unit has consumed a command when the write of its producer index returns.
     */
    uint8_t (*read8)(void *context, uint64_t address);
    uint16_t (*read16)(void *context, uint64_t address);
    uint32_t (*read32)(void *context, uint64_t address);
    uint64_t (*read64)(void *context, uint64_t address);
    void (*write8)(void *context, uint64_t address, uint8_t value);
    void (*write16)(void *context, uint64_t address, uint16_t value);
    void (*write32)(void *context, uint64_t address, uint32_t value);
    void (*write64)(void *context, uint64_t address, uint64_t value);

    /*
     * A full memory barrier. Any thread. What a driver stored to RAM through pointers before it writes a register is seen
     * by the emulator anyway; this is for ordering RAM against RAM, where atomic_thread_fence serves as well and is cheaper.
     */
    void (*barrier)(void *context);

    /*
     * Lets time pass, in nanoseconds, and pending interrupts in: `irq` may run inside. It does not sleep: it moves the
     * clock of `time` on, so that polling loops with a time-out of seconds end at once. Only inside of an operation; inside
     * of `irq` interrupts stay masked.
     */
    void (*delay)(void *context, uint64_t nanoseconds);

    /* A monotonic clock, in nanoseconds, with an arbitrary start. Any thread. */
    uint64_t (*time)(void *context);

    /* One line for the log, UTF-8, without a line feed. `level` is one of enum iommu_emu_log_level. Any thread. */
    void (*log)(void *context, int32_t level, const char *text);

    /*
     * RAM for the driver's tables and queues: `size` bytes, a power of two of at least 4096, zeroed, aligned to their size,
     * below 2^40. Puts the physical address into *physical.
     * -EINVAL for another size, -ENOMEM if there is no such piece. Only inside of an operation.
     */
    int (*alloc)(void *context, uint64_t size, uint64_t *physical);

    /* Gives back what alloc gave, with the same size. -EINVAL if that is not so. Only inside of an operation. */
    int (*free)(void *context, uint64_t physical, uint64_t size);

    /*
     * From now on the driver's `irq` is called for this interrupt, also if it is pending already. Several units may share a
     * number; a driver asks for it once. -EBUSY if it has it already. Only inside of an operation.
     */
    int (*request_irq)(void *context, uint32_t number);

    /* No longer. -EINVAL if the driver does not have it. Only inside of an operation. */
    int (*release_irq)(void *context, uint32_t number);

    /* Reports a fault of a device's DMA that the driver read from its unit. Any thread. */
    void (*fault)(void *context, const struct iommu_emu_fault *fault);

    /*
     * For drivers that share the host's tables: their units take input addresses of no more than `bits` bits; tables of
     * domains that are made from now on are no wider (Xen p2m_restrict_ipa_bits). -EINVAL for less than 32. Only inside of
     * `probe`.
     */
    int (*limit_input)(void *context, uint32_t bits);
};

/* ------------------------------------------------------------------------------------------------------------------
 * The driver: what the emulator asks for. `driver` is the first argument of every operation: what `open` made.
 * Operations marked "may be NULL" need not be there; all others must.
 */

/* The driver makes no tables of its own: its units walk the host's, see struct iommu_emu_domain (Xen: P2M sharing). */
#define IOMMU_EMU_SHARES_TABLES 1u

/* Protection of a mapping. */
#define IOMMU_EMU_READ 1u
#define IOMMU_EMU_WRITE 2u

struct iommu_emu_driver {
    uint32_t abi_version; /* IOMMU_EMU_ABI_VERSION when the driver was compiled */
    uint32_t size;        /* of this structure in bytes */
    const char *name;     /* short, for the log: "smmuv3" */
    const char *const *compatible; /* what it drives, ended by NULL: "arm,smmu-v3" */
    uint64_t flags;       /* IOMMU_EMU_SHARES_TABLES or 0 */

    /* The first call. The driver keeps `host` and puts what it wants to be called with into *driver. */
    int (*open)(const struct iommu_emu_host *host, void **driver);

    /* The last call; the driver frees what it has of the heap. The emulator frees RAM. May be NULL. */
    void (*close)(void *driver);

    /*
     * Brings a unit up; `unit` is the index of its node. -EAGAIN: not yet, ask again when another unit has come up;
     * -EBADF and -ENODEV: without this unit; any other error stops the boot.
     */
    int (*probe)(void *driver, uint32_t unit);

    /* Gets to know a device whose unit is up. Its DMA is not to reach RAM before it is attached. */
    int (*add_device)(void *driver, const struct iommu_emu_master *master);

    /* From now on the device's DMA goes through the domain's tables. A device is attached to one domain at a time. */
    int (*attach)(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master);

    /* The device no longer goes through the domain's tables. */
    int (*detach)(void *driver, struct iommu_emu_domain *domain, const struct iommu_emu_master *master);

    /*
     * Maps [iova, iova + size) of an attached domain to [physical, physical + size); all three are multiples of 4096.
     * `protection` is IOMMU_EMU_READ and IOMMU_EMU_WRITE. May be NULL, as `unmap` and `iova_to_phys`, in a driver that
     * shares the host's tables.
     */
    int (*map)(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t physical, uint64_t size,
               uint64_t protection);

    /*
     * Unmaps a range, of which all was mapped. When it has returned, no DMA uses the old mapping any more: the driver has
     * invalidated it, too.
     */
    int (*unmap)(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size);

    /* Puts the physical address that an input address leads to into *physical; -EFAULT if it leads nowhere. */
    int (*iova_to_phys)(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t *physical);

    /* Invalidates what TLBs hold of a range of a domain; when it has returned, no DMA uses it any more. */
    int (*flush)(void *driver, struct iommu_emu_domain *domain, uint64_t iova, uint64_t size);

    /* The domain has no devices any more and goes away: its context, VMID and tables are free. */
    int (*release)(void *driver, struct iommu_emu_domain *domain);

    /* An interrupt that the driver requested is pending. A level interrupt that is not acknowledged in the unit comes again. */
    int (*irq)(void *driver, uint32_t number);

    /*
     * Switches a unit off: no DMA behind it goes through a domain's tables any more. The driver releases its interrupts.
     * -ENOSYS from a driver that never lets a unit go.
     */
    int (*remove)(void *driver, uint32_t unit);
};

/*
 * The one symbol that a driver library exports. Returns NULL if the driver cannot work with an emulator of this version
 * (`abi_version` is the emulator's).
 */
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct iommu_emu_driver *iommu_emu_driver(uint32_t abi_version);

/* ------------------------------------------------------------------------------------------------------------------
 * Accessors: what a driver's readl and writel become.
 */

static inline uint32_t iommu_emu_read32(const struct iommu_emu_host *host, uint64_t address)
{
    return host->read32(host->context, address);
}

static inline uint64_t iommu_emu_read64(const struct iommu_emu_host *host, uint64_t address)
{
    return host->read64(host->context, address);
}

static inline void iommu_emu_write32(const struct iommu_emu_host *host, uint64_t address, uint32_t value)
{
    host->write32(host->context, address, value);
}

static inline void iommu_emu_write64(const struct iommu_emu_host *host, uint64_t address, uint64_t value)
{
    host->write64(host->context, address, value);
}

/* Where a piece of RAM is for the driver: `size` bytes from a physical address on; NULL if they are not RAM. */
static inline void *iommu_emu_ram_at(const struct iommu_emu_host *host, uint64_t physical, uint64_t size)
{
    const struct iommu_emu_board *board = host->board;
    for (uint32_t i = 0; i < board->ram_count; i++) {
        const struct iommu_emu_ram *ram = &board->ram[i];
        if (physical >= ram->base && physical - ram->base < ram->size && size <= ram->size - (physical - ram->base))
            return (uint8_t *)ram->pointer + (physical - ram->base);
    }
    return NULL;
}

#ifdef __cplusplus
}
#endif

#endif
