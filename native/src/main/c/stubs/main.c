/* The same driver as a program: what a driver in its own process looks like. The build says which one: -DDRIVER=smmuv3_stub. */
#include "iommu_emu_client.h"
#include "stubs.h"

int main(int argc, char **argv)
{
    return iommu_emu_client_main(argc, argv, &DRIVER);
}
