/* What the library asks of a C library, where there is none: memory.c has it.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef WASM_STRING_H
#define WASM_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);

#endif
