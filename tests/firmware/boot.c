/* Memory as C wants it, before main; the stack's use and faults.
 * SPDX-License-Identifier: BSD-3-Clause */
#include "machine.h"
#include "platform.h"

#include <string.h>

/* From mcu.ld. */
extern uint8_t data_begin[], data_end[], bss_begin[], bss_end[], stack_top[];
extern const uint8_t data_source[];

int main(void);

/* Nothing else here has an initial value in memory: the library has no such variables. */
static volatile uint8_t initialised = 1;

enum { PAINT = 0xa5, OWN_FRAME = 128 }; /* the latter: what boot itself may have on the stack */

uint32_t stack_used(void) {
    const uint8_t *p = bss_end;
    while (p < stack_top && *p == PAINT) ++p;
    return (uint32_t)(stack_top - p);
}

/* Nothing else would tell that the stack had grown into the variables below it. */
static void check_stack(void) {
    if (*bss_end == PAINT) return;
    say("the stack ran into the variables\n");
    finish(EXIT_STACK);
}

void boot(void) {
    memcpy(data_begin, data_source, (size_t)(data_end - data_begin));
    memset(bss_begin, 0, (size_t)(bss_end - bss_begin));
    if (!initialised) {
        say("the initial values are missing\n");
        finish(EXIT_FAULT);
    }
    uint8_t here;
    memset(bss_end, PAINT, (size_t)(&here - bss_end) - OWN_FRAME);
    const int code = main();
    check_stack();
    finish(code);
}

void fault(uintptr_t address) {
    char hex[] = "00000000\n";
    for (char *p = hex + 8; p-- > hex; address >>= 4) *p = "0123456789abcdef"[address & 15];
    say("fault at 0x");
    say(hex);
    finish(EXIT_FAULT);
}
