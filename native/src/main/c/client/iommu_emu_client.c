#define _GNU_SOURCE
#include "iommu_emu_client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "protocol.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* macOS has SO_NOSIGPIPE instead. */
#endif

#define MAX_DOMAINS 4096u

struct iommu_emu_client {
    struct iommu_emu_host host;
    const struct iommu_emu_driver *driver;
    void *state; /* what the driver's open made */
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    uint64_t token;
    int fd;
    uint8_t *image;
    struct iommu_emu_board board;
    struct iommu_emu_ram *ram;
    struct iommu_emu_domain *domain[MAX_DOMAINS]; /* by the emulator's number */
    struct iommu_emu_master **master;             /* by number */
    uint64_t masters;
};

/* The connection of a thread: the client's own for the one that connected. A later client may have an earlier one's address,
   and not its token. */
static _Thread_local struct {
    const struct iommu_emu_client *client;
    uint64_t token;
    int fd;
} connection;

/* Closes the connection of its own that a thread has, when it ends. */
static pthread_key_t ending;

static void close_connection(void *fd)
{
    close((int)(intptr_t)fd - 1);
}

static void make_key(void)
{
    pthread_key_create(&ending, close_connection);
}

static int send_all(int fd, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t sent = send(fd, (const uint8_t *)bytes + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        done += (size_t)sent;
    }
    return 0;
}

static int receive_all(int fd, void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t received = recv(fd, (uint8_t *)bytes + done, size - done, 0);
        if (received < 0 && errno == EINTR)
            continue;
        if (received <= 0)
            return -1;
        done += (size_t)received;
    }
    return 0;
}

static int send_frame(int fd, const struct frame *frame, const void *payload)
{
    return send_all(fd, frame, sizeof *frame) != 0 ? -1 : send_all(fd, payload, frame->payload);
}

/* Receives a frame; its payload is the caller's to free, with a 0 behind it. */
static int receive_frame(int fd, struct frame *frame, uint8_t **payload)
{
    *payload = NULL;
    if (receive_all(fd, frame, sizeof *frame) != 0 || frame->payload > MAX_PAYLOAD)
        return -1;
    if (frame->payload == 0)
        return 0;
    *payload = malloc((size_t)frame->payload + 1);
    if (*payload == NULL || receive_all(fd, *payload, frame->payload) != 0) {
        free(*payload);
        *payload = NULL;
        return -1;
    }
    (*payload)[frame->payload] = 0;
    return 0;
}

static _Noreturn void lost(const struct frame *asked)
{
    static const char *const names[] = {"read", "write", "delay", "time", "log", "alloc", "free", "request_irq",
                                        "release_irq", "fault", "limit_input"};
    fprintf(stderr, "iommu-emu client: the emulator went away during %s(0x%llx, 0x%llx, 0x%llx)\n", names[asked->op],
            (unsigned long long)asked->arg[0], (unsigned long long)asked->arg[1], (unsigned long long)asked->arg[2]);
    _exit(IOMMU_EMU_CLIENT_LOST);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    strcpy(address.sun_path, path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        int failed = errno;
        close(fd);
        errno = failed;
        return -1;
    }
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
    return fd;
}

/* The connection of this thread. One of its own is another thread of the same session. */
static int fd_of(const struct iommu_emu_client *client, const struct frame *asked)
{
    if (connection.client != client || connection.token != client->token) {
        struct frame hello = {.kind = HELLO, .arg = {PROTOCOL_VERSION, IOMMU_EMU_ABI_VERSION, (uint64_t)getpid(), client->token}};
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, make_key);
        void *before = pthread_getspecific(ending);
        if (before != NULL)
            close_connection(before);
        connection.fd = connect_to(client->path);
        if (connection.fd < 0 || send_frame(connection.fd, &hello, NULL) != 0)
            lost(asked);
        connection.client = client;
        connection.token = client->token;
        pthread_setspecific(ending, (void *)(intptr_t)(connection.fd + 1)); /* 0 would be none. */
    }
    return connection.fd;
}

static int serve(struct iommu_emu_client *client, int fd, const struct frame *call, const uint8_t *payload);

