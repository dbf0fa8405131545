/* Memory functions for a target without a C library.
 * SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
    char *restrict t = to;
    const char *restrict f = from;
    for (size_t i = 0; i < n; ++i) t[i] = f[i];
    return to;
}

void *memset(void *to, int value, size_t n) {
    char *t = to;
    for (size_t i = 0; i < n; ++i) t[i] = (char)value;
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const unsigned char *p = a, *q = b;
    for (size_t i = 0; i < n; ++i)
        if (p[i] != q[i]) return p[i] < q[i] ? -1 : 1;
    return 0;
}
