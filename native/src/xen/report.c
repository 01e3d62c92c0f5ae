#include "report.h"

#include <stdio.h>
#include <string.h>

#define EVENT_WORDS 4u

/* An event record that is being printed, word by word. */
static struct {
    uint32_t iommu;
    unsigned int words; /* EVENT_WORDS: none is */
    uint64_t record[EVENT_WORDS];
} event;

void report_start(void)
{
    event.words = EVENT_WORDS;
}

/* Names of event records (IHI 0070, 7.3). */
static const char *event_name(unsigned int type)
{
    switch (type) {
    case 0x01: return "F_UUT";
    case 0x02: return "C_BAD_STREAMID";
    case 0x03: return "F_STE_FETCH";
    case 0x04: return "C_BAD_STE";
    case 0x06: return "F_STREAM_DISABLED";
    case 0x0b: return "F_WALK_EABT";
    case 0x10: return "F_TRANSLATION";
    case 0x11: return "F_ADDR_SIZE";
    case 0x12: return "F_ACCESS";
    case 0x13: return "F_PERMISSION";
    case 0x20: return "F_TLB_CONFLICT";
    case 0x21: return "F_CFG_CONFLICT";
    default: return "another event";
    }
}

/* The unit whose path a line starts with; puts what follows the path and a colon into *rest. */
static int find_unit(const struct iommu_emu_host *host, const char *line, uint32_t *unit, const char **rest)
{
    for (uint32_t i = 1; i < host->board->device_count; i++) {
        const char *path = host->board->devices[i].path;
        size_t length = strlen(path);
        if (strncmp(line, path, length) == 0 && strncmp(line + length, ": ", 2) == 0) {
            *unit = i;
            *rest = line + length + 2;
            return 1;
        }
    }
    return 0;
}

static void tell(const struct iommu_emu_host *host, uint32_t unit, const char *name, uint64_t stream, uint64_t address,
                 const char *details)
{
    struct iommu_emu_fault fault = {
        .name = name, .details = details, .address = address, .stream_id = stream, .iommu = unit};
    host->fault(host->context, &fault);
}

/* "event 0x10 received:", then a line for each word: StreamID in [63:32] of the first, input address in the third (7.3). */
static void smmuv3_line(const struct iommu_emu_host *host, uint32_t unit, const char *line)
{
    unsigned int type;
    unsigned long long word;
    if (sscanf(line, "event 0x%x received", &type) == 1) {
        event.iommu = unit;
        event.words = 0;
    } else if (event.words < EVENT_WORDS && event.iommu == unit && sscanf(line, "\t0x%llx", &word) == 1) {
        event.record[event.words++] = word;
        if (event.words == EVENT_WORDS) {
            char details[64];
            snprintf(details, sizeof details, "%s, stage %d", event.record[1] >> 35 & 1 ? "read" : "write",
                     event.record[1] >> 39 & 1 ? 2 : 1);
            tell(host, unit, event_name(event.record[0] & 0xff), event.record[0] >> 32, event.record[2], details);
        }
    }
}

/* "d1: Unhandled fault: status 0x00000001 iova 0x40005000" and the two that are no fault of a translation. */
static void ipmmu_line(const struct iommu_emu_host *host, uint32_t unit, const char *line)
{
    unsigned int status;
    unsigned long long address;
    const char *text = strstr(line, ": ");
    if (text == NULL)
        return;
    if (sscanf(text, ": Unhandled fault: status 0x%x iova 0x%llx", &status, &address) == 2)
        tell(host, unit, status & 1 ? "TF" : "PF", IOMMU_EMU_NO_STREAM, address, line);
    else if (sscanf(text, ": Page Table Walk Abort @0x%llx", &address) == 1)
        tell(host, unit, "ABORT", IOMMU_EMU_NO_STREAM, address, line);
    else if (sscanf(text, ": Multiple TLB hits @0x%llx", &address) == 1)
        tell(host, unit, "MHIT", IOMMU_EMU_NO_STREAM, address, line);
}

void report(const struct iommu_emu_host *host, unsigned int level, const char *text)
{
    static const enum iommu_emu_log_level levels[] = {IOMMU_EMU_ERROR, IOMMU_EMU_WARNING, IOMMU_EMU_INFO, IOMMU_EMU_DEBUG};
    static const char smmuv3[] = "SMMUv3: ";
    static const char ipmmu[] = "ipmmu: ";
    uint32_t unit;
    const char *rest;
    host->log(host->context, levels[level], text);
    if (strncmp(text, smmuv3, sizeof smmuv3 - 1) == 0 && find_unit(host, text + sizeof smmuv3 - 1, &unit, &rest))
        smmuv3_line(host, unit, rest);
    else if (strncmp(text, ipmmu, sizeof ipmmu - 1) == 0 && find_unit(host, text + sizeof ipmmu - 1, &unit, &rest))
        ipmmu_line(host, unit, rest);
}