/* Asks the emulator for something, and answers its calls until it replies. */
static struct frame ask(struct iommu_emu_client *client, struct frame frame, const void *payload)
{
    int fd = fd_of(client, &frame);
    struct frame answer = {0};
    frame.kind = REQUEST;
    if (send_frame(fd, &frame, payload) != 0)
        lost(&frame);
    if (frame.op == REQUEST_LOG || frame.op == REQUEST_FAULT)
        return answer;
    for (;;) {
        uint8_t *received;
        if (receive_frame(fd, &answer, &received) != 0)
            lost(&frame);
        if (answer.kind == REPLY) {
            free(received);
            return answer;
        }
        int failed = answer.kind != CALL || serve(client, fd, &answer, received) != 0;
        free(received);
        if (failed)
            lost(&frame);
    }
}

static uint64_t read_at(void *context, uint64_t address, uint64_t size)
{
    return ask(context, (struct frame){.op = REQUEST_READ, .arg = {address, size}}, NULL).arg[0];
}

static void write_at(void *context, uint64_t address, uint64_t size, uint64_t value)
{
    ask(context, (struct frame){.op = REQUEST_WRITE, .arg = {address, size, value}}, NULL);
}

static uint8_t host_read8(void *context, uint64_t address)
{
    return (uint8_t)read_at(context, address, 1);
}

static uint16_t host_read16(void *context, uint64_t address)
{
    return (uint16_t)read_at(context, address, 2);
}

static uint32_t host_read32(void *context, uint64_t address)
{
    return (uint32_t)read_at(context, address, 4);
}

static uint64_t host_read64(void *context, uint64_t address)
{
    return read_at(context, address, 8);
}

static void host_write8(void *context, uint64_t address, uint8_t value)
{
    write_at(context, address, 1, value);
}

static void host_write16(void *context, uint64_t address, uint16_t value)
{
    write_at(context, address, 2, value);
}

static void host_write32(void *context, uint64_t address, uint32_t value)
{
    write_at(context, address, 4, value);
}

static void host_write64(void *context, uint64_t address, uint64_t value)
{
    write_at(context, address, 8, value);
}

