/* The platform under an operating system: qemu-user.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "platform.h"

#include <stdio.h>

void say(const char *text) { fputs(text, stdout); }

int save(const char *name, const void *bytes, size_t n_bytes) {
    FILE *file = fopen(name, "wb");
    if (!file) return 0;
    const size_t written = fwrite(bytes, 1, n_bytes, file);
    return fclose(file) == 0 && written == n_bytes;
}

uint32_t stack_used(void) { return 0; }
