/* The Java side lays structures out by hand (Abi.java): this file compiles only where the compiler does it alike. */
#include "iommu_emu.h"

#define AT(type, member, offset) _Static_assert(offsetof(struct iommu_emu_##type, member) == (offset), #type "." #member)
#define SIZE(type, size) _Static_assert(sizeof(struct iommu_emu_##type) == (size), "struct iommu_emu_" #type)

SIZE(range, 16);
SIZE(ram, 24);
AT(ram, pointer, 16);
SIZE(interrupt, 16);
AT(interrupt, number, 8);
SIZE(stream, 8);
SIZE(property, 24);
SIZE(device, 80);
AT(device, parent, 8);
AT(device, available, 16);
AT(device, compatible, 24);
AT(device, reg_count, 32);
AT(device, reg, 40);
AT(device, interrupts, 48);
AT(device, stream_count, 56);
AT(device, streams, 64);
AT(device, properties, 72);
SIZE(board, 48);
AT(board, ram_count, 12);
AT(board, devices, 16);
AT(board, ram, 24);
AT(board, fdt, 32);
AT(board, fdt_size, 40);
SIZE(master, 24);
AT(master, stream_ids, 16);
SIZE(domain, 32);
AT(domain, table, 16);
AT(domain, data, 24);
SIZE(fault, 40);
AT(fault, address, 16);
AT(fault, stream_id, 24);
AT(fault, iommu, 32);
SIZE(host, 168);
AT(host, context, 8);
AT(host, board, 16);
AT(host, read8, 24);
AT(host, barrier, 88);
AT(host, limit_input, 160);
SIZE(driver, 136);
AT(driver, name, 8);
AT(driver, compatible, 16);
AT(driver, flags, 24);
AT(driver, open, 32);
AT(driver, probe, 48);
AT(driver, map, 80);
AT(driver, iova_to_phys, 96);
AT(driver, irq, 120);
AT(driver, remove, 128);
