/* From reset to main, on any Cortex-M. If your project has this already, keep yours.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "board.h"

#include <string.h>

/* From microbit.ld. Of these only the addresses mean something. */
extern uint8_t data_begin[], data_end[], bss_begin[], bss_end[];
extern const uint8_t data_source[];
extern void stack_top(void);

int main(void);

static void reset(void) {
    memcpy(data_begin, data_source, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    stop(main());
}

static void fault(void) {
    say("fault\n");
    stop(2);
}

/* The stack, reset, NMI, and all faults. Exceptions and interrupts that you enable go on here. */
__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {stack_top, reset,
                                                                                   fault, fault};
