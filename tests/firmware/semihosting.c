/* The platform on a bare machine: Arm's semihosting, which QEMU and debuggers offer.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"
#include "platform.h"

#include <string.h>

enum {
    SYS_OPEN = 0x01,
    SYS_CLOSE = 0x02,
    SYS_WRITE0 = 0x04,
    SYS_WRITE = 0x05,
    SYS_EXIT_EXTENDED = 0x20,
    MODE_WB = 5,
    APPLICATION_EXIT = 0x20026
};

void say(const char *text) { semihost(SYS_WRITE0, text); }

int save(const char *name, const void *bytes, size_t n_bytes) {
    const uintptr_t open[] = {(uintptr_t)name, MODE_WB, strlen(name)};
    const uintptr_t file = semihost(SYS_OPEN, open);
    if (file == UINTPTR_MAX) return 0;
    const uintptr_t write[] = {file, (uintptr_t)bytes, n_bytes};
    const uintptr_t unwritten = semihost(SYS_WRITE, write);
    return semihost(SYS_CLOSE, &file) == 0 && unwritten == 0;
}

void finish(int code) {
    const uintptr_t reason[] = {APPLICATION_EXIT, (uintptr_t)code};
    for (;;) semihost(SYS_EXIT_EXTENDED, reason);
}
