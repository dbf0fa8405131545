/* The board, for a simulator: QEMU's, or any debugger's semihosting. REPLACE IT: without a debugger
 * the instruction bkpt is a fault.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "board.h"
#include "rows.h"

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, APPLICATION_EXIT = 0x20026 };

static void semihost(uintptr_t operation, const void *argument) {
    register uintptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

void say(const char *text) { semihost(SYS_WRITE0, text); }

void say_number(const char *before, uint32_t n, const char *after) {
    char digits[11];
    char *p = digits + sizeof digits;
    *--p = '\0';
    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    say(before);
    say(p);
    say(after);
}

void led(int on) { say(on ? "*" : " "); }

static int turned;
void turn_the_pad(void) { turned = 1; }

uint16_t reading(uint32_t i, uint8_t *inputs) {
    for (uint32_t y = 0; y < 8; ++y)
        for (uint32_t x = 0; x < 8; ++x)
            inputs[8 * y + x] = rows[i][turned ? 8 * x + (7 - y) : 8 * y + x];
    return labels[i];
}

void stop(int code) {
    const uintptr_t reason[] = {APPLICATION_EXIT, (uintptr_t)code};
    for (;;) semihost(SYS_EXIT_EXTENDED, reason);
}
