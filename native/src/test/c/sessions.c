/* A program that uses one emulator session after the other, and a thread of it that outlives each of them. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "iommu_emu_client.h"

#define SESSIONS 3

static struct iommu_emu_client *client;
static pthread_barrier_t both;

static void *read_registers(void *argument)
{
    for (int i = 0; i < SESSIONS; i++) {
        pthread_barrier_wait(&both);
        printf("session %d, IDR0 0x%08x\n", i, iommu_emu_read32(iommu_emu_client_host(client), 0x2b400000));
        pthread_barrier_wait(&both);
    }
    return argument;
}

int main(int argc, char **argv)
{
    char error[256];
    pthread_t thread;
    if (argc != 2 || pthread_barrier_init(&both, NULL, 2) != 0 || pthread_create(&thread, NULL, read_registers, NULL) != 0)
        return 2;
    for (int i = 0; i < SESSIONS; i++) {
        /* The last session may not be over yet on the other side. */
        while ((client = iommu_emu_client_connect(argv[1], NULL, error, sizeof error)) == NULL)
            usleep(10000);
        pthread_barrier_wait(&both);
        pthread_barrier_wait(&both);
        iommu_emu_client_disconnect(client);
    }
    return pthread_join(thread, NULL);
}
