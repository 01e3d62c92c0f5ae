/*
 * What travels over the socket between emulator and program, native byte order: frames of 64 bytes, each followed by
 * `payload` bytes. Not part of the ABI: library and emulator are of one version, and say so in HELLO and WELCOME.
 *
 * A CALL is answered by a RETURN and a REQUEST by a REPLY, and they nest: while one side waits for its answer, the other may
 * ask (an operation reads registers; a delay lets an interrupt in). LOG and FAULT are not answered.
 */
#ifndef IOMMU_EMU_PROTOCOL_H
#define IOMMU_EMU_PROTOCOL_H

#include <stdint.h>

#define PROTOCOL_VERSION 1u

enum frame_kind {
    HELLO = 1,    /* program: arg[0] PROTOCOL_VERSION, [1] ABI version, [2] process, [3] token of the session that this
                     connection is another thread of, or 0, [4] the driver's flags, [5] 1 << call that the driver has;
                     payload: the driver's name and its compatibles, each ended by a 0; empty without a driver */
    WELCOME = 2,  /* emulator: arg[0] ABI version, [1] token, [2] bytes of the board's image, [3] offset of the board in it,
                     [4] count of pointers in it, [5] count of banks; payload: the image, the offset of each pointer (u64),
                     for each bank the file's offset (u64), the file's path */
    REFUSED = 3,  /* emulator: payload is why */
    CALL = 4,     /* emulator: op is enum call */
    RETURN = 5,   /* program: result, and arg[0] for IOVA_TO_PHYS */
    REQUEST = 6,  /* program: op is enum request */
    REPLY = 7,    /* emulator: result and arg[0] */
    GOODBYE = 8   /* emulator: the session is over */
};

enum call {
    CALL_OPEN = 0,
    CALL_CLOSE = 1,
    CALL_PROBE = 2,        /* unit */
    CALL_ADD_DEVICE = 3,   /* number, device, iommu; payload: StreamIDs (u32) */
    CALL_ATTACH = 4,       /* domain, master, id, input_bits, start_level, table */
    CALL_DETACH = 5,       /* domain, master */
    CALL_MAP = 6,          /* domain, iova, physical, size, protection */
    CALL_UNMAP = 7,        /* domain, iova, size */
    CALL_IOVA_TO_PHYS = 8, /* domain, iova */
    CALL_FLUSH = 9,        /* domain, iova, size */
    CALL_RELEASE = 10,     /* domain */
    CALL_IRQ = 11,         /* number */
    CALL_REMOVE = 12       /* unit */
};

enum request {
    REQUEST_READ = 0,        /* address, size */
    REQUEST_WRITE = 1,       /* address, size, value */
    REQUEST_DELAY = 2,       /* nanoseconds */
    REQUEST_TIME = 3,
    REQUEST_LOG = 4,         /* level; payload: text. Not answered. */
    REQUEST_ALLOC = 5,       /* size */
    REQUEST_FREE = 6,        /* physical, size */
    REQUEST_IRQ = 7,         /* number */
    REQUEST_RELEASE_IRQ = 8, /* number */
    REQUEST_FAULT = 9,       /* address, stream_id, iommu; payload: name and details, each ended by a 0. Not answered. */
    REQUEST_LIMIT_INPUT = 10 /* bits */
};

struct frame {
    uint32_t kind;
    uint32_t op;
    uint64_t arg[6];
    uint32_t payload;
    int32_t result;
};

_Static_assert(sizeof(struct frame) == 64, "frames have 64 bytes");

/* No frame of either side has more. */
#define MAX_PAYLOAD (256u << 20)

#endif