/* RAM is one mapping of two processes on one machine: the CPU's barrier is enough. */
static void host_barrier(void *context)
{
    (void)context;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void host_delay(void *context, uint64_t nanoseconds)
{
    ask(context, (struct frame){.op = REQUEST_DELAY, .arg = {nanoseconds}}, NULL);
}

static uint64_t host_time(void *context)
{
    return ask(context, (struct frame){.op = REQUEST_TIME}, NULL).arg[0];
}

static void host_log(void *context, int32_t level, const char *text)
{
    struct frame frame = {.op = REQUEST_LOG, .arg = {(uint64_t)(int64_t)level}, .payload = (uint32_t)strlen(text)};
    ask(context, frame, text);
}

static int host_alloc(void *context, uint64_t size, uint64_t *physical)
{
    struct frame answer = ask(context, (struct frame){.op = REQUEST_ALLOC, .arg = {size}}, NULL);
    if (answer.result == 0)
        *physical = answer.arg[0];
    return answer.result;
}

static int host_free(void *context, uint64_t physical, uint64_t size)
{
    return ask(context, (struct frame){.op = REQUEST_FREE, .arg = {physical, size}}, NULL).result;
}

static int host_request_irq(void *context, uint32_t number)
{
    return ask(context, (struct frame){.op = REQUEST_IRQ, .arg = {number}}, NULL).result;
}

static int host_release_irq(void *context, uint32_t number)
{
    return ask(context, (struct frame){.op = REQUEST_RELEASE_IRQ, .arg = {number}}, NULL).result;
}

static void host_fault(void *context, const struct iommu_emu_fault *fault)
{
    char text[512];
    const char *details = fault->details == NULL ? "" : fault->details;
    /* Both strings with their 0, the second one cut where it is too long. */
    int length = snprintf(text, sizeof text, "%.100s%c%.400s", fault->name, 0, details);
    struct frame frame = {.op = REQUEST_FAULT,
                          .arg = {fault->address, fault->stream_id, fault->iommu},
                          .payload = (uint32_t)length + 1};
    ask(context, frame, text);
}

static int host_limit_input(void *context, uint32_t bits)
{
    return ask(context, (struct frame){.op = REQUEST_LIMIT_INPUT, .arg = {bits}}, NULL).result;
}

static const struct iommu_emu_host functions = {
    .abi_version = IOMMU_EMU_ABI_VERSION,
    .size = sizeof(struct iommu_emu_host),
    .read8 = host_read8,
    .read16 = host_read16,
    .read32 = host_read32,
    .read64 = host_read64,
    .write8 = host_write8,
    .write16 = host_write16,
    .write32 = host_write32,
    .write64 = host_write64,
    .barrier = host_barrier,
    .delay = host_delay,
    .time = host_time,
    .log = host_log,
    .alloc = host_alloc,
    .free = host_free,
    .request_irq = host_request_irq,
    .release_irq = host_release_irq,
    .fault = host_fault,
    .limit_input = host_limit_input,
};

/* The master of a call; made by CALL_ADD_DEVICE. */
static struct iommu_emu_master *master_of(const struct iommu_emu_client *client, uint64_t number)
{
    return number < client->masters ? client->master[number] : NULL;
}

static int add_master(struct iommu_emu_client *client, const struct frame *call, const uint8_t *payload)
{
    uint64_t number = call->arg[0];
    if (number >= client->masters) {
        uint64_t longer = number + 64;
        struct iommu_emu_master **grown = realloc(client->master, longer * sizeof *grown);
        if (grown == NULL)
            return -IOMMU_EMU_ENOMEM;
        memset(grown + client->masters, 0, (longer - client->masters) * sizeof *grown);
        client->master = grown;
        client->masters = longer;
    }
    struct iommu_emu_master *master = malloc(sizeof *master + call->payload);
    if (master == NULL)
        return -IOMMU_EMU_ENOMEM;
    uint32_t *ids = (uint32_t *)(master + 1);
    if (call->payload != 0)
        memcpy(ids, payload, call->payload);
    *master = (struct iommu_emu_master){.number = (uint32_t)number,
                                        .device = (uint32_t)call->arg[1],
                                        .iommu = (uint32_t)call->arg[2],
                                        .stream_count = call->payload / 4,
                                        .stream_ids = ids};
    free(client->master[number]);
    client->master[number] = master;
    return client->driver->add_device(client->state, master);
}

static int attach(struct iommu_emu_client *client, const struct frame *call)
{
    const uint64_t *arg = call->arg;
    if (arg[0] >= MAX_DOMAINS)
        return -IOMMU_EMU_ENOSPC;
    if (client->domain[arg[0]] == NULL) {
        struct iommu_emu_domain *domain = calloc(1, sizeof *domain);
        if (domain == NULL)
            return -IOMMU_EMU_ENOMEM;
        *domain = (struct iommu_emu_domain){
            .id = (uint32_t)arg[2], .input_bits = (uint32_t)arg[3], .start_level = (uint32_t)arg[4], .table = arg[5]};
        client->domain[arg[0]] = domain;
    }
    return client->driver->attach(client->state, client->domain[arg[0]], master_of(client, arg[1]));
}

/* Runs one operation and answers it. 0, or -1 if the emulator went away. */
static int serve(struct iommu_emu_client *client, int fd, const struct frame *call, const uint8_t *payload)
{
    const struct iommu_emu_driver *driver = client->driver;
    const uint64_t *arg = call->arg;
    struct frame answer = {.kind = RETURN, .op = call->op};
    int rc = 0;
    struct iommu_emu_domain *domain = NULL;
    if (call->op >= CALL_DETACH && call->op <= CALL_RELEASE && arg[0] < MAX_DOMAINS)
        domain = client->domain[arg[0]];
    switch ((enum call)call->op) {
    case CALL_OPEN: rc = driver->open(&client->host, &client->state); break;
    case CALL_CLOSE:
        if (driver->close != NULL)
            driver->close(client->state);
        break;
    case CALL_PROBE: rc = driver->probe(client->state, (uint32_t)arg[0]); break;
    case CALL_ADD_DEVICE: rc = add_master(client, call, payload); break;
    case CALL_ATTACH: rc = attach(client, call); break;
    case CALL_DETACH: rc = driver->detach(client->state, domain, master_of(client, arg[1])); break;
    case CALL_MAP: rc = driver->map(client->state, domain, arg[1], arg[2], arg[3], arg[4]); break;
    case CALL_UNMAP: rc = driver->unmap(client->state, domain, arg[1], arg[2]); break;
    case CALL_IOVA_TO_PHYS: rc = driver->iova_to_phys(client->state, domain, arg[1], &answer.arg[0]); break;
    case CALL_FLUSH: rc = driver->flush(client->state, domain, arg[1], arg[2]); break;
    case CALL_RELEASE:
        rc = driver->release(client->state, domain);
        if (domain != NULL) {
            client->domain[arg[0]] = NULL;
            free(domain);
        }
        break;
    case CALL_IRQ: rc = driver->irq(client->state, (uint32_t)arg[0]); break;
    case CALL_REMOVE: rc = driver->remove(client->state, (uint32_t)arg[0]); break;
    default: rc = -IOMMU_EMU_ENOSYS;
    }
    answer.result = rc;
    return send_frame(fd, &answer, NULL);
}

/* Why a driver cannot be used; NULL if it can. Whether it needs map, unmap and iova_to_phys the emulator knows. */
static const char *unusable(const struct iommu_emu_driver *driver)
{
    if (driver->abi_version >> 16 != IOMMU_EMU_ABI_MAJOR || driver->size < sizeof *driver)
        return "was compiled for another version of the ABI";
    if (driver->name == NULL || driver->compatible == NULL)
        return "lacks a name, or what it is compatible with";
    if (driver->open == NULL || driver->probe == NULL || driver->add_device == NULL || driver->attach == NULL ||
        driver->detach == NULL || driver->flush == NULL || driver->release == NULL || driver->irq == NULL ||
        driver->remove == NULL)
        return "lacks an operation that every driver has";
    return NULL;
}

static int send_hello(struct iommu_emu_client *client)
{
    const struct iommu_emu_driver *driver = client->driver;
    struct frame hello = {.kind = HELLO, .arg = {PROTOCOL_VERSION, IOMMU_EMU_ABI_VERSION, (uint64_t)getpid()}};
    if (driver == NULL)
        return send_frame(client->fd, &hello, NULL);
    hello.arg[1] = driver->abi_version;
    hello.arg[4] = driver->flags;
    hello.arg[5] = (driver->map != NULL ? 1u << CALL_MAP : 0) | (driver->unmap != NULL ? 1u << CALL_UNMAP : 0) |
                   (driver->iova_to_phys != NULL ? 1u << CALL_IOVA_TO_PHYS : 0);
    size_t size = strlen(driver->name) + 1;
    for (unsigned i = 0; driver->compatible[i] != NULL; i++)
        size += strlen(driver->compatible[i]) + 1;
    char *names = malloc(size), *end = names;
    if (names == NULL)
        return -1;
    end = stpcpy(end, driver->name) + 1;
    for (unsigned i = 0; driver->compatible[i] != NULL; i++)
        end = stpcpy(end, driver->compatible[i]) + 1;
    hello.payload = (uint32_t)size;
    int rc = send_frame(client->fd, &hello, names);
    free(names);
    return rc;
}

static uintptr_t page_mask(void)
{
    return (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
}

static void map_ram(struct iommu_emu_client *client, const uint64_t *offsets, const char *path, char *error, size_t size)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error, size, "cannot open the guest's RAM, %s: %s", path, strerror(errno));
        return;
    }
    for (uint32_t i = 0; i < client->board.ram_count; i++) {
        uint64_t slack = offsets[i] & page_mask(); /* A mapping starts with a page of the file. */
        uint8_t *mapped = mmap(NULL, client->ram[i].size + slack, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
                               (off_t)(offsets[i] - slack));
        if (mapped == MAP_FAILED) {
            snprintf(error, size, "cannot map 0x%llx bytes of guest RAM: %s", (unsigned long long)client->ram[i].size,
                     strerror(errno));
            break;
        }
        client->ram[i].pointer = mapped + slack;
    }
    close(fd);
}

