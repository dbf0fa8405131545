/* What the test programs need of the machine that they run on.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef PLATFORM_H
#define PLATFORM_H

#include <stddef.h>
#include <stdint.h>

/* Prints. */
void say(const char *text);

/* Writes a file to the host's working directory; 0 if that failed. */
int save(const char *file, const void *bytes, size_t n_bytes);

/* The most bytes of stack in use so far; 0 where that is not known. */
uint32_t stack_used(void);

#endif
