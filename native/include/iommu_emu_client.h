/*
 * iommu-emu: a driver, or any C program, in a process of its own.
 *
 * `iommu-emu serve BOARD.dtb --socket PATH` is the other end. The program gets the same struct iommu_emu_host as a driver
 * that is loaded into the emulator: accesses to registers travel over the socket, guest RAM is a shared mapping. It can run
 * under gdb, valgrind or AddressSanitizer, and it can crash: the emulator goes on and says what was done last.
 *
 * Link with libiommu_emu_client.a and -pthread.
 *
 * THREADS. As in iommu_emu.h. A thread that the program makes itself gets a connection of its own at its first call of the
 * host, and keeps it.
 *
 * THE EMULATOR GOES AWAY. Between operations iommu_emu_client_serve returns -EPIPE. While the host is asked for something,
 * there is no machine left to go on with: one line on standard error tells what was asked for, and the process exits with
 * status IOMMU_EMU_CLIENT_LOST.
 */
#ifndef IOMMU_EMU_CLIENT_H
#define IOMMU_EMU_CLIENT_H

#include "iommu_emu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Exit status of a process that the emulator left; EX_UNAVAILABLE of sysexits.h. */
#define IOMMU_EMU_CLIENT_LOST 69

struct iommu_emu_client;

/*
 * Connects to an emulator.
 *
 * socket: path of its Unix socket.
 * driver: what to answer its calls with; NULL for a program that has no operations and only uses the host. Such a program
 * gets no interrupts (request_irq answers -ENOSYS).
 * error: gets one line that tells what went wrong, if anything; of error_size bytes.
 *
 * Returns NULL if there is no emulator, or it does not work with this version or driver.
 */
struct iommu_emu_client *iommu_emu_client_connect(const char *socket, const struct iommu_emu_driver *driver, char *error,
                                                  size_t error_size);

/* The host; valid until disconnect. */
const struct iommu_emu_host *iommu_emu_client_host(const struct iommu_emu_client *client);

/* Answers the emulator's calls on this thread, until it needs no more: 0; or until it goes away: -EPIPE (-32). */
int iommu_emu_client_serve(struct iommu_emu_client *client);

/* Leaves the emulator and frees everything. */
void iommu_emu_client_disconnect(struct iommu_emu_client *client);

/*
 * A whole main for a driver: argv[1] is the socket. Returns the exit status: 0, 2 with a line on standard error if it could
 * not connect, IOMMU_EMU_CLIENT_LOST if the emulator went away.
 */
int iommu_emu_client_main(int argc, char **argv, const struct iommu_emu_driver *driver);

#ifdef __cplusplus
}
#endif

#endif
