/* Ticks of two million instructions, which shows that the clock counts them.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "clock.h"
#include "report.h"

int main(void) {
    uint32_t n = 1000000;
    clock_start();
    __asm__ volatile(".syntax unified\n"
                     "1: subs %0, #1\n"
                     "bne 1b"
                     : "+l"(n)
                     :
                     : "cc");
    say_number("", clock_ticks(), " 0\n");
    return 0;
}
