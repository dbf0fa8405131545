/* What the files that boot a bare machine share.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

enum { EXIT_FAULT = 70, EXIT_STACK = 71 };

/* Asks the emulator or debugger for an operation of Arm's semihosting. In start_*.c. */
uintptr_t semihost(uintptr_t operation, const void *argument);

/* Makes memory as C wants it, and runs main. */
__attribute__((noreturn)) void boot(void);

/* Ends the run with an exit code, */
__attribute__((noreturn)) void finish(int code);

/* or because the instruction at an address could not be done. */
__attribute__((noreturn)) void fault(uintptr_t address);

#endif
