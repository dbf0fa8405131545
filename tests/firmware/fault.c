/* Shows that a fault ends the run and is told: does what the processor cannot do.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "platform.h"

int main(void) {
#if defined(__ARM_ARCH_6M__) /* the only processor here that refuses unaligned words */
    const volatile uint32_t *volatile odd =
        (const volatile uint32_t *)1; /* the compiler must not know */
    (void)*odd;
#else
    __builtin_trap();
#endif
    say("no fault\n");
    return 0;
}
