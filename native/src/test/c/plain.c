/*
 * A program that is no driver: it looks at the board, and at RAM from both sides; then it reads a register for ever, until
 * the emulator goes away.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "iommu_emu_client.h"

int main(int argc, char **argv)
{
    char error[256];
    struct iommu_emu_client *client = argc == 2 ? iommu_emu_client_connect(argv[1], NULL, error, sizeof error) : NULL;
    if (client == NULL) {
        fprintf(stderr, "%s\n", argc == 2 ? error : "usage: plain SOCKET");
        return 2;
    }
    const struct iommu_emu_host *host = iommu_emu_client_host(client);
    const struct iommu_emu_board *board = host->board;
    uint64_t base = 0;
    for (uint32_t i = 0; i < board->device_count; i++) {
        const struct iommu_emu_device *device = &board->devices[i];
        if (base == 0 && device->compatible_count > 0 && strcmp(device->compatible[0], "arm,smmu-v3") == 0) {
            base = device->reg[0].base;
            printf("%s at 0x%" PRIx64 ", IDR0 0x%08x\n", device->path, base, iommu_emu_read32(host, base));
            for (uint32_t n = 0; n < device->interrupt_count; n++)
                printf("interrupt %s %u\n", device->interrupts[n].name, device->interrupts[n].number);
        }
        for (uint32_t n = 0; n < device->stream_count; n++)
            printf("%s behind %s, 0x%x\n", device->path, board->devices[device->streams[n].iommu].path,
                   device->streams[n].id);
    }
    /* The last bytes of each bank: through the pointer here, over the bus there, and the other way round. */
    for (uint32_t i = 0; i < board->ram_count; i++) {
        uint64_t at = board->ram[i].base + board->ram[i].size - 16;
        volatile uint64_t *mine = iommu_emu_ram_at(host, at, 16);
        mine[0] = 0x1122334455667788u + i;
        iommu_emu_write64(host, at + 8, 0x8877665544332211u + i);
        if (iommu_emu_read64(host, at) != 0x1122334455667788u + i || mine[1] != 0x8877665544332211u + i ||
            host->read8(host->context, at + 7) != 0x11 || host->read16(host->context, at + 14) != 0x8877)
            return 3;
    }
    uint64_t physical, start = host->time(host->context);
    host->delay(host->context, 5000000000u);
    if (host->time(host->context) < start + 5000000000u || host->alloc(host->context, 1 << 20, &physical) != 0 ||
        host->free(host->context, physical, 4096) != -IOMMU_EMU_EINVAL || host->free(host->context, physical, 1 << 20) != 0 ||
        host->alloc(host->context, 5000, &physical) != -IOMMU_EMU_EINVAL ||
        host->request_irq(host->context, 40) != -IOMMU_EMU_ENOSYS || iommu_emu_ram_at(host, base, 4) != NULL)
        return 4;
    printf("%u banks, fdt of %" PRIu64 " bytes, magic %02x\n", board->ram_count, board->fdt_size,
           *(const uint8_t *)board->fdt);
    fflush(stdout);
    for (;;)
        iommu_emu_read32(host, base);
}