/* Takes the board over: its image with pointers where the image has offsets, and RAM. */
static void take_board(struct iommu_emu_client *client, const struct frame *welcome, char *error, size_t error_size)
{
    const uint64_t *arg = welcome->arg;
    uint64_t fixed = arg[2] + 8 * arg[4] + 8 * arg[5];
    if (arg[2] % 8 != 0 || arg[3] + sizeof client->board > arg[2] || fixed >= welcome->payload) {
        snprintf(error, error_size, "the emulator's answer is malformed");
        return;
    }
    const uint64_t *pointers = (const uint64_t *)(client->image + arg[2]);
    const uint64_t *offsets = pointers + arg[4];
    for (uint64_t i = 0; i < arg[4]; i++) {
        uint64_t target;
        memcpy(&target, client->image + pointers[i], sizeof target);
        const uint8_t *pointer = client->image + target;
        memcpy(client->image + pointers[i], &pointer, sizeof pointer);
    }
    memcpy(&client->board, client->image + arg[3], sizeof client->board);
    client->ram = calloc(client->board.ram_count, sizeof *client->ram);
    if (client->ram == NULL) {
        snprintf(error, error_size, "out of memory");
        return;
    }
    memcpy(client->ram, client->board.ram, client->board.ram_count * sizeof *client->ram);
    client->board.ram = client->ram;
    client->token = arg[1];
    map_ram(client, offsets, (const char *)(offsets + arg[5]), error, error_size);
    client->host = functions;
    client->host.context = client;
    client->host.board = &client->board;
}

