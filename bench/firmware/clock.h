/* Instructions so far, in steps of 40: a Cortex-M's SysTick under QEMU with -icount shift=0, where
 * an instruction takes a nanosecond and the clock of mps2-an386 ticks 25 million times a second.
 * SPDX-License-Identifier: BSD-3-Clause */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

enum { CLOCK_MOST = 0xffffff, CLOCK_ON = 5, CLOCK_WRAPPED = 1 << 16 };

#define CLOCK_CONTROL (*(volatile uint32_t *)0xe000e010)
#define CLOCK_RELOAD (*(volatile uint32_t *)0xe000e014)
#define CLOCK_VALUE (*(volatile uint32_t *)0xe000e018) /* counts down */

static void clock_start(void) {
    CLOCK_RELOAD = CLOCK_MOST;
    CLOCK_VALUE = 0;
    CLOCK_CONTROL = CLOCK_ON;
}

/* Ticks since the start; 0 if there were more than fit. */
static uint32_t clock_ticks(void) {
    const uint32_t value = CLOCK_VALUE;
    return CLOCK_CONTROL & CLOCK_WRAPPED ? 0 : CLOCK_MOST - value;
}

#endif
