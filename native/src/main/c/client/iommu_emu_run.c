/* Runs a driver library in a process of its own: iommu_emu_run LIBRARY SOCKET. */
#include <dlfcn.h>
#include <stdio.h>

#include "iommu_emu_client.h"

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s LIBRARY SOCKET\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 2;
    }
    const struct iommu_emu_driver *(*entry)(uint32_t);
    *(void **)&entry = dlsym(library, "iommu_emu_driver");
    if (entry == NULL) {
        fprintf(stderr, "%s: it exports no iommu_emu_driver\n", argv[1]);
        return 2;
    }
    argv[1] = argv[2];
    return iommu_emu_client_main(2, argv, entry(IOMMU_EMU_ABI_VERSION));
}