struct iommu_emu_client *iommu_emu_client_connect(const char *socket, const struct iommu_emu_driver *driver, char *error,
                                                  size_t error_size)
{
    const char *wrong = driver == NULL ? NULL : unusable(driver);
    if (wrong != NULL) {
        snprintf(error, error_size, "the driver %s", wrong);
        return NULL;
    }
    error[0] = 0;
    struct iommu_emu_client *client = calloc(1, sizeof *client);
    if (client == NULL || strlen(socket) >= sizeof client->path) {
        snprintf(error, error_size, "%s", client == NULL ? "out of memory" : "the socket's path is too long");
        free(client);
        return NULL;
    }
    strcpy(client->path, socket);
    client->driver = driver;
    client->fd = connect_to(socket);
    if (client->fd < 0) {
        snprintf(error, error_size, "cannot connect to %s: %s", socket, strerror(errno));
        free(client);
        return NULL;
    }
    connection.client = client;
    connection.fd = client->fd;
    struct frame welcome;
    if (send_hello(client) != 0 || receive_frame(client->fd, &welcome, &client->image) != 0)
        snprintf(error, error_size, "the emulator at %s went away before it answered", socket);
    else if (welcome.kind == REFUSED)
        snprintf(error, error_size, "the emulator refuses: %s", client->image == NULL ? "" : (char *)client->image);
    else if (welcome.kind != WELCOME)
        snprintf(error, error_size, "what listens at %s is no emulator", socket);
    else
        take_board(client, &welcome, error, error_size);
    if (error[0] != 0) {
        iommu_emu_client_disconnect(client);
        return NULL;
    }
    connection.token = client->token;
    return client;
}

const struct iommu_emu_host *iommu_emu_client_host(const struct iommu_emu_client *client)
{
    return &client->host;
}

int iommu_emu_client_serve(struct iommu_emu_client *client)
{
    for (;;) {
        struct frame call;
        uint8_t *payload;
        if (receive_frame(client->fd, &call, &payload) != 0)
            return -EPIPE;
        int rc = call.kind == CALL ? serve(client, client->fd, &call, payload) : -1;
        free(payload);
        if (call.kind == GOODBYE)
            return 0;
        if (rc != 0)
            return -EPIPE;
    }
}

void iommu_emu_client_disconnect(struct iommu_emu_client *client)
{
    for (uint32_t i = 0; client->ram != NULL && i < client->board.ram_count; i++) {
        uintptr_t slack = (uintptr_t)client->ram[i].pointer & page_mask();
        if (client->ram[i].pointer != NULL)
            munmap((uint8_t *)client->ram[i].pointer - slack, client->ram[i].size + slack);
    }
    for (unsigned i = 0; i < MAX_DOMAINS; i++)
        free(client->domain[i]);
    for (uint64_t i = 0; i < client->masters; i++)
        free(client->master[i]);
    free(client->master);
    free(client->ram);
    free(client->image);
    close(client->fd);
    connection.client = NULL;
    free(client);
}

int iommu_emu_client_main(int argc, char **argv, const struct iommu_emu_driver *driver)
{
    char error[512];
    if (argc != 2 || driver == NULL) {
        fprintf(stderr, driver == NULL ? "%s: the driver does not work with this version\n" : "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    struct iommu_emu_client *client = iommu_emu_client_connect(argv[1], driver, error, sizeof error);
    if (client == NULL) {
        fprintf(stderr, "%s: %s\n", argv[0], error);
        return 2;
    }
    int rc = iommu_emu_client_serve(client);
    iommu_emu_client_disconnect(client);
    if (rc != 0) {
        fprintf(stderr, "%s: the emulator went away\n", argv[0]);
        return IOMMU_EMU_CLIENT_LOST;
    }
    return 0;
}
